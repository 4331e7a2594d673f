"""A gRPC service of every shape of call, which says by metadata who answers."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc

UNLIMITED = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)]
WORKERS = 32


class Service:
    """Answers ``/<service>/<method>``; its answers begin with its name.

    Attributes:
        port: Where it listens.
        cancelled: Calls of ``forever`` that their callers have ended.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.cancelled = threading.Semaphore(0)
        self._pool = ThreadPoolExecutor(WORKERS)
        self._server = grpc.server(self._pool, options=UNLIMITED)
        handlers = {
            "unary": grpc.unary_unary_rpc_method_handler(self._unary),
            "down": grpc.unary_stream_rpc_method_handler(self._down),
            "up": grpc.stream_unary_rpc_method_handler(self._up),
            "both": grpc.stream_stream_rpc_method_handler(self._both),
            "forever": grpc.unary_stream_rpc_method_handler(self._forever),
        }
        for service in ("a", "b"):
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def stop(self) -> None:
        """End it and every call."""
        self._server.stop(0).wait()
        self._pool.shutdown()

    def _sign(self, context: grpc.ServicerContext) -> None:
        context.send_initial_metadata((("x-from", self.name),))
        context.set_trailing_metadata((("x-end", self.name), ("x-raw-bin", b"\0\1\xff")))

    def _unary(self, message: bytes, context: grpc.ServicerContext) -> bytes:
        self._sign(context)
        if message == b"fail":
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"refused by {self.name}")
        return message

    def _down(self, message: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        self._sign(context)
        count, size = map(int, message.split())
        for _ in range(count):
            yield bytes(size)

    def _up(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        self._sign(context)
        return str(sum(map(len, messages))).encode()

    def _both(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        self._sign(context)
        yield from messages

    def _forever(self, message: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        self._sign(context)
        ended = threading.Event()
        context.add_callback(self.cancelled.release)
        context.add_callback(ended.set)
        yield message
        ended.wait()
