"""Messages of a client: what is written is read back, and what a server must refuse is refused."""

import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.convai.client_messages import (
    ClientMessage,
    ContextualUpdate,
    Feedback,
    Initiation,
    McpToolApprovalResult,
    MultimodalMessage,
    ToolErrorType,
    ToolResult,
    UserAudio,
    UserMessage,
)
from kiosk.convai.client_parsing import parse_client
from kiosk.convai.frames import Malformed, Unknown, serialize
from kiosk.convai.server_parsing import IGNORED_TYPES
from tests.unit.convai.strategies import CLIENT_MESSAGES


def test_every_message_of_a_client_is_tried() -> None:
    assert set(CLIENT_MESSAGES) == set(get_args(ClientMessage))


@pytest.mark.parametrize("kind", CLIENT_MESSAGES, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_what_a_client_writes_a_server_reads(
    kind: type[ClientMessage], data: st.DataObject
) -> None:
    message = data.draw(CLIENT_MESSAGES[kind])
    assert parse_client(serialize(message)) == message


# The published contract, by example: every field once, in its place.
WRITTEN: list[tuple[ClientMessage, dict[str, object]]] = [
    (Initiation(), {"type": "conversation_initiation_client_data"}),
    (
        Initiation(
            overrides={"agent": {"first_message": ""}},
            dynamic_variables={"floor": 3},
            custom_llm_extra_body={"t": 0},
            user_id="kiosk-1",
            source="unknown",
            version="1.0",
            branch_id="b",
            environment="production",
            starting_workflow_node_id="n",
            procedure_ids=["p"],
            start_procedure_ids=["s"],
            tool_mock_config={"mocking_strategy": "none"},
        ),
        {
            "type": "conversation_initiation_client_data",
            "conversation_config_override": {"agent": {"first_message": ""}},
            "dynamic_variables": {"floor": 3},
            "custom_llm_extra_body": {"t": 0},
            "user_id": "kiosk-1",
            "source_info": {"source": "unknown", "version": "1.0"},
            "branch_id": "b",
            "environment": "production",
            "starting_workflow_node_id": "n",
            "procedure_ids": ["p"],
            "start_procedure_ids": ["s"],
            "tool_mock_config": {"mocking_strategy": "none"},
        },
    ),
    (UserAudio(b"\x00\x01"), {"user_audio_chunk": "AAE="}),
    (
        ToolResult("call_1", "done"),
        {
            "type": "client_tool_result",
            "tool_call_id": "call_1",
            "result": "done",
            "is_error": False,
        },
    ),
    (
        ToolResult("call_1", "late", True, ToolErrorType.CLIENT_TIMEOUT),
        {
            "type": "client_tool_result",
            "tool_call_id": "call_1",
            "result": "late",
            "is_error": True,
            "error_type": "client_timeout",
        },
    ),
    (
        ContextualUpdate("Rain", "weather"),
        {"type": "contextual_update", "text": "Rain", "context_id": "weather"},
    ),
    (
        UserMessage("Hi", "m1", "u1", "text", "r1"),
        {
            "type": "user_message",
            "text": "Hi",
            "id": "m1",
            "user_identifier": "u1",
            "source_medium": "text",
            "rich_content_id": "r1",
        },
    ),
    (Feedback(7, "like"), {"type": "feedback", "event_id": 7, "score": "like"}),
    (Feedback(7, None), {"type": "feedback", "event_id": 7, "score": None}),
    (
        McpToolApprovalResult("call_1", False),
        {"type": "mcp_tool_approval_result", "tool_call_id": "call_1", "is_approved": False},
    ),
    (
        MultimodalMessage("Look", ("f1", "f2")),
        {
            "type": "multimodal_message",
            "text": {"type": "user_message", "text": "Look"},
            "files": [
                {"type": "file_input", "file_id": "f1"},
                {"type": "file_input", "file_id": "f2"},
            ],
        },
    ),
]


@pytest.mark.parametrize(("message", "body"), WRITTEN, ids=lambda value: str(value)[:50])
def test_a_message_is_written_as_the_published_contract_has_it(
    message: ClientMessage, body: dict[str, object]
) -> None:
    assert json.loads(serialize(message)) == body


def test_a_version_is_cut_to_what_the_contract_allows() -> None:
    body = json.loads(serialize(Initiation(source="unknown", version="v" * 80)))
    assert body["source_info"] == {"source": "unknown", "version": "v" * 50}


@pytest.mark.parametrize("error_type", ToolErrorType)
def test_every_way_a_tool_can_fail_is_read(error_type: ToolErrorType) -> None:
    frame = {
        "type": "client_tool_result",
        "tool_call_id": "c1",
        "result": "",
        "is_error": True,
        "error_type": error_type.value,
    }
    assert parse_client(json.dumps(frame)) == ToolResult("c1", "", True, error_type)


def test_the_deprecated_single_file_is_read_unless_there_are_files() -> None:
    old: dict[str, object] = {"type": "multimodal_message", "file": {"file_id": "f1"}}
    assert parse_client(json.dumps(old)) == MultimodalMessage(None, ("f1",))
    both = {**old, "files": [{"file_id": "f2"}]}
    assert parse_client(json.dumps(both)) == MultimodalMessage(None, ("f2",))


@pytest.mark.parametrize(
    "frame",
    [
        '{"user_audio_chunk":7}',
        '{"user_audio_chunk":"%"}',
        '{"type":"pong"}',
        '{"type":"pong","event_id":null}',
        '{"type":"contextual_update","context":"wrong name"}',
        '{"type":"user_message"}',
        '{"type":"client_tool_result","tool_call_id":"c1"}',
        '{"type":"client_tool_result","tool_call_id":"c1","result":{"done":true}}',
        '{"type":"client_tool_result","tool_call_id":"c1","result":"","error_type":"tired"}',
        '{"type":"feedback","event_id":7}',
        '{"type":"feedback","score":"like"}',
        '{"type":"feedback","event_id":7,"score":"love"}',
        '{"type":"feedback","event_id":7,"score":5}',
        '{"type":"mcp_tool_approval_result","tool_call_id":"c1"}',
        '{"type":"mcp_tool_approval_result","tool_call_id":"c1","is_approved":"yes"}',
        '{"type":"multimodal_message"}',
        '{"type":"multimodal_message","text":"not nested","files":[{"id":"f1"}]}',
    ],
)
def test_what_no_client_may_send_is_malformed(frame: str) -> None:
    assert isinstance(parse_client(frame), Malformed)


@pytest.mark.parametrize(
    "type_name",
    ["ping", "audio", "keep_alive", "interrupt", "enclave_setup_config", *sorted(IGNORED_TYPES)],
)
def test_what_only_a_server_or_nobody_says_is_unknown_from_a_client(type_name: str) -> None:
    assert parse_client(json.dumps({"type": type_name})) == Unknown(type_name)
