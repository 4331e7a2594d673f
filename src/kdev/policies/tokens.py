"""What a method or a field name may be made of (RFC 9110, section 5.6.2)."""

import re

TCHAR = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
"""One character of a token, as an expression."""

_TOKEN = re.compile(TCHAR + "+")


def is_token(text: str) -> bool:
    """Whether the text is one token."""
    return _TOKEN.fullmatch(text) is not None
