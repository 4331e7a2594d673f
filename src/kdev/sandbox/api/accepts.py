"""Content negotiation: in which form, and as which kind, a client wants its answer."""

from dataclasses import dataclass

from kdev.sandbox.api.discovery import AGGREGATED
from kdev.sandbox.api.statuses import Refusal


@dataclass(frozen=True, slots=True)
class Form:
    """The chosen form of an answer.

    Attributes:
        kind: ``Table``, ``PartialObjectMetadata``, ``PartialObjectMetadataList``, ``APIGroupDiscoveryList``, or empty
            for objects as they are.
        version: Version of that kind.
    """

    kind: str = ""
    version: str = ""


_TRANSFORMS = {
    ("meta.k8s.io", "Table"): ("v1",),
    ("meta.k8s.io", "PartialObjectMetadata"): ("v1",),
    ("meta.k8s.io", "PartialObjectMetadataList"): ("v1",),
    AGGREGATED: ("v2", "v2beta1"),
}


def choose(accept: str) -> Form:
    """The first form in an Accept header that the server can give.

    Raises:
        Refusal: 406, nothing but protobuf and the like is accepted.
    """
    if not accept:
        return Form()
    for clause in accept.split(","):
        media_type, _, rest = clause.strip().partition(";")
        parameters = dict(part.strip().split("=", 1) for part in rest.split(";") if "=" in part)
        if media_type.strip() not in {"application/json", "application/*", "*/*"}:
            continue
        if "as" not in parameters:
            return Form()
        if parameters.get("v", "") in _TRANSFORMS.get((parameters.get("g", ""), parameters["as"]), ()):
            return Form(parameters["as"], parameters["v"])
    message = "only the following media types are accepted: application/json"
    raise Refusal(406, "NotAcceptable", message)
