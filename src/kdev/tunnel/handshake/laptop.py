"""The laptop's end of a handshake."""

from nacl.signing import SigningKey

from kdev.errors import AgentFailure
from kdev.tunnel.handshake.exchange import Challenge, Handshake, Hello, Proof, Welcome
from kdev.tunnel.handshake.signing import Facts, Signer
from kdev.tunnel.messages import PROTOCOL_VERSION, Message, Refusal


class LaptopHandshake(Handshake):
    """Begins as soon as it is made: send ``data_to_send``.

    Args:
        key: This laptop's key; the agent was started with its public half.
        session: The session to join.
        agent_key: The agent's public key where it is known; otherwise ``peer_key`` tells it, proved to be the other
            end's, for the caller to compare with what the pod's log says.
    """

    def __init__(self, key: SigningKey, session: str, agent_key: bytes | None = None) -> None:
        super().__init__(key)
        self._session = session
        self._expected = agent_key
        self._proved = False
        self._send_line()
        self._send(Hello(session=session, key=bytes(key.verify_key), nonce=self._nonce))

    def _line_received(self, version: int) -> None:
        if version != PROTOCOL_VERSION:
            raise AgentFailure(
                "agent-version-mismatch",
                "The agent speaks another version of the session protocol than this kdev",
                seen=f"version {version} in the pod, {PROTOCOL_VERSION} here",
                advice="use an agent image of this release: check --agent-image, or leave it out",
            )

    def _message_received(self, message: Message) -> None:
        match message:
            case Refusal():
                raise AgentFailure(message.reference, message.cause, seen=message.seen, advice=message.advice)
            case Challenge() if not self._proved:
                self._prove(message)
            case Welcome() if self._proved:
                self.done = True
            case _:
                raise self._stranger(f"a {type(message).__name__} out of turn")

    def _prove(self, challenge: Challenge) -> None:
        self._check_sizes(challenge)
        facts = Facts(self._session, bytes(self._key.verify_key), challenge.key, self._nonce, challenge.nonce)
        if self._expected not in (None, challenge.key):
            raise _impostor("its public key is not the one in the pod's log")
        if not facts.verify(Signer.AGENT, challenge.signature):
            raise _impostor("its signature is wrong")
        self.peer_key = challenge.key
        self._proved = True
        self._send(Proof(signature=facts.sign(Signer.LAPTOP, self._key)))

    def _stranger(self, seen: str) -> AgentFailure:
        return AgentFailure(
            "not-an-agent",
            "What answers on the agent's port is not an agent of kdev",
            seen=seen,
            advice="another process of the pod may use that port: see 'kubectl logs' of the kdev container",
        )

    def closed(self) -> AgentFailure:
        """The agent closed the connection, or fell silent."""
        return AgentFailure(
            "agent-hung-up",
            "The agent ended the conversation before it had begun",
            seen=f"{len(self._buffer)} bytes that make no message" if self._buffer else "no answer",
            advice="see why with 'kubectl logs' of the kdev container",
        )


def _impostor(seen: str) -> AgentFailure:
    return AgentFailure(
        "agent-authentication",
        "What answers on the agent's port cannot prove that it is the agent of this session",
        seen=seen,
        advice="end the session and begin another; if this stays, tell whoever runs the cluster",
    )
