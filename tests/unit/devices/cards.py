"""Sound cards with a clock that can be told to misbehave, and one who listens to the threads."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np

from kiosk.audio.pcm import SampleFormat, Samples, downmix, upmix
from kiosk.errors import DeviceError
from tests.slowness import patient_s

E = TypeVar("E")
T = TypeVar("T")


class PlaybackCard:
    """A `PlaybackPcm` that takes at most `most` frames at a time and keeps what was heard."""

    def __init__(
        self,
        rate_hz: int = 48_000,
        channels: int = 2,
        most: int = 10**9,
        sample_format: SampleFormat = SampleFormat.S16_LE,
    ) -> None:
        self.rate_hz = rate_hz
        self.channels = channels
        self.sample_format = sample_format
        self.xruns = 0
        self.software_gain = 1.0
        self.buffer_frames = rate_hz * 80 // 1000
        self.lost = threading.Event()
        self.stalled = threading.Event()
        self.drops = 0
        self.closed = False
        self._most = most
        self._queue = bytearray()
        self._heard = bytearray()
        self._since_s: float | None = None  # until when the queue was played

    def write(self, data: bytes) -> int:
        self._play()
        room = self.buffer_frames - len(self._queue) // self._frame
        frames = max(0, min(room, self._most, len(data) // self._frame))
        self._queue += data[: frames * self._frame]
        if frames and self._since_s is None:
            self._since_s = time.monotonic()
        return frames

    def queued(self) -> int:
        self._play()
        return len(self._queue) // self._frame

    def drop(self) -> None:
        self._play()
        self.drops += 1
        self._queue.clear()
        self._since_s = None

    def check(self) -> None:
        if self.lost.is_set():
            raise DeviceError("unplugged")

    def close(self) -> None:
        self.closed = True

    @property
    def heard(self) -> Samples:
        return downmix(bytes(self._heard), self.channels, self.sample_format)

    @property
    def _frame(self) -> int:
        return self.sample_format.sample_bytes * self.channels

    def _play(self) -> None:
        if self.lost.is_set():
            raise DeviceError("unplugged")
        now_s = time.monotonic()
        if self._since_s is None:
            return
        if self.stalled.is_set():
            self._since_s = now_s
            return
        frames = min(int((now_s - self._since_s) * self.rate_hz), len(self._queue) // self._frame)
        self._heard += self._queue[: frames * self._frame]
        del self._queue[: frames * self._frame]
        self._since_s = self._since_s + frames / self.rate_hz if self._queue else None


class CaptureCard:
    """A `CapturePcm` that hears a ramp: sample n is n, wrapping round, on every channel, or on
    `channel` alone with something else on the others."""

    has_converter = True

    def __init__(
        self,
        rate_hz: int = 16_000,
        channels: int = 1,
        sample_format: SampleFormat = SampleFormat.S16_LE,
        channel: int | None = None,
    ) -> None:
        self.rate_hz = rate_hz
        self.channels = channels
        self.sample_format = sample_format
        self.channel = channel
        self.xruns = 0
        self.lost = threading.Event()
        self.stalled = threading.Event()
        self.overrun = threading.Event()
        self.drops = 0
        self.closed = False
        self.began_s: float | None = None
        self._read = 0

    def read(self) -> bytes:
        if self.lost.is_set():
            raise DeviceError("unplugged")
        now_s = time.monotonic()
        if self.began_s is None:
            self.began_s, self._read = now_s, 0
        if self.stalled.is_set():
            return b""
        due = int((now_s - self.began_s) * self.rate_hz)
        samples = np.arange(self._read, due).astype(np.int16)
        self._read = due
        if self.overrun.is_set():
            self.overrun.clear()
            self.xruns += 1
            return b""  # what was captured meanwhile is gone
        data = upmix(samples, self.channels, self.sample_format)
        return data if self.channel is None else self._alone(data, self.channel)

    def _alone(self, data: bytes, channel: int) -> bytes:
        """The ramp on one channel, its octets complemented on the others."""
        octets = np.frombuffer(data, dtype=np.uint8).reshape(
            -1, self.channels, self.sample_format.sample_bytes
        )
        disturbed = ~octets
        disturbed[:, channel - 1] = octets[:, channel - 1]
        return disturbed.tobytes()

    def available(self) -> int:
        return 0

    def muted_by(self) -> str | None:
        return None

    def drop(self) -> None:
        self.drops += 1
        self.began_s = None

    def check(self) -> None:
        if self.lost.is_set():
            raise DeviceError("unplugged")

    def close(self) -> None:
        self.closed = True


class Slot(Generic[E]):
    """Where cards are plugged in: opening takes the next one, or fails while there is none."""

    def __init__(self, *cards: E) -> None:
        self.cards = list(cards)
        self.opened = 0

    def open(self) -> E:
        if not self.cards:
            raise DeviceError("no such card")
        self.opened += 1
        return self.cards.pop(0)


class TurnDetector(Generic[E]):
    """Everything a thread reported, and when it came."""

    def __init__(self) -> None:
        self.events: list[E] = []
        self._changed = asyncio.Event()

    def hear(self, event: E) -> None:
        self.events.append(event)
        self._changed.set()

    def of(self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, enough: Callable[[], object], timeout_s: float = 4.0) -> None:
        """Wait for events until the condition holds."""
        async with asyncio.timeout(patient_s(timeout_s)):
            while not enough():
                self._changed.clear()
                await self._changed.wait()


def stand_still(seconds: float) -> None:
    """Block the calling thread, as a busy event loop does."""
    time.sleep(seconds)
