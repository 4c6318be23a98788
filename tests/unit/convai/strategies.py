"""Hypothesis strategies for every message of the wire, by class."""

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from kiosk.convai.client_messages import (
    VERSION_LIMIT,
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
from kiosk.convai.fields import Json
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
from kiosk.convai.server_parsing import ServerMessage
from kiosk.convai.server_tools import (
    AgentToolRequest,
    AgentToolResponse,
    McpConnectionStatus,
    McpIntegration,
    McpToolCall,
    ToolCall,
)

text = st.text(max_size=20)
maybe_text = st.none() | text
ids = st.integers(0, 10**15)
maybe_id = st.none() | ids
sound = st.binary(max_size=40)
reals = st.floats(allow_nan=False, allow_infinity=False)
json_values: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
tables = st.dictionaries(text, json_values, max_size=3)
lists_of_text = st.lists(text, max_size=3).map(tuple)


def _initiation(source_info: tuple[str, str] | None, **fields: Any) -> Initiation:
    # A version stands beside a source only.
    source, version = source_info or (None, None)
    return Initiation(source=source, version=version, **fields)


def _alignment(times: list[tuple[str, float, float]]) -> Alignment:
    chars, starts, durations = zip(*times, strict=True)
    return Alignment(chars, starts, durations)


CLIENT_MESSAGES: Mapping[type[ClientMessage], st.SearchStrategy[ClientMessage]] = {
    Initiation: st.builds(
        _initiation,
        source_info=st.none() | st.tuples(text, st.text(max_size=VERSION_LIMIT)),
        overrides=tables,
        dynamic_variables=tables,
        custom_llm_extra_body=tables,
        user_id=maybe_text,
        branch_id=maybe_text,
        environment=maybe_text,
        starting_workflow_node_id=maybe_text,
        procedure_ids=lists_of_text,
        start_procedure_ids=lists_of_text,
        tool_mock_config=tables,
    ),
    UserAudio: st.builds(UserAudio, sound),
    Pong: st.builds(Pong, ids | text),
    ToolResult: st.builds(
        ToolResult, text, text, st.booleans(), st.none() | st.sampled_from(ToolErrorType)
    ),
    ContextualUpdate: st.builds(ContextualUpdate, text, maybe_text),
    UserMessage: st.builds(UserMessage, text, maybe_text, maybe_text, maybe_text, maybe_text),
    UserActivity: st.builds(UserActivity),
    Feedback: st.builds(Feedback, ids, st.sampled_from(["like", "dislike", None])),
    McpToolApprovalResult: st.builds(McpToolApprovalResult, text, st.booleans()),
    MultimodalMessage: st.builds(MultimodalMessage, maybe_text, lists_of_text).filter(
        lambda message: message.text is not None or bool(message.file_ids)
    ),
}

# The variant with the whole result is the one that can say that it was cut.
_tool_response = {
    "tool_name": text,
    "tool_call_id": text,
    "tool_type": text.filter(bool),
    "is_error": st.booleans(),
    "is_called": st.booleans(),
    "event_id": maybe_id,
}
SERVER_MESSAGES: Mapping[type[ServerMessage], st.SearchStrategy[ServerMessage]] = {
    Metadata: st.builds(Metadata, maybe_text, maybe_text, maybe_text),
    Ping: st.builds(Ping, ids | text, maybe_id),
    QueueStatus: st.builds(QueueStatus, text),
    ErrorReport: st.builds(ErrorReport, maybe_id, text, maybe_text, maybe_text),
    ClientError: st.builds(ClientError, maybe_id, maybe_text, text),
    GuardrailTriggered: st.builds(GuardrailTriggered, maybe_text),
    AgentAudio: st.builds(
        AgentAudio,
        sound,
        maybe_id,
        st.booleans(),
        st.none() | st.lists(st.tuples(text, reals, reals), min_size=1, max_size=4).map(_alignment),
    ),
    AgentResponse: st.builds(AgentResponse, text, maybe_id, maybe_text),
    AgentResponseCorrection: st.builds(AgentResponseCorrection, text, text, maybe_id, maybe_text),
    # A part of the reasoning belongs to no response.
    AgentResponsePart: st.builds(AgentResponsePart, text, text, maybe_id, maybe_text)
    | st.builds(AgentResponsePart, text, text, maybe_id, reasoning=st.just(True)),
    AgentResponseComplete: st.builds(AgentResponseComplete, maybe_id),
    AgentResponseMetadata: st.builds(AgentResponseMetadata, tables, maybe_id),
    ContextUsage: st.builds(ContextUsage, maybe_id, text, ids, ids),
    UserTranscript: st.builds(UserTranscript, text, maybe_id, st.booleans()),
    Interruption: st.builds(Interruption, maybe_id),
    VadScore: st.builds(VadScore, reals),
    ToolCall: st.builds(ToolCall, text, text, tables, st.booleans(), maybe_id),
    AgentToolRequest: st.builds(
        AgentToolRequest, text, text, text.filter(bool), maybe_id, maybe_id
    ),
    AgentToolResponse: st.builds(AgentToolResponse, **_tool_response)
    | st.builds(AgentToolResponse, **_tool_response, full_result=text, truncated=st.booleans()),
    McpToolCall: st.builds(
        McpToolCall,
        tool_name=text,
        tool_call_id=text,
        state=st.sampled_from(["loading", "awaiting_approval", "success", "failure"]),
        service_id=text,
        parameters=tables,
        timestamp=text,
        tool_description=maybe_text,
        approval_timeout_s=maybe_id,
        result=st.none() | st.lists(json_values, max_size=3),
        error_message=maybe_text,
    ),
    McpConnectionStatus: st.builds(
        McpConnectionStatus,
        st.lists(
            st.builds(McpIntegration, text, text.filter(bool), st.booleans(), ids), max_size=3
        ).map(tuple),
    ),
}
