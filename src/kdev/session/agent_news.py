"""What agents and the local process report, as news for the user and as totals for the end."""

from kdev.session import news
from kdev.session.replay import Answered
from kdev.session.totals import Totals
from kdev.tunnel.messages import Counts, Direct, FromAgent, Ready, Seen, Step


class AgentNews:
    """Turns messages into news, and adds up what is counted."""

    def __init__(self, tell: news.Tell) -> None:
        self._tell = tell
        self._totals = Totals()

    @property
    def counts(self) -> Counts:
        """The sum over all agents of the session."""
        return self._totals.counts

    def hear(self, pod: str, message: FromAgent) -> None:
        """Take one message of a pod's agent."""
        match message:
            case Seen(port=port, method=method, path=path, action=action, detail=detail):
                self._tell(news.RequestSeen(pod=pod, port=port, method=method, path=path, action=action, detail=detail))
            case Counts():
                self._totals.update(pod, message)
            case Direct():
                self._totals.direct[pod] = message.connections
                self._tell(news.StillDirect(connections=self.counts.direct))
            case Ready():
                self._totals.direct[pod] = message.direct
                for warning in message.warnings:
                    self._tell(news.Warned(text=f"{pod}: {warning}"))
            case Step(name=name, detail=detail, seconds=seconds) if seconds is not None:
                self._tell(news.StepEnded(step=f"{pod}: {name}", seconds=seconds, detail=detail, part=True))

    def answered(self, answered: Answered) -> None:
        """Take what the local process answered to a mirrored request."""
        self._tell(
            news.RequestAnswered(
                port=answered.port, method=answered.method, target=answered.target, status=answered.status
            )
        )
