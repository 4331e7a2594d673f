"""The page about the session protocol: handshake, messages and streams, from the types that are on the wire."""

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import get_args

import msgspec
from msgspec.structs import FieldInfo

from docs.writers.markdown import attributes, described, table
from kdev.tunnel import framing, handshake, messages, records, streams
from kdev.tunnel.handshake import exchange
from kdev.tunnel.yamux.frames import INITIAL_WINDOW


def page() -> str:
    """The page's text."""
    return "\n".join((_begin(), *_handshake(), _TUNNEL, *_control(), *_streams()))


def _begin() -> str:
    version = messages.PROTOCOL_VERSION
    return f"# Session protocol\nVersion {version}, over one byte stream: a port-forward to the agent's port.\n"


def _handshake() -> Iterator[str]:
    yield f"## Handshake\n{described(handshake)}\n"
    yield from _messages((exchange.Hello, exchange.Challenge, exchange.Proof, exchange.Welcome))
    yield f"A message has at most {exchange.MESSAGE_LIMIT} bytes; in JSON, bytes are base64.\n"


_TUNNEL = f"""\
## The tunnel
After the handshake both ends speak [yamux](https://github.com/hashicorp/yamux/blob/master/spec.md); the laptop is its
client. A stream's window is {INITIAL_WINDOW // 1024} KiB. The laptop opens the first stream, for control; the agent
opens all others.
"""


def _control() -> Iterator[str]:
    yield f"## Control messages\n{described(messages)}\n"
    yield f"A message has at most {framing.MESSAGE_LIMIT // 1024} KiB; its length is in four bytes.\n"
    yield "## From laptop to agent\n"
    yield from _messages(get_args(messages.FromLaptop))
    yield "## From agent to laptop\n"
    yield from _messages(get_args(messages.FromAgent))
    yield f"## Values in messages\n### `Mode`\n{described(messages.Mode)} {_enumerated(messages.Mode)}\n"
    yield from _messages((messages.Probe, messages.PodFacts, messages.Container))


def _streams() -> Iterator[str]:
    yield f"## Streams\n{described(streams)}\n"
    yield f"The head is JSON, preceded by its length in two bytes, at most {streams.HEAD_LIMIT} bytes.\n"
    yield from _messages((streams.StreamHead,))
    yield f"### `StreamForm`\n{described(streams.StreamForm)}\n"
    yield f"### `Answer`\n{described(streams.Answer)} {_enumerated(streams.Answer)}\n"
    yield f"## Records\n{described(records)}\n"
    yield f"A record has at most {records.RECORD_LIMIT // 1024} KiB.\n"


def _enumerated(values: type[Enum]) -> str:
    return ", ".join(f"`{one.name}` is `{one.value}`" for one in values) + "."


def _messages(kinds: Iterable[type[msgspec.Struct]]) -> Iterator[str]:
    for kind in kinds:
        meaning = attributes(kind)
        tag = kind.__struct_config__.tag
        heading = f"### `{kind.__name__}`" + (f", `type` is `{tag}`" if tag else "")
        rows = [
            (f"`{field.name}`", _type(field), _default(field), meaning.get(field.name, "")) for field in _fields(kind)
        ]
        yield f"{heading}\n{described(kind)}\n\n" + (
            table(("field", "type", "default", "meaning"), rows) if rows else ""
        )


def _fields(kind: type[msgspec.Struct]) -> tuple[FieldInfo, ...]:
    return msgspec.structs.fields(kind)


def _type(field: FieldInfo) -> str:
    name = field.type.__name__ if isinstance(field.type, type) and not get_args(field.type) else str(field.type)
    return f"`{name.replace('kdev.tunnel.messages.', '').replace('kdev.tunnel.streams.', '')}`"


def _default(field: FieldInfo) -> str:
    if field.default_factory is not msgspec.NODEFAULT:
        return f"`{field.default_factory()!r}`"
    if field.default is msgspec.NODEFAULT:
        return "required"
    value = field.default.value if isinstance(field.default, Enum) else field.default
    return f"`{value!r}`"
