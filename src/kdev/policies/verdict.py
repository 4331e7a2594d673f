"""Why a request matches or not, as ``kdev explain`` tells it."""

from dataclasses import dataclass

from kdev.tunnel.messages import Probe


@dataclass(frozen=True, slots=True)
class TermVerdict:
    """One term: as typed, the values it looked at, and whether it held."""

    term: str
    seen: tuple[str, ...]
    held: bool


@dataclass(frozen=True, slots=True)
class FilterVerdict:
    """One filter, with all its terms."""

    text: str
    terms: tuple[TermVerdict, ...]
    held: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """One request.

    Attributes:
        matched: Whether the session wants it.
        probe: The health probe that it is, and that therefore stays on the pod.
        well_formed: False for a head that is no HTTP/1 request; such a connection is copied raw.
        filters: All of them; none when every request is wanted.
    """

    matched: bool
    probe: Probe | None
    well_formed: bool
    filters: tuple[FilterVerdict, ...]
