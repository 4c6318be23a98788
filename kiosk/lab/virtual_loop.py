"""A loop in virtual time: it takes turns with device threads, and its network is memory.

What others do in real time (a child process, a recogniser in an executor's thread) is done at once,
and takes no time.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from kiosk.base.clock import REAL, Clock
from kiosk.lab.memory_network import MemoryNetwork
from kiosk.lab.virtual_clock import Party, VirtualClock

T = TypeVar("T")


def run_in_lockstep(main: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, but timers, sounds and connections do not take the time they measure."""
    clock = VirtualClock()
    try:
        with asyncio.Runner(loop_factory=lambda: VirtualLoop(clock)) as runner:
            return runner.run(main)
    finally:
        clock.close()


def running_clock() -> Clock:
    """The clock of the running loop, for the threads beside it."""
    loop = asyncio.get_running_loop()
    return loop.clock if isinstance(loop, VirtualLoop) else REAL


class VirtualLoop(MemoryNetwork):
    """Waits for its timers by `clock`. Used in the thread that made it."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self._party = clock.adopt("loop")
        super().__init__(_Turns(clock, self._party))

    def time(self) -> float:
        return self.clock.now_s()

    def _write_to_self(self) -> None:
        self.clock.wake(self._party)

    def run_in_executor(
        self, executor: object, func: Callable[..., T], *args: object
    ) -> "asyncio.Future[T]":
        return self.create_task(_called(func, *args))

    async def shutdown_default_executor(
        self,
        timeout: float | None = None,  # noqa: ASYNC109  the runner calls it so
    ) -> None:
        """There is none."""


async def _called(function: Callable[..., T], *args: object) -> T:
    return function(*args)


class _Turns(selectors.DefaultSelector):
    """Never looks at a file: waiting for events is waiting for a turn."""

    def __init__(self, clock: VirtualClock, party: Party) -> None:
        super().__init__()
        self._clock = clock
        self._party = party

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout > 0:
            self._clock.wait(self._party, timeout)
        return []
