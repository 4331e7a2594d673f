"""The renewal of workload certificates, on a node of the test's own whose certificates live for seconds."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.root

_PROGRAM = """
import asyncio, sys
from datetime import timedelta
from pathlib import Path
from kdev.sandbox.kubelet import Kubelet
from kdev.sandbox.mesh.certificates import CertificateAuthority
from kdev.sandbox.mesh.control import Mesh
from kdev.sandbox.mesh.injection import inject
from kdev.sandbox.processes import start_reaper

class Events:
    def __init__(self): self.ready = asyncio.Event()
    def event(self, *said): pass
    def volume_files(self, uid, volume): return {}
    def pod_status(self, uid, status):
        if any(c["type"] == "Ready" and c["status"] == "True" for c in status["conditions"]): self.ready.set()

async def main():
    pod = {"metadata": {"name": "p", "namespace": "n", "uid": "u"},
           "spec": {"containers": [{"name": "app", "image": "host", "command": ["sleep", "1000"]}]}}
    events = Events()
    authority = CertificateAuthority(timedelta(seconds=4))
    async with Kubelet(Path(sys.argv[1]), Mesh(authority)) as kubelet:
        kubelet.report_to(events)
        await kubelet.start_pod(inject(pod, {"metadata": {"labels": {"istio-injection": "enabled"}}}))
        await events.ready.wait()
        seen = set()
        while len(seen) < 3:
            process = await kubelet.exec("u", "app", ["curl", "-s", "http://127.0.0.1:15000/certs"])
            text = (await process.stdout.read()).decode()
            await process.stderr.read()
            await process.wait()
            seen |= {line.strip() for line in text.splitlines() if "serial_number" in line and "," in line}
            await asyncio.sleep(0.2)
    print(len(seen))

reaper = start_reaper()
asyncio.run(main())
reaper.kill()
"""


def test_a_sidecar_takes_each_new_certificate(tmp_path: Path) -> None:
    """Envoy shows a new serial number after each renewal, without a restart."""
    child = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(tmp_path / "pods")],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    assert int(child.stdout) >= 3
