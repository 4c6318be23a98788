"""What every frame has in common, whichever side wrote it."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.convai.client_messages import ClientMessage, ContextualUpdate, Feedback
from kiosk.convai.client_parsing import parse_client
from kiosk.convai.frames import MAX_FRAME_BYTES, Malformed, Unknown, serialize
from kiosk.convai.server_parsing import ServerMessage, parse_server
from tests.unit.convai.strategies import CLIENT_MESSAGES, SERVER_MESSAGES

both_sides = pytest.mark.parametrize("parse", [parse_server, parse_client])
Parse = Callable[[str | bytes], object]


@given(st.one_of(*CLIENT_MESSAGES.values(), *SERVER_MESSAGES.values()))
def test_a_frame_is_one_compact_json_object(message: ClientMessage | ServerMessage) -> None:
    frame = serialize(message)
    assert frame == json.dumps(json.loads(frame), separators=(",", ":"), ensure_ascii=False)
    assert frame.startswith("{")


@given(st.one_of(*CLIENT_MESSAGES.values(), *SERVER_MESSAGES.values()))
def test_no_frame_has_a_null_at_its_top_but_the_feedback_taken_back(
    message: ClientMessage | ServerMessage,
) -> None:
    taken_back = isinstance(message, Feedback) and message.score is None
    assert (None in json.loads(serialize(message)).values()) == taken_back


@both_sides
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
        '{"text":""}',
        '{"type":7}',
        '{"type":null}',
        '{"type":"\\ud800"}',
        b'{"type":"user_activity"}',
        b'{"type":"ping","ping_event":{"event_id":1}}',
        "[" * 100_000,
        '{"a":' * 50_000,
        '{"type":"user_activity","deep":' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"type":"ping","event_id":' + "9" * 5000 + "}",
        '{"type":"pong","event_id":' + "9" * 5000 + "}",
    ],
    ids=lambda frame: str(frame)[:60],
)
def test_what_is_no_message_is_malformed_on_both_sides(parse: Parse, frame: str | bytes) -> None:
    assert isinstance(parse(frame), Malformed)


@pytest.mark.parametrize("character", ["x", "é", "€", "\N{PARTY POPPER}"])
def test_a_frame_is_measured_in_bytes_not_in_characters(character: str) -> None:
    empty = serialize(ContextualUpdate(""))
    room = MAX_FRAME_BYTES - len(empty)
    fits = serialize(ContextualUpdate(character * (room // len(character.encode()))))
    assert isinstance(parse_client(fits), ContextualUpdate)
    assert isinstance(parse_client(fits + " " * len(character.encode())), Malformed)


@both_sides
@pytest.mark.parametrize(
    "frame", ['{"type":"ping","s3cret":"s3cret"}', "s3cret", '{"s3cret":1}', '{"s3cret":']
)
def test_a_malformed_frame_is_never_quoted(parse: Parse, frame: str) -> None:
    assert "s3cret" not in getattr(parse(frame), "why", "")


@both_sides
def test_an_unknown_type_is_unknown_and_its_name_is_bounded(parse: Parse) -> None:
    assert parse('{"type":"made_up"}') == Unknown("made_up")
    assert parse(json.dumps({"type": "x" * 500})) == Unknown("x" * 64)


@both_sides
@given(frame=st.text(max_size=200) | st.binary(max_size=50))
def test_noise_never_raises(parse: Parse, frame: str | bytes) -> None:
    assert isinstance(parse(frame), Malformed | Unknown)
