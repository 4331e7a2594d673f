"""Paths that are no resources: health, version, discovery and OpenAPI."""

import msgspec
from aiohttp import web

from kdev.sandbox.api import accepts, discovery, openapi, statuses
from kdev.sandbox.interface import Object

_HEALTH = ("/healthz", "/livez", "/readyz")


def answer_path(path: str, accept: str) -> web.Response:
    """Answer a GET of such a path.

    Raises:
        Refusal: 404 when there is nothing, 406 when it is not to be had in that form.
    """
    path = path.rstrip("/")
    if path in _HEALTH:
        return web.Response(text="ok")
    if path == "/openapi/v2":
        return _openapi_v2(accept)
    form = accepts.choose(accept)
    if form.kind == discovery.AGGREGATED[1] and path in {"/api", "/apis"}:
        content_type = f"application/json;g={discovery.AGGREGATED[0]};v={form.version};as={form.kind}"
        body = msgspec.json.encode(discovery.aggregated(form.version, core=path == "/api"))
        return web.Response(body=body, headers={"Content-Type": content_type})
    found = _json_at(path)
    if found is None:
        raise statuses.no_such_path()
    return web.Response(body=msgspec.json.encode(found), content_type="application/json")


def _openapi_v2(accept: str) -> web.Response:
    if openapi.V2_PROTOBUF in accept:
        return web.Response(body=openapi.v2_protobuf(), headers={"Content-Type": openapi.V2_PROTOBUF_ANSWER})
    accepts.choose(accept)
    return web.Response(body=msgspec.json.encode(openapi.v2()), content_type="application/json")


def _json_at(path: str) -> Object | None:
    match path.split("/")[1:]:
        case ["openapi", "v3"]:
            return openapi.v3_index()
        case ["openapi", "v3", *rest]:
            return openapi.v3("/".join(rest))
        case ["version"]:
            return discovery.version()
        case segments:
            return discovery.at(segments)
