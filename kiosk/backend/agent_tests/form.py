"""Form of a file of tests: the provider's own (elevenlabs 2.78.0, `agent-testing/create`), JSON, a
list of what one test each is created with. Pure.

What it does not know stands under `kiosk`, and is not sent: words that must be in the answer, and
words that must not be.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from kiosk.backend.mind.words import words_of
from kiosk.base.mistakes import in_words
from kiosk.convai.fields import Json
from kiosk.convai.speech_engine import Said
from kiosk.errors import ConfigError

_OURS = "kiosk"
Line = Annotated[str, Field(min_length=1, max_length=2000)]


class _Words(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    must: tuple[Line, ...] = ()
    must_not: tuple[Line, ...] = ()

    @field_validator("must", "must_not")
    @classmethod
    def _has_words(cls, lines: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        for line in lines:
            ways = line.split("|") if info.field_name == "must" else [line]
            if not all(map(words_of, ways)):
                raise ValueError(f"{line!r}: only words are looked for, and there is none in it")
        return lines


class _Turn(BaseModel):
    model_config = ConfigDict(frozen=True)

    role: Literal["user", "agent"]
    message: Line
    time_in_call_secs: int = 0


class _Example(BaseModel):
    model_config = ConfigDict(frozen=True)

    response: Line


class _Test(BaseModel):
    """One test. The provider has more keys than these, which go to it as they are."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: Line
    type: Literal["llm", "tool", "simulation"] = "llm"
    chat_history: tuple[_Turn, ...] = ()
    success_condition: Line | None = None
    success_examples: tuple[_Example, ...] = ()
    failure_examples: tuple[_Example, ...] = ()
    kiosk: _Words = _Words()

    @model_validator(mode="after")
    def _asks_something(self) -> "_Test":
        if self.type != "llm":
            return self
        if not self.chat_history or self.chat_history[-1].role != "user":
            raise ValueError('chat_history: it does not end with a message of "role": "user"')
        if self.success_condition is None:
            raise ValueError("success_condition: it says for people and models what is right")
        if not (self.success_examples and self.failure_examples):
            raise ValueError("success_examples, failure_examples: one of each, or more")
        return self


@dataclass(frozen=True, slots=True)
class AgentTest:
    """One test. `talk` ends with the question; `condition` says what a right answer is, `good` and
    `bad` give examples; each of `must` is in it, or one of its ways, "a | b"; none of `must_not`
    is. `official`: what the provider takes. Only an `llm` test is one question and one answer."""

    name: str
    kind: Literal["llm", "tool", "simulation"]
    talk: tuple[Said, ...]
    condition: str
    good: tuple[str, ...]
    bad: tuple[str, ...]
    must: tuple[str, ...]
    must_not: tuple[str, ...]
    official: Mapping[str, Json]


def read_tests(file: str, text: str) -> tuple[AgentTest, ...]:
    """The tests of a file, an object or a list of some. Raises ConfigError with a line for each
    mistake; `file` is for people."""
    try:
        bodies: Any = json.loads(text, parse_constant=_refuse)
        json.dumps(bodies, ensure_ascii=False).encode()  # half a character is none
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: it is not JSON: {error}") from None
    bodies = [bodies] if isinstance(bodies, dict) else bodies
    if not isinstance(bodies, list) or not bodies:
        raise ConfigError(f"{file}: it is no list of tests")
    tests: list[AgentTest] = []
    mistakes: list[str] = []
    for number, body in enumerate(bodies, start=1):
        name = body.get("name") if isinstance(body, dict) else None
        place = f"{file}, test {number}" + (f" ({name})" if isinstance(name, str) else "")
        try:
            tests.append(_read(body))
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
            for each in in_words(found, _Test.model_json_schema()):
                key = ".".join(each.keys)
                mistakes.append(f"{place}: {key}: {each.what}" if key else f"{place}: {each.what}")
    names = [test.name for test in tests]
    mistakes += [
        f"{file}: several tests are called {name!r}" for name in names if names.count(name) > 1
    ]
    if mistakes:
        raise ConfigError("\n".join(dict.fromkeys(mistakes)))
    return tuple(tests)


def _read(body: Any) -> AgentTest:
    test = _Test.model_validate(body)
    official = {"type": test.type, **{key: body[key] for key in body if key != _OURS}}
    if test.chat_history:
        # Which the provider wants to have, and an operator has no use for.
        official["chat_history"] = [
            {"time_in_call_secs": 0, **turn} for turn in body["chat_history"]
        ]
    for key, kind in (("success_examples", "success"), ("failure_examples", "failure")):
        if key in official:
            official[key] = [{"type": kind, **example} for example in body[key]]
    return AgentTest(
        test.name,
        test.type,
        tuple(Said(turn.role, turn.message) for turn in test.chat_history),
        test.success_condition or "",
        tuple(example.response for example in test.success_examples),
        tuple(example.response for example in test.failure_examples),
        test.kiosk.must,
        test.kiosk.must_not,
        official,
    )


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON's")
