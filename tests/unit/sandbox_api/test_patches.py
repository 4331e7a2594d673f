"""The three kinds of patches."""

from typing import Any

import pytest

from kdev.sandbox.api import json_patches, strategic_merge
from kdev.sandbox.api.statuses import Refusal


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_follows_the_rfc(target: Any, patch: Any, result: Any):
    """Examples of RFC 7386, appendix A."""
    assert json_patches.merge(target, patch) == result


@pytest.mark.parametrize(
    ("operation", "result"),
    [
        ({"op": "add", "path": "/list/1", "value": 9}, {"list": [1, 9, 2], "a/b": 0}),
        ({"op": "add", "path": "/list/-", "value": 9}, {"list": [1, 2, 9], "a/b": 0}),
        ({"op": "remove", "path": "/a~1b"}, {"list": [1, 2]}),
        ({"op": "replace", "path": "/list/0", "value": 5}, {"list": [5, 2], "a/b": 0}),
        ({"op": "move", "from": "/list/0", "path": "/c"}, {"list": [2], "a/b": 0, "c": 1}),
        ({"op": "copy", "from": "/list", "path": "/c"}, {"list": [1, 2], "a/b": 0, "c": [1, 2]}),
        ({"op": "test", "path": "/list/1", "value": 2}, {"list": [1, 2], "a/b": 0}),
    ],
)
def test_json_patch_operations(operation: Any, result: Any):
    """Each operation of RFC 6902 does its part and leaves the document it was given alone."""
    document = {"list": [1, 2], "a/b": 0}
    assert json_patches.apply(document, [operation]) == result
    assert document == {"list": [1, 2], "a/b": 0}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/a", "value": 2},
        {"op": "remove", "path": "/missing"},
        {"op": "add", "path": "/list/7", "value": 1},
        {"op": "frobnicate", "path": "/a"},
        {"op": "add", "path": "a", "value": 1},
    ],
)
def test_json_patch_that_does_not_fit_is_refused(operation: Any):
    """A failed test, a missing member and an unknown operation are 422."""
    with pytest.raises(Refusal) as refused:
        json_patches.apply({"a": 1, "list": []}, [operation])
    assert refused.value.code == 422


def test_strategic_merge_joins_lists_by_their_keys():
    """Containers merge by name, their environment too, and new ones are appended."""
    target = {"spec": {"containers": [{"name": "app", "image": "a:1", "env": [{"name": "A", "value": "1"}]}]}}
    patch = {"spec": {"containers": [{"name": "app", "env": [{"name": "B", "value": "2"}]}, {"name": "new"}]}}
    merged = strategic_merge.merge(target, patch)
    assert merged["spec"]["containers"] == [
        {"name": "app", "image": "a:1", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
        {"name": "new"},
    ]


def test_strategic_merge_knows_both_kinds_of_ports():
    """A container's ports merge by containerPort, a service's by port."""
    of_container = strategic_merge.merge(
        {"ports": [{"containerPort": 1}]}, {"ports": [{"containerPort": 1, "name": "x"}]}
    )
    of_service = strategic_merge.merge({"ports": [{"port": 1}]}, {"ports": [{"port": 2}]})
    assert of_container == {"ports": [{"containerPort": 1, "name": "x"}]}
    assert of_service == {"ports": [{"port": 1}, {"port": 2}]}


def test_strategic_merge_directives():
    """An element is deleted, a list replaced, an order kept, and primitive lists give members up."""
    target = {"env": [{"name": "A"}, {"name": "B"}], "volumes": [{"name": "v"}], "finalizers": ["x", "y"]}
    patch = {
        "env": [{"name": "A", "$patch": "delete"}, {"name": "C"}],
        "$setElementOrder/env": [{"name": "C"}, {"name": "B"}],
        "volumes": [{"$patch": "replace"}, {"name": "w"}],
        "$deleteFromPrimitiveList/finalizers": ["x"],
    }
    assert strategic_merge.merge(target, patch) == {
        "env": [{"name": "C"}, {"name": "B"}],
        "volumes": [{"name": "w"}],
        "finalizers": ["y"],
    }


def test_strategic_merge_needs_the_merge_key():
    """An element without its key cannot be placed."""
    with pytest.raises(Refusal, match="does not contain declared merge key: name"):
        strategic_merge.merge({}, {"containers": [{"image": "a"}]})
