import asyncio
import time

import pytest

from tests.virtual_time import run_in_virtual_time, virtual_time


@virtual_time
async def test_an_hour_of_timers_takes_no_time_and_keeps_its_order() -> None:
    started_s, loop = time.monotonic(), asyncio.get_running_loop()
    heard: list[str] = []
    loop.call_later(3000, heard.append, "late")
    loop.call_later(10, heard.append, "soon")
    before_s = loop.time()
    await asyncio.sleep(3600)
    assert heard == ["soon", "late"]
    assert loop.time() - before_s == pytest.approx(3600)
    assert time.monotonic() - started_s < 1


@virtual_time
async def test_other_threads_can_still_wake_the_loop() -> None:
    assert await asyncio.to_thread(lambda: 7) == 7


def test_the_loop_is_closed_and_its_tasks_are_cancelled() -> None:
    ended: list[str] = []

    async def endless() -> None:
        try:
            await asyncio.sleep(float(10**6))
        finally:
            ended.append("endless")

    async def main() -> tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]:
        task = asyncio.create_task(endless())
        await asyncio.sleep(1)
        return asyncio.get_running_loop(), task

    loop, task = run_in_virtual_time(main())
    assert loop.is_closed()
    assert task.cancelled()
    assert ended == ["endless"]
