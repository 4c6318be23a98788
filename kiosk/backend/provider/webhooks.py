"""Webhooks of ElevenLabs after a conversation: is one theirs, and what does it say? No I/O, no
clock.

The hook is the workspace's: conversations of other agents come too, and so do kinds of event that
nobody here has heard of. Those are read as `UnknownEvent` and are no error: whoever answers with
errors for long gets no more events.
"""

import hmac
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Any, NamedTuple, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import from_json

from kiosk.base.name_fields import AgentId
from kiosk.base.names import NAME
from kiosk.contract import conversation_id

SIGNATURE_HEADER = "ElevenLabs-Signature"
# Either way: the provider retries for that long, and clocks are not the same.
TOLERANCE_S = 1800
# Room for a dozen signatures; the provider sends one, or two while a secret is replaced.
MAX_HEADER_LENGTH = 1024
# A variable of this prefix is a secret, says the provider.
_SECRET_PREFIX = "secret__"  # noqa: S105  the prefix of a name
# No money and no time of one conversation comes near it.
_MOST = 1e9
_LAST_SECOND = 253_402_300_799  # of the year 9999, the last that a datetime can hold
_TEXT_LIMIT = 256
_AUDIO = "post_call_audio"

_TIME = re.compile(r"[0-9]{1,12}")
_SIGNATURE = re.compile(r"[0-9a-f]{64}")


class SignatureReason(StrEnum):
    """Why a request is not believed; for a log line and a counter."""

    MISSING = "missing"
    TOO_LONG = "too-long"
    MALFORMED = "malformed"
    TOO_OLD = "too-old"
    TOO_NEW = "too-new"
    NO_SECRET = "no-secret"  # noqa: S105  what is missing, and no secret
    MISMATCH = "mismatch"


class SignatureError(Exception):
    """The request is not shown to be the provider's."""

    def __init__(self, reason: SignatureReason) -> None:
        super().__init__(reason)
        self.reason = reason


class WebhookError(ValueError):
    """The body is no event; the message names what is missing, never a value."""


class TranscriptTurn(NamedTuple):
    """Something that was said."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class PostCallTranscription:
    """How a conversation went. `cost` is in credits; `transcript` is None where the agent is set to
    leave it out. Neither what was said nor the variables show in the repr."""

    conversation_id: str
    agent_id: str | None
    status: str
    duration_s: float
    cost: float | None
    termination_reason: str | None
    started_at: datetime | None
    transcript: tuple[TranscriptTurn, ...] | None = field(default=None, repr=False)
    # The texts among them, and no secrets.
    dynamic_variables: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class PostCallAudio:
    """The sound of a conversation came; it is never decoded. No conversation is named by one that
    was too long to be held."""

    conversation_id: str | None


@dataclass(frozen=True, slots=True)
class CallInitiationFailure:
    """A telephone call that did not come about."""

    conversation_id: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class UnknownEvent:
    """An event of another kind."""

    type: str


WebhookEvent: TypeAlias = (
    PostCallTranscription | PostCallAudio | CallInitiationFailure | UnknownEvent
)


class Signature:
    """What is signed, hashed as it comes: a recording is never held whole."""

    def __init__(self, header: str, secrets: Sequence[SecretStr], now: datetime) -> None:
        """Raises SignatureError if no body could make it good."""
        sent_at, self._signatures = _read_header(header)
        age_s = now.timestamp() - int(sent_at)
        if age_s > TOLERANCE_S:
            raise SignatureError(SignatureReason.TOO_OLD)
        if age_s < -TOLERANCE_S:
            raise SignatureError(SignatureReason.TOO_NEW)
        # With an empty key anybody can sign.
        keys = [secret.get_secret_value().encode() for secret in secrets]
        self._hashes = [
            hmac.new(key, sent_at.encode("ascii") + b".", sha256) for key in keys if key
        ]
        if not self._hashes:
            raise SignatureError(SignatureReason.NO_SECRET)

    def update(self, part: bytes) -> None:
        """Take the next part of the body."""
        for each in self._hashes:
            each.update(part)

    def verify(self) -> None:
        """Raises SignatureError unless one of the secrets signed what came.

        While a secret is replaced the provider may sign with both, and we may know both.
        """
        right = [each.hexdigest() for each in self._hashes]
        # All of them, even after a match: the time taken does not tell which secret it was.
        matches = [
            hmac.compare_digest(ours, theirs) for ours in right for theirs in self._signatures
        ]
        if not any(matches):
            raise SignatureError(SignatureReason.MISMATCH)


def is_audio(beginning: bytes) -> bool:
    """Whether a body that begins so is a recording: its type stands in front of the sound."""
    try:
        told = from_json(beginning.decode(errors="ignore"), allow_partial=True)
    except ValueError:
        return False
    return isinstance(told, dict) and told.get("type") == _AUDIO


def read_event(body: bytes) -> WebhookEvent:
    """What a verified body says; raises WebhookError."""
    envelope = _validated(_Envelope, _object(body))
    read = _READERS.get(envelope.type)
    return UnknownEvent(envelope.type) if read is None else read(envelope.data)


def _read_header(header: str) -> tuple[str, list[str]]:
    """The time as it was signed, and the signatures; schemes other than v0 are passed over."""
    if not header:
        raise SignatureError(SignatureReason.MISSING)
    if len(header) > MAX_HEADER_LENGTH:
        raise SignatureError(SignatureReason.TOO_LONG)
    parts = [part.strip(" \t").partition("=") for part in header.split(",")]
    times = [value for name, _, value in parts if name == "t"]
    signatures = [value for name, _, value in parts if name == "v0"]
    well_formed = (
        len(times) == 1
        and _TIME.fullmatch(times[0])
        and signatures
        and all(map(_SIGNATURE.fullmatch, signatures))
    )
    if not well_formed:
        raise SignatureError(SignatureReason.MALFORMED)
    return times[0], signatures


def _named_conversation(text: str) -> str:
    if conversation_id(text) is None:
        raise ValueError("not the id of a conversation")
    return text


def _cut(text: str) -> str:
    return text[:_TEXT_LIMIT]


_ConversationId: TypeAlias = Annotated[str, AfterValidator(_named_conversation)]
_Word: TypeAlias = Annotated[str, Field(pattern=f"^{NAME.pattern}$")]
_Text: TypeAlias = Annotated[str, AfterValidator(_cut)]
_Number: TypeAlias = Annotated[float, Field(ge=0, le=_MOST, allow_inf_nan=False)]
_Moment: TypeAlias = Annotated[float, Field(ge=0, le=_LAST_SECOND, allow_inf_nan=False)]


def _or_none(value: object, read: ValidatorFunctionWrapHandler) -> Any:
    """What is not needed and cannot be read is not there: nobody sends the delivery again."""
    try:
        return read(value)
    except ValidationError:
        return None


_Spare = WrapValidator(_or_none)


class _Wire(BaseModel):
    """Strict: a number is neither text nor true; what is not named here is passed over."""

    model_config = ConfigDict(strict=True, frozen=True, hide_input_in_errors=True)


class _Envelope(_Wire):
    type: _Word
    data: Any = None  # its shape is known by the type only


class _Turn(_Wire):
    role: _Word
    message: str | None = None


class _Metadata(_Wire):
    call_duration_secs: _Number
    start_time_unix_secs: Annotated[_Moment | None, _Spare] = None
    cost: Annotated[_Number | None, _Spare] = None
    termination_reason: Annotated[_Text | None, _Spare] = None


class _Initiation(_Wire):
    # Its keys are a stranger's: they are read by hand, so that no error names them.
    dynamic_variables: Any = None


class _Transcription(_Wire):
    conversation_id: _ConversationId
    agent_id: Annotated[AgentId | None, _Spare] = None
    status: _Word
    metadata: _Metadata
    transcript: Annotated[list[Annotated[_Turn | None, _Spare]] | None, _Spare] = None
    conversation_initiation_client_data: Annotated[_Initiation | None, _Spare] = None


class _Audio(_Wire):
    conversation_id: _ConversationId


class _Failure(_Wire):
    conversation_id: _ConversationId
    failure_reason: Annotated[_Text | None, _Spare] = None


def _transcription(data: object) -> PostCallTranscription:
    told = _validated(_Transcription, data)
    turns, initiation = told.transcript, told.conversation_initiation_client_data
    started_s = told.metadata.start_time_unix_secs
    return PostCallTranscription(
        conversation_id=told.conversation_id,
        agent_id=told.agent_id,
        status=told.status,
        duration_s=told.metadata.call_duration_secs,
        cost=told.metadata.cost,
        termination_reason=told.metadata.termination_reason or None,
        started_at=None if started_s is None else datetime.fromtimestamp(started_s, UTC),
        # A turn without a message calls a tool.
        transcript=None
        if turns is None
        else tuple(
            TranscriptTurn(turn.role, turn.message) for turn in turns if turn and turn.message
        ),
        dynamic_variables=_texts(initiation.dynamic_variables if initiation else None),
    )


def _audio(data: object) -> PostCallAudio:
    return PostCallAudio(_validated(_Audio, data).conversation_id)


def _failure(data: object) -> CallInitiationFailure:
    told = _validated(_Failure, data)
    return CallInitiationFailure(told.conversation_id, told.failure_reason)


_READERS: Mapping[str, Callable[[object], WebhookEvent]] = {
    "post_call_transcription": _transcription,
    _AUDIO: _audio,
    "call_initiation_failure": _failure,
}


def _texts(variables: object) -> dict[str, str]:
    if not isinstance(variables, Mapping):
        return {}
    return {
        name: value
        for name, value in variables.items()
        if isinstance(value, str) and not name.startswith(_SECRET_PREFIX)
    }


def _object(body: bytes) -> dict[str, Any]:
    """The body's JSON. Half of a character that stands alone, as a model sometimes says it, is
    replaced. Raises WebhookError."""
    try:
        found = json.loads(body.decode("utf-8"))
        if b"\\ud" in body.lower():
            halves = json.dumps(found, ensure_ascii=False).encode("utf-16", "surrogatepass")
            found = json.loads(halves.decode("utf-16", "replace"))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise WebhookError("the webhook's body is not a JSON object")
    return found


_Model = TypeVar("_Model", bound=_Wire)


def _validated(model: type[_Model], told: object) -> _Model:
    """The whole body, or its data; raises WebhookError."""
    try:
        return model.model_validate(told)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        within = [] if model is _Envelope else ["data"]
        where = ".".join(map(str, [*within, *first["loc"]]))
        missing = first["type"] == "missing" or told is None
        what = "is missing" if missing else "cannot be used"
        raise WebhookError(f"the webhook's {where} {what}") from None
