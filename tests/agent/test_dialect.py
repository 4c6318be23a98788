"""Two ways to spell the wire: the guides' can be told from the true one, and our client reads both.

The server's side of the flat dialect is tried on the wire, at the end.
"""

import asyncio
import json
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kiosk.agent.dialect import DIALECTS, Dialect, EndOfStream
from kiosk.agent.guide import Guide
from kiosk.agent.server import DEFAULT_API_KEY
from kiosk.convai.client_messages import ClientMessage, ContextualUpdate, UserActivity
from kiosk.convai.frames import Malformed, Unknown, serialize
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
from kiosk.convai.server_parsing import ServerMessage, parse_server
from kiosk.convai.server_tools import (
    AgentToolRequest,
    AgentToolResponse,
    McpConnectionStatus,
    McpIntegration,
    McpToolCall,
    ToolCall,
)
from tests.agent.wire import by_guide, initiation, opened, said, user_message
from tests.integration.conftest import StartAgent
from tests.unit.convai.strategies import CLIENT_MESSAGES, SERVER_MESSAGES

NESTED, FLAT = DIALECTS["nested"], DIALECTS["flat"]
EXIT = "where is the exit"
repeatable = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow],
)

# What each message looks like to a reader of the guides.
FLAT_FORMS: list[tuple[ServerMessage, dict[str, object]]] = [
    (
        Metadata("conv_1", "pcm_16000", "ulaw_8000"),
        {
            "type": "conversation_initiation_metadata",
            "agent_output_audio_format": "pcm_16000",
            "user_input_audio_format": "ulaw_8000",
        },
    ),
    (Ping(3), {"type": "ping", "event_id": 3, "ping_ms": None}),
    (Ping(4, 50), {"type": "ping", "event_id": 4, "ping_ms": 50}),
    (QueueStatus("waiting"), {"type": "queue_status", "status": "waiting"}),
    (
        ErrorReport(1002, "slow", "llm_timeout", "no"),
        {
            "type": "error",
            "code": 1002,
            "message": "slow",
            "error_type": "llm_timeout",
            "reason": "no",
        },
    ),
    (
        ClientError(1008, "value_error", "no"),
        {"type": "client_error", "code": 1008, "error_name": "value_error", "message": "no"},
    ),
    (GuardrailTriggered("harm"), {"type": "guardrail_triggered", "guardrail_name": "harm"}),
    (
        AgentAudio(b"\0\1", 7, True, Alignment(("H",), (0,), (90,))),
        {"type": "audio", "audio_event": {"audio": "AAE="}},
    ),
    (
        AgentResponse("Hi", 7, "resp_1"),
        {"type": "agent_response", "agent_response": "Hi", "response_id": "resp_1"},
    ),
    (
        AgentResponseCorrection("Hi there", "Hi...", 7),
        {
            "type": "agent_response_correction",
            "original_agent_response": "Hi there",
            "corrected_agent_response": "Hi...",
        },
    ),
    (
        AgentResponsePart("Hi", "delta", 7),
        {
            "type": "agent_chat_response_part",
            "text_response_part": {"text": "Hi", "type": "delta"},
        },
    ),
    (
        AgentResponsePart("Hm", "stop", 7, reasoning=True),
        {
            "type": "agent_reasoning_response_part",
            "reasoning_response_part": {"text": "Hm", "type": "stop"},
        },
    ),
    (AgentResponseComplete(7), {"type": "agent_response_complete"}),
    (
        AgentResponseMetadata({"tokens": 9}, 7),
        {"type": "agent_response_metadata", "metadata": {"tokens": 9}},
    ),
    (
        UserTranscript("hello", 6),
        {"type": "user_transcript", "user_transcript": {"user_transcription": "hello"}},
    ),
    (
        UserTranscript("hel", 6, tentative=True),
        {"type": "tentative_user_transcript", "user_transcript": {"user_transcription": "hel"}},
    ),
    (Interruption(7), {"type": "interruption"}),
    (VadScore(0.5), {"type": "vad_score", "vad_score": 0.5}),
    (
        ToolCall("light", "tool_1", {"on": True}, False, 7),
        {
            "type": "client_tool_call",
            "tool_name": "light",
            "tool_call_id": "tool_1",
            "parameters": {"on": True},
            "expects_response": False,
        },
    ),
    (
        AgentToolRequest("weather", "tool_1", "webhook", 7, 20),
        {
            "type": "agent_tool_request",
            "tool_name": "weather",
            "tool_call_id": "tool_1",
            "tool_type": "webhook",
            "expects_response": True,
            "disable_interruptions": False,
            "response_timeout_secs": 20,
            "execution_mode": "immediate",
        },
    ),
    (
        ContextUsage(7, "local", 5, 100),
        {
            "type": "context_usage",
            "model": "local",
            "context_tokens": 5,
            "context_limit_tokens": 100,
        },
    ),
    (
        AgentToolResponse("end_call", "tool_1", event_id=7),
        {
            "type": "agent_tool_response",
            "tool_name": "end_call",
            "tool_call_id": "tool_1",
            "tool_type": "system",
            "is_error": False,
            "is_called": True,
        },
    ),
    (
        McpToolCall("search", "tool_1", "loading", "mcp_1"),
        {
            "type": "mcp_tool_call",
            "service_id": "mcp_1",
            "tool_call_id": "tool_1",
            "tool_name": "search",
            "parameters": {},
            "timestamp": "",
            "state": "loading",
        },
    ),
    (
        McpConnectionStatus((McpIntegration("mcp_1"),)),
        {
            "type": "mcp_connection_status",
            "integrations": [
                {
                    "integration_id": "mcp_1",
                    "integration_type": "mcp_server",
                    "is_connected": False,
                    "tool_count": 0,
                }
            ],
        },
    ),
]


def less_ids(message: ServerMessage) -> ServerMessage:
    """What is left of a message whose turn nobody numbers."""
    match message:
        case Metadata():
            return replace(message, conversation_id=None)
        case AgentAudio(audio):
            return AgentAudio(audio)
        case Ping() | QueueStatus() | ErrorReport() | ClientError() | GuardrailTriggered():
            return message
        case VadScore() | McpToolCall() | McpConnectionStatus():
            return message
    return replace(message, event_id=None)


# --- writing ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("message", "body"), FLAT_FORMS, ids=lambda value: str(value)[:50])
def test_the_flat_form_of_each_message(message: ServerMessage, body: dict[str, object]) -> None:
    assert json.loads(FLAT.write(message)) == body


def test_the_flat_form_of_every_message_is_written_down() -> None:
    assert {type(message) for message, _ in FLAT_FORMS} == set(get_args(ServerMessage))


@pytest.mark.parametrize("kind", SERVER_MESSAGES, ids=lambda kind: kind.__name__)
@repeatable
@given(data=st.data())
def test_our_client_reads_every_flat_frame_back_but_for_its_ids(
    kind: type[ServerMessage], data: st.DataObject
) -> None:
    message = data.draw(SERVER_MESSAGES[kind])
    assert parse_server(FLAT.write(message)) == less_ids(message)


@pytest.mark.parametrize("message", [message for message, _ in FLAT_FORMS], ids=repr)
def test_the_nested_form_is_the_contracts(message: ServerMessage) -> None:
    assert NESTED.write(message) == serialize(message)
    assert parse_server(NESTED.write(message)) == message


# --- reading ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", [NESTED, FLAT], ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("kind", CLIENT_MESSAGES, ids=lambda kind: kind.__name__)
@repeatable
@given(data=st.data())
def test_either_dialect_reads_what_the_contract_has(
    kind: type[ClientMessage], dialect: Dialect, data: st.DataObject
) -> None:
    message = data.draw(CLIENT_MESSAGES[kind])
    assert dialect.read(serialize(message)) == message


@pytest.mark.parametrize("blank", [" ", "", "\n"])
def test_a_blank_keeps_a_flat_conversation_alive_and_is_nothing_in_the_contract(
    blank: str,
) -> None:
    assert FLAT.read(blank) == UserActivity()
    assert isinstance(NESTED.read(blank), Malformed)


@pytest.mark.parametrize("frame", ['{"text": ""}', '{"text":""}'])
def test_the_guides_goodbye_ends_a_flat_stream_only(frame: str) -> None:
    assert isinstance(FLAT.read(frame), EndOfStream)
    assert isinstance(NESTED.read(frame), Malformed)


def test_the_guides_name_of_a_context_is_read_in_the_flat_dialect_only() -> None:
    frame = '{"type":"contextual_update","context":"at the whale"}'
    assert FLAT.read(frame) == ContextualUpdate("at the whale")
    assert isinstance(NESTED.read(frame), Malformed)


@pytest.mark.parametrize(
    "frame", [b" ", '{"text":"hello"}', '{"text":"","end":true}', '{"context":"x"}', "[]", "{"]
)
def test_the_flat_dialect_is_not_lax_about_anything_else(frame: str | bytes) -> None:
    assert isinstance(FLAT.read(frame), Malformed)
    assert FLAT.read('{"type":"keep_alive"}') == Unknown("keep_alive")


# --- on the wire --------------------------------------------------------------------------------


async def test_a_flat_conversation_begins_without_the_initiation(
    guide: Guide, start_agent: StartAgent
) -> None:
    behaviour = by_guide(greeting="Welcome.", burst=100)
    async with start_agent(behaviour=behaviour, dialect=FLAT) as (url, _), opened(url) as wire:
        assert await wire.receive() == {
            "type": "conversation_initiation_metadata",
            "agent_output_audio_format": "pcm_16000",
            "user_input_audio_format": "pcm_16000",
        }
        await wire.until("audio")
        await wire.send(user_message(EXIT))
        entry = guide.entry_for(EXIT)
        assert entry is not None
        assert (await wire.until("agent_response"))["agent_response"] == entry.say


async def test_an_initiation_hurts_no_flat_conversation(start_agent: StartAgent) -> None:
    async with start_agent(dialect=FLAT) as (url, _), opened(url) as wire:
        await wire.send(initiation())
        await wire.until("audio")
        assert wire.socket.close_code is None


async def test_flat_pings_are_numbered_and_measured(start_agent: StartAgent) -> None:
    behaviour = by_guide(greeting="", ping_s=0.1)
    async with start_agent(behaviour=behaviour, dialect=FLAT) as (url, _), opened(url) as wire:
        assert await wire.until("ping") == {"type": "ping", "event_id": 1, "ping_ms": None}
        await wire.send({"type": "pong", "event_id": 1})
        second = await wire.until("ping")
        assert second["event_id"] == 2
        assert second["ping_ms"] >= 0


async def test_a_space_counts_as_input(start_agent: StartAgent) -> None:
    behaviour = by_guide(greeting="", no_input_s=0.6)
    async with start_agent(behaviour=behaviour, dialect=FLAT) as (url, _), opened(url) as wire:
        for _ in range(8):
            await wire.send(" ")
            await asyncio.sleep(0.1)
        assert wire.socket.close_code is None
        assert await wire.closed() == (1002, "No input from the client")
    assert wire.came[-1]["error_type"] == "transport_receive_timeout"


async def test_the_guides_goodbye_is_answered_with_1000(start_agent: StartAgent) -> None:
    async with start_agent(dialect=FLAT) as (url, _), opened(url) as wire:
        await wire.until("audio")
        await wire.send({"text": ""})
        assert await wire.closed() == (1000, "")


async def test_what_no_guide_has_ends_a_flat_conversation_too(start_agent: StartAgent) -> None:
    async with start_agent(dialect=FLAT) as (url, _), opened(url) as wire:
        await wire.send({"type": "interrupt"})
        assert await wire.closed() == (1008, "Invalid message received")


async def test_a_flat_interruption_names_nothing_and_no_late_sound_follows(
    start_agent: StartAgent,
) -> None:
    over_it = await said(EXIT)
    async with start_agent(behaviour=by_guide(), dialect=FLAT) as (url, _), opened(url) as wire:
        await wire.until("audio")
        await wire.until("audio")
        await wire.send(over_it)
        assert await wire.until("interruption") == {"type": "interruption"}
        cut_at = len(wire.types)
        await wire.until("agent_response")
    assert wire.types[cut_at:] == ["agent_response_correction", "user_transcript", "agent_response"]


@pytest.mark.parametrize("public", [True, False])
async def test_a_flat_agent_takes_its_key_from_the_address_and_no_other(
    public: bool, start_agent: StartAgent
) -> None:
    query = "agent_id=agent_local&xi-api-key="
    async with start_agent(dialect=FLAT, public=public) as (url, _):
        async with opened(url, query + DEFAULT_API_KEY) as wire:
            assert (await wire.receive())["type"] == "conversation_initiation_metadata"
        async with opened(url, query + "wrong") as wire:
            assert await wire.closed() == (3000, "Could not authorize the conversation.")
        async with opened(url) as wire:
            if public:
                assert (await wire.receive())["type"] == "conversation_initiation_metadata"
            else:
                assert await wire.closed() == (3000, "Could not authorize the conversation.")
