"""Frames from a server to messages. Pure: no I/O; never raises, whatever arrives.

Each reader looks for the true nested form first and falls back to the flat form of popular guides
(fields at the top level, or the event's value under the event's own name). Optional fields may be
missing; a frame without the one field it exists for is malformed.
"""

from collections.abc import Callable
from typing import TypeAlias

from kiosk.convai import fields
from kiosk.convai.fields import JsonObject
from kiosk.convai.frames import Ignored, Malformed, Unknown, json_object
from kiosk.convai.server_messages import (
    AgentAudio,
    AgentResponse,
    AgentResponseComplete,
    AgentResponseCorrection,
    AgentResponseMetadata,
    AgentResponsePart,
    Alignment,
    ClientError,
    ContextUsage,
    ErrorReport,
    GuardrailTriggered,
    Interruption,
    Metadata,
    Ping,
    QueueStatus,
    UserTranscript,
    VadScore,
)
from kiosk.convai.server_tool_parsing import TOOL_READERS, ServerToolMessage

ServerMessage: TypeAlias = (
    ServerToolMessage
    | Metadata
    | Ping
    | QueueStatus
    | ErrorReport
    | ClientError
    | GuardrailTriggered
    | AgentAudio
    | AgentResponse
    | AgentResponseCorrection
    | AgentResponsePart
    | AgentResponseComplete
    | AgentResponseMetadata
    | ContextUsage
    | UserTranscript
    | Interruption
    | VadScore
)

# Chat and internal events of the contract: a voice client has no use for them.
IGNORED_TYPES = frozenset(
    {
        "asr_initiation_metadata",
        "rich_content",
        "agent_typing",
        "external_agent_connected",
        "external_agent_disconnected",
        "internal_turn_probability",
        "internal_tentative_agent_response",
        "dtmf_request",
    }
)


def parse_server(frame: str | bytes) -> ServerMessage | Ignored | Unknown | Malformed:
    """What a client received."""
    body = json_object(frame)
    if isinstance(body, Malformed):
        return body
    type_name = fields.text(body, "type")
    if type_name is None:
        return Malformed("no type")
    reader = _READERS.get(type_name)
    if reader is None:
        return (Ignored if type_name in IGNORED_TYPES else Unknown)(type_name[:64])
    return reader(body) or Malformed(f"{type_name} without its payload")


def _metadata(body: JsonObject) -> Metadata:
    event = fields.table(body, "conversation_initiation_metadata_event") or body
    return Metadata(
        conversation_id=fields.text(event, "conversation_id"),
        agent_output_format=fields.text(event, "agent_output_audio_format"),
        user_input_format=fields.text(event, "user_input_audio_format"),
    )


def _ping(body: JsonObject) -> Ping | None:
    event = fields.table(body, "ping_event") or body
    event_id = fields.echoed_id(event, "event_id")
    if event_id is None:
        return None
    return Ping(event_id, fields.whole_number(event, "ping_ms"))


def _queue_status(body: JsonObject) -> QueueStatus | None:
    status = fields.text(fields.table(body, "queue_status_event") or body, "status")
    return None if status is None else QueueStatus(status)


def _error(body: JsonObject) -> ErrorReport:
    event = fields.table(body, "error_event") or body
    return ErrorReport(
        code=fields.whole_number(event, "code"),
        message=fields.text(event, "message") or "",
        error_type=fields.text(event, "error_type", "error_name"),
        reason=fields.text(event, "reason"),
    )


def _client_error(body: JsonObject) -> ClientError:
    event = fields.table(body, "error_event") or body
    return ClientError(
        code=fields.whole_number(event, "code"),
        name=fields.text(event, "error_name", "error_type"),
        message=fields.text(event, "message") or "",
    )


def _guardrail(body: JsonObject) -> GuardrailTriggered:
    event = fields.table(body, "guardrail_triggered_event") or body
    return GuardrailTriggered(fields.text(event, "guardrail_name"))


def _audio(body: JsonObject) -> AgentAudio | None:
    event = fields.table(body, "audio_event") or body
    audio = fields.base64_bytes(event, "audio_base_64", "audio_base64", "audio")
    if audio is None:
        return None
    return AgentAudio(
        audio=audio,
        event_id=fields.whole_number(event, "event_id"),
        is_final=fields.flag(event, "is_final", default=False),
        alignment=_alignment(fields.table(event, "alignment")),
    )


def _alignment(body: JsonObject) -> Alignment | None:
    chars = fields.texts(body, "chars")
    starts = fields.numbers(body, "char_start_times_ms")
    durations = fields.numbers(body, "char_durations_ms")
    if not chars or not len(chars) == len(starts) == len(durations):
        return None
    return Alignment(chars, starts, durations)


def _agent_response(body: JsonObject) -> AgentResponse | None:
    event = fields.table(body, "agent_response_event") or body
    text = fields.text(event, "agent_response")
    if text is None:
        return None
    event_id = fields.whole_number(event, "event_id")
    return AgentResponse(text, event_id, fields.text(event, "response_id"))


def _correction(body: JsonObject) -> AgentResponseCorrection | None:
    event = fields.table(body, "agent_response_correction_event") or body
    corrected = fields.text(event, "corrected_agent_response")
    if corrected is None:
        return None
    return AgentResponseCorrection(
        original=fields.text(event, "original_agent_response") or "",
        corrected=corrected,
        event_id=fields.whole_number(event, "event_id"),
        response_id=fields.text(event, "response_id"),
    )


def _text_part(body: JsonObject) -> AgentResponsePart | None:
    return _part(fields.table(body, "text_response_part"), reasoning=False)


def _reasoning_part(body: JsonObject) -> AgentResponsePart | None:
    return _part(fields.table(body, "reasoning_response_part"), reasoning=True)


def _part(event: JsonObject, *, reasoning: bool) -> AgentResponsePart | None:
    text, kind = fields.text(event, "text"), fields.text(event, "type")
    if text is None or kind is None:
        return None
    event_id = fields.whole_number(event, "event_id")
    return AgentResponsePart(text, kind, event_id, fields.text(event, "response_id"), reasoning)


def _complete(body: JsonObject) -> AgentResponseComplete:
    event = fields.table(body, "agent_response_complete_event") or body
    return AgentResponseComplete(fields.whole_number(event, "event_id"))


def _response_metadata(body: JsonObject) -> AgentResponseMetadata:
    event = fields.table(body, "agent_response_metadata_event") or body
    return AgentResponseMetadata(
        fields.table(event, "metadata"), fields.whole_number(event, "event_id")
    )


def _context_usage(body: JsonObject) -> ContextUsage:
    event = fields.table(body, "context_usage_event") or body
    return ContextUsage(
        event_id=fields.whole_number(event, "event_id"),
        model=fields.text(event, "model") or "",
        tokens=fields.whole_number(event, "context_tokens") or 0,
        limit=fields.whole_number(event, "context_limit_tokens") or 0,
    )


def _transcript(body: JsonObject) -> UserTranscript | None:
    return _any_transcript(body, "user_transcription_event", tentative=False)


def _tentative_transcript(body: JsonObject) -> UserTranscript | None:
    return _any_transcript(body, "tentative_user_transcription_event", tentative=True)


def _any_transcript(body: JsonObject, wrapper: str, *, tentative: bool) -> UserTranscript | None:
    # The guides nest under `user_transcript` and call the text `user_transcription`.
    event = fields.table(body, wrapper) or fields.table(body, "user_transcript") or body
    text = fields.text(event, "user_transcript", "user_transcription")
    if text is None:
        return None
    return UserTranscript(text, fields.whole_number(event, "event_id"), tentative)


def _interruption(body: JsonObject) -> Interruption:
    event = fields.table(body, "interruption_event") or body
    return Interruption(fields.whole_number(event, "event_id"))


def _vad_score(body: JsonObject) -> VadScore | None:
    score = fields.number(fields.table(body, "vad_score_event") or body, "vad_score")
    return None if score is None else VadScore(score)


_READERS: dict[str, Callable[[JsonObject], ServerMessage | None]] = {
    **TOOL_READERS,
    "conversation_initiation_metadata": _metadata,
    "ping": _ping,
    "queue_status": _queue_status,
    "error": _error,
    "client_error": _client_error,
    "guardrail_triggered": _guardrail,
    "audio": _audio,
    "agent_response": _agent_response,
    "agent_response_correction": _correction,
    "agent_chat_response_part": _text_part,
    "agent_reasoning_response_part": _reasoning_part,
    "agent_response_complete": _complete,
    "agent_response_metadata": _response_metadata,
    "context_usage": _context_usage,
    "user_transcript": _transcript,
    "tentative_user_transcript": _tentative_transcript,
    "interruption": _interruption,
    "vad_score": _vad_score,
}
