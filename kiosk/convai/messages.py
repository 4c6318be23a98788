"""The messages of the wire as frozen dataclasses, with their writers. Pure: no I/O.

Written is only the true, nested form of the published contract (AsyncAPI "agents conversation").
Reading, which also accepts the flat form of popular guides, is in `kiosk.convai.parsing`.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from kiosk.convai.fields import Json

# --- client to server ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Initiation:
    """The first frame a client sends. Empty parts are left out: the smallest object is the most
    portable, and every override not enabled on the agent ends the conversation with 1008."""

    overrides: Mapping[str, Json] = field(default_factory=dict)
    dynamic_variables: Mapping[str, Json] = field(default_factory=dict)
    user_id: str | None = None
    source: str | None = None
    version: str | None = None

    def body(self) -> dict[str, Json]:
        body: dict[str, Json] = {"type": "conversation_initiation_client_data"}
        if self.overrides:
            body["conversation_config_override"] = dict(self.overrides)
        if self.dynamic_variables:
            body["dynamic_variables"] = dict(self.dynamic_variables)
        if self.user_id is not None:
            body["user_id"] = self.user_id
        if self.source is not None:
            body["source_info"] = {"source": self.source, "version": (self.version or "")[:50]}
        return body


@dataclass(frozen=True, slots=True)
class UserAudio:
    """Microphone sound in the negotiated input format. On the wire it has no `type`."""

    audio: bytes

    def body(self) -> dict[str, Json]:
        return {"user_audio_chunk": base64.b64encode(self.audio).decode("ascii")}


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a ping; the id goes back with the JSON type it came with."""

    event_id: int | str

    def body(self) -> dict[str, Json]:
        return {"type": "pong", "event_id": self.event_id}


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The answer to a tool call; `result` is always a string (an object is closed with 1008)."""

    tool_call_id: str
    result: str
    is_error: bool = False

    def body(self) -> dict[str, Json]:
        return {
            "type": "client_tool_result",
            "tool_call_id": self.tool_call_id,
            "result": self.result,
            "is_error": self.is_error,
        }


@dataclass(frozen=True, slots=True)
class ContextualUpdate:
    """Something the agent should know; it does not answer and is not interrupted."""

    text: str

    def body(self) -> dict[str, Json]:
        return {"type": "contextual_update", "text": self.text}


@dataclass(frozen=True, slots=True)
class UserMessage:
    """Typed input; the agent answers it like a spoken turn."""

    text: str

    def body(self) -> dict[str, Json]:
        return {"type": "user_message", "text": self.text}


@dataclass(frozen=True, slots=True)
class UserActivity:
    """The visitor is busy: resets the server's turn timeout."""

    def body(self) -> dict[str, Json]:
        return {"type": "user_activity"}


ClientMessage: TypeAlias = (
    Initiation | UserAudio | Pong | ToolResult | ContextualUpdate | UserMessage | UserActivity
)

# --- server to client ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Metadata:
    """The server's first frame: the conversation's id and the audio format of each direction."""

    conversation_id: str | None
    agent_output_format: str | None = None
    user_input_format: str | None = None

    def body(self) -> dict[str, Json]:
        return _event(
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
        return {
            "type": "ping",
            "ping_event": {"event_id": self.event_id, "ping_ms": self.ping_ms},
        }


@dataclass(frozen=True, slots=True)
class AgentAudio:
    """Agent speech in the negotiated output format, in bursts ahead of real time."""

    audio: bytes
    event_id: int | None = None
    is_final: bool = False

    def body(self) -> dict[str, Json]:
        return _event(
            "audio",
            "audio_event",
            audio_base_64=base64.b64encode(self.audio).decode("ascii"),
            event_id=self.event_id,
            is_final=self.is_final or None,
        )


@dataclass(frozen=True, slots=True)
class AgentResponse:
    """The whole text of the agent's turn, sent with its first audio."""

    text: str
    event_id: int | None = None

    def body(self) -> dict[str, Json]:
        return _event(
            "agent_response",
            "agent_response_event",
            agent_response=self.text,
            event_id=self.event_id,
        )


@dataclass(frozen=True, slots=True)
class AgentResponseCorrection:
    """After an interruption: the agent's text cut to what was spoken."""

    original: str
    corrected: str
    event_id: int | None = None

    def body(self) -> dict[str, Json]:
        return _event(
            "agent_response_correction",
            "agent_response_correction_event",
            original_agent_response=self.original,
            corrected_agent_response=self.corrected,
            event_id=self.event_id,
        )


@dataclass(frozen=True, slots=True)
class UserTranscript:
    """What the server heard the visitor say; `tentative` while the turn still runs."""

    text: str
    event_id: int | None = None
    tentative: bool = False

    def body(self) -> dict[str, Json]:
        name = "tentative_user_transcript" if self.tentative else "user_transcript"
        wrapper = ("tentative_" if self.tentative else "") + "user_transcription_event"
        return _event(name, wrapper, user_transcript=self.text, event_id=self.event_id)


@dataclass(frozen=True, slots=True)
class Interruption:
    """The visitor spoke over the agent: everything up to `event_id` is void."""

    event_id: int | None = None

    def body(self) -> dict[str, Json]:
        return _event("interruption", "interruption_event", event_id=self.event_id)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """Run a tool of the kiosk's; `expects_response` missing on the wire means true."""

    tool_name: str
    tool_call_id: str
    parameters: Mapping[str, Json] = field(default_factory=dict)
    expects_response: bool = True

    def body(self) -> dict[str, Json]:
        return _event(
            "client_tool_call",
            "client_tool_call",
            tool_name=self.tool_name,
            tool_call_id=self.tool_call_id,
            parameters=dict(self.parameters),
            expects_response=self.expects_response,
        )


@dataclass(frozen=True, slots=True)
class AgentToolResponse:
    """A server-side tool ran; `end_call` is seen only here, and in the close that follows."""

    tool_name: str
    tool_call_id: str = ""
    tool_type: str = "system"
    is_error: bool = False

    def body(self) -> dict[str, Json]:
        return _event(
            "agent_tool_response",
            "agent_tool_response",
            tool_name=self.tool_name,
            tool_call_id=self.tool_call_id,
            tool_type=self.tool_type,
            is_error=self.is_error,
        )


@dataclass(frozen=True, slots=True)
class ErrorReport:
    """The server's own account of a failure, usually right before it closes."""

    code: int | None
    message: str = ""
    error_type: str | None = None

    def body(self) -> dict[str, Json]:
        return _event(
            "error",
            "error_event",
            code=self.code,
            message=self.message,
            error_type=self.error_type,
        )


ServerMessage: TypeAlias = (
    Metadata
    | Ping
    | AgentAudio
    | AgentResponse
    | AgentResponseCorrection
    | UserTranscript
    | Interruption
    | ToolCall
    | AgentToolResponse
    | ErrorReport
)


@dataclass(frozen=True, slots=True)
class Unknown:
    """A well-formed frame of a type this client does not use; it is ignored."""

    type_name: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """A frame that is not a message; `why` never quotes its content."""

    why: str


def serialize(message: ClientMessage | ServerMessage) -> str:
    """The frame's text: compact JSON."""
    return json.dumps(message.body(), separators=(",", ":"), ensure_ascii=False)


def _event(type_name: str, wrapper: str, **fields: Any) -> dict[str, Json]:
    """A nested event; fields that are None are left out, as the service does with optional ones."""
    return {
        "type": type_name,
        wrapper: {name: value for name, value in fields.items() if value is not None},
    }
