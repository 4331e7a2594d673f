"""Names that the cluster makes up itself."""

from secrets import choice
from typing import Final

_SAFE_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
"""Letters for generated names: no vowels, so that no words arise (apimachinery's ``rand.SafeEncodeString``)."""


def random_suffix() -> str:
    """Five letters, as ``generateName`` appends them."""
    return "".join(choice(_SAFE_ALPHABET) for _ in range(5))
