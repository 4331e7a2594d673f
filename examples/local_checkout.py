"""A checkout service as a developer would run it: answers every request and prints one line for each.

It listens on port 8080 of loopback, or on PORT: ``PORT=3000 python examples/local_checkout.py``.
"""

import contextlib
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Checkout(BaseHTTPRequestHandler):
    """Says who answered; prints who asked for what."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer any path."""
        print(f"local: {self.command} {self.path} from {self._caller()}", flush=True)  # noqa: T201 - its output
        body = b'{"answered-by": "the local process"}\n'
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        """Answer any path, after the body."""
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Print nothing twice."""

    def _caller(self) -> str:
        identity = self.headers.get("x-forwarded-client-cert", "")
        return identity.rpartition("URI=")[2].split(",")[0] or "an unnamed caller"


if __name__ == "__main__":
    address = "127.0.0.1", int(os.environ.get("PORT", "8080"))
    with ThreadingHTTPServer(address, Checkout) as server, contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()
