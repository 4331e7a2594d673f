"""What each key of the filter grammar looks at: from a term to a test on requests.

Every key yields a list of values: none where the request has no such thing, several where it may occur more than
once. A term holds when its glob matches any of them; a negated one when it matches none, also of none.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from kdev.policies.filters import Filter, Term
from kdev.policies.globs import Glob
from kdev.policies.identity import IdentityHeader, callers
from kdev.policies.requests import Request

Values = Callable[[Request], list[bytes]]

_GRPC = re.compile(rb"application/grpc(?:[+;][^\r\n]*)?")  # PROTOCOL-HTTP2.md of gRPC; not application/grpc-web


@dataclass(frozen=True, slots=True)
class CompiledTerm:
    """A term, ready to be asked.

    Attributes:
        source: As parsed.
        fields: The HTTP/2 fields it looks at.
        values: What it looks at in a request.
        holds: Whether a request is as the term says.
    """

    source: Term
    fields: frozenset[bytes]
    values: Values
    holds: Callable[[Request], bool]


@dataclass(frozen=True, slots=True)
class CompiledFilter:
    """A filter, ready to be asked."""

    source: Filter
    terms: tuple[CompiledTerm, ...]

    def holds(self, request: Request) -> bool:
        """Whether all terms hold."""
        for term in self.terms:  # noqa: SIM110 - the generator in all() would cost as much as the terms
            if not term.holds(request):
                return False
        return True

    @property
    def asks_only_for_ports(self) -> bool:
        """Whether it can be judged where there are no requests to look at."""
        return all(term.source.key == "port" for term in self.terms)


def compile_term(term: Term, identity: IdentityHeader | None) -> CompiledTerm:
    """Compile a term; one with the key ``peer`` needs an ``identity``."""
    values, fields = _view(term, identity)
    pattern = term.glob.compile(ignore_case=term.key in ("method", "host"))
    return CompiledTerm(term, frozenset(fields), values, _test(values, pattern.fullmatch, negated=term.negated))


def _test(values: Values, matches: Callable[[bytes], object], *, negated: bool) -> Callable[[Request], bool]:
    def holds(request: Request) -> bool:
        for value in values(request):
            if matches(value):
                return not negated
        return negated

    return holds


def _view(term: Term, identity: IdentityHeader | None) -> tuple[Values, tuple[bytes, ...]]:
    """Return what the term looks at, and the HTTP/2 fields that it is made of."""
    name = term.name.encode()
    match term.key:
        case "query":
            return lambda request: query_values(request.query, name), (b":path",)
        case "header" if name != b"host":
            return lambda request: request.values(name), (name,)
        case "host" | "header":  # HTTP/2 clients send :authority in place of the header
            with_port = term.key == "header" or _names_a_port(term.glob)
            return _authorities if with_port else _hosts, (b":authority", b"host")
        case "peer":
            assert identity is not None, "compile_filters refuses peer without identity"
            header, form = identity.header, identity.form
            return lambda request: callers(request.values(header), form), (header,)
        case key:
            return _NAMELESS[key]


def query_values(query: bytes, name: bytes) -> list[bytes]:
    """The values of a query parameter, as sent: ``name=value`` between ``&``; a bare name has an empty value."""
    if name not in query:
        return []
    pairs = (pair.partition(b"=") for pair in query.split(b"&"))
    return [value for key, _, value in pairs if key == name]


def _authorities(request: Request) -> list[bytes]:
    return request.authorities()


def _hosts(request: Request) -> list[bytes]:
    return [_without_port(authority) for authority in request.authorities()]


def _without_port(authority: bytes) -> bytes:
    host, colon, port = authority.rpartition(b":")
    return host if colon and b"]" not in port else authority


def _names_a_port(glob: Glob) -> bool:
    """Whether the glob has a colon behind the brackets that an IPv6 address stands in."""
    bracket = max((place for place, part in enumerate(glob.parts) if part == ord("]")), default=0)
    return ord(":") in glob.parts[bracket:]


def _grpc(request: Request) -> list[bytes]:
    kinds = request.values(b"content-type")
    if not any(_GRPC.fullmatch(kind) for kind in kinds):
        return []
    return [path[1:] for path in request.paths if path[:1] == b"/"]


_NAMELESS: dict[str, tuple[Values, tuple[bytes, ...]]] = {
    "path": (lambda request: request.paths, (b":path",)),
    "method": (lambda request: [request.method], (b":method",)),
    "grpc": (_grpc, (b":path", b"content-type")),
    "port": (lambda request: [b"%d" % request.port], ()),
}
