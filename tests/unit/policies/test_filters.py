"""The filter grammar: what is read, and how what cannot be read is shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdev.errors import UsageFailure
from kdev.policies.filters import KEYS, MAX_FILTER_LENGTH, Filter, parse
from kdev.policies.globs import Wildcard


def terms(text: str) -> list[tuple[bool, str, str, str]]:
    """The terms of a filter as (negated, key, name, value), wildcards shown as ``<*>`` and ``<?>``."""
    return [
        (
            term.negated,
            term.key,
            term.name,
            "".join(f"<{part.value}>" if isinstance(part, Wildcard) else chr(part) for part in term.glob.parts),
        )
        for term in parse(text).terms
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("path=/api/*", [(False, "path", "", "/api/<*>")]),
        ("!path=/api/*", [(True, "path", "", "/api/<*>")]),
        (" path=/a\t port=80 ", [(False, "path", "", "/a"), (False, "port", "", "80")]),
        ("header.X-Dev=Alice", [(False, "header", "x-dev", "Alice")]),
        ("query.Page=?", [(False, "query", "Page", "<?>")]),
        ("query.a.b=1=2", [(False, "query", "a.b", "1=2")]),
        ("header.x='a b'\"c d\"e", [(False, "header", "x", "a bc de")]),
        ("header.x='*'\"?\"*", [(False, "header", "x", "*?<*>")]),
        (r"header.x=\*\ \\\"", [(False, "header", "x", '* \\"')]),
        (r"""header.x="a\"b\\"'\'""", [(False, "header", "x", 'a"b\\\\')]),
        (
            "peer=spiffe://cluster.local/ns/*/sa/client",
            [(False, "peer", "", "spiffe://cluster.local/ns/<*>/sa/client")],
        ),
        ("path=/ä", [(False, "path", "", "/Ã¤")]),
    ],
)
def test_a_filter_is_read(text: str, expected: list[tuple[bool, str, str, str]]) -> None:
    """Terms, negation, names, quotes, escapes and wildcards are told apart."""
    assert terms(text) == expected


@pytest.mark.parametrize(
    ("text", "cause", "place", "expected"),
    [
        ("", "The filter is empty", 0, "key=glob"),
        ("  ", "The filter is empty", 0, "key=glob"),
        ("pth=/a", "The filter has an unknown key 'pth'", 0, "'path'?"),
        ("path=/a !metod=GET", "The filter has an unknown key 'metod'", 9, "'method'?"),
        ("heder.x-dev=1", "The filter has an unknown key 'heder.x-dev'", 0, "'header.NAME'?"),
        ("header=x", "The filter has an unknown key 'header'", 0, "'header.NAME'?"),
        ("query.=x", "The filter has an unknown key 'query.'", 0, "'query.NAME'?"),
        ("path.x=/", "The filter has an unknown key 'path.x'", 0, "'path'?"),
        ("zzz=1", "The filter has an unknown key 'zzz'", 0, "one of path, method"),
        ("=1", "The filter has an unknown key ''", 0, "one of path, method"),
        ("path", "The filter's term 'path' has no value", 4, "'=' and a glob"),
        ("path=", "A filter's value is empty", 5, "a glob"),
        ("header.x=''", "A filter's value is empty", 9, "a glob"),
        ("header.x='a", "A quote in the filter is not closed", 9, "a closing '"),
        ('header.x="a\\"', "A quote in the filter is not closed", 9, 'a closing "'),
        ("path=/a\\", "The filter ends with '\\'", 8, "the character that is meant"),
        ("header.x(y)=1", "'x(y)' cannot be a header's name", 7, "letters, digits and '-'"),
        ("port=http", "The filter's port is none", 5, "a number from 1 to 65535"),
        ("port=0", "The filter's port is none", 5, "a number"),
        ("port=65536", "The filter's port is none", 5, "a number"),
        ("port=80*", "The filter's port is none", 5, "a number"),
        ("port=080", "The filter's port is none", 5, "a number"),
        ("port=٨", "The filter's port is none", 5, "a number"),
        ("method='GET POST'", "No HTTP method is written like that", 7, "a name such as GET"),
        ("path=api", "No path is written like that", 5, "'/' or a wildcard first"),
        ("path='/a b'", "No path holds a blank", 5, "%20 in its place"),
        (r"path=/a\?b=1", "No path holds its query", 5, "query.NAME"),
        ("query.a='b&c'", "No parameter's value is written like that", 8, "percent-encoded"),
        ("host=http://checkout", "No host is written like that", 5, "a name, or name:port"),
        ("grpc=/shop.Cart/Get", "No gRPC method is written like that", 5, "package.Service/Method"),
        ("header.x=' a'", "No header's value has blanks around it", 9, "without them"),
        ("header.x='a\nb'", "No value holds a control character", 9, "one line"),
        ("path=/\udcff", "The filter is not UTF-8", 6, "UTF-8"),
    ],
)
def test_a_wrong_filter_is_shown(text: str, cause: str, place: int, expected: str) -> None:
    """The failure shows the filter with a caret under the place, and what was expected there."""
    with pytest.raises(UsageFailure) as failure:
        parse(text)
    explanation = failure.value.explanation
    shown, caret = explanation.seen.split("\n")
    assert (explanation.reference, explanation.cause) == ("filter-syntax", cause)
    assert len(shown) == len(text)
    assert caret.index("^") == place
    assert expected in caret


def test_a_filter_has_a_largest_length() -> None:
    """One character more than the limit is refused."""
    text = "path=/".ljust(MAX_FILTER_LENGTH, "a")
    assert parse(text).text == text
    with pytest.raises(UsageFailure, match="too long"):
        parse(text + "a")


def test_every_key_of_the_table_is_accepted() -> None:
    """What the failure lists as keys can be typed."""
    for key in KEYS:
        assert parse(f"{key}={'80' if key == 'port' else '/x' if key == 'path' else 'x'}").terms


@given(st.text(max_size=30) | st.text("path=query.header!'\"\\*? /", max_size=30))
def test_any_text_is_a_filter_or_a_usage_failure(text: str) -> None:
    """No text ends in anything else, and the caret never leaves the text."""
    try:
        assert isinstance(parse(text), Filter)
    except UsageFailure as failure:
        shown, caret = failure.explanation.seen.split("\n")
        assert len(shown) == len(text)
        assert caret.index("^") <= len(text)
