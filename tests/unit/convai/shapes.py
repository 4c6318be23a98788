"""What each message must and may hold, as a table that shares nothing with the parser."""

import base64
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import TypeAlias

from kiosk.convai import client_messages as client
from kiosk.convai import server_messages as server
from kiosk.convai import server_tools as tools
from kiosk.convai.fields import Json

Right: TypeAlias = Callable[[Random], Json]
ABSENT = object()

_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)?")
_ERROR_TYPES = (
    "user_rejected",
    "external_server",
    "external_client",
    "customer_auth",
    "client_timeout",
    "unknown",
)


@dataclass(frozen=True, slots=True)
class Field:
    """What a message cannot do without: its names, a maker of right values, and what fits."""

    names: tuple[str, ...]
    right: Right
    fits: Callable[[object], bool]


@dataclass(frozen=True, slots=True)
class Shape:
    """One message; `wrappers` are the keys its fields may be nested under."""

    message: type[object]
    type_name: str | None
    required: tuple[Field, ...] = ()
    optional: Mapping[str, Right] = field(default_factory=dict)
    wrappers: tuple[str, ...] = ()
    is_read_flat: bool = True


# --- right values -------------------------------------------------------------------------------


def words(dice: Random) -> Json:
    return dice.choice(
        ["", "Hello", "Wie spät ist es?", "\N{PARTY POPPER}", 'a "quote"\\', "\n\t{"]
    )


def whole(dice: Random) -> Json:
    return dice.choice([0, 1, dice.randint(2, 10**6), 10**15])


def real(dice: Random) -> Json:
    return dice.choice([0, 1, dice.random()])


def flag(dice: Random) -> Json:
    return dice.random() < 0.5


def sound(dice: Random) -> Json:
    return base64.b64encode(dice.randbytes(dice.randrange(60))).decode()


def table(dice: Random) -> Json:
    return {f"k{n}": dice.choice([words(dice), whole(dice), None, [], {}]) for n in range(2)}


def names(dice: Random) -> Json:
    return [words(dice) for _ in range(dice.randrange(3))]


def _id_of_any_type(dice: Random) -> Json:
    return dice.choice([whole(dice), "unique_id"])


def _alignment(dice: Random) -> Json:
    count = dice.randrange(4)
    times: Json = [dice.random() for _ in range(count)]
    return {"chars": ["a"] * count, "char_start_times_ms": times, "char_durations_ms": times}


def _source(dice: Random) -> Json:
    return {"source": "unknown", "version": words(dice)}


def _quote(dice: Random) -> Json:
    return {"type": "user_message", "text": words(dice)}


def _files(dice: Random) -> Json:
    return [{"type": "file_input", "file_id": words(dice)} for _ in range(dice.randint(1, 5))]


def _integrations(dice: Random) -> Json:
    return [{"integration_id": words(dice), "is_connected": flag(dice), "tool_count": 3}]


# --- what fits ----------------------------------------------------------------------------------


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not re.search("[\ud800-\udfff]", value)


def _is_whole(value: object) -> bool:
    if isinstance(value, str):
        return re.fullmatch("[0-9]{1,18}", value) is not None
    return type(value) is int


def _is_real(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max


def _is_base64(value: object) -> bool:
    return isinstance(value, str) and _BASE64.fullmatch(value) is not None


def _is_echoed(value: object) -> bool:
    return type(value) is int or _is_text(value)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_score(value: object) -> bool:
    return value is None or value == "like" or value == "dislike"


def _is_no_other_error_type(value: object) -> bool:
    return not _is_text(value) or value in _ERROR_TYPES


def _is_quote(value: object) -> bool:
    return isinstance(value, dict) and _is_text(value.get("text"))


def _is_files(value: object) -> bool:
    return isinstance(value, list) and any(
        isinstance(each, dict) and _is_text(each.get("file_id")) for each in value
    )


def _text(*names: str) -> Field:
    return Field(names, words, _is_text)


# --- the messages -------------------------------------------------------------------------------

_ID = {"event_id": whole}
_TOOL = {"tool_call_id": words, "tool_type": words, **_ID}
_TOOL_RAN = {**_TOOL, "is_error": flag, "is_called": flag, "is_blocked": flag, "status": words}

SERVER_SHAPES = (
    Shape(
        server.Metadata,
        "conversation_initiation_metadata",
        optional={
            "conversation_id": words,
            "agent_output_audio_format": lambda dice: dice.choice(["pcm_16000", "ulaw_8000"]),
            "user_input_audio_format": lambda dice: dice.choice(["pcm_44100", "mp3"]),
        },
        wrappers=("conversation_initiation_metadata_event",),
    ),
    Shape(
        server.Ping,
        "ping",
        (Field(("event_id",), _id_of_any_type, _is_echoed),),
        {"ping_ms": whole},
        ("ping_event",),
    ),
    Shape(server.QueueStatus, "queue_status", (_text("status"),), {}, ("queue_status_event",)),
    Shape(
        server.ErrorReport,
        "error",
        (),
        {"code": whole, "message": words, "error_type": words, "reason": words, "details": table},
        ("error_event",),
    ),
    Shape(
        server.ClientError,
        "client_error",
        (),
        {"code": whole, "error_name": words, "message": words},
        ("error_event",),
    ),
    Shape(
        server.GuardrailTriggered,
        "guardrail_triggered",
        (),
        {"guardrail_name": words},
        ("guardrail_triggered_event",),
    ),
    Shape(
        server.AgentAudio,
        "audio",
        (Field(("audio_base_64", "audio_base64", "audio"), sound, _is_base64),),
        {**_ID, "is_final": flag, "alignment": _alignment},
        ("audio_event",),
    ),
    Shape(
        server.AgentResponse,
        "agent_response",
        (_text("agent_response"),),
        {**_ID, "response_id": words, "in_response_to_ids": names, "attachments": names},
        ("agent_response_event",),
    ),
    Shape(
        server.AgentResponseCorrection,
        "agent_response_correction",
        (_text("corrected_agent_response"),),
        {**_ID, "original_agent_response": words, "response_id": words},
        ("agent_response_correction_event",),
    ),
    Shape(
        server.AgentResponsePart,
        "agent_chat_response_part",
        (_text("text"), _text("type")),
        {**_ID, "response_id": words},
        ("text_response_part",),
        is_read_flat=False,
    ),
    Shape(
        server.AgentResponsePart,
        "agent_reasoning_response_part",
        (_text("text"), _text("type")),
        {"event_id": lambda dice: str(dice.randrange(99))},
        ("reasoning_response_part",),
        is_read_flat=False,
    ),
    Shape(
        server.AgentResponseComplete,
        "agent_response_complete",
        (),
        _ID,
        ("agent_response_complete_event",),
    ),
    Shape(
        server.AgentResponseMetadata,
        "agent_response_metadata",
        (),
        {**_ID, "metadata": table},
        ("agent_response_metadata_event",),
    ),
    Shape(
        server.ContextUsage,
        "context_usage",
        (),
        {**_ID, "model": words, "context_tokens": whole, "context_limit_tokens": whole},
        ("context_usage_event",),
    ),
    Shape(
        server.UserTranscript,
        "user_transcript",
        (_text("user_transcript", "user_transcription"),),
        _ID,
        ("user_transcription_event", "user_transcript"),
    ),
    Shape(
        server.UserTranscript,
        "tentative_user_transcript",
        (_text("user_transcript", "user_transcription"),),
        _ID,
        ("tentative_user_transcription_event", "user_transcript"),
    ),
    Shape(server.Interruption, "interruption", (), _ID, ("interruption_event",)),
    Shape(
        server.VadScore,
        "vad_score",
        (Field(("vad_score",), real, _is_real),),
        {},
        ("vad_score_event",),
    ),
    Shape(
        tools.ToolCall,
        "client_tool_call",
        (_text("tool_name"), _text("tool_call_id")),
        {**_ID, "parameters": table, "expects_response": flag},
        ("client_tool_call",),
    ),
    Shape(
        tools.AgentToolRequest,
        "agent_tool_request",
        (_text("tool_name"),),
        {**_TOOL, "response_timeout_secs": whole, "disable_interruptions": flag},
        ("agent_tool_request",),
    ),
    Shape(
        tools.AgentToolResponse,
        "agent_tool_response",
        (
            Field(
                ("tool_name",), lambda dice: dice.choice(["end_call", "skip_turn", "x"]), _is_text
            ),
        ),
        _TOOL_RAN,
        ("agent_tool_response",),
    ),
    Shape(
        tools.AgentToolResponse,
        "agent_tool_response_full_payload",
        (_text("tool_name"),),
        {**_TOOL_RAN, "full_tool_result": words, "truncated": flag},
        ("agent_tool_response_full_payload",),
    ),
    Shape(
        tools.McpToolCall,
        "mcp_tool_call",
        (
            _text("tool_call_id"),
            Field(("state",), lambda dice: dice.choice(["loading", "awaiting_approval"]), _is_text),
        ),
        {
            "service_id": words,
            "tool_name": words,
            "tool_description": words,
            "parameters": table,
            "timestamp": words,
            "approval_timeout_secs": whole,
            "result": names,
            "error_message": words,
        },
        ("mcp_tool_call",),
    ),
    Shape(
        tools.McpConnectionStatus,
        "mcp_connection_status",
        (),
        {"integrations": _integrations},
        ("mcp_connection_status",),
    ),
)

CLIENT_SHAPES = (
    Shape(
        client.Initiation,
        "conversation_initiation_client_data",
        optional={
            "conversation_config_override": table,
            "dynamic_variables": table,
            "custom_llm_extra_body": table,
            "user_id": words,
            "source_info": _source,
            "branch_id": words,
            "environment": words,
            "starting_workflow_node_id": words,
            "procedure_ids": names,
            "start_procedure_ids": names,
            "tool_mock_config": table,
        },
    ),
    Shape(client.UserAudio, None, (Field(("user_audio_chunk",), sound, _is_base64),)),
    Shape(client.Pong, "pong", (Field(("event_id",), _id_of_any_type, _is_echoed),)),
    Shape(
        client.ToolResult,
        "client_tool_result",
        (
            _text("tool_call_id"),
            _text("result"),
            Field(("error_type",), lambda dice: dice.choice(_ERROR_TYPES), _is_no_other_error_type),
        ),
        {"is_error": flag},
    ),
    Shape(client.ContextualUpdate, "contextual_update", (_text("text"),), {"context_id": words}),
    Shape(
        client.UserMessage,
        "user_message",
        (_text("text"),),
        {"id": words, "user_identifier": words, "source_medium": words, "rich_content_id": words},
    ),
    Shape(client.UserActivity, "user_activity"),
    Shape(
        client.Feedback,
        "feedback",
        (
            Field(("event_id",), whole, _is_whole),
            Field(("score",), lambda dice: dice.choice(["like", "dislike", None]), _is_score),
        ),
    ),
    Shape(
        client.McpToolApprovalResult,
        "mcp_tool_approval_result",
        (_text("tool_call_id"), Field(("is_approved",), flag, _is_flag)),
    ),
    # Text or files: either makes one.
    Shape(client.MultimodalMessage, "multimodal_message", (Field(("text",), _quote, _is_quote),)),
    Shape(client.MultimodalMessage, "multimodal_message", (Field(("files",), _files, _is_files),)),
)

# Chat and internal events, for which a voice client has no use.
IGNORED = (
    "asr_initiation_metadata",
    "rich_content",
    "agent_typing",
    "external_agent_connected",
    "external_agent_disconnected",
    "internal_turn_probability",
    "internal_tentative_agent_response",
    "dtmf_request",
)
