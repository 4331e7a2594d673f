"""No mesh: requests arrive in clear from outside the pod."""

from kdev.mesh_adapters.interface import Evidence, Hop, Mesh


class _None:
    """Recognises every pod; there is nothing to look for."""

    name = "none"

    def detect(self, evidence: Evidence) -> Mesh:  # noqa: ARG002 - the protocol's signature
        """Return the tap at the pod's own door.

        A redirect in the prerouting hook changes the destination to the address of the interface that the packet
        came in by, so that a listener on loopback would never see it.
        """
        return Mesh(self.name, hops=(Hop(local=False, loopback_listener=False),), identity=None)


NONE = _None()
