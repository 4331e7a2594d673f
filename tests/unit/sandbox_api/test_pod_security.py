"""Pod Security levels, in the words of the real admission."""

from typing import Any

from kdev.sandbox.api.pod_security import ENFORCE, violations


def _spec(**context: Any) -> dict[str, Any]:
    return {"containers": [{"name": "app", "securityContext": context}]}


def test_baseline_refuses_net_admin_of_an_ephemeral_container():
    """The message is the one a real cluster gave."""
    spec = _spec() | {
        "ephemeralContainers": [{"name": "kdev-x", "securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}]
    }
    assert violations({ENFORCE: "baseline"}, ENFORCE, spec) == (
        'violates PodSecurity "baseline:latest": non-default capabilities (container "kdev-x" must not include '
        '"NET_ADMIN" in securityContext.capabilities.add)'
    )


def test_restricted_wants_four_things_of_a_plain_pod():
    """The well-known message for a pod that says nothing."""
    assert violations({ENFORCE: "restricted"}, ENFORCE, _spec()) == (
        'violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "app" must set '
        'securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "app" must set '
        'securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "app" must set '
        'securityContext.runAsNonRoot=true), seccompProfile (pod or container "app" must set '
        'securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")'
    )


def test_restricted_admits_what_fulfils_it():
    """A pod with all four runs."""
    spec = _spec(
        allowPrivilegeEscalation=False,
        capabilities={"drop": ["ALL"]},
        runAsNonRoot=True,
        seccompProfile={"type": "RuntimeDefault"},
    )
    assert violations({ENFORCE: "restricted"}, ENFORCE, spec) is None


def test_levels_that_do_not_apply_say_nothing():
    """Without a label, and with privileged, everything runs; baseline does not mind a plain pod."""
    privileged = _spec(privileged=True)
    assert violations({}, ENFORCE, privileged) is None
    assert violations({ENFORCE: "privileged"}, ENFORCE, privileged) is None
    assert violations({ENFORCE: "baseline"}, ENFORCE, _spec()) is None
    assert "privileged (container" in (violations({ENFORCE: "baseline"}, ENFORCE, privileged) or "")
