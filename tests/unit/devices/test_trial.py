import asyncio
import time

import pytest

from kiosk.devices.trial import in_time


async def test_a_call_that_hangs_is_left_behind() -> None:
    began_s = time.monotonic()
    with pytest.raises(TimeoutError):
        await in_time(0.05, lambda: time.sleep(0.5))
    assert time.monotonic() - began_s < 0.4


async def test_what_a_call_raises_is_raised() -> None:
    def fail() -> None:
        raise ZeroDivisionError("oops")

    with pytest.raises(ZeroDivisionError, match="oops"):
        await in_time(1.0, fail)


async def test_the_loop_goes_on_meanwhile() -> None:
    done: list[int] = []

    def work() -> None:
        time.sleep(0.1)
        done.append(1)

    trial = asyncio.create_task(in_time(5.0, work))
    await asyncio.sleep(0)
    assert done == []
    await trial
    assert done == [1]


def test_a_call_that_comes_back_after_the_loops_end_disturbs_nobody() -> None:
    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            await in_time(0.01, lambda: time.sleep(0.1))

    asyncio.run(give_up())
    time.sleep(0.15)
