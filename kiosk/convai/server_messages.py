"""Messages of a server, as frozen dataclasses with their writers. Pure: no I/O.

Written is only the true, nested form of the published contract (AsyncAPI "agents conversation").
Reading, which also accepts the flat form of popular guides, is in `server_parsing`. Every event but
the first is optional: an agent's configuration chooses which are sent.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kiosk.convai.fields import Json
from kiosk.convai.frames import event

# --- the conversation ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Metadata:
    """The server's first frame: the conversation's id and the audio format of each direction."""

    conversation_id: str | None
    agent_output_format: str | None = None
    user_input_format: str | None = None

    def body(self) -> dict[str, Json]:
        return event(
            "conversation_initiation_metadata",
            "conversation_initiation_metadata_event",
            conversation_id=self.conversation_id,
            agent_output_audio_format=self.agent_output_format,
            user_input_audio_format=self.user_input_format,
        )


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks for a pong at once; `ping_ms` is the server's last measured round trip."""

    event_id: int | str
    ping_ms: int | None = None

    def body(self) -> dict[str, Json]:
        # The one optional field that the service writes as null.
        return {"type": "ping", "ping_event": {"event_id": self.event_id, "ping_ms": self.ping_ms}}


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """ "waiting": the visitor is held, maybe with music; "admitted"; "timed_out": 4300 follows."""

    status: str

    def body(self) -> dict[str, Json]:
        return event("queue_status", "queue_status_event", status=self.status)


@dataclass(frozen=True, slots=True)
class ErrorReport:
    """The server's own account of a failure, usually right before it closes."""

    code: int | None
    message: str = ""
    error_type: str | None = None
    reason: str | None = None

    def body(self) -> dict[str, Json]:
        return event(
            "error",
            "error_event",
            code=self.code,
            message=self.message,
            error_type=self.error_type,
            reason=self.reason,
        )


@dataclass(frozen=True, slots=True)
class ClientError:
    """The same as an opt-in report to the client."""

    code: int | None
    name: str | None = None
    message: str = ""

    def body(self) -> dict[str, Json]:
        return event(
            "client_error",
            "error_event",
            code=self.code,
            error_name=self.name,
            message=self.message,
        )


@dataclass(frozen=True, slots=True)
class GuardrailTriggered:
    """A safety rule of the agent fired."""

    name: str | None = None

    def body(self) -> dict[str, Json]:
        return event("guardrail_triggered", "guardrail_triggered_event", guardrail_name=self.name)


# --- the agent's turn ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Alignment:
    """When each character of a chunk is spoken, in milliseconds from the chunk's beginning."""

    chars: Sequence[str]
    start_times_ms: Sequence[float]
    durations_ms: Sequence[float]


@dataclass(frozen=True, slots=True)
class AgentAudio:
    """Agent speech in the negotiated output format, in bursts ahead of real time.

    `is_final` is the published contract's mark of a turn's last chunk; seen live: written out, and
    false on every chunk.
    """

    audio: bytes
    event_id: int | None = None
    is_final: bool = False
    alignment: Alignment | None = None

    def body(self) -> dict[str, Json]:
        alignment: dict[str, Json] | None = None
        if self.alignment is not None:
            alignment = {
                "chars": list(self.alignment.chars),
                "char_start_times_ms": list(self.alignment.start_times_ms),
                "char_durations_ms": list(self.alignment.durations_ms),
            }
        return event(
            "audio",
            "audio_event",
            audio_base_64=base64.b64encode(self.audio).decode("ascii"),
            event_id=self.event_id,
            is_final=self.is_final,
            alignment=alignment,
        )


@dataclass(frozen=True, slots=True)
class AgentResponse:
    """The whole text of the agent's turn. Seen live: with the last chunk but one, after the last,
    or right after the interruption that cut the turn; guides send it with the first."""

    text: str
    event_id: int | None = None
    response_id: str | None = None

    def body(self) -> dict[str, Json]:
        return event(
            "agent_response",
            "agent_response_event",
            agent_response=self.text,
            event_id=self.event_id,
            response_id=self.response_id,
        )


@dataclass(frozen=True, slots=True)
class AgentResponseCorrection:
    """After an interruption: the agent's text cut to what was spoken."""

    original: str
    corrected: str
    event_id: int | None = None
    response_id: str | None = None

    def body(self) -> dict[str, Json]:
        return event(
            "agent_response_correction",
            "agent_response_correction_event",
            original_agent_response=self.original,
            corrected_agent_response=self.corrected,
            event_id=self.event_id,
            response_id=self.response_id,
        )


@dataclass(frozen=True, slots=True)
class AgentResponsePart:
    """Text as it is generated. `kind`: start, delta, stop. `reasoning`: not for the visitor."""

    text: str
    kind: str
    event_id: int | None = None
    response_id: str | None = None
    reasoning: bool = False

    def body(self) -> dict[str, Json]:
        if self.reasoning:  # experimental: its id is a string
            event_id = None if self.event_id is None else str(self.event_id)
            return event(
                "agent_reasoning_response_part",
                "reasoning_response_part",
                text=self.text,
                type=self.kind,
                event_id=event_id,
            )
        return event(
            "agent_chat_response_part",
            "text_response_part",
            text=self.text,
            type=self.kind,
            event_id=self.event_id,
            response_id=self.response_id,
        )


@dataclass(frozen=True, slots=True)
class AgentResponseComplete:
    """The turn was spoken to its end. Seen live: the sound's length after its first chunk, once a
    turn, and never of a turn that was cut. Opt-in."""

    event_id: int | None = None

    def body(self) -> dict[str, Json]:
        return event(
            "agent_response_complete", "agent_response_complete_event", event_id=self.event_id
        )


@dataclass(frozen=True, slots=True)
class ContextUsage:
    """How much of the model's context is used. Seen live: once a generated turn, after its last
    chunk. Opt-in."""

    event_id: int | None = None
    model: str = "local"
    tokens: int = 0
    limit: int = 0

    def body(self) -> dict[str, Json]:
        return event(
            "context_usage",
            "context_usage_event",
            event_id=self.event_id,
            model=self.model,
            context_tokens=self.tokens,
            context_limit_tokens=self.limit,
        )


@dataclass(frozen=True, slots=True)
class AgentResponseMetadata:
    """What a custom LLM says about its response."""

    metadata: Mapping[str, Json] = field(default_factory=dict)
    event_id: int | None = None

    def body(self) -> dict[str, Json]:
        return event(
            "agent_response_metadata",
            "agent_response_metadata_event",
            metadata=dict(self.metadata),
            event_id=self.event_id,
        )


# --- the visitor's turn -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class UserTranscript:
    """What the server heard the visitor say; `tentative` while the turn still runs."""

    text: str
    event_id: int | None = None
    tentative: bool = False

    def body(self) -> dict[str, Json]:
        name = "tentative_user_transcript" if self.tentative else "user_transcript"
        wrapper = ("tentative_" if self.tentative else "") + "user_transcription_event"
        return event(name, wrapper, user_transcript=self.text, event_id=self.event_id)


@dataclass(frozen=True, slots=True)
class Interruption:
    """The visitor spoke over the agent: everything up to `event_id` is void. Seen live: a number of
    its own, above that of the cut turn and below that of the next exchange."""

    event_id: int | None = None

    def body(self) -> dict[str, Json]:
        return event("interruption", "interruption_event", event_id=self.event_id)


@dataclass(frozen=True, slots=True)
class VadScore:
    """How sure the server is that somebody speaks, from 0 to 1."""

    score: float

    def body(self) -> dict[str, Json]:
        return event("vad_score", "vad_score_event", vad_score=self.score)
