"""Frames from a client to messages. Pure: no I/O; never raises, whatever arrives.

Strict where the service is strict: a tool result that is no string, or a contextual update that
calls its text something else, is malformed.
"""

from collections.abc import Callable

from kiosk.convai import fields
from kiosk.convai.client_messages import (
    ClientMessage,
    ContextualUpdate,
    Feedback,
    Initiation,
    McpToolApprovalResult,
    MultimodalMessage,
    Pong,
    ToolErrorType,
    ToolResult,
    UserActivity,
    UserAudio,
    UserMessage,
)
from kiosk.convai.fields import JsonObject
from kiosk.convai.frames import Malformed, Unknown, json_object

_SCORES = ("like", "dislike")


def parse_client(frame: str | bytes) -> ClientMessage | Unknown | Malformed:
    """What a server received."""
    body = json_object(frame)
    if isinstance(body, Malformed):
        return body
    if "type" not in body:
        audio = fields.base64_bytes(body, "user_audio_chunk")
        return Malformed("neither type nor user_audio_chunk") if audio is None else UserAudio(audio)
    type_name = fields.text(body, "type")
    if type_name is None:
        return Malformed("a type that is no text")
    reader = _READERS.get(type_name)
    if reader is None:
        return Unknown(type_name[:64])
    return reader(body) or Malformed(f"{type_name} without its payload")


def _initiation(body: JsonObject) -> Initiation:
    source = fields.table(body, "source_info")
    return Initiation(
        overrides=fields.table(body, "conversation_config_override"),
        dynamic_variables=fields.table(body, "dynamic_variables"),
        custom_llm_extra_body=fields.table(body, "custom_llm_extra_body"),
        user_id=fields.text(body, "user_id"),
        source=fields.text(source, "source"),
        version=fields.text(source, "version"),
        branch_id=fields.text(body, "branch_id"),
        environment=fields.text(body, "environment"),
        starting_workflow_node_id=fields.text(body, "starting_workflow_node_id"),
        procedure_ids=fields.texts(body, "procedure_ids"),
        start_procedure_ids=fields.texts(body, "start_procedure_ids"),
        tool_mock_config=fields.table(body, "tool_mock_config"),
    )


def _pong(body: JsonObject) -> Pong | None:
    event_id = fields.echoed_id(body, "event_id")
    return None if event_id is None else Pong(event_id)


def _tool_result(body: JsonObject) -> ToolResult | None:
    call_id, result = fields.text(body, "tool_call_id"), fields.text(body, "result")
    if call_id is None or result is None:
        return None
    error_type = fields.text(body, "error_type")
    if error_type is not None and error_type not in set(ToolErrorType):
        return None
    return ToolResult(
        tool_call_id=call_id,
        result=result,
        is_error=fields.flag(body, "is_error", default=False),
        error_type=None if error_type is None else ToolErrorType(error_type),
    )


def _contextual_update(body: JsonObject) -> ContextualUpdate | None:
    text = fields.text(body, "text")
    return None if text is None else ContextualUpdate(text, fields.text(body, "context_id"))


def _user_message(body: JsonObject) -> UserMessage | None:
    text = fields.text(body, "text")
    if text is None:
        return None
    return UserMessage(
        text=text,
        id=fields.text(body, "id"),
        user_identifier=fields.text(body, "user_identifier"),
        source_medium=fields.text(body, "source_medium"),
        rich_content_id=fields.text(body, "rich_content_id"),
    )


def _user_activity(_: JsonObject) -> UserActivity:
    return UserActivity()


def _feedback(body: JsonObject) -> Feedback | None:
    event_id, score = fields.whole_number(body, "event_id"), body.get("score")
    if event_id is None or "score" not in body or (score is not None and score not in _SCORES):
        return None
    return Feedback(event_id, score if isinstance(score, str) else None)


def _mcp_approval(body: JsonObject) -> McpToolApprovalResult | None:
    call_id, approved = fields.text(body, "tool_call_id"), body.get("is_approved")
    if call_id is None or not isinstance(approved, bool):
        return None
    return McpToolApprovalResult(call_id, approved)


def _multimodal(body: JsonObject) -> MultimodalMessage | None:
    text = fields.text(fields.table(body, "text"), "text")
    # `file` is the deprecated form for one; the contract ignores it beside `files`.
    files = fields.tables(body, "files") or (fields.table(body, "file"),)
    file_ids = tuple(each for file in files if (each := fields.text(file, "file_id")) is not None)
    return MultimodalMessage(text, file_ids) if text is not None or file_ids else None


_READERS: dict[str, Callable[[JsonObject], ClientMessage | None]] = {
    "conversation_initiation_client_data": _initiation,
    "pong": _pong,
    "client_tool_result": _tool_result,
    "contextual_update": _contextual_update,
    "user_message": _user_message,
    "user_activity": _user_activity,
    "feedback": _feedback,
    "mcp_tool_approval_result": _mcp_approval,
    "multimodal_message": _multimodal,
}
