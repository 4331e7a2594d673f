"""Which pods the target has, while a session lives: scaling up and rollouts bring new ones.

This asks from time to time and does not watch: a session lives for minutes, a target has few pods, and a watch would
have to be begun again after every break of the connection, with a list, all the same.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

from kdev.errors import ClusterFailure, TargetFailure
from kdev.kube.api import Api
from kdev.kube.objects import Pod
from kdev.kube.targets import resolve
from kdev.session import news
from kdev.session.plan import Wish
from kdev.session.pods import Pods

LOOK_EVERY = 5.0
"""Seconds between two looks. Until a new pod is found it serves by itself, and a list every five seconds is what a
dashboard asks for."""

LOOK_SOON = 1.0
"""Seconds between two looks after a pod was lost: as often as a kubelet reports."""

FOLLOW_WITHIN = 120.0
"""Seconds for a lost pod's successor to become ready; an image that takes longer is a new session's business."""


async def newcomers(
    api: Api, wish: Wish, pods: Pods, tell: news.Tell, clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[Pod]:
    """Yield every ready pod of the target that the session has not met yet.

    An API server that cannot be reached, or does not accept the credentials any more, is told once: the pods that are
    shadowed need it no more.

    Raises:
        TargetFailure: The last pod is gone, and no other came in time.
    """
    told: str = ""
    while True:
        recently = pods.lost_at is not None and clock() - pods.lost_at < FOLLOW_WITHIN
        await asyncio.sleep(LOOK_SOON if recently else LOOK_EVERY)
        try:
            resolved = await resolve(api, wish.target, wish.namespace)
        except (ClusterFailure, TargetFailure) as failure:
            why = failure.explanation
            if why.reference not in (told, "target-not-ready"):
                told = why.reference
                tell(news.Warned(text=f"New pods have to wait: {why.cause}"))
        else:
            told = ""
            for pod in resolved.pods:
                if pod.metadata.name not in pods.known:
                    yield pod
        if not pods.any_left and pods.lost_at is not None and clock() - pods.lost_at >= FOLLOW_WITHIN:
            raise TargetFailure(
                "pod-gone",
                f"The last pod of {wish.target} is gone and got no successor within {FOLLOW_WITHIN:.0f} seconds",
                advice=f"see 'kubectl -n {wish.namespace} get pods', and begin another session",
            )
