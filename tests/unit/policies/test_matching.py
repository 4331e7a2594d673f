"""Filters on requests: HTTP/1, HTTP/2 and a naive reference decide alike."""

from dataclasses import dataclass
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdev.errors import UsageFailure
from kdev.policies.matching import MAX_FILTERS, Matcher, compile_filters
from kdev.policies.requests import REPEATED
from tests.unit.policies.naive import naive_match

CLIENT = "spiffe://cluster.local/ns/shop/sa/client"


@dataclass(frozen=True)
class XfccHeader:
    """What Istio's adapter names."""

    header: bytes = b"x-forwarded-client-cert"
    form: str = "xfcc"


class Request(NamedTuple):
    """A request as a person would write it down."""

    method: str
    path: str
    query: str | None
    host: str
    fields: tuple[tuple[str, str], ...]
    port: int

    def head(self) -> bytes:
        """Its HTTP/1 head."""
        target = self.path if self.query is None else f"{self.path}?{self.query}"
        lines = "".join(f"{name}: {value}\r\n" for name, value in self.fields)
        return f"{self.method} {target} HTTP/1.1\r\nHost: {self.host}\r\n{lines}\r\n".encode()

    def http2_fields(self, wanted: frozenset[bytes]) -> dict[bytes, bytes]:
        """The wanted fields alone, as the splice decodes them."""
        target = self.path if self.query is None else f"{self.path}?{self.query}"
        fields = {b":method": self.method.encode(), b":path": target.encode(), b":authority": self.host.encode()}
        for name, value in self.fields:
            key = name.lower().encode()
            fields[key] = fields[key] + REPEATED + value.encode() if key in fields else value.encode()
        return {name: value for name, value in fields.items() if name in wanted}


def compiled(*filters: str) -> Matcher:
    """A matcher of these filters in an Istio pod without probes."""
    return compile_filters(filters, identity=XfccHeader(), probes=())


def both(matcher: Matcher, request: Request) -> bool:
    """What HTTP/1 and HTTP/2 say, which must be the same."""
    http1 = matcher.match_head(request.head(), request.port)
    http2 = matcher.match_fields(request.http2_fields(matcher.wanted), request.port)
    assert http1 is http2
    return http1


REQUEST = Request(
    "POST",
    "/shop.Cart/Get",
    "a=1&b=&a=2&c",
    "Checkout.staging:8080",
    (
        ("Content-Type", "application/grpc+proto"),
        ("X-Dev", "alice"),
        ("x-dev", "bob, carol"),
        ("x-forwarded-client-cert", f"URI=spiffe://forged,By=x;URI={CLIENT}"),
    ),
    8080,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("path=/shop.Cart/Get", True),
        ("path=/shop*", True),
        ("path=/shop.Cart/get", False),
        ("path=*a=1*", False),
        ("method=post", True),
        ("method=GET", False),
        ("!method=GET", True),
        ("host=checkout.STAGING", True),
        ("host=checkout.staging:8080", True),
        ("host=checkout.staging:80", False),
        ("host=*", True),
        ("header.host=checkout*", False),
        ("header.host=Checkout.staging:8080", True),
        ("query.a=1", True),
        ("query.a=2", True),
        ("query.a=3", False),
        ("query.b=*", True),
        ("query.c=*", True),
        ("query.d=*", False),
        ("query.A=1", False),
        ("header.x-dev=alice", True),
        ("header.X-DEV='bob, carol'", True),
        ("header.x-dev=bob", False),
        ("header.x-dev=Alice", False),
        ("!header.x-dev=alice", False),
        ("!header.x-dev=dave", True),
        ("header.x-de=*", False),
        ("!header.x-de=*", True),
        ("grpc=shop.Cart/*", True),
        ("grpc=shop.cart/*", False),
        (f"peer={CLIENT}", True),
        ("peer=spiffe://*/sa/client", True),
        ("peer=spiffe://forged", False),
        ("peer=client", False),
        ("port=8080", True),
        ("port=80", False),
        ("path=/shop* header.x-dev=alice", True),
        ("path=/shop* header.x-dev=dave", False),
    ],
)
def test_each_key_looks_at_its_own_part(text: str, expected: bool) -> None:
    """Every key matches its value as a whole, and all terms of a filter must hold."""
    assert both(compiled(text), REQUEST) is expected


def test_one_of_several_filters_is_enough() -> None:
    """Filters are alternatives."""
    assert both(compiled("path=/x", "port=8080"), REQUEST)
    assert not both(compiled("path=/x", "port=80"), REQUEST)


def test_no_filter_matches_everything() -> None:
    """A session without filters wants every request, but nothing that is none."""
    assert both(compiled(), REQUEST)
    assert not compiled().match_head(b"\x16\x03\x01", 8080)


def test_grpc_is_told_from_grpc_web() -> None:
    """Only the content types of gRPC itself make a path a gRPC method."""
    for kind, expected in (("application/grpc", True), ("application/grpc;x", True), ("application/grpc-web", False)):
        request = REQUEST._replace(fields=(("content-type", kind),))
        assert both(compiled("grpc=*"), request) is expected


@pytest.mark.parametrize(
    ("glob", "host", "expected"),
    [
        ("[::1]", "[::1]:8080", True),
        ("[::1]", "[::1]", True),
        ("[::1]:8080", "[::1]:8080", True),
        ("[::1]:8080", "[::1]", False),
        ("*:80", "a:80", True),
        ("a", "a:", True),
    ],
)
def test_a_host_is_compared_without_its_port(glob: str, host: str, expected: bool) -> None:
    """Unless the glob has a port itself; the colons of an IPv6 address are none."""
    assert both(compiled(f"host={glob}"), REQUEST._replace(host=host)) is expected


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ((), True),
        (("port=8080",), True),
        (("!port=80",), True),
        (("port=80",), False),
        (("port=8080 path=/x",), False),
        (("port=8080 !path=/x",), False),
        (("path=/x", "port=8080"), True),
    ],
)
def test_a_raw_connection_is_judged_by_its_port_alone(filters: tuple[str, ...], expected: bool) -> None:
    """A filter that says anything else about requests cannot hold for bytes that are none."""
    assert compiled(*filters).match_port(8080) is expected


def test_peer_needs_a_mesh_that_names_the_caller() -> None:
    """Without an identity header the filter is refused, with a caret under the term."""
    with pytest.raises(UsageFailure) as failure:
        compile_filters(["path=/a !peer=x"], identity=None, probes=())
    assert "no mesh tells" in failure.value.explanation.cause
    assert failure.value.explanation.seen.split("\n")[1].startswith(" " * 8 + "^")


def test_filters_are_counted() -> None:
    """More filters than a person types are refused."""
    assert compiled(*["path=/a"] * MAX_FILTERS)
    with pytest.raises(UsageFailure, match="too many"):
        compiled(*["path=/a"] * (MAX_FILTERS + 1))


def test_an_explanation_tells_what_each_term_saw() -> None:
    """Every term of every filter is listed with the values it looked at."""
    verdict = compiled("path=/shop* header.x-dev=dave", "!query.z=1").explain(REQUEST.head(), 8080)
    assert (verdict.matched, verdict.well_formed, verdict.probe) == (True, True, None)
    first, second = verdict.filters
    assert [(term.term, term.seen, term.held) for term in first.terms] == [
        ("path=/shop*", ("/shop.Cart/Get",), True),
        ("header.x-dev=dave", ("alice", "bob, carol"), False),
    ]
    assert (first.held, second.held, second.terms[0].seen) == (False, True, ())


def test_an_explanation_of_what_is_no_request() -> None:
    """It says so instead of judging it."""
    verdict = compiled("path=/a").explain(b"nonsense\r\n\r\n", 8080)
    assert (verdict.matched, verdict.well_formed, verdict.filters) == (False, False, ())


# ---- the property: three ways to decide, one answer

SMALL = "ab*?"
GLOBS = st.text(SMALL, min_size=1, max_size=4)
FIELDS = st.lists(st.tuples(st.sampled_from(["x-a", "X-A", "x-b"]), st.text("ab", max_size=3)), max_size=4)
QUERIES = st.none() | st.lists(st.sampled_from(["a=a", "a=b", "b=ab", "a", "aa=a"]), max_size=3).map("&".join)
REQUESTS = st.builds(
    Request,
    st.sampled_from(["GET", "POST"]),
    st.text("ab/", max_size=4).map(lambda rest: "/" + rest),
    QUERIES,
    st.sampled_from(["a", "AB", "a:80", "b:81"]),
    FIELDS.map(tuple),
    st.sampled_from([80, 81]),
)


class Term(NamedTuple):
    """A term as a person would write it down; the glob's wildcards are not quoted."""

    negated: bool
    key: str
    glob: str

    def text(self) -> str:
        """The term as typed."""
        return f"{'!' * self.negated}{self.key}={self.glob}"

    def holds(self, request: Request) -> bool:
        """Whether any value matches, or none if negated."""
        return any(naive_match(self.glob.encode(), value.encode()) for value in self.values(request)) != self.negated

    def values(self, request: Request) -> list[str]:
        """What the key stands for in a request."""
        key, _, name = self.key.partition(".")
        pairs = [pair.partition("=") for pair in (request.query or "").split("&")]
        return {
            "path": [request.path],
            "method": [request.method],
            "host": [request.host.lower().partition(":")[0]],
            "port": [str(request.port)],
            "query": [value for found, _, value in pairs if found == name],
            "header": [value for found, value in request.fields if found.lower() == name],
        }[key]


TERMS = st.one_of(
    st.builds(Term, st.booleans(), st.just("path"), GLOBS.map(lambda glob: "/" + glob)),
    st.builds(Term, st.booleans(), st.just("method"), st.sampled_from(["GET", "P*", "?OST", "*"])),
    st.builds(Term, st.booleans(), st.just("port"), st.sampled_from(["80", "81"])),
    st.builds(Term, st.booleans(), st.sampled_from(["host", "query.a", "query.b", "header.x-a", "header.x-b"]), GLOBS),
)


@given(st.lists(st.lists(TERMS, min_size=1, max_size=3), max_size=3), REQUESTS)
def test_all_three_ways_decide_alike(filters: list[list[Term]], request_: Request) -> None:
    """Head bytes, decoded fields and the reference give one answer for any filters and any request."""
    expected = not filters or any(all(term.holds(request_) for term in terms) for terms in filters)
    matcher = compiled(*(" ".join(term.text() for term in terms) for terms in filters))
    assert both(matcher, request_) is expected
    assert matcher.explain(request_.head(), request_.port).matched is expected
