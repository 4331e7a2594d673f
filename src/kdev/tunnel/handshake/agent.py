"""The agent's end of a handshake."""

from nacl.signing import SigningKey

from kdev.errors import AgentFailure
from kdev.tunnel.handshake.exchange import Challenge, Handshake, Hello, Proof, Welcome
from kdev.tunnel.handshake.signing import Facts, Signer
from kdev.tunnel.messages import PROTOCOL_VERSION, Message, Refusal


class AgentHandshake(Handshake):
    """Waits for a laptop; one that may not come in is told why, and the failure is for the agent's log.

    Args:
        key: This agent's key, made when it started.
        session: The session that it serves.
        laptop_key: The only public key that may come in.
        owner: Who began that session, for whoever else comes.
        refusal: Given when nobody may come in now, not even that laptop: what to say.
    """

    def __init__(
        self, key: SigningKey, session: str, laptop_key: bytes, owner: str, refusal: Refusal | None = None
    ) -> None:
        super().__init__(key)
        self._session = session
        self._laptop_key = laptop_key
        self._owner = owner
        self._refusal = refusal
        self._facts: Facts | None = None

    def _line_received(self, version: int) -> None:
        # Said also to an end of another version, which learns from it that the versions differ.
        self._send_line()
        if version != PROTOCOL_VERSION:
            raise AgentFailure(
                "agent-version-mismatch",
                "A laptop speaks another version of the session protocol than this agent",
                seen=f"version {version} there, {PROTOCOL_VERSION} here",
                advice="use a kdev of the agent image's release",
            )

    def _message_received(self, message: Message) -> None:
        match message:
            case Hello() if self._facts is None:
                self._challenge(message)
            case Proof() if self._facts is not None:
                self._admit(self._facts, message)
            case _:
                raise self._stranger(f"a {type(message).__name__} out of turn")

    def _challenge(self, hello: Hello) -> None:
        self._check_sizes(hello)
        if self._refusal is not None:
            raise self._refuse(self._refusal)
        if hello.session != self._session or hello.key != self._laptop_key:
            raise self._refuse(self._taken())
        facts = Facts(self._session, hello.key, bytes(self._key.verify_key), hello.nonce, self._nonce)
        self._facts = facts
        self._send(Challenge(key=facts.agent_key, nonce=self._nonce, signature=facts.sign(Signer.AGENT, self._key)))

    def _admit(self, facts: Facts, proof: Proof) -> None:
        if not facts.verify(Signer.LAPTOP, proof.signature):
            raise self._refuse(
                Refusal(
                    reference="laptop-authentication",
                    cause="The agent was not convinced that this is the laptop it was started for",
                    seen="the signature is wrong",
                    advice="begin another session",
                )
            )
        self.peer_key = facts.laptop_key
        self.done = True
        self._send(Welcome())

    def _taken(self) -> Refusal:
        return Refusal(
            reference="agent-serves-another-session",
            cause=f"This agent serves a session of {self._owner}",
            seen=f"session {self._session}",
            advice=f"ask {self._owner} to end it, or shadow another pod",
        )

    def _refuse(self, refusal: Refusal) -> AgentFailure:
        self._send(refusal)
        return AgentFailure(refusal.reference, refusal.cause, seen=refusal.seen, advice=refusal.advice)

    def _stranger(self, seen: str) -> AgentFailure:
        return AgentFailure(
            "not-a-laptop",
            "Something that is not kdev connected to the agent's port",
            seen=seen,
            advice="nothing needs to be done: the connection was closed",
        )

    def closed(self) -> AgentFailure:
        """The laptop closed the connection, or fell silent."""
        return AgentFailure(
            "laptop-hung-up",
            "A connection to the agent's port ended before it was authenticated",
            seen=f"{len(self._buffer)} bytes that make no message" if self._buffer else "nothing",
            advice="nothing needs to be done",
        )
