"""Nobody waits in silence for a mind."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import pytest

from kiosk.backend.mind.pacing import Pace, paced
from kiosk.backend.mind.port import MindError
from tests.virtual_time import virtual_time

PACE = Pace()


class Thinking:
    """Says its pieces, each after so many seconds; None: for ever. `closed` when it was ended."""

    def __init__(self, *pieces: tuple[float | None, str], fails: Exception | None = None) -> None:
        self._pieces = pieces
        self._fails = fails
        self.closed = False

    async def answer(self) -> AsyncGenerator[str, None]:
        try:
            for after_s, piece in self._pieces:
                await (asyncio.Event().wait() if after_s is None else asyncio.sleep(after_s))
                yield piece
            if self._fails is not None:
                raise self._fails
        finally:
            self.closed = True


async def heard(thinking: Thinking) -> list[tuple[float, str]]:
    began_s = asyncio.get_running_loop().time()
    return [
        (round(asyncio.get_running_loop().time() - began_s, 3), piece)
        async for piece in paced(thinking.answer(), PACE)
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
    async with contextlib.aclosing(paced(thinking.answer(), PACE)) as pieces:
        async for _ in pieces:
            break
    assert thinking.closed
    again = Thinking((None, ""))

    async def listen() -> None:
        async for _ in paced(again.answer(), PACE):
            pass

    listening = asyncio.create_task(listen())
    await asyncio.sleep(0.1)
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening
    await asyncio.sleep(0)
    assert again.closed
