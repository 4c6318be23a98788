"""Calls that may hang, in a driver, a resolver or a disk: each in a thread that keeps no process
alive.

Python waits for the loop's own threads when a process ends, for as long as they take.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from types import TracebackType
from typing import Any, Generic, Self, TypeAlias, TypeVar, TypeVarTuple

from kiosk.base.clock import REAL, Clock

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_Found: TypeAlias = list[Any]  # as `socket.getaddrinfo` has it

# At once: a name server that is silent is asked again and again, and each time takes half a minute.
_LOOKUPS = 8


def run(main: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`; neither a name server nor a disk that hangs holds up the end."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(main)


async def in_time(limit_s: float | None, call: Callable[[], T], clock: Clock = REAL) -> T:
    """Make the call in a thread of its own and return what it returns; raises what it raises, and
    TimeoutError when it takes longer: then the thread is left behind."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()
    outcome: _Outcome[T] = _Outcome()

    def settle() -> None:
        if done.done():
            return
        if outcome.error is None:
            done.set_result(outcome.value)
        else:
            done.set_exception(outcome.error)

    def run() -> None:
        with outcome:
            outcome.value = call()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle)

    clock.worker("trial", run).start()
    async with asyncio.timeout(limit_s):
        return await done


class _Outcome(Generic[T]):
    """Carries what comes of the block to whoever waits for it in another thread."""

    value: T
    error: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        self.error = error
        return True


class _Loop(asyncio.SelectorEventLoop):
    """Works for others, and asks the resolver, in threads that nobody waits for at the end."""

    def __init__(self) -> None:
        super().__init__()
        self._free = asyncio.Semaphore(_LOOKUPS)

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> "asyncio.Future[T]":
        """A disk that hangs does not hold up the end either."""
        if executor is not None:
            return super().run_in_executor(executor, func, *args)
        return self.create_task(in_time(None, lambda: func(*args)), name="work")

    async def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002  the name of the base's
        proto: int = 0,
        flags: int = 0,
    ) -> _Found:
        await self._free.acquire()

        def ask() -> _Found:
            return socket.getaddrinfo(host, port, family, type, proto, flags)

        lookup = self.create_task(in_time(None, ask), name="lookup")
        lookup.add_done_callback(self._looked_up)
        # Whoever gives up sooner does not end it: its thread still counts.
        return await asyncio.shield(lookup)

    def _looked_up(self, lookup: "asyncio.Task[_Found]") -> None:
        self._free.release()
        if not lookup.cancelled():
            lookup.exception()  # seen, though perhaps nobody waits for it any more
