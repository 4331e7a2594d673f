"""A WebSocket upon an upgraded connection: whole messages in and out, pings answered, the closing handshake kept."""

from collections.abc import Callable
from typing import Final

from aiohttp import web

from kdev.sandbox.api import statuses
from kdev.sandbox.api.streaming import websocket
from kdev.sandbox.api.streaming.connection import UpgradedConnection, upgrade
from kdev.sandbox.api.streaming.websocket import Decoder, Message, Opcode, ProtocolError

_PROTOCOL_ERROR: Final = 1002
_NORMAL: Final = 1000


class WebSocketLink:
    """Messages over a connection; as a ``Link``, each write is one binary message."""

    def __init__(self, connection: UpgradedConnection) -> None:
        self.connection = connection
        self.receive: Callable[[bytes], None] = lambda _: None
        self._decoder = Decoder()
        self._closing = False
        connection.receive = self._received

    def write(self, data: bytes) -> None:
        """Send one binary message."""
        self.connection.write(websocket.frame(Opcode.BINARY, data))

    async def drain(self) -> None:
        """Wait until the client has taken most of what was written."""
        await self.connection.drain()

    def pause(self) -> None:
        """Read no more for now."""
        self.connection.pause()

    def resume(self) -> None:
        """Undo one ``pause``."""
        self.connection.resume()

    def close(self) -> None:
        """Send the close frame and end the connection."""
        self._close(_NORMAL)

    def _close(self, code: int) -> None:
        if not self._closing:
            self._closing = True
            self.connection.write(websocket.frame(Opcode.CLOSE, code.to_bytes(2, "big")))
        self.connection.close()

    def _received(self, data: bytes) -> None:
        try:
            messages = self._decoder.feed(data)
        except ProtocolError:
            self._close(_PROTOCOL_ERROR)
            return
        for message in messages:
            self._message(message)

    def _message(self, message: Message) -> None:
        match message.opcode:
            case Opcode.BINARY | Opcode.TEXT:
                self.receive(message.payload)
            case Opcode.PING:
                self.connection.write(websocket.frame(Opcode.PONG, message.payload))
            case Opcode.CLOSE:
                self.close()
            case _:
                pass  # a pong nobody asked for


def accept(request: web.Request, protocols: tuple[str, ...]) -> tuple[str, WebSocketLink]:
    """Accept a WebSocket in the first of our protocols that the client offers.

    A client that offers none gets the first of ours, as from a kubelet.

    Raises:
        Refusal: 403 when none fits, which is what an API server says; 400 for an incomplete handshake.
    """
    key = request.headers.get("Sec-WebSocket-Key")
    if key is None or request.headers.get("Sec-WebSocket-Version") != "13":
        raise statuses.bad_request("the WebSocket handshake needs Sec-WebSocket-Key and Sec-WebSocket-Version: 13")
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": websocket.accept_key(key)}
    offered = [item.strip() for item in request.headers.get("Sec-WebSocket-Protocol", "").split(",") if item.strip()]
    if not offered:
        return protocols[0], WebSocketLink(upgrade(request, headers))
    chosen = next((protocol for protocol in protocols if protocol in offered), None)
    if chosen is None:
        message = f"unable to upgrade: none of the offered subprotocols {offered} is supported: {list(protocols)}"
        raise statuses.Refusal(403, "Forbidden", message)
    return chosen, WebSocketLink(upgrade(request, headers | {"Sec-WebSocket-Protocol": chosen}))


def is_websocket(request: web.Request) -> bool:
    """Whether a request asks for a WebSocket."""
    return request.headers.get("Upgrade", "").lower() == "websocket"
