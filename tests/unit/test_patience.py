"""Calls that may hang, and names that are looked up meanwhile."""

import asyncio
import gc
import socket
import subprocess
import sys
import threading
import time

import pytest

from kiosk.base import patience
from kiosk.base.patience import in_time


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


HANGING = """
import asyncio, contextlib, threading
from kiosk.base import patience

async def work():
    assert await asyncio.to_thread(lambda: 7) == 7
    with contextlib.suppress(ZeroDivisionError):
        await asyncio.to_thread(lambda: 1 / 0)
        print("an error is lost")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.01):
            await asyncio.to_thread(threading.Event().wait)
    print("over")

patience.run(work())
"""


def test_work_on_a_disk_that_hangs_holds_up_no_end() -> None:
    command = [sys.executable, "-c", HANGING]
    done = subprocess.run(command, capture_output=True, text=True, timeout=40, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "over\n", "")


# --- names --------------------------------------------------------------------------------------

SILENT = """
import asyncio, contextlib, socket, threading
from kiosk.base import patience

def getaddrinfo(*_, **__):
    threading.Event().wait()

socket.getaddrinfo = getaddrinfo

async def ask():
    loop = asyncio.get_running_loop()
    for _ in range(20):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                await loop.getaddrinfo("kiosks.test", 443)
    print(threading.active_count())

patience.run(ask())
"""


def test_a_resolver_that_never_answers_holds_up_no_end_and_fills_no_process() -> None:
    command = [sys.executable, "-c", SILENT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=40, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) <= 9


def test_names_are_found_as_ever() -> None:
    async def ask() -> list[object]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)
        with pytest.raises(socket.gaierror):
            await loop.getaddrinfo("localhost", "no-such-service")
        return list(found)

    assert patience.run(ask()) == socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)


def test_who_gives_up_on_a_name_that_is_not_found_disturbs_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = threading.Event()

    def getaddrinfo(*_: object) -> None:
        answer.wait(10)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    complaints: list[object] = []

    async def ask() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await loop.getaddrinfo("kiosks.test", 443)
        answer.set()
        await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})
        gc.collect()

    patience.run(ask())
    assert complaints == []
