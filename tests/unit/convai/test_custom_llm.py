"""The wire of a custom LLM: what is asked and answered in OpenAI's two forms."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.convai.custom_llm import (
    AnswerError,
    Form,
    Piece,
    Question,
    QuestionError,
    answer_writer,
    read_piece,
    read_question,
    write_question,
)
from kiosk.convai.speech_engine import Said

TALK = (Said("agent", "Welcome."), Said("user", "where is the exit"))


@pytest.mark.parametrize("form", Form)
def test_a_question_is_read_as_it_was_written(form: Form) -> None:
    body = json.dumps(write_question(TALK, form, "lobby")).encode()
    assert read_question(body, form) == Question(TALK, "mind", "lobby")


def test_what_is_not_of_the_talk_is_left_out() -> None:
    messages = [
        {"role": "system", "content": "You are a guide."},
        {"role": "assistant", "content": "Welcome."},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
        {"role": "tool", "tool_call_id": "1", "content": "lights on"},
        {"role": "assistant", "content": ""},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "where is "},
                {"type": "image_url", "image_url": {"url": "data:"}},
                {"type": "text", "text": "the exit"},
            ],
        },
    ]
    asked = {
        "messages": messages,
        "model": "museum",
        "stream": True,
        "temperature": 0.5,
        "tools": [{"type": "function", "function": {"name": "end_call"}}],
        "elevenlabs_extra_body": {"room": 3},
    }
    question = read_question(json.dumps(asked).encode(), Form.CHAT_COMPLETIONS)
    assert question == Question(TALK, "museum", "")


def test_the_form_of_responses_takes_text_and_items() -> None:
    items = [
        {"type": "message", "role": "developer", "content": "You are a guide."},
        {"role": "assistant", "content": [{"type": "output_text", "text": "Welcome."}]},
        {"type": "function_call_output", "call_id": "1", "output": "lights on"},
        {"role": "user", "content": [{"type": "input_text", "text": "where is the exit"}]},
    ]
    for given_input, talk in ((items, TALK), ("where is the exit", TALK[1:])):
        body = json.dumps({"input": given_input, "stream": True}).encode()
        assert read_question(body, Form.RESPONSES).talk == talk


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not an object"),
        (b"{}", "stream is not true"),
        (b'{"stream": true}', "messages is not a list"),
        (b'{"stream": true, "messages": "hello"}', "messages is not a list"),
        (b'{"stream": true, "messages": [1]}', "a turn is not an object"),
        (b'{"stream": true, "messages": [{"role": "user", "content": 1}]}', "has no text"),
        (b'{"stream": true, "messages": []}', "has no turn of the user's"),
        (
            b'{"stream": true, "messages": [{"role": "assistant", "content": "Hello."}]}',
            "has no turn of the user's",
        ),
    ],
)
def test_a_question_that_makes_no_sense_is_said_to(body: bytes, why: str) -> None:
    with pytest.raises(QuestionError, match=why):
        read_question(body, Form.CHAT_COMPLETIONS)


@given(pieces=st.lists(st.text(min_size=1), max_size=5))
@pytest.mark.parametrize("form", Form)
def test_an_answer_is_read_as_it_was_written(form: Form, pieces: list[str]) -> None:
    writer = answer_writer(form, "abc", "museum", 1.5)
    stream = writer.begin() + "".join(map(writer.piece, pieces)) + writer.end()
    assert stream.endswith("\n\n")
    data = [line[6:] for line in stream.split("\n") if line.startswith("data: ")]
    read = [read_piece(each) for each in data]
    assert "".join(each.text for each in read) == "".join(pieces)
    assert read[-1].is_last


@pytest.mark.parametrize(
    "data",
    [
        "{",
        "[]",
        '{"error": {"message": "no"}}',
        '{"type": "response.failed"}',
        '{"type": "error", "message": "no"}',
    ],
)
def test_what_is_no_answer_is_said_to_be_none(data: str) -> None:
    with pytest.raises(AnswerError):
        read_piece(data)


def test_what_else_comes_is_no_text() -> None:
    for data in ('{"type": "response.created"}', '{"choices": []}', '{"choices": [{"delta": {}}]}'):
        assert read_piece(data) == Piece()
