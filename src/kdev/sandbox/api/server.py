"""Puts the API server together and serves it on 127.0.0.1, and to pods as the service ``kubernetes``."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

from aiohttp import web

from kdev.sandbox.api import bootstrap
from kdev.sandbox.api.addresses import ServiceAddresses
from kdev.sandbox.api.admission import Admission, Inject
from kdev.sandbox.api.authorization import Authorizer
from kdev.sandbox.api.certificates import Authority
from kdev.sandbox.api.controllers.loop import Controllers
from kdev.sandbox.api.handler import Handler
from kdev.sandbox.api.pods import PodLifecycle
from kdev.sandbox.api.registry import Registry
from kdev.sandbox.api.store import Store
from kdev.sandbox.api.tokens import Tokens
from kdev.sandbox.api.volumes import Volumes
from kdev.sandbox.api.writes import Writes
from kdev.sandbox.interface import Node
from kdev.sandbox.mesh.injection import inject as inject_sidecar

_MAX_BODY: Final = 3 << 20
"""Bytes of a request's body: apiserver's ``MaxRequestBodyBytes``."""
_SHUTDOWN: Final = 1.0
"""Seconds that requests in flight are given when the server ends; watches and streams would otherwise never."""


@asynccontextmanager
async def serve(
    node: Node, directory: Path, *, name: str = "kdev-sandbox", inject: Inject = inject_sidecar
) -> AsyncIterator[Path]:
    """Serve the Kubernetes API until left; see ``kdev.sandbox.interface.ApiServer``.

    Args:
        node: What runs the pods.
        directory: Where the server's key and the kubeconfig are written.
        name: What the kubeconfig calls cluster, context and user.
        inject: The mesh's injection.
    """
    authority = Authority.new(next(IPv4Network(node.service_network).hosts()))
    store, tokens = Store(), Tokens()
    inside = node.listen(bootstrap.API_PORT)
    bootstrap.fill(store, node.service_network, inside.getsockname())
    async with asyncio.TaskGroup() as tasks:
        lifecycle = PodLifecycle(store, node, Volumes(store, tokens), tasks)
        registry = Registry(store, Admission(store, inject), lifecycle, ServiceAddresses(node.service_network))
        node.report_to(lifecycle)
        controllers = Controllers(store, registry, node, authority.ca_pem)
        controllers.reconcile()
        reconciling = tasks.create_task(controllers.run(), name="controllers")
        handler = Handler(store, Authorizer(store), tokens, Writes(store, registry, tokens), node)
        runner = _runner(handler)
        await runner.setup()
        try:
            context = authority.server_context(directory)
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
            await web.SockSite(runner, inside, ssl_context=context).start()
            kubeconfig = directory / "kubeconfig"
            authority.write_kubeconfig(kubeconfig, f"https://127.0.0.1:{runner.addresses[0][1]}", name)
            yield kubeconfig
        finally:
            await runner.cleanup()
            reconciling.cancel()
            lifecycle.close()


def _runner(handler: Handler) -> web.AppRunner:
    app = web.Application(client_max_size=_MAX_BODY)
    app.router.add_route("*", "/{path:.*}", handler.handle)
    # A watch whose client has gone must end at once, not at its next event.
    return web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN)
