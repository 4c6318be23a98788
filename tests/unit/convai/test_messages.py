"""Messages both ways: what is written is read back, and nothing that arrives breaks the reader."""

import json
import random
from collections.abc import Callable
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.convai.fields import Json
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
    serialize,
)
from kiosk.convai.parsing import parse_client, parse_server

text = st.text(max_size=20)
ids = st.integers(0, 10**15)
maybe_id = st.none() | ids
audio = st.binary(max_size=40)
json_values: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
tables = st.dictionaries(text, json_values, max_size=3)


def _initiation(
    user: str | None, source: str | None, version: str, over: dict[str, Json]
) -> Initiation:
    return Initiation(over, {"n": 1}, user, source, None if source is None else version)


client_messages: st.SearchStrategy[ClientMessage] = st.one_of(
    st.builds(_initiation, st.none() | text, st.none() | text, text, tables),
    st.builds(UserAudio, audio),
    st.builds(Pong, ids | text),
    st.builds(ToolResult, text, text, st.booleans()),
    st.builds(ContextualUpdate, text),
    st.builds(UserMessage, text),
    st.builds(UserActivity),
)
server_messages: st.SearchStrategy[ServerMessage] = st.one_of(
    st.builds(Metadata, st.none() | text, st.none() | text, st.none() | text),
    st.builds(Ping, ids | text, st.none() | ids),
    st.builds(AgentAudio, audio, maybe_id, st.booleans()),
    st.builds(AgentResponse, text, maybe_id),
    st.builds(AgentResponseCorrection, text, text, maybe_id),
    st.builds(UserTranscript, text, maybe_id, st.booleans()),
    st.builds(Interruption, maybe_id),
    st.builds(ToolCall, text, text, tables, st.booleans()),
    st.builds(AgentToolResponse, text, text, st.text(min_size=1), st.booleans()),
    st.builds(ErrorReport, maybe_id, text, st.none() | text),
)


@given(client_messages)
def test_what_a_client_writes_a_server_reads(message: ClientMessage) -> None:
    assert parse_client(serialize(message)) == message


@given(server_messages)
def test_what_a_server_writes_a_client_reads(message: ServerMessage) -> None:
    assert parse_server(serialize(message)) == message


@given(st.one_of(client_messages, server_messages))
def test_a_frame_is_one_compact_json_object_without_nulls_at_its_top(
    message: ClientMessage | ServerMessage,
) -> None:
    frame = serialize(message)
    body = json.loads(frame)
    assert frame == json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    assert None not in body.values()


def test_user_audio_has_no_type() -> None:
    assert json.loads(serialize(UserAudio(b"\x00\x01"))) == {"user_audio_chunk": "AAE="}


def test_the_smallest_initiation_is_its_type() -> None:
    assert json.loads(serialize(Initiation())) == {"type": "conversation_initiation_client_data"}


def test_a_version_is_cut_to_what_the_contract_allows() -> None:
    body = json.loads(serialize(Initiation(source="unknown", version="v" * 80)))
    assert body["source_info"] == {"source": "unknown", "version": "v" * 50}


def test_a_tool_result_is_a_string() -> None:
    body = json.loads(serialize(ToolResult("call_1", "done")))
    assert body == {
        "type": "client_tool_result",
        "tool_call_id": "call_1",
        "result": "done",
        "is_error": False,
    }
    body["result"] = {"done": True}
    assert isinstance(parse_client(json.dumps(body)), Malformed)


# The nested form of the contract, and the flat one of popular guides.
BOTH_FORMS: list[tuple[dict[str, object], ServerMessage]] = [
    (
        {
            "type": "conversation_initiation_metadata",
            "conversation_initiation_metadata_event": {
                "conversation_id": "conv_1",
                "agent_output_audio_format": "pcm_44100",
                "user_input_audio_format": "ulaw_8000",
            },
        },
        Metadata("conv_1", "pcm_44100", "ulaw_8000"),
    ),
    (
        {
            "type": "conversation_initiation_metadata",
            "agent_output_audio_format": "pcm_44100",
            "user_input_audio_format": "ulaw_8000",
        },
        Metadata(None, "pcm_44100", "ulaw_8000"),
    ),
    ({"type": "conversation_initiation_metadata"}, Metadata(None)),
    ({"type": "ping", "ping_event": {"event_id": 7, "ping_ms": 50}}, Ping(7, 50)),
    ({"type": "ping", "ping_event": {"event_id": 7, "ping_ms": None}}, Ping(7)),
    ({"type": "ping", "event_id": 7}, Ping(7)),
    ({"type": "ping", "event_id": "unique"}, Ping("unique")),
    (
        {
            "type": "audio",
            "audio_event": {"audio_base_64": "AAE=", "event_id": 7, "is_final": True},
        },
        AgentAudio(b"\0\1", 7, True),
    ),
    (
        {
            "type": "audio",
            "audio_event": {"audio_base_64": "AAE=", "event_id": "7", "alignment": {}},
        },
        AgentAudio(b"\0\1", 7),
    ),
    ({"type": "audio", "audio_event": {"audio_base64": "AAE="}}, AgentAudio(b"\0\1")),
    ({"type": "audio", "audio_event": {"audio": "AAE="}}, AgentAudio(b"\0\1")),
    ({"type": "audio", "audio_base_64": "AAE="}, AgentAudio(b"\0\1")),
    (
        {"type": "agent_response", "agent_response_event": {"agent_response": "Hi", "event_id": 3}},
        AgentResponse("Hi", 3),
    ),
    ({"type": "agent_response", "agent_response": "Hi"}, AgentResponse("Hi")),
    (
        {
            "type": "agent_response_correction",
            "agent_response_correction_event": {"corrected_agent_response": "Hi"},
        },
        AgentResponseCorrection("", "Hi"),
    ),
    (
        {
            "type": "user_transcript",
            "user_transcription_event": {"user_transcript": "Hello", "event_id": 2},
        },
        UserTranscript("Hello", 2),
    ),
    (
        {"type": "user_transcript", "user_transcript": {"user_transcription": "Hello"}},
        UserTranscript("Hello"),
    ),
    ({"type": "user_transcript", "user_transcript": "Hello"}, UserTranscript("Hello")),
    ({"type": "user_transcript", "user_transcription": "Hello"}, UserTranscript("Hello")),
    (
        {
            "type": "tentative_user_transcript",
            "tentative_user_transcription_event": {"user_transcript": "Hel"},
        },
        UserTranscript("Hel", tentative=True),
    ),
    ({"type": "interruption", "interruption_event": {"event_id": 4}}, Interruption(4)),
    ({"type": "interruption", "interruption_event": {"reason": "user"}}, Interruption()),
    ({"type": "interruption"}, Interruption()),
    (
        {
            "type": "client_tool_call",
            "client_tool_call": {"tool_name": "light", "tool_call_id": "c1", "event_id": 1},
        },
        ToolCall("light", "c1"),
    ),
    (
        {"type": "client_tool_call", "tool_name": "light", "tool_call_id": "c1"},
        ToolCall("light", "c1"),
    ),
    (
        {"type": "agent_tool_response", "agent_tool_response": {"tool_name": "end_call"}},
        AgentToolResponse("end_call"),
    ),
    (
        {
            "type": "agent_tool_response_full_payload",
            "agent_tool_response_full_payload": {"tool_name": "end_call", "tool_call_id": "c2"},
        },
        AgentToolResponse("end_call", "c2"),
    ),
    (
        {"type": "error", "error_event": {"code": 1002, "error_type": "llm_error", "reason": "no"}},
        ErrorReport(1002, "no", "llm_error"),
    ),
    (
        {"type": "client_error", "error_event": {"code": 1008, "error_name": "x", "message": "y"}},
        ErrorReport(1008, "y", "x"),
    ),
    (
        {"type": "error", "message": "received 1002 quota"},
        ErrorReport(None, "received 1002 quota"),
    ),
]


@pytest.mark.parametrize(("body", "message"), BOTH_FORMS, ids=lambda value: str(value)[:50])
def test_the_nested_and_the_flat_form_are_read(
    body: dict[str, object], message: ServerMessage
) -> None:
    assert parse_server(json.dumps(body)) == message


@pytest.mark.parametrize(("body", "message"), BOTH_FORMS, ids=lambda value: str(value)[:50])
def test_unknown_fields_change_nothing(body: dict[str, object], message: ServerMessage) -> None:
    more = {
        key: {**value, "new": [1]} if isinstance(value, dict) else value
        for key, value in body.items()
    }
    assert parse_server(json.dumps({**more, "trace": "x"})) == message


@pytest.mark.parametrize("event_id", [0, 7, 10**17, "7", "unique_event_id", ""])
def test_a_ping_id_goes_back_with_the_type_it_came_with(event_id: int | str) -> None:
    ping = parse_server(json.dumps({"type": "ping", "ping_event": {"event_id": event_id}}))
    assert isinstance(ping, Ping)
    pong = json.loads(serialize(Pong(ping.event_id)))
    assert pong == {"type": "pong", "event_id": event_id}
    assert type(pong["event_id"]) is type(event_id)


@pytest.mark.parametrize(
    "frame",
    [
        "",
        " ",
        "hello",
        "[]",
        "null",
        "7",
        '"audio"',
        "{}",
        '{"type":7}',
        '{"type":null}',
        '{"type":"ping"}',
        '{"type":"ping","ping_event":{"event_id":true}}',
        '{"type":"ping","ping_event":{"event_id":null}}',
        '{"type":"audio"}',
        '{"type":"audio","audio_event":{"event_id":1}}',
        '{"type":"audio","audio_event":{"audio_base_64":"&&&&"}}',
        '{"type":"audio","audio_event":{"audio_base_64":"AAA"}}',
        '{"type":"audio","audio_event":{"audio_base_64":"ä"}}',
        '{"type":"agent_response","agent_response_event":{}}',
        '{"type":"user_transcript","user_transcription_event":{"user_transcript":1}}',
        '{"type":"client_tool_call","client_tool_call":{"tool_name":"x"}}',
        '{"type":"agent_tool_response"}',
        b'{"type":"ping","ping_event":{"event_id":1}}',
        "[" * 100_000,
        '{"a":' * 50_000,
        '{"type":"ping","event_id":' + "9" * 5000 + "}",
    ],
    ids=lambda frame: str(frame)[:60],
)
def test_what_is_no_message_is_malformed(frame: str | bytes) -> None:
    assert isinstance(parse_server(frame), Malformed)


@pytest.mark.parametrize(
    "frame",
    [
        '{"text":""}',
        '{"user_audio_chunk":7}',
        '{"user_audio_chunk":"%"}',
        '{"type":"pong"}',
        '{"type":"contextual_update","context":"wrong name"}',
        '{"type":"user_message"}',
        '{"type":"client_tool_result","tool_call_id":"c1"}',
    ],
)
def test_what_no_client_may_send_is_malformed(frame: str) -> None:
    assert isinstance(parse_client(frame), Malformed)


def test_a_malformed_frame_is_never_quoted() -> None:
    for frame in ('{"type":"ping","secret":"s3cret"}', "s3cret", '{"s3cret":1}'):
        answer = parse_server(frame)
        assert isinstance(answer, Malformed)
        assert "s3cret" not in answer.why


@pytest.mark.parametrize("parse", [parse_server, parse_client])
def test_an_unknown_type_is_unknown_and_its_name_is_bounded(
    parse: Callable[[str], object],
) -> None:
    assert parse('{"type":"context_usage"}') == Unknown("context_usage")
    assert parse(json.dumps({"type": "x" * 500})) == Unknown("x" * 64)


def test_two_thousand_damaged_frames_never_raise() -> None:
    dice = random.Random(20)
    frames = [serialize(message) for message in _samples()]
    for _ in range(2000):
        frame = list(dice.choice(frames))
        for _ in range(dice.randint(1, 6)):
            _damage(frame, dice)
        for parse in (parse_server, parse_client):
            parse("".join(frame))


def test_two_thousand_wrongly_typed_frames_never_raise() -> None:
    dice = random.Random(21)
    bodies = [json.loads(serialize(message)) for message in _samples()]
    for _ in range(2000):
        frame = json.dumps(_mistyped(dice.choice(bodies), dice))
        for parse in (parse_server, parse_client):
            parse(frame)


@given(st.text(max_size=200) | st.binary(max_size=50))
def test_noise_never_raises(frame: str | bytes) -> None:
    for parse in (parse_server, parse_client):
        assert isinstance(parse(frame), Malformed | Unknown)


def _samples() -> list[ClientMessage | ServerMessage]:
    return [
        *(message for _, message in BOTH_FORMS),
        Initiation({"agent": {"language": "en"}}, {"n": 1}, "kiosk", "unknown", "1"),
        UserAudio(b"1234"),
        Pong(1),
        ToolResult("c1", "x"),
        ContextualUpdate("x"),
        UserMessage("x"),
    ]


def _damage(frame: list[str], dice: random.Random) -> None:
    at = dice.randrange(len(frame) + 1)
    match dice.randrange(3):
        case 0:
            frame.insert(at, dice.choice('{}[]",:0-9eE.\\u\udc80é\0 tfn'))
        case 1:
            del frame[at : at + dice.randint(1, 8)]
        case _:
            frame[at : at + 1] = dice.choices('{}[]":0', k=2)


def _mistyped(value: Json, dice: random.Random) -> Json:
    if dice.random() < 0.15:
        strange: list[Json] = [None, True, -1, 10**400, 1.5e308, "", "\0", [], {}, [[]], {"": {}}]
        return dice.choice([*strange, cast("Json", float("inf")), cast("Json", float("nan"))])
    if isinstance(value, dict):
        return {key: _mistyped(inner, dice) for key, inner in value.items() if dice.random() > 0.05}
    return value
