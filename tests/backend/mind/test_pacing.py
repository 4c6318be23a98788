"""Nobody waits in silence for a mind."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncGenerator

import pytest

from kiosk.backend.mind.pacing import MindResult, Pace, paced
from kiosk.backend.mind.port import Mind, MindError, MindTurn
from kiosk.convai.speech_engine import Said
from tests.virtual_time import virtual_time

PACE = Pace()
TURN = MindTurn((Said("user", "where are the whales"),))


def nobody(_result: MindResult, _first_text_s: float | None) -> None:
    """Is told."""


class Thinking:
    """Says its pieces, each after so many seconds; None: for ever. `closed` when it was ended."""

    def __init__(self, *pieces: tuple[float | None, str], fails: Exception | None = None) -> None:
        self._pieces = pieces
        self._fails = fails
        self.closed = False

    async def answer(self, _turn: MindTurn) -> AsyncGenerator[str, None]:
        try:
            for after_s, piece in self._pieces:
                await (asyncio.Event().wait() if after_s is None else asyncio.sleep(after_s))
                yield piece
            if self._fails is not None:
                raise self._fails
        finally:
            self.closed = True


async def heard(thinking: Mind) -> list[tuple[float, str]]:
    began_s = asyncio.get_running_loop().time()
    return [
        (round(asyncio.get_running_loop().time() - began_s, 3), piece)
        async for piece in paced(thinking, TURN, PACE, nobody)
    ]


@virtual_time
async def test_a_quick_answer_is_as_it_is() -> None:
    assert await heard(Thinking((0.2, "Over "), (0.5, "there."))) == [
        (0.2, "Over "),
        (0.7, "there."),
    ]


@virtual_time
async def test_a_slow_one_begins_with_a_breath() -> None:
    assert await heard(Thinking((3.0, "Over there."))) == [(0.7, "... "), (3.0, "Over there.")]


@virtual_time
async def test_of_one_that_never_comes_the_visitor_is_told() -> None:
    thinking = Thinking((None, ""))
    assert await heard(thinking) == [(0.7, "... "), (8.0, PACE.apology)]
    assert thinking.closed


@virtual_time
async def test_one_that_breaks_off_is_apologised_for() -> None:
    assert await heard(Thinking((0.1, "It is "), (None, ""))) == [
        (0.1, "It is "),
        (8.1, PACE.apology),
    ]


@virtual_time
@pytest.mark.parametrize("error", [MindError("no such model"), KeyError("where are the whales")])
async def test_one_that_fails_is_apologised_for_without_its_words(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    assert await heard(Thinking((0.1, "It is "), fails=error)) == [
        (0.1, "It is "),
        (0.1, PACE.apology),
    ]
    assert len(caplog.records) == 1
    assert "whales" not in caplog.text


@virtual_time
async def test_whoever_stops_listening_ends_the_thinking() -> None:
    thinking = Thinking((0.1, "a"), (None, ""))
    async with contextlib.aclosing(paced(thinking, TURN, PACE, nobody)) as pieces:
        async for _ in pieces:
            break
    assert thinking.closed
    again = Thinking((None, ""))

    async def listen() -> None:
        async for _ in paced(again, TURN, PACE, nobody):
            pass

    listening = asyncio.create_task(listen())
    await asyncio.sleep(0.1)
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening
    await asyncio.sleep(0)
    assert again.closed


class Odd:
    """Does what no mind should, and holds the visitor's words in its mouth."""

    def __init__(self, fault: BaseException, when: str) -> None:
        self._fault = fault
        self._when = when

    def answer(self, _turn: MindTurn) -> AsyncGenerator[str, None]:
        if self._when == "called":
            raise self._fault
        return self._answer()

    async def _answer(self) -> AsyncGenerator[str, None]:
        try:
            if self._when == "begun":
                raise self._fault
            await asyncio.sleep(0.1)
            yield "It is "
            await asyncio.Event().wait()
        finally:
            if self._when == "ended":
                raise self._fault


@virtual_time
@pytest.mark.parametrize("fault", [ValueError("the whales"), asyncio.CancelledError("the whales")])
@pytest.mark.parametrize("when", ["called", "begun"])
async def test_a_mind_with_a_fault_is_apologised_for(
    when: str, fault: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    assert await heard(Odd(fault, when)) == [(0.0, PACE.apology)]
    assert "whales" not in caplog.text


@virtual_time
async def test_a_fault_of_the_putting_down_is_logged_without_its_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert await heard(Odd(ValueError("the whales"), "ended")) == [
        (0.1, "It is "),
        (8.1, PACE.apology),
    ]
    await asyncio.sleep(1)
    gc.collect()  # a task whose error nobody took complains here
    assert "whales" not in caplog.text


@virtual_time
async def test_one_that_says_nothing_is_apologised_for() -> None:
    assert await heard(Thinking()) == [(0.0, PACE.apology)]
    assert await heard(Thinking((1.0, " "))) == [(0.7, "... "), (1.0, " "), (1.0, PACE.apology)]


@virtual_time
async def test_one_that_is_slow_to_put_down_holds_nobody_up() -> None:
    class Clinging:
        async def answer(self, _turn: MindTurn) -> AsyncGenerator[str, None]:
            try:
                yield "It is "
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(30)

    pieces = paced(Clinging(), TURN, PACE, nobody)
    assert await anext(pieces) == "It is "
    before_s = asyncio.get_running_loop().time()
    await pieces.aclose()
    assert asyncio.get_running_loop().time() - before_s < 1
    await asyncio.sleep(60)


@virtual_time
async def test_what_became_of_an_answer_is_told_once() -> None:
    told: list[tuple[MindResult, float | None]] = []

    async def ask(mind: Mind, *, until: str = "") -> None:
        def tell(result: MindResult, first_s: float | None) -> None:
            told.append((result, None if first_s is None else round(first_s, 3)))

        async with contextlib.aclosing(paced(mind, TURN, PACE, tell)) as pieces:
            async for piece in pieces:
                if piece == until:
                    return

    await ask(Thinking((0.2, " "), (0.3, "Over "), (0.5, "there.")))
    await ask(Thinking((0.2, "Over "), fails=MindError("gone")))
    await ask(Thinking((None, "")))
    await ask(Thinking())
    await ask(Thinking((0.2, "Over "), (None, "")), until="Over ")
    await ask(Thinking((None, "")), until="... ")
    assert told == [
        (MindResult.ANSWERED, 0.5),
        (MindResult.FAILED, 0.2),
        (MindResult.LATE, None),
        (MindResult.EMPTY, None),
        (MindResult.CUT, 0.2),
        (MindResult.CUT, None),
    ]
