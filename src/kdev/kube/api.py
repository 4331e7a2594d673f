"""The Kubernetes REST API over asyncio: typed answers, bounded in size and time, every refusal explained."""

from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import quote
from urllib.request import getproxies, proxy_bypass

import msgspec

from kdev import __version__
from kdev.errors import ClusterFailure
from kdev.kube.credentials import Credentials, Proof
from kdev.kube.kubeconfig import Selection
from kdev.kube.refusals import Question, not_kubernetes, refusal, unreachable

if TYPE_CHECKING:
    import httpx2

CONNECT_TIMEOUT = 5.0
"""Seconds. An API server further away than this is a VPN that is down."""

ANSWER_TIMEOUT = 20.0
"""Seconds between two pieces of an answer; an admission webhook alone may take 10 (its default timeout)."""

ANSWER_MAX = 64 << 20
"""Bytes. 500 pods (the page size below) of 100 KiB each; etcd holds no object above 1.5 MiB."""

PAGE = 500
"""Objects asked for at once, as kubectl does."""

STRATEGIC_MERGE = "application/strategic-merge-patch+json"

_Answer = TypeVar("_Answer")


def path(*segments: str) -> str:
    """Join segments to a path, each quoted."""
    return "/" + "/".join(quote(segment, safe="") for segment in segments)


class Api:
    """One context's API server; use as an async context manager."""

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        self.server = selection.cluster.server.rstrip("/")
        self.credentials = Credentials(selection)
        self._client: httpx2.AsyncClient | None = None
        self._proof: Proof | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def get(self, path: str, kind: type[_Answer], what: str, **query: str) -> _Answer:
        """Read an object or a list.

        Args:
            path: Below the server's address, quoted.
            kind: The type of the answer.
            what: Completes "refused to ..." for the user.
            query: The query's parameters.

        Raises:
            NotFound: It is not there.
            ClusterFailure: The server refused, or could not be reached.
        """
        return await self._request("GET", path, kind, what, query=query)

    async def read(self, path: str, what: str, **query: str) -> bytes:
        """Read what is no object, such as a log; raises as ``get`` does."""
        return await self._ask("GET", path, Question(self.server, self.selection.context, what), query=query)

    async def create(self, path: str, body: object, kind: type[_Answer], what: str) -> _Answer:
        """POST an object; raises as ``get`` does."""
        return await self._request("POST", path, kind, what, body=body)

    async def patch(self, path: str, body: object, kind: type[_Answer], what: str, *, dry_run: bool) -> _Answer:
        """Apply a strategic merge patch, or only ask whether it would be admitted; raises as ``get`` does."""
        query = {"fieldManager": "kdev"} | ({"dryRun": "All"} if dry_run else {})
        return await self._request("PATCH", path, kind, what, query=query, body=body)

    async def _request(
        self,
        method: str,
        path: str,
        kind: type[_Answer],
        what: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
    ) -> _Answer:
        question = Question(self.server, self.selection.context, what)
        answer = await self._ask(method, path, question, query=query, body=body)
        try:
            return msgspec.json.decode(answer, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise not_kubernetes(f"{error}; the answer begins with {answer[:80]!r}", question) from error

    async def _ask(
        self,
        method: str,
        path: str,
        question: Question,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
    ) -> bytes:
        """Send a request, once more with new credentials if they are refused, and return the answer's body."""
        code, answer = await self._exchange(method, path, query or {}, body, question)
        if code == 401 and self.credentials.forget():
            code, answer = await self._exchange(method, path, query or {}, body, question)
        if code >= 300:
            raise refusal(code, answer, question)
        return answer

    async def _exchange(
        self, method: str, path: str, query: Mapping[str, str], body: object, question: Question
    ) -> tuple[int, bytes]:
        import httpx2  # noqa: PLC0415 - 100 ms that commands without a cluster need not wait for

        proof = await self.credentials.current()
        client = await self._connected(proof)
        headers = dict(proof.headers)
        if body is not None:
            headers["content-type"] = STRATEGIC_MERGE if method == "PATCH" else "application/json"
        try:
            async with client.stream(
                method,
                self.server + path,
                params=dict(query),
                headers=headers,
                content=None if body is None else msgspec.json.encode(body),
                extensions=self._extensions(),
            ) as response:
                return response.status_code, await _read(response.aiter_bytes(), question)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise unreachable(error, question) from error

    def _extensions(self) -> dict[str, Any]:
        name = self.selection.cluster.tls_server_name
        return {"sni_hostname": name} if name else {}

    async def _connected(self, proof: Proof) -> "httpx2.AsyncClient":
        """The client, made anew when the proof has changed: it may hold another client certificate."""
        import httpx2  # noqa: PLC0415 - as above

        if self._client is None or proof is not self._proof:
            if self._client is not None:
                await self._client.aclose()
            self._client = httpx2.AsyncClient(
                verify=proof.tls if proof.tls is not None else False,
                proxy=proxy_of(self.selection),
                trust_env=False,
                headers={"user-agent": f"kdev/{__version__}", "accept": "application/json"},
                timeout=httpx2.Timeout(ANSWER_TIMEOUT, connect=CONNECT_TIMEOUT),
            )
            self._proof = proof
        return self._client


async def _read(pieces: AsyncIterator[bytes], question: Question) -> bytes:
    answer = bytearray()
    async for piece in pieces:
        answer += piece
        if len(answer) > ANSWER_MAX:
            raise ClusterFailure(
                "answer-too-long",
                f"The API server's answer to '{question.what}' is longer than {ANSWER_MAX >> 20} MiB",
                advice="look at the namespace with 'kubectl get'; nothing was changed",
            )
    return bytes(answer)


def proxy_of(selection: Selection) -> str | None:
    """The proxy to reach the cluster through: the kubeconfig's own, or else the environment's, as client-go does."""
    if selection.cluster.proxy_url:
        return selection.cluster.proxy_url
    scheme, _, rest = selection.cluster.server.partition("://")
    host = rest.partition("/")[0]
    proxy = getproxies().get(scheme)
    return None if proxy is None or proxy_bypass(host) else proxy
