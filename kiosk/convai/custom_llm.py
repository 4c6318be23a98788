"""Wire of a custom LLM: the service asks a server of ours what its agent answers, as it would ask
OpenAI. Pure.

There are two forms, `/chat/completions` and `/responses`; the answer is streamed as server-sent
events. The names are OpenAI's (openai 3.57.0), but for `user_id`, which is the service's.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from kiosk.convai.fields import Json
from kiosk.convai.speech_engine import Role, Said

# What a model is called that has no name.
_NO_MODEL = "mind"
_ROLES: Mapping[str, Role] = {"user": "user", "assistant": "agent"}
_NAMES: Mapping[Role, str] = {role: name for name, role in _ROLES.items()}
_DONE = "[DONE]"


class Form(Enum):
    """Which of OpenAI's two ways to ask."""

    CHAT_COMPLETIONS = auto()
    RESPONSES = auto()


@dataclass(frozen=True, slots=True)
class Question:
    """The talk so far, with a turn of the visitor's. `user_id`: what the client said it is."""

    talk: tuple[Said, ...]
    model: str = _NO_MODEL
    user_id: str = ""


class QuestionError(ValueError):
    """A question makes no sense; the message says why, without its content."""


def read_question(body: bytes, form: Form) -> Question:
    """What is asked; instructions, tools and their results are not of the talk. Raises
    QuestionError."""
    asked = _object(body)
    if asked.get("stream") is not True:
        raise QuestionError("stream is not true: an answer is only streamed")
    key = "messages" if form is Form.CHAT_COMPLETIONS else "input"
    turns = asked.get(key)
    if isinstance(turns, str) and form is Form.RESPONSES:
        turns = [{"role": "user", "content": turns}]
    talk = _talk(turns, key)
    return Question(talk, _text(asked, "model") or _NO_MODEL, _text(asked, "user_id"))


def read_guides_question(body: bytes) -> tuple[Question, Mapping[str, Json]]:
    """What is asked in the form of a widely read guide, which the service does not use, and the
    variables that the answer brings back. Raises QuestionError."""
    asked = _object(body)
    variables = asked.get("variables", {})
    if not isinstance(variables, dict):
        raise QuestionError("variables is not an object")
    return Question(_talk(asked.get("messages"), "messages")), variables


def write_guides_answer(text: str, variables: Mapping[str, Json]) -> dict[str, Json]:
    """The answer in that form: whole."""
    return {"content": text, "variables": dict(variables)}


def write_question(talk: Sequence[Said], form: Form, user_id: str = "") -> dict[str, object]:
    """As the service asks."""
    turns = [{"role": _NAMES[said.role], "content": said.content} for said in talk]
    key = "messages" if form is Form.CHAT_COMPLETIONS else "input"
    return {key: turns, "model": _NO_MODEL, "stream": True, "user_id": user_id}


def _object(body: bytes) -> dict[str, Json]:
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise QuestionError("it is not JSON") from error
    if not isinstance(asked, dict):
        raise QuestionError("it is not an object")
    return asked


def _talk(turns: Json, key: str) -> tuple[Said, ...]:
    if not isinstance(turns, list):
        raise QuestionError(f"{key} is not a list")
    talk = tuple(said for each in turns if (said := _said(each)) is not None)
    if not any(said.role == "user" for said in talk):
        raise QuestionError(f"{key} has no turn of the user's")
    return talk


def _said(turn: Json) -> Said | None:
    if not isinstance(turn, dict):
        raise QuestionError("a turn is not an object")
    role = _ROLES.get(str(turn.get("role")))
    content = turn.get("content")
    if role is None or content is None:  # a system's, a tool's, or a turn that called one
        return None
    if isinstance(content, list):
        content = "".join(_text(part, "text") for part in content if isinstance(part, dict))
    if not isinstance(content, str):
        raise QuestionError("a turn has no text")
    return Said(role, content) if content else None


def _text(body: Mapping[str, Json], key: str) -> str:
    value = body.get(key)
    return value if isinstance(value, str) else ""


# --- the answer -----------------------------------------------------------------------------------


class AnswerWriter(Protocol):
    """Writes one answer as server-sent events, in this order: begin, pieces, end."""

    def begin(self) -> str:
        """What comes before the first piece."""
        ...

    def piece(self, text: str) -> str:
        """A piece of the text."""
        ...

    def end(self) -> str:
        """The answer is complete."""
        ...


def answer_writer(form: Form, answer_id: str, model: str, now_s: float) -> AnswerWriter:
    """The writer of an answer; `answer_id` is of letters and digits."""
    if form is Form.CHAT_COMPLETIONS:
        return _ChatWriter(answer_id, model, now_s)
    return _ResponseWriter(answer_id, model, now_s)


class _ChatWriter:
    def __init__(self, answer_id: str, model: str, now_s: float) -> None:
        self._same: dict[str, object] = {
            "id": f"chatcmpl-{answer_id}", "object": "chat.completion.chunk",
            "created": int(now_s), "model": model,
        }  # fmt: skip

    def begin(self) -> str:
        return self._chunk({"role": "assistant", "content": ""})

    def piece(self, text: str) -> str:
        return self._chunk({"content": text})

    def end(self) -> str:
        return self._chunk({}, "stop") + f"data: {_DONE}\n\n"

    def _chunk(self, delta: Mapping[str, object], finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return f"data: {json.dumps({**self._same, 'choices': [choice]})}\n\n"


class _ResponseWriter:
    def __init__(self, answer_id: str, model: str, now_s: float) -> None:
        self._id = answer_id
        self._model = model
        self._now_s = now_s
        self._number = 0
        self._text: list[str] = []
        self._place = {"item_id": f"msg_{answer_id}", "output_index": 0, "content_index": 0}

    def begin(self) -> str:
        item = self._item("in_progress", [])
        return "".join((
            self._event("response.created", response=self._response("in_progress", [])),
            self._event("response.in_progress", response=self._response("in_progress", [])),
            self._event("response.output_item.added", output_index=0, item=item),
            self._event("response.content_part.added", **self._place, part=_part("")),
        ))  # fmt: skip

    def piece(self, text: str) -> str:
        self._text.append(text)
        return self._event("response.output_text.delta", **self._place, delta=text, logprobs=[])

    def end(self) -> str:
        text = "".join(self._text)
        item = self._item("completed", [_part(text)])
        return "".join((
            self._event("response.output_text.done", **self._place, text=text, logprobs=[]),
            self._event("response.content_part.done", **self._place, part=_part(text)),
            self._event("response.output_item.done", output_index=0, item=item),
            self._event("response.completed", response=self._response("completed", [item])),
        ))  # fmt: skip

    def _event(self, name: str, **body: object) -> str:
        said = {"type": name, "sequence_number": self._number, **body}
        self._number += 1
        return f"event: {name}\ndata: {json.dumps(said)}\n\n"

    def _item(self, status: str, content: Sequence[object]) -> dict[str, object]:
        return {
            "type": "message", "id": f"msg_{self._id}", "status": status, "role": "assistant",
            "content": content,
        }  # fmt: skip

    def _response(self, status: str, output: Sequence[object]) -> dict[str, object]:
        return {
            "id": f"resp_{self._id}", "object": "response", "created_at": int(self._now_s),
            "status": status, "error": None, "incomplete_details": None, "instructions": None,
            "metadata": {}, "model": self._model, "output": output, "parallel_tool_calls": False,
            "tool_choice": "none", "tools": [], "temperature": None, "top_p": None,
        }  # fmt: skip


def _part(text: str) -> dict[str, object]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of an answer's text; `is_last`: it is complete."""

    text: str = ""
    is_last: bool = False


class AnswerError(ValueError):
    """An answer makes no sense, or says that there is none."""


def read_piece(data: str) -> Piece:
    """What a server-sent event's data says of an answer, in either form. Raises AnswerError."""
    if data == _DONE:
        return Piece(is_last=True)
    try:
        said = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise AnswerError("it is not JSON") from error
    if not isinstance(said, dict) or "error" in said:
        raise AnswerError("there is no answer")
    match said:
        case {"type": "response.output_text.delta", "delta": str(text)}:
            return Piece(text)
        case {"type": "response.completed"}:
            return Piece(is_last=True)
        case {"type": "response.failed" | "error"}:
            raise AnswerError("there is no answer")
        case {"choices": [{"delta": {"content": str(text)}}, *_]}:
            return Piece(text)
    return Piece()
