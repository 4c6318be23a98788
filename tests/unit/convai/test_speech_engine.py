"""The wire of a speech engine: what is read of a transcript."""

import json

import pytest

from kiosk.convai.speech_engine import Asked, FrameError, Said, read_frame, write_asked

TALK = (Said("agent", "Welcome."), Said("user", "where is the exit"))


def test_a_transcript_is_read_as_it_was_written() -> None:
    assert read_frame(write_asked(7, TALK)) == Asked(7, TALK)


@pytest.mark.parametrize(
    "odd",
    [
        {"role": "system", "content": "You are a guide."},
        {"role": "tool", "content": "lights on"},
        {"role": "agent", "content": None},
        {"role": "agent"},
        {"content": "hello"},
        None,
        "hello",
    ],
)
def test_a_turn_of_nobody_here_does_not_silence_the_rest(odd: object) -> None:
    turns = [{"role": said.role, "content": said.content} for said in TALK]
    frame = {"type": "user_transcript", "event_id": 7, "user_transcript": [turns[0], odd, turns[1]]}
    assert read_frame(json.dumps(frame)) == Asked(7, TALK)


@pytest.mark.parametrize("turns", [None, {}, [], [{"role": "agent", "content": "Welcome."}]])
def test_a_transcript_without_a_visitor_makes_no_sense(turns: object) -> None:
    frame = {"type": "user_transcript", "event_id": 7, "user_transcript": turns}
    with pytest.raises(FrameError):
        read_frame(json.dumps(frame))
