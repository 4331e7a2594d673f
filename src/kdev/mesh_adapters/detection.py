"""Which mesh is in the pod: the table of adapters, asked in order."""

from kdev.mesh_adapters.ambient import AMBIENT
from kdev.mesh_adapters.foreign import FOREIGN
from kdev.mesh_adapters.interface import Evidence, Mesh, MeshAdapter
from kdev.mesh_adapters.istio import ISTIO
from kdev.mesh_adapters.none import NONE

ADAPTERS: tuple[MeshAdapter, ...] = (ISTIO, AMBIENT, FOREIGN, NONE)
"""The first that recognises its mesh decides. ``NONE`` recognises every pod, and ``FOREIGN`` keeps it from pods whose
traffic it would tap still encrypted, so they stand last."""


def detect(evidence: Evidence) -> Mesh:
    """Return what the pod's mesh demands of a tap.

    Raises:
        TargetFailure: The mesh cannot be tapped, or is only half there.
    """
    return next(mesh for adapter in ADAPTERS if (mesh := adapter.detect(evidence)) is not None)
