"""Who may begin a tunnel: the handshake as a transcript, honest and attacked."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey

from kdev.errors import AgentFailure
from kdev.tunnel.handshake.agent import AgentHandshake
from kdev.tunnel.handshake.exchange import MESSAGE_LIMIT, Handshake
from kdev.tunnel.handshake.laptop import LaptopHandshake
from kdev.tunnel.handshake.protocol import HandshakeProtocol
from kdev.tunnel.handshake.signing import Facts, Signer
from kdev.tunnel.messages import PROTOCOL_VERSION, Refusal

LAPTOP, AGENT, STRANGER = (SigningKey(bytes([number]) * 32) for number in (1, 2, 3))
SESSION = "a1b2"


def laptop(key: SigningKey = LAPTOP, session: str = SESSION, agent_key: bytes | None = None) -> LaptopHandshake:
    """A laptop's end."""
    return LaptopHandshake(key, session, agent_key)


def agent(key: SigningKey = AGENT, refusal: Refusal | None = None) -> AgentHandshake:
    """The agent's end, which expects that laptop."""
    return AgentHandshake(key, SESSION, bytes(LAPTOP.verify_key), "alice", refusal)


@dataclass
class Outcome:
    """How a handshake ended at both ends, and every flight of bytes that was sent."""

    laptop: str = "waiting"
    agent: str = "waiting"
    from_laptop: list[bytes] = field(default_factory=list)
    from_agent: list[bytes] = field(default_factory=list)


def converse(near: Handshake, far: Handshake, tamper: Callable[[int, bytes], bytes] = lambda _, data: data) -> Outcome:
    """Let both talk until nothing is left to say; ``tamper`` may change each flight, by its number."""
    outcome = Outcome()
    for flight in range(4):
        sender, receiver = (near, far) if flight % 2 == 0 else (far, near)
        data = sender.data_to_send()
        (outcome.from_agent if flight % 2 else outcome.from_laptop).append(data)
        said = feed(receiver, tamper(flight, data))
        if flight % 2:
            outcome.laptop = said
        else:
            outcome.agent = said
        if said not in ("waiting", "done"):
            break
    return outcome


def feed(end: Handshake, data: bytes) -> str:
    """Give bytes to an end, and tell what became of it."""
    try:
        end.receive_data(data)
    except AgentFailure as failure:
        return failure.explanation.reference
    return "done" if end.done else "waiting"


def test_both_ends_prove_themselves() -> None:
    """Two ends that know each other are done after two round trips, and know each other's key."""
    near, far = laptop(), agent()
    outcome = converse(near, far)
    assert (outcome.laptop, outcome.agent) == ("done", "done")
    assert (near.peer_key, far.peer_key) == (bytes(AGENT.verify_key), bytes(LAPTOP.verify_key))
    assert (near.rest, far.rest) == (b"", b"")


@given(st.lists(st.integers(1, 40)))
def test_bytes_may_come_in_any_pieces(sizes: list[int]) -> None:
    """How the carrier cuts the flights makes no difference."""
    near, far = laptop(), agent()
    for sender, receiver in ((near, far), (far, near)) * 2:
        data = sender.data_to_send()
        for size in sizes:
            receiver.receive_data(data[:size])
            data = data[size:]
        receiver.receive_data(data)
    assert near.done
    assert far.done


def test_what_follows_the_handshake_belongs_to_the_tunnel() -> None:
    """The tunnel's first bytes may come together with the handshake's last."""
    near, far = laptop(), agent()
    outcome = converse(near, far, lambda flight, data: data + b"frames" if flight >= 2 else data)
    assert (outcome.laptop, near.rest, far.rest) == ("done", b"frames", b"frames")


def test_an_agent_of_another_key_is_not_believed() -> None:
    """A laptop that knows the agent's key takes no other, however well it signs."""
    near = laptop(agent_key=bytes(AGENT.verify_key))
    assert converse(near, agent(STRANGER)).laptop == "agent-authentication"
    assert converse(laptop(agent_key=bytes(AGENT.verify_key)), agent()).laptop == "done"


@pytest.mark.parametrize("near", [laptop(STRANGER), laptop(session="c3d4")], ids=["key", "session"])
def test_another_sessions_laptop_is_told_whose_agent_it_is(near: LaptopHandshake) -> None:
    """A second session is refused with the first one's owner named, before the agent has signed anything."""
    far = agent()
    hello = near.data_to_send()
    with pytest.raises(AgentFailure):
        far.receive_data(hello)
    with pytest.raises(AgentFailure) as caught:
        near.receive_data(far.data_to_send())
    assert caught.value.explanation.reference == "agent-serves-another-session"
    assert "alice" in caught.value.explanation.cause


def test_a_busy_agent_says_what_it_was_told_to() -> None:
    """A refusal reaches the laptop as it was given."""
    refusal = Refusal(reference="agent-busy", cause="It is busy", seen="a tunnel", advice="wait")
    near, far = laptop(), agent(refusal=refusal)
    with pytest.raises(AgentFailure):
        far.receive_data(near.data_to_send())
    with pytest.raises(AgentFailure) as caught:
        near.receive_data(far.data_to_send())
    explanation = caught.value.explanation
    assert (explanation.reference, explanation.cause, explanation.seen, explanation.advice) == (
        "agent-busy",
        "It is busy",
        "a tunnel",
        "wait",
    )


def test_a_recorded_laptop_cannot_come_in_again() -> None:
    """All that a laptop ever said, said again to the same agent, proves nothing: the agent's nonce is another."""
    recorded = converse(laptop(), agent()).from_laptop
    far = agent()
    assert feed(far, recorded[0]) == "waiting"
    assert feed(far, recorded[1]) == "laptop-authentication"


def test_a_recorded_agent_is_not_believed_again() -> None:
    """All that an agent ever said, said again to the same laptop, proves nothing: the laptop's nonce is another."""
    recorded = converse(laptop(), agent()).from_agent
    near = laptop()
    near.data_to_send()
    assert feed(near, recorded[0]) == "agent-authentication"


def test_an_agents_signature_is_no_laptops() -> None:
    """The same key and the same facts, signed as the other role, prove nothing (reflection)."""
    facts = Facts(SESSION, bytes(LAPTOP.verify_key), bytes(LAPTOP.verify_key), b"n" * 32, b"m" * 32)
    assert facts.verify(Signer.AGENT, facts.sign(Signer.AGENT, LAPTOP))
    assert not facts.verify(Signer.LAPTOP, facts.sign(Signer.AGENT, LAPTOP))


def test_a_laptop_that_hears_itself_is_not_convinced() -> None:
    """A carrier that echoes is no agent."""
    near = laptop()
    assert feed(near, near.data_to_send()) == "not-an-agent"


def test_a_signature_covers_every_fact() -> None:
    """Changing any one fact, or moving a byte from one to the next, makes another transcript."""
    fields = {"session": "s", "laptop_key": b"l", "agent_key": b"a", "laptop_nonce": b"n", "agent_nonce": b"m"}
    variants = [fields | {name: value + value} for name, value in fields.items()]
    variants += [fields, fields | {"laptop_key": b"la", "agent_key": b""}]
    assert len({Facts(**variant).transcript(Signer.AGENT) for variant in variants}) == len(variants)  # type: ignore[arg-type]


def test_versions_are_compared_before_anything_else() -> None:
    """Both ends of different versions say so, whatever else they would have said."""
    other = f"kdev-tunnel/{PROTOCOL_VERSION + 1}\n".encode()
    far = agent()
    assert feed(far, other + b"something newer") == "agent-version-mismatch"
    assert far.data_to_send() == f"kdev-tunnel/{PROTOCOL_VERSION}\n".encode()
    assert feed(laptop(), other + b"something newer") == "agent-version-mismatch"


GARBAGE = {
    "http": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
    "almost": b"kdev-tunnel\n",
    "no version": b"kdev-tunnel/\n",
    "endless": b"kdev-tunnel/111111111111111111111",
    "oversized": b"kdev-tunnel/1\n" + (MESSAGE_LIMIT + 1).to_bytes(2, "big"),
    "no message": b"kdev-tunnel/1\n\x00\x02{}",
    "short key": b'kdev-tunnel/1\n\x00\x39{"type":"hello","session":"a1b2","key":"QQ==","nonce":"QQ=="}'[:74],
    "out of turn": b'kdev-tunnel/1\n\x00\x12{"type":"welcome"}',
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_a_clear_failure(garbage: bytes) -> None:
    """Whoever does not speak the protocol is told apart, at both ends, at once."""
    assert feed(laptop(), garbage) == "not-an-agent"
    assert feed(agent(), garbage) == "not-a-laptop"


def test_garbage_is_known_by_its_first_byte() -> None:
    """Nobody waits for a line that cannot become one."""
    assert feed(laptop(), b"H") == "not-an-agent"


@settings(deadline=None)
@given(st.integers(0, 3), st.data())
def test_no_flight_can_be_changed(flight: int, data: st.DataObject) -> None:
    """A flipped bit anywhere, in any flight, is noticed by somebody: never do both ends believe in different facts."""
    near, far = laptop(), agent()

    def tamper(number: int, sent: bytes) -> bytes:
        if number != flight or not sent:
            return sent
        position = data.draw(st.integers(0, len(sent) - 1))
        return sent[:position] + bytes([sent[position] ^ (1 << data.draw(st.integers(0, 7)))]) + sent[position + 1 :]

    converse(near, far, tamper)
    if near.done and far.done:
        assert (near.peer_key, far.peer_key) == (bytes(AGENT.verify_key), bytes(LAPTOP.verify_key))


@settings(deadline=None)
@given(pieces=st.lists(st.binary(max_size=200), max_size=5), greeted=st.booleans())
def test_any_bytes_end_in_waiting_or_a_failure(pieces: list[bytes], *, greeted: bool) -> None:
    """Nobody who lacks a key is ever done."""
    for end in (laptop(), agent()):
        said = feed(end, b"kdev-tunnel/1\n") if greeted else "waiting"
        for piece in pieces:
            if said == "waiting":
                said = feed(end, piece)
        assert said != "done"


class _Tunnel(asyncio.Protocol):
    """Stands for the tunnel, and remembers whether and with what it was reached."""

    def __init__(self) -> None:
        self.connected = False
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.connected = True

    def data_received(self, data: bytes) -> None:
        assert self.connected
        self.received += data


@asynccontextmanager
async def shaking(
    handshake: Handshake, *, seconds: float = 10.0
) -> AsyncIterator[tuple[HandshakeProtocol, socket.socket]]:
    """One end on a socket, and the socket of the other."""
    near, far = socket.socketpair()
    far.setblocking(False)
    with far:
        protocol = HandshakeProtocol(handshake, _Tunnel(), timeout=seconds)
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: protocol, sock=near)
        try:
            yield protocol, far
        finally:
            transport.abort()
            await asyncio.sleep(0.001)  # lets the transport run its own closing callback


async def test_the_tunnel_takes_over_a_carrier_that_was_proved() -> None:
    """The tunnel is connected when the handshake is done, and gets what came with its last bytes."""
    loop, far = asyncio.get_running_loop(), agent()
    async with shaking(laptop()) as (protocol, peer):
        far.receive_data(await loop.sock_recv(peer, 65536))
        await loop.sock_sendall(peer, far.data_to_send())
        far.receive_data(await loop.sock_recv(peer, 65536))
        await loop.sock_sendall(peer, far.data_to_send() + b"frames")
        assert await protocol.finished == bytes(AGENT.verify_key)
        assert protocol._tunnel.received == b"frames"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "said", [b"", b"kdev-tunnel/1\n", b"kdev-tunnel/1\n\x00\x40{"], ids=["nothing", "line", "half"]
)
async def test_a_peer_that_hangs_up_never_reaches_the_tunnel(said: bytes) -> None:
    """However far it came, an end before the proof is a failure."""
    async with shaking(agent()) as (protocol, peer):
        await asyncio.get_running_loop().sock_sendall(peer, said)
        peer.shutdown(socket.SHUT_WR)
        with pytest.raises(AgentFailure, match="laptop-hung-up"):
            await protocol.finished
        assert not protocol._tunnel.connected  # type: ignore[attr-defined]


async def test_a_peer_that_says_nothing_is_not_waited_for() -> None:
    """A handshake has its time, and the carrier closes after it."""
    async with shaking(laptop(), seconds=0.01) as (protocol, _):
        with pytest.raises(AgentFailure, match="agent-hung-up"):
            await protocol.finished


async def test_a_peer_that_lies_is_told_and_hung_up_on() -> None:
    """The refusal reaches a wrong laptop before the carrier closes; the tunnel is never reached."""
    loop = asyncio.get_running_loop()
    near = laptop(STRANGER)
    async with shaking(agent()) as (protocol, peer):
        await loop.sock_sendall(peer, near.data_to_send())
        with pytest.raises(AgentFailure, match="alice"):
            near.receive_data(await loop.sock_recv(peer, 65536))
        assert await loop.sock_recv(peer, 1) == b""
        with pytest.raises(AgentFailure, match="agent-serves-another-session"):
            await protocol.finished
        assert not protocol._tunnel.connected  # type: ignore[attr-defined]
