"""Time as a parameter: threads read the clock that they were given, coroutines and callbacks that
of their loop (`loop_now_s`). In service it is the machine's; `kiosk.lab` has a virtual one.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

# No kiosk of this kind is older.
_BUILT_S = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


def clock_was_set(now_s: float | None = None) -> bool:
    """Whether the machine's clock can be right; `now_s`: seconds since 1970, None asks it."""
    return (time.time() if now_s is None else now_s) >= _BUILT_S


def loop_now_s() -> float:
    """Monotonic seconds, by the running loop's clock."""
    return asyncio.get_running_loop().time()


class WakeUp(Protocol):
    """Ends one thread's wait, from any other; a wait that it ended has used it up."""

    def set(self) -> None:
        """Callable from any thread."""
        ...

    def wait(self, timeout_s: float) -> bool:
        """Whether it came, now or earlier."""
        ...

    def clear(self) -> None: ...


class Worker(Protocol):
    """A thread; it keeps no process alive."""

    def start(self) -> None: ...

    def join(self, timeout_s: float) -> bool:
        """Wait for its end; whether it ended, or never began."""
        ...


class Clock(Protocol):
    """What time it is, and how threads wait for it. `real`: the machine's."""

    real: bool

    def now_s(self) -> float:
        """Monotonic seconds; callable from any thread."""
        ...

    def thread_time_s(self) -> float:
        """Processor time of the calling thread."""
        ...

    def wake_up(self) -> WakeUp: ...

    def worker(self, name: str, run: Callable[[], None]) -> Worker: ...


class _RealWakeUp:
    """Not a threading.Event, which makes a new lock for every wait and needs clearing: 75 instead
    of 48 microseconds each, 160 times a second."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        with contextlib.suppress(RuntimeError):  # not locked: it is set already
            self._lock.release()

    def wait(self, timeout_s: float) -> bool:
        return self._lock.acquire(timeout=timeout_s)

    def clear(self) -> None:
        self._lock.acquire(blocking=False)


class _RealWorker:
    def __init__(self, name: str, run: Callable[[], None]) -> None:
        # Daemonic, so that a driver that hangs for ever cannot keep the process alive.
        self._thread = threading.Thread(target=run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()


class RealClock:
    """The machine's clock and its threads."""

    real = True

    def now_s(self) -> float:
        return time.monotonic()

    def thread_time_s(self) -> float:
        return time.thread_time()

    def wake_up(self) -> WakeUp:
        return _RealWakeUp()

    def worker(self, name: str, run: Callable[[], None]) -> Worker:
        return _RealWorker(name, run)


REAL = RealClock()
