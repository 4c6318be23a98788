"""Virtual time: who runs when, what a network in memory does, and that nothing hangs for ever."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from kiosk.base.clock import Clock, loop_now_s
from kiosk.lab.virtual_loop import run_in_lockstep, running_clock
from tests.lockstep import in_lockstep


def beating(clock: Clock, every_s: float, times: int, noted: list[float]) -> Callable[[], None]:
    """A thread's work: note the time, again and again."""
    wake = clock.wake_up()

    def run() -> None:
        for _ in range(times):
            wake.wait(every_s)
            noted.append(clock.now_s())

    return run


def beats() -> list[tuple[str, float]]:
    async def main() -> list[tuple[str, float]]:
        clock = running_clock()
        began_s = loop_now_s()
        noted: dict[str, list[float]] = {"slow": [], "fast": []}
        workers = [
            clock.worker(name, beating(clock, every_s, 100, noted[name]))
            for name, every_s in (("slow", 7.0), ("fast", 0.02))
        ]
        for worker in workers:
            worker.start()
        await asyncio.sleep(1000)
        assert all(worker.join(1.0) for worker in workers)
        return [(name, at_s - began_s) for name, each in noted.items() for at_s in each]

    return run_in_lockstep(main())


def test_threads_and_loop_wait_for_each_other_and_a_quarter_of_an_hour_takes_no_time() -> None:
    found = beats()
    assert [at_s for name, at_s in found if name == "slow"][-1] == pytest.approx(700)
    assert [at_s for name, at_s in found if name == "fast"][-1] == pytest.approx(2)
    assert found == beats()


@in_lockstep
async def test_a_thread_is_woken_before_its_time_and_its_end_is_waited_for() -> None:
    clock = running_clock()
    wake = clock.wake_up()
    noted: list[tuple[bool, float]] = []

    def run() -> None:
        noted.append((wake.wait(60.0), clock.now_s()))
        noted.append((wake.wait(5.0), clock.now_s()))

    worker = clock.worker("sleeper", run)
    began_s = loop_now_s()
    worker.start()
    await asyncio.sleep(2)
    wake.set()
    assert not worker.join(1.0)
    assert worker.join(60.0)
    assert noted == [(True, began_s + 2), (False, began_s + 7)]


@in_lockstep
async def test_a_waking_that_comes_first_is_not_lost() -> None:
    clock = running_clock()
    wake = clock.wake_up()
    noted: list[bool] = []
    wake.set()
    worker = clock.worker("early", lambda: noted.append(wake.wait(60.0)))
    worker.start()
    assert worker.join(1.0)
    assert noted == [True]


def test_what_a_thread_fails_with_is_reported_before_anybody_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reported: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: reported.append(str(args.exc_value)))

    async def main() -> list[str]:
        def fail() -> None:
            raise ValueError("a bug")

        worker = running_clock().worker("failing", fail)
        worker.start()
        await asyncio.sleep(0.001)
        return list(reported)

    assert run_in_lockstep(main()) == ["a bug"]


def test_who_waits_for_what_never_happens_is_told() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="never happens"):
        run_in_lockstep(main())


def test_threads_that_still_wait_at_the_end_end_too() -> None:
    before = threading.active_count()

    async def main() -> None:
        clock = running_clock()
        clock.worker("left behind", beating(clock, 3600.0, 10, [])).start()
        await asyncio.sleep(1)

    run_in_lockstep(main())
    for thread in threading.enumerate():
        if thread.name == "left behind":
            thread.join(10)
    assert threading.active_count() == before


# --- the network --------------------------------------------------------------------------------


@in_lockstep
async def test_what_is_sent_arrives_in_order_and_the_end_after_it() -> None:
    heard = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.set_result(await reader.read())
        writer.write(b"good")
        writer.write(b"bye")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for number in range(100):
        writer.write(bytes([number]))
    writer.write_eof()
    assert await heard == bytes(range(100))
    assert await reader.read() == b"goodbye"
    writer.close()
    server.close()


@in_lockstep
async def test_connections_are_refused_where_nobody_listens_and_reset_by_who_goes() -> None:
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", 1)

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    reader, _ = await asyncio.open_connection("127.0.0.1", port)
    with pytest.raises(ConnectionResetError):
        await reader.read()
    with pytest.raises(OSError, match="already in use"):
        await asyncio.start_server(serve, "127.0.0.1", port)
    server.close()
