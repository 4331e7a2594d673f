"""What an API server's refusal means for the user: HTTP answers and transport errors, as failures with advice."""

import re
import ssl
from dataclasses import dataclass

import msgspec

from kdev.errors import ClusterFailure, Failure
from kdev.kube.objects import Status

_SEEN_MAX = 1000
"""Characters of somebody else's words that are repeated: a Status message is a few lines, an HTML page is not."""

_GATEWAY = (502, 503, 504)
"""What a load balancer answers for an API server that is down for a moment, in its own words."""

_FORBIDDEN = re.compile(
    r'cannot (?P<verb>\S+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]+)")?'
)


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked, for the text of a failure."""

    server: str
    context: str
    what: str


class NotFound(Exception):  # noqa: N818 - an answer, not an error: the caller says what is missing
    """The object is not there (HTTP 404 with a Status)."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def refusal(code: int, body: bytes, question: Question) -> Failure | NotFound:
    """Explain an answer of 400 or above."""
    try:
        status = msgspec.json.decode(body, type=Status)
    except (msgspec.DecodeError, UnicodeDecodeError):
        status = None
    if code == 401:
        return _unauthorised(status.message if status else "", question)
    if code == 403 and (status is None or status.kind == "Status"):
        return forbidden(status.message if status else _text(body), question)
    if code in _GATEWAY:
        return _failing(f"HTTP {code}: {status.message if status else _text(body)}", question)
    if status is None or status.kind != "Status":
        return not_kubernetes(f"HTTP {code}: {_text(body)}", question)
    if code == 404:
        return NotFound(status.message)
    return _refused(code, status, question)


def _refused(code: int, status: Status, question: Question) -> ClusterFailure:
    seen = f"HTTP {code} {status.reason}: {status.message[:_SEEN_MAX]}".strip()
    if code == 429:
        return ClusterFailure(
            "cluster-busy", "The API server has too much to do", seen=status.message, advice="try again in a minute"
        )
    if code >= 500:
        return _failing(seen, question)
    return ClusterFailure(
        "cluster-refused",
        f"The API server refused to {question.what}",
        seen=seen,
        advice="if this is an admission policy of your platform team, ask them to admit kdev's agent",
    )


def _failing(seen: str, question: Question) -> ClusterFailure:
    return ClusterFailure(
        "cluster-failing",
        f"The API server failed to {question.what}",
        seen=seen,
        advice="try again; if it stays, tell whoever runs the cluster",
    )


def _unauthorised(message: str, question: Question) -> ClusterFailure:
    return ClusterFailure(
        "credentials-refused",
        "The API server does not accept your credentials; they may have expired",
        seen=message or "HTTP 401",
        advice=f"log in again, then try 'kubectl --context {question.context} get pods'",
    )


def forbidden(message: str, question: Question) -> ClusterFailure:
    """Explain a 403: a right that is missing, or an admission that said no."""
    if "violates PodSecurity" in message:
        return pod_security(message)
    missing = _FORBIDDEN.search(message)
    if missing is None:
        return ClusterFailure(
            "admission-refused",
            f"The cluster does not allow you to {question.what}",
            seen=message[:_SEEN_MAX] or "HTTP 403",
            advice="ask your platform team to admit it; their policy's words are above",
        )
    return rights_missing([(missing["verb"], missing["resource"])], missing["namespace"] or "", message)


def pod_security(message: str) -> ClusterFailure:
    """Explain a refusal by Pod Security Admission."""
    level = re.search(r'violates PodSecurity "([^"]+)"', message)
    return ClusterFailure(
        "pod-security",
        f"The namespace's Pod Security level {level[1] if level else ''} refuses the agent's NET_ADMIN".replace(
            "  ", " "
        ),
        seen=message[:_SEEN_MAX],
        advice=(
            "ask for an exemption of your user in the admission configuration, or, in a namespace made for tests, "
            "for the label pod-security.kubernetes.io/enforce=privileged"
        ),
    )


def rights_missing(missing: list[tuple[str, str]], namespace: str, seen: str) -> ClusterFailure:
    """Name the missing rights as (verb, resource), and the role that would grant them."""
    names = ", ".join(f"{verb} {resource}" for verb, resource in missing)
    verbs = ",".join(dict.fromkeys(verb for verb, _ in missing))
    resources = ",".join(dict.fromkeys(resource for _, resource in missing))
    where = f" -n {namespace}" if namespace else ""
    return ClusterFailure(
        "rights-missing",
        f"You may not {names}" + (f" in namespace {namespace}" if namespace else ""),
        seen=seen[:_SEEN_MAX],
        advice=f"ask for: kubectl create role kdev{where} --verb={verbs} --resource={resources}, and a role binding",
    )


def not_kubernetes(seen: str, question: Question) -> ClusterFailure:
    """Explain an answer that no Kubernetes API server gives."""
    return ClusterFailure(
        "not-kubernetes",
        f"What answers at {question.server} is not a Kubernetes API server",
        seen=seen[:_SEEN_MAX],
        advice=f"look at the server of context '{question.context}' ('kubectl config view'), and at your VPN or proxy",
    )


def unreachable(error: BaseException, question: Question) -> ClusterFailure:
    """Explain a connection that failed: TLS, time or network, whichever is at the bottom of the chain."""
    chain = list(_chain(error))
    for cause in chain:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return ClusterFailure(
                "certificate-untrusted",
                f"The certificate of {question.server} is not one that the kubeconfig trusts",
                seen=cause.verify_message or str(cause),
                advice="fetch the cluster's kubeconfig again; its certificate-authority-data may be an old cluster's",
            )
    for cause in chain:
        if isinstance(cause, ssl.SSLError):
            return ClusterFailure(
                "tls-failed",
                f"TLS with {question.server} failed",
                seen=str(cause),
                advice="see whether the port speaks HTTPS, and whether the client certificate has expired",
            )
    last = chain[-1]
    return ClusterFailure(
        "cluster-unreachable",
        f"The API server at {question.server} cannot be reached",
        seen=f"{type(last).__name__}: {last}".rstrip(": "),
        advice=f"see whether the cluster runs and your VPN is up: 'kubectl --context {question.context} version'",
    )


def _chain(error: BaseException | None) -> "list[BaseException]":
    links: list[BaseException] = []
    while error is not None and error not in links:
        links.append(error)
        error = error.__cause__ or error.__context__
    return links


def _text(body: bytes) -> str:
    return body[:_SEEN_MAX].decode(errors="replace").strip()
