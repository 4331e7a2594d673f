"""One HTTP request from arrival to answer: who asks, for what, may they, and then the answer in the wanted form."""

import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from aiohttp import web

from kdev.sandbox.api import (
    accepts,
    decoding,
    pages,
    pod_logs,
    requests,
    reviews,
    scale,
    shapes,
    statuses,
    watches,
    writes,
)
from kdev.sandbox.api.accepts import Form
from kdev.sandbox.api.authentication import User, authenticate, impersonated
from kdev.sandbox.api.authorization import Attributes, Authorizer
from kdev.sandbox.api.paths import answer_path
from kdev.sandbox.api.requests import RequestInfo
from kdev.sandbox.api.resources import PODS, REVIEWS
from kdev.sandbox.api.statuses import Refusal
from kdev.sandbox.api.store import Store
from kdev.sandbox.api.streaming import port_forward, remote_command
from kdev.sandbox.api.streaming.remote_command import ExecOptions
from kdev.sandbox.api.tokens import Tokens
from kdev.sandbox.api.watches import Selection
from kdev.sandbox.api.writes import Writes
from kdev.sandbox.interface import Runtime

_log = logging.getLogger(__name__)

_STREAMS: Final = frozenset({"attach", "exec", "portforward"})


@dataclass(frozen=True, slots=True)
class Handler:
    """Answers requests out of the cluster's parts."""

    store: Store
    authorizer: Authorizer
    tokens: Tokens
    writes: Writes
    node: Runtime

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request; a refusal becomes its ``Status``."""
        try:
            return await self._answer(request)
        except Refusal as refusal:
            return json_response(refusal.status(), refusal.code)
        except web.HTTPRequestEntityTooLarge as error:
            too_large = Refusal(413, "RequestEntityTooLarge", f"Request entity too large: {error.text}")
            return json_response(too_large.status(), too_large.code)
        except Exception as error:
            if request.transport is None or request.transport.get_protocol() is not request.protocol:
                raise  # the connection has gone, or speaks another protocol by now: nobody reads a Status
            _log.exception("%s %s failed", request.method, request.path)
            fault = Refusal(500, "InternalError", f"Internal error occurred: {type(error).__name__}: {error}")
            return json_response(fault.status(), fault.code)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        user = self._user(request)
        info = requests.parse(request.method, request.path, request.query)
        if info is None:
            self.authorizer.require_path(user, request.method.lower(), request.path)
            return answer_path(request.path, request.headers.get("Accept", ""))
        self.authorizer.require(user, info)
        _require_verb(info)
        if info.resource in REVIEWS:
            body = decoding.check_type(info.resource, writes.decode(await request.read(), _content_type(request)))
            return json_response(reviews.answer(info.resource, body, user, self.authorizer), 201)
        if info.subresource in _STREAMS:
            return await self._stream(request, info)
        if info.verb in {"get", "list", "watch"}:
            return await self._read(request, info)
        return await self._write(request, info)

    def _user(self, request: web.Request) -> User:
        transport = request.transport
        certificate = transport.get_extra_info("peercert") if transport else None
        user = authenticate(request.headers.get("Authorization"), certificate, self.store, self.tokens)
        name = request.headers.get("Impersonate-User")
        if name is None:
            return user
        kind = "serviceaccounts" if name.startswith("system:serviceaccount:") else "users"
        if not self.authorizer.allows(user, Attributes("impersonate", "", kind, name=name)):
            message = (
                f'{kind} "{name}" is forbidden: User "{user.name}" cannot impersonate resource "{kind}" in API group ""'
            )
            raise Refusal(403, "Forbidden", f"{message} at the cluster scope")
        return impersonated(name, tuple(request.headers.getall("Impersonate-Group", [])))

    async def _read(self, request: web.Request, info: RequestInfo) -> web.StreamResponse:
        form = accepts.choose(request.headers.get("Accept", "")) if info.subresource != "log" else Form()
        if info.verb == "get":
            obj = self.store.get(info.resource, info.namespace, info.name)
            if info.subresource == "log":
                return await _stream_lines(request, pod_logs.lines(self.node, obj, request.query))
            if info.subresource == "scale":
                return json_response(scale.of(obj))
            return json_response(shapes.shaped(info.resource, form, [obj], request.query, obj))
        selection = _selection(info, request.query)
        if info.verb == "watch":
            return await self._watch(request, selection, form)
        piece = pages.page(watches.listed(self.store, selection), request.query, self.store.revision)
        listed = shapes.list_of(info.resource, piece.objects, piece.meta)
        return json_response(shapes.shaped(info.resource, form, piece.objects, request.query, listed))

    async def _watch(self, request: web.Request, selection: Selection, form: Form) -> web.StreamResponse:
        query = request.query
        if "sendInitialEvents" in query:
            detail = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
            cause = statuses.forbidden_field("sendInitialEvents", detail)
            raise Refusal(422, "Invalid", f'ListOptions.meta.k8s.io "" is invalid: {cause}')
        seconds = query.get("timeoutSeconds", "")
        bookmarks = query.get("allowWatchBookmarks", "") in {"true", "1"}
        with watches.watching(
            self.store,
            selection,
            query.get("resourceVersion", ""),
            timeout=float(seconds) if seconds.isdecimal() and int(seconds) else None,
            bookmarks=bookmarks,
        ) as events:
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            await response.prepare(request)
            async for event in events:
                shaped = shapes.shaped_event(selection.resource, form, event, query)
                await response.write(msgspec.json.encode(shaped) + b"\n")
        return response

    async def _write(self, request: web.Request, info: RequestInfo) -> web.StreamResponse:
        body = await request.read()
        options = writes.options_from(request.query)
        code = 200
        if info.verb == "patch":
            answer: Any = self.writes.patch(info, body, request.content_type, options)
        else:
            decoded = writes.decode(body, _content_type(request))
            match info.verb:
                case "create":
                    answer, code = self.writes.create(info, decoded, options), 201
                case "update":
                    answer = self.writes.update(info, decoded, options)
                case "delete":
                    answer = self.writes.delete(info, decoded, request.query, options)
                case _:
                    selection = _selection(info, request.query)
                    deleted = self.writes.delete_all(info, selection, decoded, request.query, options)
                    meta = {"resourceVersion": str(self.store.revision)}
                    answer = shapes.list_of(info.resource, deleted, meta)
        form = accepts.choose(request.headers.get("Accept", ""))
        if form.kind and answer.get("kind") == info.resource.kind:
            answer = shapes.shaped(info.resource, form, [answer], request.query, answer)
        return json_response(answer, code, options.warnings)

    async def _stream(self, request: web.Request, info: RequestInfo) -> web.StreamResponse:
        pod = self.store.get(PODS, info.namespace, info.name)
        query = request.query
        if info.subresource == "attach":
            raise statuses.not_implemented("attach; use exec, or logs -f")
        if info.subresource == "portforward":
            if pod.get("status", {}).get("phase") != "Running":
                message = (
                    f"unable to forward port because pod is not running. Current status={pod['status'].get('phase')}"
                )
                raise Refusal(500, "InternalError", message)
            await port_forward.serve(request, self.node, pod)
        else:
            options = ExecOptions(
                container=pod_logs.chosen_container(pod, query),
                command=tuple(query.getall("command", [])),
                **{name: query.get(name, "") in {"true", "1"} for name in ("stdin", "stdout", "stderr", "tty")},
            )
            if not options.command:
                raise statuses.bad_request("you must specify at least 1 command to execute")
            await remote_command.serve(request, self.node, pod, options)
        return _Taken()


class _Taken(web.StreamResponse):
    """Stands for an answer that an upgraded connection has given already: nothing more is written."""

    async def prepare(self, request: web.BaseRequest) -> None:
        """Write no head."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Write no end."""


def json_response(answer: Any, code: int = 200, warnings: list[str] | None = None) -> web.Response:
    """An answer as JSON, with warnings for the client (RFC 7234's 299, as Kubernetes uses it)."""
    response = web.Response(body=msgspec.json.encode(answer), status=code, content_type="application/json")
    for warning in warnings or ():
        text = warning.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.add("Warning", f'299 - "{text}"')
    return response


def _content_type(request: web.Request) -> str:
    """The body's type; a body that does not say is JSON, as for a real API server."""
    return request.content_type if "Content-Type" in request.headers else ""


def _require_verb(info: RequestInfo) -> None:
    """Refuse a verb that the resource has not; asked after RBAC, as a real API server does."""
    sub = info.resource.subresource(info.subresource)
    collection = info.verb in {"create", "list", "deletecollection"} and not info.subresource
    if info.verb not in (sub.verbs if sub else info.resource.verbs) or (info.name and collection):
        raise statuses.method_not_allowed()


def _selection(info: RequestInfo, query: Mapping[str, str]) -> Selection:
    labels, fields = query.get("labelSelector", ""), query.get("fieldSelector", "")
    return watches.select(info.resource, info.namespace, labels, fields)


async def _stream_lines(request: web.Request, pieces: AsyncIterator[bytes]) -> web.StreamResponse:
    """Send text as it comes; a refusal before the first piece is still a proper answer."""
    first = await anext(pieces, b"")
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    await response.write(first)
    async for piece in pieces:
        await response.write(piece)
    return response
