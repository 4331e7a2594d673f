"""The share of matched requests that a session acts on, as ``--sample`` says it: ``10%`` or ``0.1``."""

import re

from kdev.errors import UsageFailure

_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,9})?)(%?)")


def parse_sample(text: str) -> float:
    """Return the share, above 0 and at most 1.

    Raises:
        UsageFailure: It is no number, or not between the two.
    """
    match = _SHARE.fullmatch(text.strip())
    share = 0.0 if match is None else float(match[1]) / (100 if match[2] else 1)
    if not 0 < share <= 1:
        percent = f", for example --sample {text.strip()}%" if text.strip().isdecimal() else ""
        raise UsageFailure(
            "sample-range",
            "The sample is not a share of the requests",
            seen=f"--sample {text}",
            advice=f"give a percentage above 0% and at most 100%, or the same as a number up to 1{percent}",
        )
    return share
