import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.integration.proxy_http2.conftest import start_nginx
from tests.integration.proxy_http2.hop import HOST, Hop, make_session

H2SPEC = "github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible"


@pytest.fixture(scope="session")
def h2spec() -> Path:
    """The conformance test, built once and kept."""
    folder = Path(__file__).parents[3] / ".cache" / "bin"
    if not (folder / "h2spec").exists():
        subprocess.run(["go", "install", H2SPEC], env={**os.environ, "GOBIN": str(folder)}, check=True)
    return folder / "h2spec"


def results(h2spec: Path, port: int, report: Path) -> dict[str, bool]:
    """Run all tests; returns for each whether it passed. Failing ones end the program with an error: that is theirs."""
    command = [h2spec, "-h", HOST, "-p", str(port), "-P", "/a/small", "-o", "1", "-j", report]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    return {
        f"{case.get('package')} {case.get('classname')}": case.find("failure") is None and case.find("error") is None
        for case in ElementTree.parse(report).iter("testcase")
    }


@pytest.mark.parametrize("mode", ["pass", "mirror"])
def test_the_hop_is_as_conformant_as_the_server_behind_it(
    h2spec: Path, files: Path, tmp_path: Path, process: int, mode: str
) -> None:
    """Every test of h2spec has the same result through the hop as without it."""
    with ExitStack() as stack:
        port = start_nginx(stack, files, tmp_path)
        hop = stack.enter_context(Hop(port, make_session(mode, process, prefix="/a")))
        with ThreadPoolExecutor(2) as pool:
            direct = pool.submit(results, h2spec, port, tmp_path / "direct.xml")
            through = pool.submit(results, h2spec, hop.port, tmp_path / "through.xml")
    assert len(direct.result()) > 100
    assert through.result() == direct.result()
