import re
import subprocess
from pathlib import Path

import pytest

from tests.integration.proxy_http2.conftest import BIG
from tests.integration.proxy_http2.hop import HOST, Hop


def h2load(hop: Hop, *options: str, paths: tuple[str, ...] = ("/a/small", "/b/small"), requests: int = 1024) -> None:
    """Send requests and insist on an answer to each."""
    urls = [f"http://{HOST}:{hop.port}{path}" for path in paths]
    result = subprocess.run(["h2load", f"-n{requests}", *options, *urls], capture_output=True, text=True, check=True)
    assert re.search(rf"status codes: {requests} 2xx", result.stdout), result.stdout
    assert " 0 failed, 0 errored, 0 timeout" in result.stdout


def matched(hop: Hop) -> dict[str, int]:
    """How many matched requests ended in which way; nothing in pass-through."""
    return {} if hop.session is None else dict(hop.session.seen)


def expected(hop: Hop, count: int) -> dict[str, int]:
    """What ``matched`` gives if all went well."""
    if hop.session is None:
        return {}
    return {"mirrored" if hop.session.mode == "mirror" else "stolen": count}


@pytest.mark.parametrize("streams", [1, 32])
def test_h2load_gets_every_answer(hop: Hop, streams: int) -> None:
    """A load of mixed requests is answered without a failure, and its matching half is counted."""
    h2load(hop, "-c8", f"-m{streams}")
    assert matched(hop) == expected(hop, 512)


def test_large_answers_pass_tiny_windows(hop: Hop) -> None:
    """Answers of 4 MB come through windows of 4 kB of stream and connection alike."""
    h2load(hop, "-c2", "-m4", "-w12", "-W12", paths=("/a/big", "/b/big"), requests=8)
    assert matched(hop) == expected(hop, 4)


def test_large_requests_pass(hop: Hop, files: Path) -> None:
    """Bodies of 4 MB are taken by both sides, at windows of their own."""
    h2load(hop, "-c2", "-m2", f"-d{files / 'a' / 'big'}", requests=8)
    if hop.session is None or hop.session.mode == "steal":
        assert matched(hop) == expected(hop, 4)
    else:
        # A copy may be cut when the process reads more slowly than the pod; never is the caller slowed.
        assert sum(hop.session.seen.values()) == 4


def test_curl_receives_what_the_right_side_sent(hop: Hop, files: Path) -> None:
    """An answer's bytes arrive unharmed, with the trailer of the side that sent it."""
    for folder in ("a", "b"):
        url = f"http://{HOST}:{hop.port}/{folder}/big"
        command = ["curl", "-sS", "--http2-prior-knowledge", url]
        result = subprocess.run(command, capture_output=True, check=True)
        assert result.stdout == (files / folder / "big").read_bytes()
        assert len(result.stdout) == BIG


def test_nghttp_reads_the_trailers_of_the_right_side(hop: Hop) -> None:
    """Trailers arrive, of the pod for unmatched requests and of the process for stolen ones."""
    stolen = hop.session is not None and hop.session.mode == "steal"
    urls = [f"http://{HOST}:{hop.port}/{folder}/small" for folder in ("a", "b")]
    output = subprocess.run(["nghttp", "-nv", *urls], capture_output=True, text=True, check=True).stdout
    assert len(re.findall(r"x-end: pod", output)) == (1 if stolen else 2)
    assert len(re.findall(r"x-end: process", output)) == (1 if stolen else 0)
