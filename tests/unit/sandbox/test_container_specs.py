"""What a container's spec means: identity, capabilities, environment, image."""

import re

import pytest

from kdev.sandbox.capabilities import DEFAULT, NUMBERS, capabilities, to_drop
from kdev.sandbox.environment import arguments, environment, expand
from kdev.sandbox.images import find_image
from kdev.sandbox.interface import Object
from kdev.sandbox.security import ForbiddenIdentity, identity

POD: Object = {
    "metadata": {"name": "cart-1", "namespace": "shop", "uid": "u1", "labels": {"app": "cart"}},
    "spec": {"serviceAccountName": "cart"},
}


def _stored(volume: Object) -> dict[str, bytes]:
    """Stands for the API server: a config map and a secret."""
    if volume == {"configMap": {"name": "settings"}}:
        return {"level": b"debug"}
    if volume == {"secret": {"secretName": "keys"}}:
        return {"token": b"hush"}
    raise KeyError("not found")


def _pod(**context: object) -> Object:
    return {**POD, "spec": {**POD["spec"], "securityContext": context}}


def _container(**context: object) -> Object:
    return {"name": "app", "securityContext": context}


@pytest.mark.parametrize(
    ("add", "drop", "expected"),
    [
        ((), (), DEFAULT),
        (("NET_ADMIN",), (), DEFAULT | {"NET_ADMIN"}),
        ((), ("ALL",), set()),
        (("NET_ADMIN", "CAP_SETUID"), ("ALL",), {"NET_ADMIN", "SETUID"}),
        ((), ("KILL", "CHOWN"), DEFAULT - {"KILL", "CHOWN"}),
        (("ALL",), (), set(NUMBERS)),
        (("ALL",), ("SYS_ADMIN",), set(NUMBERS) - {"SYS_ADMIN"}),
    ],
)
def test_capabilities_follow_add_and_drop(add: tuple[str, ...], drop: tuple[str, ...], expected: set[str]) -> None:
    """Dropping ALL comes before every addition, a single drop after them."""
    assert capabilities(add, drop) == expected


def test_an_unknown_capability_is_refused() -> None:
    """A misspelt capability is an error, not silence."""
    with pytest.raises(ValueError, match="NET_ADMNI"):
        capabilities(["NET_ADMNI"], [])


def test_capabilities_the_kernel_does_not_know_are_not_dropped() -> None:
    """The numbers to drop end at the kernel's last one."""
    assert to_drop(["CHOWN"], last=2) == [1, 2]


def test_a_containers_own_context_counts_before_its_pods() -> None:
    """The runAsUser of the container wins; what it does not say comes from the pod."""
    who = identity(_pod(runAsUser=5, runAsGroup=6, fsGroup=7, supplementalGroups=[8]), _container(runAsUser=0))
    assert (who.uid, who.gid, who.groups) == (0, 6, (6, 7, 8))


def test_privileges_cannot_grow_where_escalation_is_forbidden() -> None:
    """allowPrivilegeEscalation: false is no_new_privs; by default it is not set."""
    assert identity(POD, _container(allowPrivilegeEscalation=False)).no_new_privileges
    assert not identity(POD, _container()).no_new_privileges


def test_run_as_non_root_refuses_user_zero() -> None:
    """A container that would be root is not started in a pod that forbids it."""
    with pytest.raises(ForbiddenIdentity, match="will run as root"):
        identity(_pod(runAsNonRoot=True), _container())
    assert identity(_pod(runAsNonRoot=True), _container(runAsUser=9)).uid == 9


def test_variables_may_refer_to_earlier_ones_and_to_the_pod() -> None:
    """$(NAME) and fieldRef are resolved in the order of the list."""
    container = {
        "env": [
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
            {"name": "URL", "value": "http://$(IP)/$(APP)?$(LATER)$$"},
            {"name": "LATER", "value": "x"},
        ]
    }
    variables = environment(container, POD, pod_ip="10.1.1.1", look_up=_stored)
    assert variables["URL"] == "http://10.1.1.1/cart?$(LATER)$"
    assert variables["HOSTNAME"] == "cart-1"


def test_variables_come_from_config_maps_and_secrets() -> None:
    """Single keys and whole objects, with a prefix; what is optional may be missing."""
    container = {
        "envFrom": [{"prefix": "S_", "configMapRef": {"name": "settings"}}, {"secretRef": {"name": "keys"}}],
        "env": [
            {"name": "LEVEL", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "level"}}},
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "token"}}},
            {"name": "NONE", "valueFrom": {"secretKeyRef": {"name": "no", "key": "k", "optional": True}}},
            {"name": "BOTH", "value": "$(LEVEL)$(S_level)"},
        ],
    }
    variables = environment(container, POD, pod_ip="", look_up=_stored)
    assert variables.keys() >= {"LEVEL", "TOKEN", "token", "S_level"}
    assert (variables["BOTH"], variables["TOKEN"], variables["token"]) == ("debugdebug", "hush", "hush")
    assert "NONE" not in variables


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ({"configMapKeyRef": {"name": "no", "key": "k"}}, 'configmap "no" not found'),
        ({"secretKeyRef": {"name": "keys", "key": "k"}}, "couldn't find key k in Secret shop/keys"),
        ({"fieldRef": {"fieldPath": "spec.hostname"}}, 'unknown fieldPath "spec.hostname"'),
    ],
)
def test_a_reference_to_nothing_is_refused_in_words(reference: Object, said: str) -> None:
    """What cannot be resolved is said as a kubelet says it, not left empty."""
    with pytest.raises(ValueError, match=re.escape(said)):
        environment({"env": [{"name": "X", "valueFrom": reference}]}, POD, pod_ip="", look_up=_stored)


def test_command_replaces_the_entry_point_and_args_follow() -> None:
    """As in Kubernetes, args alone go to the image's own program."""
    assert arguments({"args": ["$(A)"]}, ["run"], {"A": "1"}) == ["run", "1"]
    assert arguments({"command": ["sh"], "args": ["-c"]}, ["run"], {}) == ["sh", "-c"]


def test_expansion_leaves_shell_syntax_alone() -> None:
    """Only $(NAME) is Kubernetes'; ${NAME} and $NAME belong to a shell."""
    assert expand("${A} $A $(A) $$(A)", {"A": "1"}) == "${A} $A 1 $(A)"


@pytest.mark.parametrize(
    "reference", ["kdev-agent:0.1.0", "registry.example/tools/kdev-agent:1", "kdev-agent@sha256:00", "kdev-agent"]
)
def test_the_agents_image_is_known_by_its_last_name(reference: str) -> None:
    """Registry, path, tag and digest of an image do not matter."""
    image = find_image(reference)
    assert image is not None
    assert image.entrypoint[1:] == ("-m", "kdev.agent")


@pytest.mark.parametrize("reference", ["nginx:1.27", "kdev-agent-x:1", "docker.io/library/host2"])
def test_other_images_do_not_exist(reference: str) -> None:
    """Nothing is made up for a name that only a registry could have."""
    assert find_image(reference) is None
