"""The agent's public key as its container's log tells it.

Whoever may read the log knows which key the agent has, and so that nothing else of the pod answers on its port.
"""

import asyncio
import re

from kdev.errors import AgentFailure, ClusterFailure
from kdev.kube.agent_container import AgentSpec
from kdev.kube.api import Api
from kdev.kube.objects import Pod
from kdev.kube.refusals import NotFound
from kdev.kube.targets import Kind

_KEY_LINE = re.compile(rb" kdev\.agent\.laptops INFO public key ([0-9a-f]{64})$", re.MULTILINE)

_HEAD = 16 * 1024
"""Bytes of the log that are read: the key is among its first lines."""

_WITHIN, _EVERY = 1.0, 0.05
"""Seconds. The agent writes the line before it accepts a connection; the node's runtime stores it a moment later."""


async def verify(api: Api, pod: Pod, agent: AgentSpec, key: bytes) -> bool:
    """Compare the key that was proved in the handshake with the one in the log.

    Returns:
        Whether they are the same; False when the log cannot be read or does not tell.

    Raises:
        AgentFailure: The log tells another key.
    """
    logged = await _logged_key(api, pod, agent)
    if logged not in (None, key):
        raise AgentFailure(
            "agent-authentication",
            f"What answers on the agent's port of pod {pod.metadata.name} is not the agent of this session",
            seen="its public key is not the one in the log of the agent's container",
            advice="do not use this pod, and tell whoever runs the cluster: a container of it poses as the agent",
        )
    return logged is not None


async def _logged_key(api: Api, pod: Pod, agent: AgentSpec) -> bytes | None:
    where = Kind.POD.path(pod.metadata.namespace, pod.metadata.name, "log")
    try:
        async with asyncio.timeout(_WITHIN):
            while True:
                log = await api.read(where, "read the agent's log", container=agent.container, limitBytes=str(_HEAD))
                if line := _KEY_LINE.search(log):
                    return bytes.fromhex(line[1].decode())
                await asyncio.sleep(_EVERY)
    except (TimeoutError, ClusterFailure, NotFound):
        return None
