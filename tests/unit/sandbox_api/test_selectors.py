"""Label and field selectors."""

import pytest

from kdev.sandbox.api.selectors import field_selector, label_selector
from kdev.sandbox.api.statuses import Refusal

_POD = {
    "metadata": {"name": "web-0", "namespace": "shop", "labels": {"app": "web", "tier": "front"}},
    "status": {"phase": "Running"},
}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("app=web", True),
        ("app==web,tier!=back", True),
        ("app!=web", False),
        ("tier in (front, back)", True),
        ("tier notin (front)", False),
        ("app", True),
        ("!app", False),
        ("!missing", True),
        ("missing=", False),
    ],
)
def test_label_selectors(text: str, matches: bool):
    """Each operator means what Kubernetes' does."""
    assert label_selector(text)(_POD) is matches


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("metadata.name=web-0", True),
        ("metadata.name!=web-0", False),
        ("status.phase=Running,metadata.namespace=shop", True),
    ],
)
def test_field_selectors(text: str, matches: bool):
    """Fields are compared as text."""
    assert field_selector(text, "pods")(_POD) is matches


def test_a_field_that_cannot_be_selected_is_refused():
    """Only each kind's selectable fields are."""
    with pytest.raises(Refusal, match=r"field label not supported: spec\.replicas"):
        field_selector("spec.replicas=1", "deployments")


def test_nonsense_is_refused():
    """A selector that cannot be parsed is 400, not an empty list."""
    with pytest.raises(Refusal):
        label_selector("a in b")
