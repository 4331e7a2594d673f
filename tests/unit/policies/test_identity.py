"""Reading the caller from the header that the sidecar wrote."""

import pytest

from kdev.policies.identity import MAX_PAIRS, callers

CLIENT = b"spiffe://cluster.local/ns/shop/sa/client"
ISTIO = b'By=spiffe://cluster.local/ns/shop/sa/echo;Hash=468e;Subject="";URI=' + CLIENT


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (ISTIO, [CLIENT]),
        (b"URI=spiffe://forged," + ISTIO, [CLIENT]),
        (b"uri=" + CLIENT + b" ; Hash=1", [CLIENT]),
        (b"By=a;URI=b;URI=c", [b"b", b"c"]),
        (b'URI="spiffe://a,b;c=\\"d\\""', [b'spiffe://a,b;c="d"']),
        (b'Subject="CN=x,URI=spiffe://forged";URI=' + CLIENT, [CLIENT]),
        (b'Subject="x;URI=spiffe://forged"', []),
        (b"URI=spiffe://forged,Hash=1", []),
        (b'URI="' + CLIENT + b'"x', []),
        (b'URI="' + CLIENT, []),
        (b'a=",' + ISTIO, []),
        (ISTIO + b",", []),
        (ISTIO + b";", []),
        (CLIENT, []),
        (b"", []),
    ],
)
def test_the_last_element_of_xfcc_names_the_caller(value: bytes, expected: list[bytes]) -> None:
    """Earlier elements, quoted text and what is not XFCC to its end never name one."""
    assert callers([value], "xfcc") == expected


def test_a_flood_of_elements_is_not_read() -> None:
    """A client that sends more than any chain of proxies makes costs nothing, and is nobody."""
    flood = b"a=1," * MAX_PAIRS
    assert callers([flood + ISTIO], "xfcc") == []
    assert callers([flood[: len(flood) // 2] + ISTIO], "xfcc") == [CLIENT]


def test_the_last_field_line_counts() -> None:
    """A client's own field line stands before the one that the sidecar added."""
    assert callers([b"URI=spiffe://forged", ISTIO], "xfcc") == [CLIENT]
    assert callers([b"forged", b"client.shop"], "plain") == [b"client.shop"]


def test_without_the_header_there_is_no_caller() -> None:
    """A plaintext caller has no identity."""
    assert callers([], "xfcc") == []


def test_an_unknown_form_is_an_error_of_ours() -> None:
    """A mesh adapter cannot name a form that nobody reads."""
    with pytest.raises(ValueError, match="jwt"):
        callers([b"x"], "jwt")
