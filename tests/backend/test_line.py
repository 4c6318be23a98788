"""Whoever waits for the database waits as long as those in front come to an end, and no longer than
they fail."""

import asyncio

import pytest

from kiosk.backend.books.database import DatabaseDownError, Line

LONG_S = 60.0


async def settle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_places_are_given_in_the_order_in_which_they_were_asked_for() -> None:
    line, got = Line(1), list[int]()

    async def ask(number: int) -> None:
        await line.enter(LONG_S)
        got.append(number)

    tasks = [asyncio.create_task(ask(number)) for number in range(4)]
    for count in range(1, 5):
        await settle()
        assert got == list(range(count))
        line.leave()
    await asyncio.gather(*tasks)
    await line.enter(LONG_S)  # it is free again


async def test_whoever_gives_up_costs_no_place() -> None:
    line = Line(1)
    await line.enter(LONG_S)
    with pytest.raises(DatabaseDownError):
        await line.enter(0.01)
    given_up, cancelled = (asyncio.create_task(line.enter(LONG_S)) for _ in range(2))
    await settle()
    given_up.cancel()
    await settle()
    line.leave()  # to the second, which is cancelled in that moment
    cancelled.cancel()
    await settle()
    assert given_up.cancelled()
    assert cancelled.cancelled()
    await line.enter(LONG_S)


async def test_a_failure_in_front_ends_the_wait_of_all_and_of_nobody_else() -> None:
    line = Line(1)
    await line.enter(LONG_S)
    waiting = [asyncio.create_task(line.enter(LONG_S)) for _ in range(3)]
    await settle()
    line.break_up()
    for task in waiting:
        with pytest.raises(DatabaseDownError):
            await task
    later = asyncio.create_task(line.enter(LONG_S))
    await settle()
    line.leave()
    await later
