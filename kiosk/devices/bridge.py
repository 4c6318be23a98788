"""Device threads and their way to the event loop: the only call_soon_threadsafe."""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from kiosk.base.clock import REAL, Clock
from kiosk.devices.scheduling import go_first
from kiosk.errors import DeviceError

T = TypeVar("T")

REOPEN_INTERVAL_S = 1.0
# How long a card that has nothing, or takes nothing, is left alone at most: half a usual period.
POLL_S = 0.008
STALL_S = 1.5
# Some microphones deliver their first sound seconds after the start: 2 s, and one of them 4 s.
FIRST_SOUND_S = 5.0
# How often a card that rests is asked whether it is still there.
CHECK_INTERVAL_S = 1.0


class Outbox(Generic[T]):
    """Hands items from a thread to a handler in the loop, in order.

    Bounded: when the loop stands still, the oldest items are dropped and counted in `dropped`.
    One wake-up is under way at most, so a stalled loop does not pile up callbacks.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, handler: Callable[[T], None], limit: int
    ) -> None:
        self.dropped = 0
        self._loop = loop
        self._handler = handler
        self._items: deque[T] = deque(maxlen=limit)
        self._scheduled = False

    def put(self, item: T) -> None:
        """Callable from any thread."""
        if len(self._items) == self._items.maxlen:
            self.dropped += 1
        self._items.append(item)
        if not self._scheduled:
            self._scheduled = True
            # A device may report while the loop is already closed: nobody is left to listen.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._scheduled = False
        while self._items:
            self._handler(self._items.popleft())


class Device(Protocol):
    """What a device thread opens."""

    def check(self) -> None:
        """Raises DeviceError when the device is gone."""
        ...

    def close(self) -> None: ...


P = TypeVar("P", bound=Device)


class DeviceThread(ABC, Generic[P]):
    """A thread that owns one device: opens it, serves it, closes it, and opens it again when lost.

    Nobody else touches the device. `close` asks the thread to stop and joins it in plain code:
    an awaited join could be cut short by cancellation and leave the card open.
    """

    def __init__(self, name: str, open_device: Callable[[], P], clock: Clock = REAL) -> None:
        self._name = name
        self._open_device = open_device
        self._clock = clock
        self._wake = clock.wake_up()
        self._stopping = False
        self._lent = False
        self.away = False  # lent, and closed; read by any thread
        self._thread = clock.worker(name, self._run)

    def open(self) -> None:
        """Start the thread; the outcome is reported, never raised."""
        self._thread.start()

    def close(self, timeout_s: float = 1.0) -> bool:
        """Stop and join; False if the thread did not end in time."""
        self._stopping = True
        self._wake.set()
        return self._thread.join(timeout_s)

    def lend(self) -> None:
        """Close the device, for somebody else to open, until it is taken back: `away` tells when.
        Meanwhile it is as if it had nothing to do."""
        self._lent = True
        self._wake.set()

    def take_back(self) -> None:
        self._lent = False
        self._wake.set()

    def _run(self) -> None:
        if self._clock.real:
            go_first(self._name)
        self._prepare()
        while not self._stopping:
            self.away = lent = self._lent  # looked at once: it may be taken back meanwhile
            if lent:
                self._wake.wait(CHECK_INTERVAL_S)
                continue
            try:
                device = self._open_device()
            except DeviceError as error:
                self._report_lost(error)
            else:
                self._report_opened(device)
                try:
                    self._serve(device)
                except DeviceError as error:
                    self._report_lost(error)
                finally:
                    device.close()
            if not self._stopping:
                self._pause(REOPEN_INTERVAL_S)

    def _rest(self, device: P) -> None:
        """Wait until woken; raises DeviceError when the device goes meanwhile."""
        while not self._wake.wait(CHECK_INTERVAL_S):
            device.check()

    def _pause(self, duration_s: float) -> None:
        """Wait out the interval; only stopping shortens it."""
        until_s = self._clock.now_s() + duration_s
        while self._awake() and (left_s := until_s - self._clock.now_s()) > 0:
            self._wake.wait(left_s)

    def _awake(self) -> bool:
        """False when it is time to stop, or to lend the device. Forgets the wake-up before anything
        is looked at: one that comes after the look still ends the next wait."""
        self._wake.clear()
        return not self._stopping and not self._lent

    def _prepare(self) -> None:
        """What takes its time, before the device is opened for the first time."""

    @abstractmethod
    def _serve(self, device: P) -> None:
        """Work until `_stopping`; raises DeviceError when the device is gone."""

    @abstractmethod
    def _report_opened(self, device: P) -> None: ...

    @abstractmethod
    def _report_lost(self, error: DeviceError) -> None: ...
