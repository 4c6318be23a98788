"""Messages of a server: what is written is read back, and both forms of an event are read."""

import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.convai.client_messages import Pong
from kiosk.convai.frames import Ignored, Malformed, serialize
from kiosk.convai.server_messages import AgentResponsePart, Ping
from kiosk.convai.server_parsing import ServerMessage, parse_server
from kiosk.convai.server_tools import AgentToolResponse
from tests.unit.convai.forms import BOTH_FORMS
from tests.unit.convai.strategies import SERVER_MESSAGES


def test_every_message_of_a_server_is_tried() -> None:
    assert set(SERVER_MESSAGES) == set(get_args(ServerMessage))


@pytest.mark.parametrize("kind", SERVER_MESSAGES, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_what_a_server_writes_a_client_reads(
    kind: type[ServerMessage], data: st.DataObject
) -> None:
    message = data.draw(SERVER_MESSAGES[kind])
    assert parse_server(serialize(message)) == message


@pytest.mark.parametrize(("body", "message"), BOTH_FORMS, ids=lambda value: str(value)[:50])
def test_the_nested_and_the_flat_form_are_read(
    body: dict[str, object], message: ServerMessage
) -> None:
    assert parse_server(json.dumps(body)) == message


@pytest.mark.parametrize(("body", "message"), BOTH_FORMS, ids=lambda value: str(value)[:50])
def test_unknown_fields_change_nothing(body: dict[str, object], message: ServerMessage) -> None:
    more = {
        key: {**value, "new": [1]} if isinstance(value, dict) and key != "metadata" else value
        for key, value in body.items()
    }
    assert parse_server(json.dumps({**more, "trace": "x"})) == message


def test_both_forms_are_tried_of_every_message() -> None:
    assert {type(message) for _, message in BOTH_FORMS} == set(get_args(ServerMessage))


@pytest.mark.parametrize("event_id", [0, 7, 10**17, "7", "unique_event_id", ""])
def test_a_ping_id_goes_back_with_the_type_it_came_with(event_id: int | str) -> None:
    ping = parse_server(json.dumps({"type": "ping", "ping_event": {"event_id": event_id}}))
    assert isinstance(ping, Ping)
    pong = json.loads(serialize(Pong(ping.event_id)))
    assert pong == {"type": "pong", "event_id": event_id}
    assert type(pong["event_id"]) is type(event_id)


def test_the_reasoning_carries_its_id_as_a_string_and_no_response_id() -> None:
    body = json.loads(serialize(AgentResponsePart("Hm", "delta", 7, "r", reasoning=True)))
    assert body == {
        "type": "agent_reasoning_response_part",
        "reasoning_response_part": {"text": "Hm", "type": "delta", "event_id": "7"},
    }


def test_only_the_full_variant_says_whether_it_was_cut() -> None:
    plain = json.loads(serialize(AgentToolResponse("weather", truncated=True)))
    assert "truncated" not in plain["agent_tool_response"]
    full = json.loads(serialize(AgentToolResponse("weather", full_result="")))
    assert full["agent_tool_response_full_payload"]["truncated"] is False


@pytest.mark.parametrize(
    "type_name",
    [
        "asr_initiation_metadata",
        "rich_content",
        "agent_typing",
        "external_agent_connected",
        "external_agent_disconnected",
        "internal_turn_probability",
        "internal_tentative_agent_response",
        "dtmf_request",
    ],
)
def test_what_a_voice_client_has_no_use_for_is_ignored(type_name: str) -> None:
    assert parse_server(json.dumps({"type": type_name, type_name: {"x": 1}})) == Ignored(type_name)


@pytest.mark.parametrize(
    "frame",
    [
        '{"type":"ping"}',
        '{"type":"ping","ping_event":{"event_id":true}}',
        '{"type":"ping","ping_event":{"event_id":null}}',
        '{"type":"audio"}',
        '{"type":"audio","audio_event":{"event_id":1}}',
        '{"type":"audio","audio_event":{"audio_base_64":"&&&&"}}',
        '{"type":"audio","audio_event":{"audio_base_64":"AAA"}}',
        '{"type":"audio","audio_event":{"audio_base_64":"AAAA="}}',
        '{"type":"audio","audio_event":{"audio_base_64":"AAAA===="}}',
        '{"type":"audio","audio_event":{"audio_base_64":"ä"}}',
        '{"type":"agent_response","agent_response_event":{}}',
        '{"type":"agent_response_correction","original_agent_response":"Hi"}',
        '{"type":"agent_chat_response_part","text_response_part":{"text":"Hi"}}',
        '{"type":"agent_reasoning_response_part"}',
        '{"type":"user_transcript","user_transcription_event":{"user_transcript":1}}',
        '{"type":"vad_score","vad_score_event":{"vad_score":"loud"}}',
        '{"type":"vad_score","vad_score_event":{"vad_score":1e999}}',
        '{"type":"queue_status","queue_status_event":{}}',
        '{"type":"client_tool_call","client_tool_call":{"tool_name":"x"}}',
        '{"type":"agent_tool_request"}',
        '{"type":"agent_tool_response"}',
        '{"type":"agent_tool_response_full_payload","full_tool_result":"x"}',
        '{"type":"mcp_tool_call","mcp_tool_call":{"tool_call_id":"c"}}',
        '{"type":"mcp_tool_call","mcp_tool_call":{"state":"loading"}}',
    ],
)
def test_an_event_without_what_it_exists_for_is_malformed(frame: str) -> None:
    assert isinstance(parse_server(frame), Malformed)
