"""The sandbox as its user sees it: meshed requests, identities, refusals, and programs of one's own."""

import json
import time
from pathlib import Path

import pytest

from tests.integration.sandbox.conftest import Sandbox

pytestmark = pytest.mark.root


def test_a_meshed_request_arrives_with_the_callers_identity(sandbox: Sandbox) -> None:
    """A call of storefront reaches checkout through both sidecars, and the app is told who called."""
    said = json.loads(sandbox.curl("http://checkout/api/x").stdout)
    assert said["service"] == "checkout"
    assert said["headers"]["x-forwarded-client-cert"].endswith("URI=spiffe://cluster.local/ns/staging/sa/storefront")
    assert "x-request-id" in said["headers"]


def test_a_forged_identity_does_not_arrive(sandbox: Sandbox) -> None:
    """What a client writes into XFCC is removed on its way."""
    said = json.loads(sandbox.curl("http://checkout/api/x", "-H", "x-forwarded-client-cert: URI=spiffe://evil").stdout)
    assert "evil" not in said["headers"]["x-forwarded-client-cert"]


def test_services_call_each_other_through_the_mesh(sandbox: Sandbox) -> None:
    """From storefront to checkout to payments each is told its own caller."""
    said = json.loads(sandbox.curl("http://storefront.staging.svc.cluster.local/api/x").stdout)
    payments = said["next"]["next"]
    assert payments["service"] == "payments"
    assert payments["headers"]["x-forwarded-client-cert"].endswith("/sa/checkout")


@pytest.mark.parametrize(
    "words", [("--plain", "http://checkout/api/x"), ("--from", "lab", "http://checkout.staging/api/x")]
)
def test_plaintext_is_refused(sandbox: Sandbox, words: tuple[str, ...]) -> None:
    """STRICT: a request past the sidecar, or from a pod without one, finds its connection reset."""
    refused = sandbox.curl(*words)
    assert refused.returncode == 56
    assert "reset by peer" in refused.stderr


def test_a_service_without_mesh_is_reached_by_its_name(sandbox: Sandbox) -> None:
    """The node leads to an endpoint, also when that is the caller itself; a port without one refuses."""
    said = json.loads(sandbox.curl("--from", "lab", "http://client/api/x").stdout)
    assert said["service"] == "client"
    assert "x-forwarded-client-cert" not in said["headers"]
    assert sandbox.curl("--from", "lab", "http://client:81/").returncode == 7


def test_both_pods_of_a_service_are_called(sandbox: Sandbox) -> None:
    """Requests are spread over checkout's two pods."""
    pods = {json.loads(sandbox.curl("http://checkout/api/x").stdout)["pod"] for _ in range(30)}
    assert pods == {pod["name"] for pod in sandbox.pods("staging", "checkout")}


def test_grpc_is_answered_on_the_second_port(sandbox: Sandbox) -> None:
    """A gRPC call passes both sidecars as HTTP/2."""
    options = ("--http2-prior-knowledge", "-H", "content-type: application/grpc", "-H", "te: trailers")
    echoed = sandbox.curl("http://checkout:9090/any.Service/Method", *options, "--data-binary", "12345hello", "-D", "-")
    assert echoed.stdout.startswith("HTTP/2 200")
    assert "12345hello" in echoed.stdout


def test_the_capture_rules_are_istios(sandbox: Sandbox) -> None:
    """The nat table of a meshed pod reads as istio-iptables writes it."""
    pod = sandbox.pods("staging", "payments")[0]
    pid = next(each["pid"] for each in pod["containers"] if each["name"] == "payments")
    rules = sandbox._run(["nsenter", f"--net=/proc/{pid}/ns/net", "nft", "list", "table", "ip", "nat"], "").stdout
    body = rules.split("chain ISTIO_OUTPUT {")[1].split("}")[0]
    assert [line.strip() for line in body.strip().splitlines()] == [
        'oifname "lo" ip saddr 127.0.0.6 return',
        'oifname "lo" ip daddr != 127.0.0.1 tcp dport != 15008 meta skuid 1337 jump ISTIO_IN_REDIRECT',
        'oifname "lo" meta skuid != 1337 return',
        "meta skuid 1337 return",
        'oifname "lo" ip daddr != 127.0.0.1 tcp dport != 15008 meta skgid 1337 jump ISTIO_IN_REDIRECT',
        'oifname "lo" meta skgid != 1337 return',
        "meta skgid 1337 return",
        "ip daddr 127.0.0.1 return",
        "jump ISTIO_REDIRECT",
    ]


def test_the_host_is_not_touched(sandbox: Sandbox) -> None:
    """The host has no link, route or rule of the sandbox, and cannot reach a pod."""
    assert "10.244." not in Path("/proc/net/fib_trie").read_text(encoding="ascii")
    assert not list(Path("/sys/class/net").glob("pod*"))


def test_programs_run_inside_a_pod(sandbox: Sandbox) -> None:
    """Exec keeps input, output and exit code, runs as the container's user, and sees the container's processes."""
    assert sandbox.command("exec", "storefront", "--", "cat", stdin="hello").stdout == "hello"
    assert sandbox.command("exec", "storefront", "--", "sh", "-c", "exit 7").returncode == 7
    assert sandbox.command("exec", "storefront", "--", "no-such-program").returncode == 127
    assert sandbox.command("exec", "storefront", "--", "id", "-u").stdout == "1000\n"
    assert sandbox.command("exec", "storefront", "--", "sh", "-c", "cat /proc/1/comm").stdout.startswith("python")


def test_a_program_of_the_host_becomes_a_service(sandbox: Sandbox, tmp_path: Path) -> None:
    """What ``run`` starts is called through the mesh like any service, and kubectl shows its log."""
    (tmp_path / "index.html").write_text("from the host\n", encoding="utf-8")
    serve = ("sh", "-c", f"echo $$; cd {tmp_path}; exec python3 -u -m http.server 8000")
    started = sandbox.command("run", "web", "--port", "8000", "--probe", "/", "--env", "A=b", "--", *serve)
    assert started.returncode == 0, started.stderr
    assert sandbox.curl("http://web:8000/index.html").stdout == "from the host\n"
    log = sandbox.kubectl("-n", "staging", "logs", "deploy/web").stdout
    assert log.startswith("1\n")
    assert "GET /index.html" in log
    assert sandbox.kubectl("-n", "staging", "exec", "deploy/web", "--", "printenv", "A").stdout == "b\n"
    assert sandbox.kubectl("-n", "staging", "delete", "deploy,svc,sa", "web").returncode == 0


def test_a_deleted_pod_is_replaced(sandbox: Sandbox) -> None:
    """Deleting payments' pod brings another, and its service leads there."""
    before = sandbox.pods("staging", "payments")[0]["name"]
    assert sandbox.kubectl("-n", "staging", "delete", "pod", before).returncode == 0
    ready = sandbox.kubectl("-n", "staging", "rollout", "status", "deploy/payments", "--timeout=60s")
    assert ready.returncode == 0, ready.stderr
    deadline = time.monotonic() + 20
    while (answer := sandbox.curl("http://payments/api/x")).returncode or "payments-" not in answer.stdout:
        assert time.monotonic() < deadline, answer
    assert json.loads(answer.stdout)["pod"] != before
