"""Frames to messages, both sides of the wire. Pure: no I/O; never raises, whatever arrives.

Each reader looks for the true nested form first and falls back to the flat form of popular guides
(fields at the top level, or the event's value under the event's own name). Optional fields may be
missing; a frame without the one field it exists for is malformed.
"""

import json
from collections.abc import Callable

from kiosk.convai import fields
from kiosk.convai.fields import JsonObject
from kiosk.convai.messages import (
    AgentAudio,
    AgentResponse,
    AgentResponseCorrection,
    AgentToolResponse,
    ClientMessage,
    ContextualUpdate,
    ErrorReport,
    Initiation,
    Interruption,
    Malformed,
    Metadata,
    Ping,
    Pong,
    ServerMessage,
    ToolCall,
    ToolResult,
    Unknown,
    UserActivity,
    UserAudio,
    UserMessage,
    UserTranscript,
)

# The official clients accept this much in one frame.
MAX_FRAME_BYTES = 16 * 1024 * 1024


def parse_server(frame: str | bytes) -> ServerMessage | Unknown | Malformed:
    """What a client received."""
    body = _json_object(frame)
    if isinstance(body, Malformed):
        return body
    type_name = fields.text(body, "type")
    if type_name is None:
        return Malformed("no type")
    reader = _SERVER_READERS.get(type_name)
    if reader is None:
        return Unknown(type_name[:64])
    return reader(body) or Malformed(f"{type_name} without its payload")


def parse_client(frame: str | bytes) -> ClientMessage | Unknown | Malformed:
    """What a server received."""
    body = _json_object(frame)
    if isinstance(body, Malformed):
        return body
    type_name = fields.text(body, "type")
    if type_name is None:
        audio = fields.base64_bytes(body, "user_audio_chunk")
        return Malformed("neither type nor user_audio_chunk") if audio is None else UserAudio(audio)
    reader = _CLIENT_READERS.get(type_name)
    if reader is None:
        return Unknown(type_name[:64])
    return reader(body) or Malformed(f"{type_name} without its payload")


def _json_object(frame: str | bytes) -> dict[str, fields.Json] | Malformed:
    if isinstance(frame, bytes):
        return Malformed("a binary frame")
    try:
        body = json.loads(frame)
    except (ValueError, RecursionError):
        return Malformed("not JSON")
    return body if isinstance(body, dict) else Malformed("not a JSON object")


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


def _audio(body: JsonObject) -> AgentAudio | None:
    event = fields.table(body, "audio_event") or body
    audio = fields.base64_bytes(event, "audio_base_64", "audio_base64", "audio")
    if audio is None:
        return None
    return AgentAudio(
        audio=audio,
        event_id=fields.whole_number(event, "event_id"),
        is_final=fields.flag(event, "is_final", default=False),
    )


def _agent_response(body: JsonObject) -> AgentResponse | None:
    event = fields.table(body, "agent_response_event") or body
    text = fields.text(event, "agent_response")
    return None if text is None else AgentResponse(text, fields.whole_number(event, "event_id"))


def _correction(body: JsonObject) -> AgentResponseCorrection | None:
    event = fields.table(body, "agent_response_correction_event") or body
    corrected = fields.text(event, "corrected_agent_response")
    if corrected is None:
        return None
    return AgentResponseCorrection(
        original=fields.text(event, "original_agent_response") or "",
        corrected=corrected,
        event_id=fields.whole_number(event, "event_id"),
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


def _tool_call(body: JsonObject) -> ToolCall | None:
    event = fields.table(body, "client_tool_call") or body
    name, call_id = fields.text(event, "tool_name"), fields.text(event, "tool_call_id")
    if name is None or call_id is None:
        return None
    return ToolCall(
        tool_name=name,
        tool_call_id=call_id,
        parameters=fields.table(event, "parameters"),
        expects_response=fields.flag(event, "expects_response", default=True),
    )


def _agent_tool_response(body: JsonObject) -> AgentToolResponse | None:
    event = (
        fields.table(body, "agent_tool_response")
        or fields.table(body, "agent_tool_response_full_payload")
        or body
    )
    name = fields.text(event, "tool_name")
    if name is None:
        return None
    return AgentToolResponse(
        tool_name=name,
        tool_call_id=fields.text(event, "tool_call_id") or "",
        tool_type=fields.text(event, "tool_type") or "system",
        is_error=fields.flag(event, "is_error", default=False),
    )


def _error(body: JsonObject) -> ErrorReport:
    event = fields.table(body, "error_event") or body
    return ErrorReport(
        code=fields.whole_number(event, "code"),
        message=fields.text(event, "message", "reason") or "",
        error_type=fields.text(event, "error_type", "error_name"),
    )


def _initiation(body: JsonObject) -> Initiation:
    source = fields.table(body, "source_info")
    return Initiation(
        overrides=fields.table(body, "conversation_config_override"),
        dynamic_variables=fields.table(body, "dynamic_variables"),
        user_id=fields.text(body, "user_id"),
        source=fields.text(source, "source"),
        version=fields.text(source, "version"),
    )


def _pong(body: JsonObject) -> Pong | None:
    event_id = fields.echoed_id(body, "event_id")
    return None if event_id is None else Pong(event_id)


def _tool_result(body: JsonObject) -> ToolResult | None:
    call_id, result = fields.text(body, "tool_call_id"), fields.text(body, "result")
    if call_id is None or result is None:
        return None
    return ToolResult(call_id, result, fields.flag(body, "is_error", default=False))


def _contextual_update(body: JsonObject) -> ContextualUpdate | None:
    text = fields.text(body, "text")
    return None if text is None else ContextualUpdate(text)


def _user_message(body: JsonObject) -> UserMessage | None:
    text = fields.text(body, "text")
    return None if text is None else UserMessage(text)


def _user_activity(_: JsonObject) -> UserActivity:
    return UserActivity()


_SERVER_READERS: dict[str, Callable[[JsonObject], ServerMessage | None]] = {
    "conversation_initiation_metadata": _metadata,
    "ping": _ping,
    "audio": _audio,
    "agent_response": _agent_response,
    "agent_response_correction": _correction,
    "user_transcript": _transcript,
    "tentative_user_transcript": _tentative_transcript,
    "interruption": _interruption,
    "client_tool_call": _tool_call,
    "agent_tool_response": _agent_tool_response,
    "agent_tool_response_full_payload": _agent_tool_response,
    "error": _error,
    "client_error": _error,
}

_CLIENT_READERS: dict[str, Callable[[JsonObject], ClientMessage | None]] = {
    "conversation_initiation_client_data": _initiation,
    "pong": _pong,
    "client_tool_result": _tool_result,
    "contextual_update": _contextual_update,
    "user_message": _user_message,
    "user_activity": _user_activity,
}
