"""nginx as the application and as the developer's process: HTTP/1.1, HTTP/2 by prior knowledge, slow downloads."""

from pathlib import Path

from tests.integration.resilience.outcomes import LOCAL, POD

HTTP1, HTTP2 = 8080, 8082
"""The application's ports."""

_RATE = 20_000  # bytes per second of a download
_CONFIGURATION = """
daemon off; master_process off; error_log stderr error; pid {folder}/pid; user root;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; default_type application/octet-stream;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  {servers}
}}
"""
_SERVER = """
  server {{
    listen {address}:{port} {protocol}; root {folder};
    location / {{ return {status} '{body}'; }}
    location /download/ {{ limit_rate {rate}; }}
    location /unavailable {{ return 503; }}
  }}
"""


def application(folder: Path, *, download_seconds: int) -> Path:
    """Write the application's configuration: 1 kB answers, and ``/download/file`` of so many seconds."""
    return _write(folder, "0.0.0.0", {HTTP1: "", HTTP2: "http2"}, POD, download_seconds)


def local_process(folder: Path, http1: int, http2: int) -> Path:
    """Write the configuration of the developer's process, for these ports of loopback."""
    return _write(folder, "127.0.0.1", {http1: "", http2: "http2"}, LOCAL, 0)


def command(configuration: Path) -> tuple[str, ...]:
    """What runs it: a single process."""
    return ("nginx", "-e", "stderr", "-c", str(configuration))


def _write(folder: Path, address: str, ports: dict[int, str], status: str, seconds: int) -> Path:
    (folder / "download").mkdir(parents=True)
    (folder / "download" / "file").write_bytes(b"." * (seconds * _RATE))
    servers = "".join(
        _SERVER.format(
            address=address, port=port, protocol=protocol, folder=folder, status=status, body="." * 1024, rate=_RATE
        )
        for port, protocol in ports.items()
    )
    configuration = folder / "nginx.conf"
    configuration.write_text(_CONFIGURATION.format(folder=folder, servers=servers))
    return configuration
