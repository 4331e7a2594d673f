"""Option values that click does not know: durations, shares and health probes."""

import re

from kdev.errors import UsageFailure
from kdev.tunnel.messages import Probe

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|)")
_SECONDS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0}
_PROBE = re.compile(r"([0-9]{1,5})(/[^?\s]*)")
_SHARE = re.compile(r"([0-9]+(?:\.[0-9]+)?)(%?)")


def parse_duration(text: str) -> float:
    """Read ``500ms``, ``5s``, ``1.5m`` or plain seconds, and return seconds.

    Raises:
        UsageFailure: It is none of them, or not above zero.
    """
    match = _DURATION.fullmatch(text)
    seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    if seconds <= 0:
        raise UsageFailure(
            "duration-syntax", f"'{text}' is no duration", seen=f"--timeout {text}", advice="write 500ms, 5s or 2m"
        )
    return seconds


def parse_share(text: str) -> float:
    """Read ``10%`` or ``0.1``, and return the fraction.

    Raises:
        UsageFailure: It is neither, or not above 0 and up to 1.
    """
    match = _SHARE.fullmatch(text)
    share = float(match[1]) / (100 if match[2] else 1) if match else 0.0
    if not 0 < share <= 1:
        raise UsageFailure(
            "sample-syntax",
            f"'{text}' is no share of requests",
            seen=f"--sample {text}",
            advice="write for example 10% or 0.1; it must be above 0 and at most 100%",
        )
    return share


def parse_probe(text: str) -> Probe:
    """Read ``8080/healthz``: an HTTP probe by its port and path.

    Raises:
        UsageFailure: It is not that.
    """
    match = _PROBE.fullmatch(text)
    if match is None or not 0 < int(match[1]) < 65536:
        raise UsageFailure(
            "probe-syntax", f"'{text}' is no health probe", seen=f"--probe {text}", advice="write --probe 8080/healthz"
        )
    return Probe(port=int(match[1]), path=match[2])
