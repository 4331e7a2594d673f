"""Whether a request is one that the session wants: filters and probes, compiled once and asked for each request.

The splice asks with what it has at hand: the head's bytes (HTTP/1), the few fields it decoded (HTTP/2), or only
the port (anything else). All three answers come from the same filters, and agree.
"""

from collections.abc import Mapping, Sequence

from kdev.errors import UsageFailure
from kdev.policies import probes as probing
from kdev.policies.filters import Filter, parse, wrong
from kdev.policies.identity import IdentityHeader
from kdev.policies.requests import Http1Request, Http2Request, Request
from kdev.policies.terms import CompiledFilter, compile_term
from kdev.policies.verdict import FilterVerdict, TermVerdict, Verdict
from kdev.tunnel.messages import Probe

MAX_FILTERS = 64
"""``--filter`` is typed by people; each one costs every request a little."""


class Matcher:
    """A session's filters and the probes it leaves alone, ready to be asked; made by ``compile_filters``.

    Attributes:
        wanted: Lower-case names of the HTTP/2 fields, pseudo fields among them, that ``match_fields`` looks at.
    """

    def __init__(self, filters: Sequence[CompiledFilter], probes: Sequence[Probe]) -> None:
        self._filters = tuple(filters)
        self._probes = probing.ProbeTable(probes)
        self._has_probes = bool(self._probes)
        self.wanted: frozenset[bytes] = frozenset().union(
            *(term.fields for compiled in self._filters for term in compiled.terms),
            probing.FIELDS if self._probes else (),
        )

    def match_head(self, head: bytes, port: int) -> bool:
        """Judge an HTTP/1 request by its head: request line, field lines and the empty line.

        A head without a valid request line never matches; a malformed field line has no value.
        """
        request = Http1Request.parse(head, port)
        return request is not None and self._match(request)

    def match_fields(self, fields: Mapping[bytes, bytes], port: int) -> bool:
        """Judge an HTTP/2 request by its ``wanted`` fields.

        Args:
            fields: By lower-case name; the values of a repeated field joined by ``requests.REPEATED``.
            port: The application's.
        """
        return self._match(Http2Request(fields, port))

    def match_port(self, port: int) -> bool:
        """Judge a connection of which only the port is known: one filter that speaks of nothing else is needed."""
        request = Http2Request({}, port)
        return not self._filters or any(
            compiled.asks_only_for_ports and compiled.holds(request) for compiled in self._filters
        )

    def explain(self, head: bytes, port: int) -> Verdict:
        """Judge an HTTP/1 request like ``match_head``, and tell what each term saw."""
        request = Http1Request.parse(head, port)
        if request is None:
            return Verdict(matched=False, probe=None, well_formed=False, filters=())
        filters = tuple(_explain(compiled, request) for compiled in self._filters)
        return Verdict(self._match(request), self._probes.find(request), well_formed=True, filters=filters)

    def _match(self, request: Request) -> bool:
        for compiled in self._filters:
            if compiled.holds(request):
                break
        else:
            if self._filters:
                return False
        return not self._has_probes or self._probes.find(request) is None


def compile_filters(filters: Sequence[str], *, identity: IdentityHeader | None, probes: Sequence[Probe]) -> Matcher:
    """Compile filters.

    Args:
        filters: Source text, one per ``--filter``; none matches everything.
        identity: Where this mesh names the caller; None where it does not.
        probes: Requests that never match.

    Raises:
        UsageFailure: A filter is not one, or asks for the caller where nothing names it.
    """
    if len(filters) > MAX_FILTERS:
        raise UsageFailure(
            "filter-count",
            "There are too many filters",
            seen=f"{len(filters)} filters",
            advice=f"give at most {MAX_FILTERS}; a glob may stand for several",
        )
    return Matcher([_compile(parse(text), identity) for text in filters], probes)


def _compile(source: Filter, identity: IdentityHeader | None) -> CompiledFilter:
    for term in source.terms:
        if term.key == "peer" and identity is None:
            raise wrong(
                source.text,
                term.place,
                "The filter asks for the caller's identity, which no mesh tells in this pod",
                "another key: without a sidecar that names the caller, 'peer' has nothing to match",
            )
    return CompiledFilter(source, tuple(compile_term(term, identity) for term in source.terms))


def _explain(compiled: CompiledFilter, request: Request) -> FilterVerdict:
    terms = tuple(
        TermVerdict(
            term.source.text,
            tuple(value.decode("utf-8", "backslashreplace") for value in term.values(request)),
            term.holds(request),
        )
        for term in compiled.terms
    )
    return FilterVerdict(compiled.source.text, terms, compiled.holds(request))
