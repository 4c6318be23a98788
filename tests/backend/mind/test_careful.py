"""A model is asked no more than an operator wants, and left alone while it fails."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable

import pytest

from kiosk.backend.mind.careful import CarefulMind
from kiosk.backend.mind.common_answers import CommonAnswers
from kiosk.backend.mind.pacing import Pace, paced
from kiosk.backend.mind.persona import Budget
from kiosk.backend.mind.port import Mind, MindError, MindTurn
from kiosk.backend.mind.spending import Spending, Tokens
from kiosk.convai.speech_engine import Said
from tests.virtual_time import virtual_time

LATE_S = 8.0


class Model:
    """Answers with how often it was asked; `fails`: not at all; `hangs`: says nothing."""

    def __init__(self) -> None:
        self.asked = 0
        self.fails = False
        self.hangs = False
        self.breaks_off = False
        self.is_cut = False
        self.hangs_later = False

    def answer(self, turn: MindTurn) -> AsyncGenerator[str, None]:
        return self.ask(turn, lambda: None)

    async def ask(self, _turn: MindTurn, whole: Callable[[], None]) -> AsyncGenerator[str, None]:
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails:
            raise MindError("it fails")
        yield f"model {self.asked}"
        if self.breaks_off:
            raise MindError("it breaks off")
        if self.hangs_later:
            await asyncio.Event().wait()
        if not self.is_cut:
            whole()


class Script:
    async def answer(self, _turn: MindTurn) -> AsyncGenerator[str, None]:
        yield "script"


class Guide:
    """A careful mind, its parts, and what it says."""

    def __init__(self, script: Mind | None = None, budget: Budget | None = None) -> None:
        self.model = Model()
        self.spending = Spending(budget or Budget())
        self.day = 1
        self.mind = CarefulMind(self.model, self.spending, script, LATE_S, lambda: self.day)

    async def ask(self, question: str = "and the ships", before: str = "where am I") -> str:
        said = (Said("user", before), Said("agent", "Here."), Said("user", question))
        turn = MindTurn(said if before else said[2:], "conv_1")
        return "".join([piece async for piece in self.mind.answer(turn)])


@virtual_time
async def test_after_three_failures_the_script_answers_and_one_question_in_a_while_tries() -> None:
    guide = Guide(Script())
    guide.model.fails = True
    for _ in range(2):
        with pytest.raises(MindError, match="it fails"):
            await guide.ask()
    assert await guide.ask() == "script"  # the third is saved already
    assert await guide.ask() == "script"
    assert guide.model.asked == 3
    await asyncio.sleep(30)
    assert [await guide.ask() for _ in range(3)] == ["script"] * 3
    assert guide.model.asked == 4
    await asyncio.sleep(30)
    guide.model.fails = False
    assert [await guide.ask() for _ in range(2)] == ["model 5", "model 6"]


@virtual_time
async def test_failures_with_an_answer_between_them_are_not_in_a_row() -> None:
    guide = Guide(Script())
    for fails in (True, True, False, True, True):
        guide.model.fails = fails
        with contextlib.suppress(MindError):
            await guide.ask()
    guide.model.fails = False
    assert await guide.ask() == "model 6"


@virtual_time
async def test_what_began_is_not_begun_again_by_the_script() -> None:
    guide = Guide(Script())
    guide.model.breaks_off = True
    for _ in range(3):
        with pytest.raises(MindError, match="it breaks off"):
            await guide.ask()
    assert await guide.ask() == "script"


@virtual_time
async def test_without_a_script_the_model_is_asked_each_time() -> None:
    guide = Guide()
    guide.model.fails = True
    for _ in range(5):
        with pytest.raises(MindError, match="it fails"):
            await guide.ask()
    assert guide.model.asked == 5


@virtual_time
async def test_a_model_that_says_nothing_fails_but_not_one_that_was_interrupted() -> None:
    guide = Guide(Script())
    guide.model.hangs = True
    turn = MindTurn((Said("user", "hello"),))
    for seconds in (1.0, 1.0, 1.0, 1.0):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await guide.ask()
    assert guide.model.asked == 4
    pace = Pace(apology="Sorry.")
    for _ in range(3):
        said = [piece async for piece in paced(guide.mind, turn, pace, lambda *_: None)]
        assert said == ["... ", "Sorry."]
    assert await guide.ask() == "script"


@virtual_time
async def test_a_model_that_falls_silent_in_an_answer_fails_too() -> None:
    guide = Guide(Script())
    guide.model.hangs_later = True
    turn = MindTurn((Said("user", "one"), Said("agent", "?"), Said("user", "two")))
    for number in range(1, 4):
        pieces = paced(guide.mind, turn, Pace(apology="Sorry."), lambda *_: None)
        assert [piece async for piece in pieces] == [f"model {number}", "Sorry."]
    assert await guide.ask() == "script"


@virtual_time
async def test_a_first_question_that_was_answered_is_not_asked_again() -> None:
    guide = Guide()
    assert await guide.ask("Where are the whales?", before="") == "model 1"
    assert await guide.ask("where are the whales", before="") == "model 1"
    assert await guide.ask("where are the ships", before="") == "model 2"
    assert await guide.ask("where are the whales", before="Hello") == "model 3"
    guide.model.breaks_off = True
    with pytest.raises(MindError):
        await guide.ask("how long", before="")
    guide.model.breaks_off = False
    guide.model.is_cut = True  # by the limit of its length, or refused
    assert await guide.ask("how long", before="") == "model 5"
    guide.model.is_cut = False
    assert await guide.ask("how long", before="") == "model 6"


def test_the_oldest_of_many_answers_goes() -> None:
    answers = CommonAnswers(most=2)
    talks = [(Said("agent", "Hello."), Said("user", name)) for name in ("one", "two", "three")]
    for talk in talks[:2]:
        answers.keep(talk, talk[1].content)
    assert answers.find(talks[0]) == "one"
    answers.keep(talks[2], "three")
    assert [answers.find(talk) for talk in talks] == ["one", None, "three"]
    answers.keep((Said("user", "?!"),), "What?")
    assert answers.find((Said("user", "?!"),)) is None
    assert answers.find((Said("agent", "Hi."), talks[0][1])) is None  # another greeting


@virtual_time
async def test_what_is_spent_is_refused_or_the_scripts() -> None:
    budget = Budget(visit_tokens=1000, day_tokens=2000)
    guide, scripted = Guide(budget=budget), Guide(Script(), budget=budget)
    for each in (guide, scripted):
        each.spending.add("conv_1", Tokens(500, 300, 199), 1)
        assert await each.ask() == "model 1"
        each.spending.add("conv_1", Tokens(written=1), 1)
    with pytest.raises(MindError, match=r"the visit's tokens are spent \(budget.visit_tokens\)"):
        await guide.ask()
    assert await scripted.ask() == "script"


def test_a_day_has_its_budget_and_the_next_day_another() -> None:
    spending = Spending(Budget(visit_tokens=1000, day_tokens=2000))
    for number in range(3):
        spending.add(f"conv_{number}", Tokens(700), 1)
    assert spending.refuses("conv_9", 1) == "the day's tokens are spent (budget.day_tokens)"
    assert spending.refuses("conv_9", 2) == ""
    spending.add("", Tokens(1500), 2)
    assert spending.refuses("", 2) == ""
    assert spending.refuses("conv_0", 2) == ""
