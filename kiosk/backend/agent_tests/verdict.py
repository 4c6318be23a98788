"""Verdict on an answer: what must be in it and what must not, and what a judge says. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from kiosk.backend.agent_tests.form import AgentTest
from kiosk.backend.mind.words import words_of


class AnswerOutcome(StrEnum):
    """What came of a test."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_JUDGED = "not judged"  # there is nobody who could
    SKIPPED = "skipped"  # it cannot be asked here


@dataclass(frozen=True, slots=True)
class AnswerVerdict:
    """What came of one test, with the agent's answer and why it is not right."""

    name: str
    outcome: AnswerOutcome
    answer: str = ""
    why: tuple[str, ...] = ()


def judged(test: AgentTest, answer: str, is_right: bool | None, reason: str = "") -> AnswerVerdict:
    """The verdict; `is_right` is what a judge says of it, None: there was none."""
    why = [*_misses(test.must, answer), *_finds(test.must_not, answer)]
    if is_right is False:
        why.append(reason or f"the judge does not find: {test.condition}")
    if why:
        outcome = AnswerOutcome.FAILED
    elif is_right is None and not (test.must or test.must_not):
        outcome = AnswerOutcome.NOT_JUDGED
    else:
        outcome = AnswerOutcome.PASSED
    return AnswerVerdict(test.name, outcome, answer, tuple(why))


def _misses(must: Sequence[str], answer: str) -> list[str]:
    return [
        f"must be in it: {words}"
        for words in must
        if not any(_holds(answer, way) for way in words.split("|"))
    ]


def _finds(must_not: Sequence[str], answer: str) -> list[str]:
    return [f"must not be in it: {words}" for words in must_not if _holds(answer, words)]


def _holds(answer: str, words: str) -> bool:
    """Whether the words are in it, one after the other; capitals and signs do not matter."""
    return f" {' '.join(words_of(words))} " in f" {' '.join(words_of(answer))} "
