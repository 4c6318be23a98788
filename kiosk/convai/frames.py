"""Frames: one WebSocket text message is one JSON object. Pure: no I/O; never raises on a frame.

What every message has in common is here; the messages themselves are in `client_messages` and
`server_messages`, their readers in `client_parsing` and `server_parsing`.
"""

import json
from dataclasses import dataclass
from typing import Any, Protocol

from kiosk.convai.fields import Json

# The official clients accept this much in one frame.
MAX_FRAME_BYTES = 16 * 1024 * 1024


class Message(Protocol):
    """Anything with a place on the wire."""

    def body(self) -> dict[str, Json]:
        """The message as the JSON object of the published contract."""
        ...


@dataclass(frozen=True, slots=True)
class Unknown:
    """A well-formed frame of a type that the contract does not have, or not yet."""

    type_name: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """A frame of the contract that a voice client has no use for."""

    type_name: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """A frame that is not a message; `why` never quotes its content."""

    why: str


# Made once: json.dumps makes one for every frame.
_COMPACT = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


def serialize(message: Message) -> str:
    """The frame's text: compact JSON. Half a surrogate pair, which no frame can carry, is "?"."""
    text = _COMPACT.encode(message.body())
    return text.encode(errors="replace").decode()


def json_object(frame: str | bytes) -> dict[str, Json] | Malformed:
    """The frame's object; a binary frame is malformed whatever it holds."""
    if isinstance(frame, bytes):
        return Malformed("a binary frame")
    # Four bytes a character at most: only what may be too long is encoded to be measured.
    if len(frame) * 4 > MAX_FRAME_BYTES and len(frame.encode(errors="replace")) > MAX_FRAME_BYTES:
        return Malformed(f"more than {MAX_FRAME_BYTES} bytes")
    try:
        body = json.loads(frame)
    except (ValueError, RecursionError):
        return Malformed("not JSON")
    return body if isinstance(body, dict) else Malformed("not a JSON object")


def without_nones(**fields: Any) -> dict[str, Json]:
    """Optional fields that are None are left out, as the service does."""
    return {name: value for name, value in fields.items() if value is not None}


def event(type_name: str, wrapper: str, **fields: Any) -> dict[str, Json]:
    """A server's event: its fields nested under a key of their own."""
    return {"type": type_name, wrapper: without_nones(**fields)}
