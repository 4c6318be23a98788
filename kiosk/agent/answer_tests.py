"""Tests of what the agent says: made, run and told of as at the service (elevenlabs 2.78.0).

The service has a model judge an answer. Here it is right if it is more like the good examples than
like the bad ones, by its words: enough for a guide that says the same thing each time.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kiosk.base.ids import NewId
from kiosk.convai.fields import Json

# What is kept of each kind; the oldest goes.
_MOST = 1000
_WORD = re.compile(r"\w+")
# Less alike than that is not alike.
_ALIKE = 0.5


class AnswerTestError(ValueError):
    """A test, or a wish to run some, makes no sense; `path` is the key."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(what)
        self.path = path


@dataclass
class AnswerTests:
    """The tests and their runs. `answer`: what the agent says to a sentence."""

    agent_id: str
    answer: Callable[[str], str]
    new_id: NewId
    _tests: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _runs: dict[str, dict[str, Json]] = field(default_factory=dict)
    _asked_for: set[str] = field(default_factory=set)

    def make(self, body: Json) -> str:
        """The id of a new test; raises AnswerTestError."""
        if not isinstance(body, dict) or not isinstance(body.get("name"), str):
            raise AnswerTestError("body.name", "Field required")
        if body.get("type", "llm") != "llm":
            raise AnswerTestError("body.type", "the local agent runs tests of type llm")
        turns = body.get("chat_history")
        last = turns[-1] if isinstance(turns, list) and turns else None
        if not isinstance(last, dict) or last.get("role") != "user":
            raise AnswerTestError("body.chat_history", "the last turn is not the user's")
        if not isinstance(last.get("message"), str):
            raise AnswerTestError("body.chat_history", "the last turn has no message")
        for key in ("success_examples", "failure_examples"):
            examples = body.get(key)
            if not isinstance(examples, list) or not examples or not all(map(_text, examples)):
                raise AnswerTestError(f"body.{key}", "Input should be a list of responses")
        test_id = f"test_{self.new_id()[:24]}"
        self._tests[test_id] = body
        while len(self._tests) > _MOST:
            del self._tests[next(iter(self._tests))]
        return test_id

    def forget(self, test_id: str) -> bool:
        """Whether there was such a test."""
        return self._tests.pop(test_id, None) is not None

    def run(self, body: Json) -> dict[str, Json]:
        """Runs that are under way: who asks again is told how they ended. Raises
        AnswerTestError."""
        wanted = body.get("tests") if isinstance(body, dict) else None
        ids = [each.get("test_id") for each in _objects(wanted)]
        if not ids:
            raise AnswerTestError("body.tests", "Field required")
        for test_id in ids:
            if test_id not in self._tests:
                raise AnswerTestError("body.tests", f"there is no test {test_id}")
        runs_id = f"suite_{self.new_id()[:24]}"
        runs = [self._run(runs_id, str(test_id)) for test_id in ids]
        told: dict[str, Json] = {"id": runs_id, "agent_id": self.agent_id}
        self._runs[runs_id] = {**told, "test_runs": [*runs]}
        while len(self._runs) > _MOST:
            del self._runs[next(iter(self._runs))]
        return {**told, "test_runs": [{**run, "status": "pending", **_NOT_YET} for run in runs]}

    def told(self, runs_id: str) -> dict[str, Json] | None:
        """How the runs ended; None: there were none."""
        return self._runs.get(runs_id)

    def _run(self, runs_id: str, test_id: str) -> dict[str, Json]:
        test = self._tests[test_id]
        said = self.answer(test["chat_history"][-1]["message"])
        good, bad = (
            max(_likeness(said, str(_text(each))) for each in test[key])
            for key in ("success_examples", "failure_examples")
        )
        is_right = good >= _ALIKE and good > bad
        summary = f"{good:.2f} like the best good example, {bad:.2f} like the best bad one"
        return {
            "test_run_id": f"run_{self.new_id()[:24]}", "test_invocation_id": runs_id,
            "agent_id": self.agent_id, "test_id": test_id, "test_name": test["name"],
            "status": "passed" if is_right else "failed",
            "agent_responses": [{"role": "agent", "message": said, "time_in_call_secs": 0}],
            "condition_result": {
                "result": "success" if is_right else "failure",
                "rationale": {"messages": [], "summary": summary},
            },
        }  # fmt: skip


_NOT_YET: Mapping[str, Json] = {"agent_responses": None, "condition_result": None}


def _objects(values: Json) -> list[dict[str, Json]]:
    return [each for each in values if isinstance(each, dict)] if isinstance(values, list) else []


def _text(example: Json) -> str | None:
    said = example.get("response") if isinstance(example, dict) else None
    return said if isinstance(said, str) and said else None


def _likeness(one: str, other: str) -> float:
    """From 0 to 1: how many of the words of both are in both."""
    a, b = (set(_WORD.findall(text.lower())) for text in (one, other))
    return 2 * len(a & b) / (len(a) + len(b)) if a or b else 0.0
