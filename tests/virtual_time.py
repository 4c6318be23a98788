"""An event loop whose clock jumps to the next timer: hours of timers pass in milliseconds."""

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")

_START_S = 1000.0
# How long other threads may take, in real time, before the loop is taken to hang.
_PATIENCE_S = 5.0


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits for a timer: what would have been waited is added to `now_s`."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = _START_S

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:  # no timer either: only another thread or a socket can go on
            ready = super().select(_PATIENCE_S)
            if not ready:
                raise RuntimeError("the loop waits for something that never happens")
            return ready
        ready = super().select(0)
        if not ready:
            self.now_s += max(0.0, timeout)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """For code whose only clock is its loop's. Sockets and threads work, but take no time."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s

    async def shutdown_default_executor(
        self,
        timeout: float | None = None,  # noqa: ASYNC109  the runner calls it so
    ) -> None:
        # Threads end in real time: a timeout of 3.13's runner would be over at once.
        await super().shutdown_default_executor()


def run_in_virtual_time(coroutine: Coroutine[object, object, T]) -> T:
    """Like asyncio.run, but timers do not take the time they measure."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(coroutine)


def virtual_time(test: Callable[P, Coroutine[object, object, T]]) -> Callable[P, T]:
    """Makes an async test one that runs in virtual time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return run_in_virtual_time(test(*args, **kwargs))

    return run
