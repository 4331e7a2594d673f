"""A container's status as the Kubernetes API shows it (ContainerStatus v1 core)."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from kdev.sandbox.interface import Object


@dataclass(slots=True)
class Record:
    """What is known of one container.

    Attributes:
        name: The container's.
        image: Its image's reference.
        state: ``waiting``, ``running`` or ``terminated``.
        last_state: How the run before ended; empty before the second.
        restart_count: Runs begun after the first.
        ready: Whether traffic may come.
        started: Whether its start-up probe has succeeded.
        container_id: This run's.
    """

    name: str
    image: str
    state: Object = field(default_factory=lambda: {"waiting": {"reason": "PodInitializing"}})
    last_state: Object = field(default_factory=dict)
    restart_count: int = 0
    ready: bool = False
    started: bool = False
    container_id: str = ""

    def wait(self, reason: str, message: str = "") -> None:
        """It is not running, for this reason."""
        self.ready = self.started = False
        self.state = {"waiting": {"reason": reason} | ({"message": message} if message else {})}

    def run(self, container_id: str) -> None:
        """It runs from now on."""
        self.container_id = container_id
        self.state = {"running": {"startedAt": timestamp()}}

    def end(self, code: int) -> None:
        """It ended by itself or was ended."""
        begun = self.state.get("running", {}).get("startedAt", timestamp())
        self.state = {
            "terminated": {
                "exitCode": code,
                "reason": "Completed" if code == 0 else "Error",
                "startedAt": begun,
                "finishedAt": timestamp(),
                "containerID": self.container_id,
            }
        }
        self.ready = self.started = False

    def keep_last(self) -> None:
        """Move the ended run aside for the next."""
        self.last_state = self.state
        self.restart_count += 1

    @property
    def exit_code(self) -> int | None:
        """Of the ended run; None while it waits or runs."""
        code = self.state.get("terminated", {}).get("exitCode")
        return None if code is None else int(code)

    def to_status(self) -> Object:
        """As in the pod's status."""
        return {
            "name": self.name,
            "image": self.image,
            "imageID": self.image if self.container_id else "",
            "containerID": self.container_id,
            "state": self.state,
            "lastState": self.last_state,
            "restartCount": self.restart_count,
            "ready": self.ready,
            "started": self.started,
        }


def timestamp() -> str:
    """Now, as Kubernetes writes times."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
