"""The example that every sandbox begins with: a small bookstore in a meshed namespace, and a caller outside of it."""

from kdev.sandbox.images import BOOKSTORE
from kdev.sandbox.interface import Object
from kdev.sandbox.manifests import Port, Workload, namespace

MESHED = "staging"
UNMESHED = "lab"

_PORT = 8080
_GRPC_PORT = 9090
_USER = 1000


def bookstore() -> list[Object]:
    """Its objects: storefront -> checkout (two pods, gRPC on a second port) -> payments; ``client`` is not meshed."""
    workloads = (
        _service("storefront", calls="checkout"),
        _service("checkout", calls="payments", replicas=2, grpc=True),
        _service("payments"),
        _service("client", calls=f"storefront.{MESHED}", where=UNMESHED),
    )
    spaces = [namespace(MESHED, meshed=True), namespace(UNMESHED, meshed=False)]
    return [*spaces, *(item for workload in workloads for item in workload.objects())]


def _service(name: str, *, calls: str = "", replicas: int = 1, grpc: bool = False, where: str = MESHED) -> Workload:
    environment = {"NAME": name, "PORT": str(_PORT), "NEXT": calls}
    ports = [Port("http", 80, _PORT)]
    if grpc:
        environment["GRPC_PORT"] = str(_GRPC_PORT)
        ports.append(Port("grpc", _GRPC_PORT, _GRPC_PORT))
    return Workload(
        name,
        where,
        f"{BOOKSTORE}:1",
        tuple(ports),
        replicas=replicas,
        environment=environment,
        probes={
            "readinessProbe": {"httpGet": {"path": "/readyz", "port": _PORT}, "periodSeconds": 1},
            "livenessProbe": {"httpGet": {"path": "/healthz", "port": _PORT}, "periodSeconds": 10},
        },
        user=_USER,
    )
