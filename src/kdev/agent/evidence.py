"""Gathering what the mesh adapters judge: the pod as the laptop read it, and what its namespace shows."""

from pathlib import Path

from kdev.mesh_adapters.interface import Chain, Evidence
from kdev.mesh_adapters.proc_net import parse_listeners
from kdev.netlink.nf_tables import NfTables
from kdev.tunnel.messages import PodFacts

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


def gather(pod: PodFacts) -> Evidence:
    """Look at the pod's network namespace, which is this process's own.

    Raises:
        NetlinkError: The kernel does not let the agent list its chains.
    """
    tables = [table.read_text() for table in _TABLES if table.exists()]
    with NfTables() as netlink:
        chains = frozenset(
            Chain(chain.table.family.name.lower(), chain.table.name, chain.name) for chain in netlink.chains()
        )
    return Evidence(pod, parse_listeners(*tables), chains)
