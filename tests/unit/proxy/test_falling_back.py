"""Who gets a stolen request without an answer."""

from http import HTTPStatus

import pytest

from kdev.proxy.falling_back import Loss, Remedy, error_response, remedy


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (Loss(b"POST", begun=10, delivered=10, kept=True), Remedy.POD),
        (Loss(b"POST", begun=10, delivered=4, kept=True), Remedy.POD),
        (Loss(b"POST", begun=10, delivered=11, kept=True), Remedy.ERROR),
        (Loss(b"POST", begun=10, delivered=None, kept=True), Remedy.ERROR),
        (Loss(b"POST", begun=10, delivered=10, kept=False), Remedy.ERROR),
        (Loss(b"DELETE", begun=0, delivered=None, kept=True), Remedy.ERROR),
        (Loss(b"PUT", begun=0, delivered=1, kept=True), Remedy.ERROR),
        *[(Loss(method, 0, None, kept=True), Remedy.POD) for method in (b"GET", b"HEAD", b"OPTIONS", b"TRACE")],
        (Loss(b"GET", begun=0, delivered=None, kept=False), Remedy.ERROR),
    ],
)
def test_the_pod_gets_only_what_is_whole_and_cannot_act_twice(loss: Loss, expected: Remedy) -> None:
    """Unseen by the process, or safe to ask twice; and all of it still here."""
    assert remedy(loss) is expected


def test_an_error_says_why_and_has_no_body_for_head() -> None:
    """The field is for programs, the body for people; a HEAD has only the former."""
    answer = error_response(HTTPStatus.BAD_GATEWAY, "gone", method=b"GET", closes=False)
    assert answer.startswith(b"HTTP/1.1 502 Bad Gateway\r\nx-kdev-error: gone\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-length: %d" % len(body) in head
    assert error_response(HTTPStatus.BAD_GATEWAY, "gone", method=b"HEAD", closes=False) == head + b"\r\n\r\n"
