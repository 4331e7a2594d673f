"""Bodies in protobuf."""

import pytest

from kdev.sandbox.api import protobuf
from kdev.sandbox.api.statuses import Refusal


def _field(number: int, payload: bytes) -> bytes:
    return bytes((number << 3 | 2, len(payload))) + payload


def _body(kind: bytes, raw: bytes) -> bytes:
    return b"k8s\0" + _field(1, _field(1, b"v1") + _field(2, kind)) + _field(2, raw)


def test_a_known_kind_is_read():
    """Empty strings are left out, but not where they are a list's elements: the core API group is one."""
    rule = _field(1, b"get") + _field(2, b"") + _field(3, b"pods")
    role = _field(1, _field(1, b"reader") + _field(3, b"")) + _field(2, rule)
    assert protobuf.decode(_body(b"Role", role)) == {
        "apiVersion": "v1",
        "kind": "Role",
        "metadata": {"name": "reader"},
        "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}],
    }


@pytest.mark.parametrize(
    "body",
    [b"{}", _body(b"Job", b""), _body(b"Namespace", _field(9, b"x")), _body(b"Namespace", b"\x0a\x7fx"), b"k8s\0\x0a"],
)
def test_what_is_not_known_is_refused(body: bytes):
    """Another kind, another field and a body that is cut short are 415, so nothing gets lost unseen."""
    with pytest.raises(Refusal) as refused:
        protobuf.decode(body)
    assert refused.value.code == 415
