"""What a speaker says in gRPC: every shape of call, and the health service that a kubelet asks."""

from collections.abc import AsyncIterator
from typing import Any

import grpc

from tests.integration.matrix.programs.ledger import Digest, Ledger

SERVICE = "matrix.Speaker"
_SERVING = b"\x08\x01"

Context = grpc.aio.ServicerContext


class Grpc:
    """Messages are plain bytes; initial and trailing metadata name the speaker."""

    def __init__(self, name: str, ledger: Ledger) -> None:
        self._name = name
        self._ledger = ledger

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serve it."""
        methods = {
            "Unary": grpc.unary_unary_rpc_method_handler(self._unary),
            "Down": grpc.unary_stream_rpc_method_handler(self._down),
            "Up": grpc.stream_unary_rpc_method_handler(self._up),
            "Both": grpc.stream_stream_rpc_method_handler(self._both),
            "Forever": grpc.unary_stream_rpc_method_handler(self._forever),
        }
        health = {"Check": grpc.unary_unary_rpc_method_handler(self._check)}
        server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(SERVICE, methods),
                grpc.method_handlers_generic_handler("grpc.health.v1.Health", health),
            )
        )

    async def _check(self, _message: bytes, _context: Context) -> bytes:
        await self._ledger.add("", "probe", path="/grpc.health.v1.Health/Check", agent="")
        return _SERVING

    async def _unary(self, message: bytes, context: Context) -> bytes:
        await self._sign(context)
        digest = Digest()
        digest.add(message)
        await self._keep(context, "Unary", digest)
        if message == b"fail":
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"refused by {self._name}")
        return message

    async def _down(self, message: bytes, context: Context) -> AsyncIterator[bytes]:
        await self._sign(context)
        await self._keep(context, "Down", Digest())
        for number in range(int(message)):
            yield f"{self._name} {number} ".encode() + bytes(1000)

    async def _up(self, messages: AsyncIterator[bytes], context: Context) -> bytes:
        await self._sign(context)
        digest = Digest()
        async for message in messages:
            digest.add(message)
        await self._keep(context, "Up", digest)
        return str(digest.bytes).encode()

    async def _both(self, messages: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        await self._sign(context)
        digest = Digest()
        async for message in messages:
            digest.add(message)
            yield message
        await self._keep(context, "Both", digest)

    async def _forever(self, message: bytes, context: Context) -> AsyncIterator[bytes]:
        """One answer, and then nothing until the caller or its deadline has ended the call."""
        await self._sign(context)
        try:
            yield message
            await self._ledger.find("", "never", 1)
        finally:
            await self._keep(context, "Forever-ended", Digest())

    async def _sign(self, context: Context) -> None:
        xfcc = _metadata(context).get("x-forwarded-client-cert", "")
        await context.send_initial_metadata((("x-from", self._name), ("x-xfcc", xfcc)))
        context.set_trailing_metadata((("x-end", self._name), ("x-raw-bin", b"\0\1\xff")))

    async def _keep(self, context: Context, kind: str, digest: Digest) -> None:
        sent = _metadata(context)
        facts = {"xfcc": sent.get("x-forwarded-client-cert", ""), "raw": sent.get("x-raw-bin", b"").hex()}
        await self._ledger.add(sent.get("x-cell", ""), kind, count=digest.count, **facts, **digest.facts())


def _metadata(context: Context) -> dict[str, Any]:
    return dict(context.invocation_metadata() or ())
