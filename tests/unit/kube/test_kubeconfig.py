"""Kubeconfig files: which of them wins, what they name, and what is wrong with them."""

from pathlib import Path

import pytest

from kdev.errors import ClusterFailure
from kdev.kube.kubeconfig import read_kubeconfig

FIRST = """
current-context: staging
contexts:
- {name: staging, context: {cluster: c, user: u, namespace: shop}}
- {name: bare, context: {cluster: c}}
clusters:
- {name: c, cluster: {server: "https://203.0.113.7:6443", certificate-authority: pki/ca.crt, tls-server-name: api}}
"""
SECOND = """
current-context: other
contexts:
- {name: other, context: {cluster: c, user: u}}
- {name: lost, context: {cluster: gone, user: u}}
clusters:
- {name: c, cluster: {server: "https://192.0.2.1"}}
users:
- name: u
  user:
    client-certificate: me.crt
    client-key-data: a2V5
    exec: {apiVersion: client.authentication.k8s.io/v1, command: ./login, env: null, provideClusterInfo: true}
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Two files, one of them in a folder of its own."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "first").write_text(FIRST)
    (tmp_path / "sub" / "second").write_text(SECOND)
    return {"KUBECONFIG": f"{tmp_path}/first:{tmp_path}/missing::{tmp_path}/sub/second", "HOME": "/nowhere"}


def test_several_files(environment: dict[str, str], tmp_path: Path) -> None:
    """The first file that names something wins, and paths belong to the file that holds them."""
    selection = read_kubeconfig(environment, None)
    assert (selection.context, selection.namespace) == ("staging", "shop")
    assert selection.cluster.server == "https://203.0.113.7:6443"
    assert selection.cluster.certificate_authority == f"{tmp_path}/pki/ca.crt"
    assert selection.cluster.tls_server_name == "api"
    assert selection.user.client_certificate == f"{tmp_path}/sub/me.crt"
    assert selection.user.exec is not None
    assert selection.user.exec.command == f"{tmp_path}/sub/login"


def test_a_named_context(environment: dict[str, str]) -> None:
    """A context can be chosen, has namespace default, and needs no user."""
    assert read_kubeconfig(environment, "other").namespace == "default"
    assert read_kubeconfig(environment, "bare").user.token is None


def test_the_file_at_home(tmp_path: Path) -> None:
    """Without KUBECONFIG it is the file below the home directory."""
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").write_text(FIRST)
    assert read_kubeconfig({"HOME": str(tmp_path)}, "bare").context == "bare"


@pytest.mark.parametrize(
    ("context", "reference"),
    [("stagin", "kubeconfig-context"), ("lost", "kubeconfig-cluster")],
)
def test_names_that_lead_nowhere(environment: dict[str, str], context: str, reference: str) -> None:
    """A name that is not there is told, with those that are."""
    with pytest.raises(ClusterFailure) as raised:
        read_kubeconfig(environment, context)
    assert raised.value.explanation.reference == reference


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("{", "kubeconfig-malformed"),
        ("- a list", "kubeconfig-malformed"),
        ("clusters: [{name: 5}]", "kubeconfig-malformed"),
        ("clusters: {a: b}", "kubeconfig-malformed"),
        ("!!python/object:os.system {}", "kubeconfig-malformed"),
        ("[" * 5000, "kubeconfig-malformed"),
        ("\x00", "kubeconfig-malformed"),
        ("", "kubeconfig-no-context"),
        ("apiVersion: v1\nclusters: null", "kubeconfig-no-context"),
        ("current-context: a\ncontexts: [{name: a, context: {cluster: c}}]\nclusters: [{name: c, cluster: {}}]",
         "kubeconfig-server"),
    ],
)  # fmt: skip
def test_malformed_files(tmp_path: Path, text: str, reference: str) -> None:
    """Whatever stands in a kubeconfig, it is told what is wrong with it."""
    file = tmp_path / "config"
    file.write_text(text)
    with pytest.raises(ClusterFailure) as raised:
        read_kubeconfig({"KUBECONFIG": str(file)}, None)
    assert raised.value.explanation.reference == reference
    assert raised.value.explanation.advice


def test_no_file(tmp_path: Path) -> None:
    """Without any file the way to one is told."""
    with pytest.raises(ClusterFailure) as raised:
        read_kubeconfig({"HOME": str(tmp_path)}, None)
    assert raised.value.explanation.reference == "kubeconfig-missing"
