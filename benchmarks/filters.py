"""What filters cost: microseconds per request, on an HTTP/1 head and on HTTP/2 fields as a sidecar sends them.

Run: python -m benchmarks.filters
"""

import timeit
from collections.abc import Callable

from kdev.mesh_adapters.interface import Identity
from kdev.policies.matching import compile_filters
from kdev.tunnel.messages import Probe

PORT = 8080
FIELDS = {
    b":method": b"GET",
    b":path": b"/api/carts/17?expand=items",
    b":authority": b"checkout.staging:8080",
    b"user-agent": b"curl/8.14.1",
    b"accept": b"*/*",
    b"x-dev": b"alice",
    b"x-forwarded-proto": b"https",
    b"x-request-id": b"6c0b0f3a-0c3c-4b0b-8c1a-9a9d8e7f6a5b",
    b"x-envoy-attempt-count": b"1",
    b"x-forwarded-client-cert": b"By=spiffe://cluster.local/ns/staging/sa/checkout;Hash=468ed33be74eee6556d90c0149c1309e"
    b'9ba61d6425303443c0748a02dd8de688;Subject="";URI=spiffe://cluster.local/ns/staging/sa/storefront',
}
HEAD = b"GET /api/carts/17?expand=items HTTP/1.1\r\nHost: checkout.staging:8080\r\n%s\r\n" % b"".join(
    b"%s: %s\r\n" % field for field in FIELDS.items() if not field[0].startswith(b":")
)
FILTERS: tuple[tuple[str, ...], ...] = (
    (),
    ("path=/api/*",),
    ("path=/other/*",),
    ("header.x-dev=alice",),
    ("path=/api/* header.x-dev=alice",),
    ("query.expand=*",),
    ("host=checkout.*",),
    ("peer=spiffe://*/sa/storefront",),
    ("path=*a*r*s*1*x",),
    tuple(f"path=/other/{number}/*" for number in range(16)),
)
REPEATS = 20_000


def microseconds(statement: Callable[[], object]) -> float:
    """The best of three runs of a callable, per call."""
    return min(timeit.repeat(statement, number=REPEATS, repeat=3)) / REPEATS * 1e6


def main() -> None:
    """Print one line per set of filters."""
    identity = Identity(b"x-forwarded-client-cert", "xfcc")
    probes = (Probe(port=PORT, path="/healthz"), Probe(port=PORT, path="/readyz"))
    print(f"{'filters':44} {'HTTP/1':>7} {'HTTP/2':>7}  us per request")
    for filters in FILTERS:
        matcher = compile_filters(filters, identity=identity, probes=probes)
        wanted = {name: value for name, value in FIELDS.items() if name in matcher.wanted}
        shown = " | ".join(filters[:2]) + (f" | ... ({len(filters)})" if len(filters) > 2 else "") or "(none)"
        head = microseconds(lambda matcher=matcher: matcher.match_head(HEAD, PORT))
        fields = microseconds(lambda matcher=matcher, wanted=wanted: matcher.match_fields(wanted, PORT))
        print(f"{shown:44} {head:7.2f} {fields:7.2f}")


if __name__ == "__main__":
    main()
