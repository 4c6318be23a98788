"""Wire of a speech engine: the service asks a server of ours what its agent answers. Pure.

The service opens a WebSocket for each conversation, shows a JWT, and sends the whole talk whenever
the visitor has said something; the server streams the answer back. Names and rules are those of the
official SDK (elevenlabs 2.78.0, `speech_engine`). Time is an argument.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from kiosk.convai.fields import Json

AUTHORIZATION = "X-Elevenlabs-Speech-Engine-Authorization"
LEEWAY_S = 60

_ISSUER = "https://api.elevenlabs.io/convai/speech-engine"
_SUBJECT = "convai_speech_engine_upstream"
_LIFE_S = 300
_HEADER = {"alg": "HS256", "typ": "JWT"}
# A key of a region has it as a suffix, which the service does not sign with.
_RESIDENCY = re.compile(r"_residency_[a-z0-9]+$")

Role: TypeAlias = Literal["user", "agent"]
_ROLES: tuple[Role, ...] = ("user", "agent")


@dataclass(frozen=True, slots=True)
class Said:
    """One turn of a talk."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Begun:
    """The service's first message."""

    conversation_id: str


@dataclass(frozen=True, slots=True)
class Asked:
    """The talk so far, the visitor's newest turn last. What answers it carries the id."""

    event_id: int | None
    talk: tuple[Said, ...]


@dataclass(frozen=True, slots=True)
class Pinged:
    """Is somebody there?"""


@dataclass(frozen=True, slots=True)
class Ended:
    """The conversation is over."""


@dataclass(frozen=True, slots=True)
class Complained:
    """The service found something wrong; its text may hold anything."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A piece of an answer, as a server sends it; the last one is empty."""

    event_id: int | None
    content: str
    is_final: bool


FromService: TypeAlias = Begun | Asked | Pinged | Ended | Complained


class FrameError(ValueError):
    """A frame makes no sense; the message says why, without its content."""


def read_frame(frame: str | bytes) -> FromService | None:
    """What the service says; None for what nobody here knows. Raises FrameError."""
    body = _object(frame)
    match body.get("type"):
        case "init":
            return Begun(str(body.get("conversation_id") or ""))
        case "user_transcript":
            talk = body.get("user_transcript")
            if not isinstance(talk, list):
                raise FrameError("a transcript is not a list")
            event_id = body.get("event_id")
            number = event_id if isinstance(event_id, int) else None
            known = tuple(said for each in talk if (said := _said(each)) is not None)
            if not any(said.role == "user" for said in known):
                raise FrameError("a transcript holds nothing of the user's")
            return Asked(number, known)
        case "ping":
            return Pinged()
        case "close":
            return Ended()
        case "error":
            return Complained()
    return None


def write_begun(conversation_id: str) -> str:
    """As the service begins."""
    return json.dumps({"type": "init", "conversation_id": conversation_id})


def write_asked(event_id: int, talk: Sequence[Said]) -> str:
    """As the service asks."""
    said = [{"role": each.role, "content": each.content} for each in talk]
    return json.dumps({"type": "user_transcript", "event_id": event_id, "user_transcript": said})


def write_ended() -> str:
    """As the service ends a conversation."""
    return json.dumps({"type": "close"})


def write_answer(answer: Answered) -> str:
    """As a server answers."""
    return json.dumps({
        "type": "agent_response", "content": answer.content, "event_id": answer.event_id,
        "is_final": answer.is_final,
    })  # fmt: skip


def write_pong() -> str:
    """As a server says that it is there."""
    return json.dumps({"type": "pong"})


def read_answer(frame: str | bytes) -> Answered | None:
    """What a server says; None for anything but an answer. Raises FrameError."""
    body = _object(frame)
    if body.get("type") != "agent_response":
        return None
    event_id, content = body.get("event_id"), body.get("content")
    if not isinstance(content, str):
        raise FrameError("an answer has no text")
    number = event_id if isinstance(event_id, int) else None
    return Answered(number, content, body.get("is_final") is True)


# --- who asks -------------------------------------------------------------------------------------


class NotTheServiceError(ValueError):
    """Whoever asks is not the service; the message says why, and holds nothing that was shown."""


def sign(api_key: str, now_s: float) -> str:
    """The JWT that the service shows, for an account with this key."""
    claims = {
        "iss": _ISSUER, "sub": _SUBJECT, "iat": int(now_s), "exp": int(now_s) + _LIFE_S,
    }  # fmt: skip
    signed = f"{_encoded(_HEADER)}.{_encoded(claims)}"
    return f"{signed}.{_base64(_signature(signed, api_key))}"


def verify(header: str, api_key: str, now_s: float) -> None:
    """Raises NotTheServiceError unless the header's JWT is the service's, for this account, now."""
    token = header.strip()
    if token.lower().startswith("bearer "):
        token = token[7:].strip()
    parts = token.split(".")
    if len(parts) != 3:
        raise NotTheServiceError("it shows no JWT")
    signed, signature = f"{parts[0]}.{parts[1]}", _decoded(parts[2])
    if not hmac.compare_digest(_signature(signed, api_key), signature):
        raise NotTheServiceError("its signature is not made with this backend's API key")
    claims = _claims(parts[1])
    if (claims.get("iss"), claims.get("sub")) != (_ISSUER, _SUBJECT):
        raise NotTheServiceError("its JWT is for something else")
    begins, ends = claims.get("iat"), claims.get("exp")
    if not isinstance(begins, int | float) or not isinstance(ends, int | float):
        raise NotTheServiceError("its JWT has no times")
    if not begins - LEEWAY_S <= now_s <= ends + LEEWAY_S:
        raise NotTheServiceError("its JWT is of another time: is the clock right?")


def _signature(signed: str, api_key: str) -> bytes:
    secret = hashlib.sha256(_RESIDENCY.sub("", api_key.strip()).encode()).digest()
    return hmac.new(secret, signed.encode(), hashlib.sha256).digest()


def _encoded(value: Mapping[str, object]) -> str:
    return _base64(json.dumps(value, separators=(",", ":")).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4))
    except (ValueError, binascii.Error):
        raise NotTheServiceError("it shows no JWT") from None


def _claims(text: str) -> dict[str, object]:
    try:
        claims = json.loads(_decoded(text))
    except (ValueError, RecursionError):
        raise NotTheServiceError("it shows no JWT") from None
    if not isinstance(claims, dict):
        raise NotTheServiceError("it shows no JWT")
    return claims


def _object(frame: str | bytes) -> dict[str, Json]:
    try:
        body = json.loads(frame)
    except (ValueError, RecursionError) as error:
        raise FrameError("it is not JSON") from error
    if not isinstance(body, dict):
        raise FrameError("it is not an object")
    return body


def _said(turn: Json) -> Said | None:
    """A turn; None for one that is of nobody here: it comes again with each transcript."""
    if not isinstance(turn, dict):
        return None
    role = next((each for each in _ROLES if each == turn.get("role")), None)
    content = turn.get("content")
    return Said(role, content) if role is not None and isinstance(content, str) else None
