"""What holds for every protocol while a service is shadowed: no plaintext client, no health probe."""

import pytest

from tests.integration.matrix.conftest import Caller, Column
from tests.integration.matrix.shadowing import POD_PORTS

pytestmark = pytest.mark.root

_RESET, _EMPTY = 56, 52
"""curl's exit codes for a connection that the server reset or closed without an answer."""


def test_plaintext_is_refused(column: Column, caller: Caller) -> None:
    """A client without the mesh's certificate reaches no port, as if there were no session."""
    ports = [port for name, port in POD_PORTS.items() if name != "ledger"]
    words = ["--plain", "--from", "staging/caller", "-s", "-m", "5", "-w", "%{exitcode} %{http_code}\n"]
    urls = [f"http://{column.host}:{port}/plain" for port in ports]
    told = column.ledgers.sandbox.command("curl", *words, *urls).stdout
    outcomes = [line.split() for line in told.splitlines()]
    assert len(outcomes) == len(ports)
    assert all(int(code) in (_RESET, _EMPTY) and status == "000" for code, status in outcomes), told


def test_probes_stay_on_the_pod(column: Column) -> None:
    """The kubelet goes on asking, and only the application is asked."""
    before = len(column.ledgers.pod("", "probe"))
    assert len(column.ledgers.pod("", "probe", before + 2)) >= before + 2
    assert [record for record in column.ledgers.all_of_process() if record["kind"] == "probe"] == []
