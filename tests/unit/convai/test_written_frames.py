"""Whatever our messages hold, as far as the contract allows it, the schemas take what is written.

The dataclasses are laxer than the contract: they must hold what servers of other minds send. So
the values are drawn here within the contract's bounds, and its lists come from the schemas.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.convai.client_messages import (
    ClientMessage,
    ContextualUpdate,
    Initiation,
    McpToolApprovalResult,
    MultimodalMessage,
    Pong,
    ToolErrorType,
    ToolResult,
    UserAudio,
    UserMessage,
)
from kiosk.convai.frames import serialize
from kiosk.convai.overrides import ConversationOverrides
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
from tests import schemas
from tests.schemas import check_client, check_server
from tests.unit.convai.strategies import (
    CLIENT_MESSAGES,
    SERVER_MESSAGES,
    ids,
    json_values,
    maybe_id,
    sound,
    tables,
    text,
)


@cache
def _definitions(side: str) -> dict[str, Any]:
    path = Path(schemas.__file__).with_name(f"{side}.json")
    definitions: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["$defs"]
    return definitions


def one_of(side: str, *path: str) -> st.SearchStrategy[Any]:
    """A value of a list that the contract has, by its place in the schema."""
    found: Any = _definitions(side)
    for name in path:
        found = found[name]
    return st.sampled_from(found["enum"])


name = st.text(min_size=1, max_size=20)
maybe_name = st.none() | name
names = st.lists(name, max_size=5).map(tuple)
turns = st.integers(1, 10**15)
share = st.floats(0, 1)
kinds = st.sampled_from(["start", "delta", "stop"])
tool_types = one_of("server", "tool_type")
tools = {"tool_name": name, "tool_call_id": name}


# --- the client ---------------------------------------------------------------------------------

speed = st.floats(0.7, 1.2)
# What the kiosk's own settings let through, as they write it.
overrides = st.fixed_dictionaries(
    {},
    optional={
        "agent": st.fixed_dictionaries(
            {},
            optional={
                "first_message": text,
                "language": st.from_regex(r"[a-z]{2}(-[a-z]{2})?", fullmatch=True),
                "max_conversation_duration_message": text,
                "prompt": st.fixed_dictionaries(
                    {},
                    optional={
                        "prompt": text,
                        "llm": name,
                        "tool_ids": names,
                        "tool_ids_strict": st.booleans(),
                        "native_mcp_server_ids": names,
                        "knowledge_base": st.lists(
                            st.fixed_dictionaries(
                                {
                                    "type": st.sampled_from(["file", "url", "text", "folder"]),
                                    "name": name,
                                    "id": name,
                                }
                            ),
                            max_size=2,
                        ),
                    },
                ),
            },
        ),
        "tts": st.fixed_dictionaries(
            {},
            optional={
                "voice_id": name,
                "stability": share,
                "speed": speed,
                "similarity_boost": share,
                "supported_voices": st.lists(
                    st.fixed_dictionaries(
                        {"label": name, "voice_id": name},
                        optional={"speed": speed, "optimize_streaming_latency": st.just("3")},
                    ),
                    max_size=2,
                ),
            },
        ),
        "asr": st.fixed_dictionaries({}, optional={"keywords": names}),
        "turn": st.fixed_dictionaries(
            {},
            optional={
                "soft_timeout_config": st.fixed_dictionaries({}, optional={"message": text}),
                "noisy_environment_message": text,
            },
        ),
        "conversation": st.fixed_dictionaries(
            {},
            optional={
                "text_only": st.booleans(),
                "max_duration_seconds": st.integers(60, 7200),
                "client_events": st.just(["audio", "interruption"]),
            },
        ),
    },
).map(lambda values: ConversationOverrides.model_validate(values).on_the_wire())

INITIATION = ("conversation_initiation_client_data", "properties")
tool_results = st.builds(ToolResult, name, text, st.booleans()) | st.builds(
    ToolResult, name, text, st.just(True), st.sampled_from(ToolErrorType)
)
CLIENT: dict[type[ClientMessage], st.SearchStrategy[ClientMessage]] = {
    **CLIENT_MESSAGES,
    Initiation: st.builds(
        Initiation,
        overrides=overrides,
        dynamic_variables=st.dictionaries(
            text, json_values.filter(lambda value: not isinstance(value, dict)), max_size=3
        ),
        custom_llm_extra_body=tables,
        user_id=maybe_name,
        source=one_of("client", *INITIATION, "source_info", "properties", "source"),
        version=st.text(max_size=80),
        branch_id=maybe_name,
        environment=maybe_name,
        starting_workflow_node_id=maybe_name,
        procedure_ids=names,
        start_procedure_ids=names,
        tool_mock_config=st.fixed_dictionaries(
            {}, optional={"mocking_strategy": st.just("selected"), "mocked_tool_names": names}
        ),
    ),
    UserAudio: st.builds(UserAudio, sound.filter(bool)),
    Pong: st.builds(Pong, ids),  # another server's string goes back as one, the contract has none
    ToolResult: tool_results,
    ContextualUpdate: st.builds(ContextualUpdate, text, maybe_name),
    UserMessage: st.builds(
        UserMessage,
        text,
        maybe_name,
        maybe_name,
        st.none() | one_of("client", "user_message", "properties", "source_medium"),
        maybe_name,
    ),
    McpToolApprovalResult: st.builds(McpToolApprovalResult, name, st.booleans()),
    MultimodalMessage: st.builds(MultimodalMessage, text, names)
    | st.builds(MultimodalMessage, st.none(), names.filter(bool)),
}


# --- the server ---------------------------------------------------------------------------------


def _alignment(times: list[tuple[str, int, int]]) -> Alignment:
    chars, starts, durations = zip(*times, strict=True)
    return Alignment(chars, starts, durations)


def _mcp(state: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[McpToolCall]:
    """A tool's state carries what belongs to it, and nothing else."""
    return st.builds(
        McpToolCall,
        **tools,
        state=st.just(state),
        service_id=name,
        parameters=tables,
        timestamp=st.datetimes().map(lambda at: f"{at.isoformat()}Z"),
        tool_description=st.none() | text,
        **fields,
    )


formats = one_of("server", "audio_format")
codes = ("error", "properties", "error_event", "properties")
_response = {
    **tools,
    "tool_type": tool_types,
    "is_error": st.booleans(),
    "is_called": st.booleans(),
    "event_id": ids,
    "status": one_of("server", "tool_response", "properties", "status"),
}
SERVER: dict[type[ServerMessage], st.SearchStrategy[ServerMessage]] = {
    **SERVER_MESSAGES,
    Metadata: st.builds(
        Metadata, st.from_regex(r"conv_[A-Za-z0-9]+", fullmatch=True), formats, formats
    ),
    Ping: st.builds(Ping, ids, maybe_id),
    QueueStatus: st.builds(QueueStatus, st.sampled_from(["waiting", "admitted", "timed_out"])),
    ErrorReport: st.builds(
        ErrorReport,
        one_of("server", *codes, "code"),
        text,
        st.none() | one_of("server", *codes, "error_type"),
        st.none() | text,
    ),
    ClientError: st.builds(ClientError, st.integers(1000, 4999), name, text),
    GuardrailTriggered: st.builds(GuardrailTriggered, name),
    AgentAudio: st.builds(
        AgentAudio,
        sound,
        turns,
        st.booleans(),
        st.none()
        | st.lists(
            st.tuples(text, st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=4
        ).map(_alignment),
    ),
    AgentResponse: st.builds(AgentResponse, text, maybe_id, maybe_name),
    AgentResponseCorrection: st.builds(AgentResponseCorrection, text, text, ids, maybe_name),
    AgentResponsePart: st.builds(AgentResponsePart, text, kinds, ids, maybe_name)
    | st.builds(AgentResponsePart, text, kinds, ids, reasoning=st.just(True)),
    AgentResponseComplete: st.builds(AgentResponseComplete, ids),
    AgentResponseMetadata: st.builds(AgentResponseMetadata, tables, ids),
    ContextUsage: st.builds(ContextUsage, ids, name, ids, ids),
    UserTranscript: st.builds(UserTranscript, text, ids, st.booleans()),
    Interruption: st.builds(Interruption, turns),
    VadScore: st.builds(VadScore, share),
    ToolCall: st.builds(ToolCall, name, name, tables, st.booleans(), ids),
    AgentToolRequest: st.builds(AgentToolRequest, name, name, tool_types, ids, maybe_id),
    AgentToolResponse: st.builds(AgentToolResponse, **_response)
    | st.builds(AgentToolResponse, **_response, full_result=text, truncated=st.booleans()),
    McpToolCall: _mcp("loading")
    | _mcp("awaiting_approval", approval_timeout_s=ids)
    | _mcp("success", result=st.lists(tables, max_size=3))
    | _mcp("failure", error_message=text),
    McpConnectionStatus: st.builds(
        McpConnectionStatus,
        st.lists(
            st.builds(
                McpIntegration,
                name,
                st.sampled_from(["mcp_server", "mcp_integration"]),
                st.booleans(),
                ids,
            ),
            max_size=3,
        ).map(tuple),
    ),
}


@pytest.mark.parametrize("kind", CLIENT, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_whatever_a_client_writes_is_the_contracts(
    kind: type[ClientMessage], data: st.DataObject
) -> None:
    check_client(serialize(data.draw(CLIENT[kind])))


@pytest.mark.parametrize("kind", SERVER, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_whatever_a_server_writes_is_the_contracts(
    kind: type[ServerMessage], data: st.DataObject
) -> None:
    check_server(serialize(data.draw(SERVER[kind])))


def test_every_message_is_tried() -> None:
    sides: Mapping[Any, Mapping[Any, Any]] = {ClientMessage: CLIENT, ServerMessage: SERVER}
    for union, strategies in sides.items():
        assert set(strategies) == set(get_args(union))
