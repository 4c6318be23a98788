"""Devices for a machine that has none: a room in which sound travels, paced by the real clock.

`Room` is the shared air: what the virtual loudspeaker plays and what visitors say, on one time axis
of monotonic seconds. `VirtualCapture` and `VirtualPlayback` are sound drivers with a clock, a
buffer and a `drop` that cuts, served by the same threads as a real card's.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kiosk.audio.acoustics import EchoPath, Floats, loudspeaker_distortion
from kiosk.audio.pcm import SampleFormat, Samples, downmix, to_int16, upmix
from kiosk.audio.track import Track
from kiosk.base.clock import REAL, Clock, loop_now_s
from kiosk.devices.ports import ButtonEdge, Pattern


@dataclass(frozen=True, slots=True)
class Echo:
    """How the loudspeaker reaches the microphone.

    `response`: the walls' answer at the room's rate, None for none; `drive`: how far the
    loudspeaker is driven into distortion; `drift_ppm`: how much faster than the microphone's its
    clock runs.
    """

    delay_s: float = 0.06
    gain_db: float = -20.0
    response: Floats | None = None
    drive: float = 0.0
    drift_ppm: float = 0.0


class Room:
    """The air between loudspeaker, visitors and microphone. Callable from any thread.

    `clock` is the one that its devices go by. `echo` None keeps the loudspeaker out of the
    microphone. `noise_dbfs` is a white noise floor.
    """

    RATE_HZ = 48_000

    def __init__(
        self,
        rate_hz: int = RATE_HZ,
        *,
        echo: Echo | None = None,
        noise_dbfs: float | None = -75.0,
        keep_s: float = 30.0,
        record: bool = False,
        clock: Clock = REAL,
    ) -> None:
        self.clock = clock
        self.rate_hz = rate_hz
        self._echo = echo or Echo(gain_db=float("-inf"))
        response = self._echo.response
        self._path = EchoPath(np.ones(1, np.float32) if response is None else response)
        self._noise_peak = 0.0 if noise_dbfs is None else 32768 * 10 ** (noise_dbfs / 20)
        self._noise = np.random.default_rng(1)
        self._lock = threading.Lock()
        self._epoch_s = clock.now_s()
        keep_s = 3600.0 if record else keep_s
        self._loudspeaker_hz = rate_hz * (1 + self._echo.drift_ppm * 1e-6)
        self._loudspeaker = Track(rate_hz, keep_s)
        self._visitor = Track(rate_hz, keep_s)
        self._microphone = Track(rate_hz, keep_s)

    def index(self, at_s: float) -> int:
        """Monotonic seconds to a sample index on the room's axis."""
        return round((at_s - self._epoch_s) * self.rate_hz)

    def played_index(self, at_s: float) -> int:
        """Monotonic seconds to the sample that the loudspeaker's clock is at."""
        return round((at_s - self._epoch_s) * self._loudspeaker_hz)

    def seconds(self, index: int) -> float:
        return self._epoch_s + index / self.rate_hz

    def say(self, samples: Samples, at_s: float) -> None:
        """A visitor speaks: mono at the room's rate, from `at_s` on."""
        with self._lock:
            self._visitor.put(self.index(at_s), samples)

    def play(self, at: int, samples: Samples) -> None:
        """The loudspeaker plays from a `played_index` on."""
        with self._lock:
            self._loudspeaker.put(at, samples)

    def silence_loudspeaker(self, at: int) -> None:
        with self._lock:
            self._loudspeaker.cut(at)

    def capture(self, start: int, count: int) -> Samples:
        """What the microphone hears; remembered for `microphone`."""
        with self._lock:
            mix = self._visitor.get(start, count).astype(np.float32)
            mix += self._echo_of(start, count)
            if self._noise_peak:
                mix += self._noise.normal(0, self._noise_peak, count).astype(np.float32)
            heard = to_int16(mix)
            self._microphone.put(start, heard)
        return heard

    def loudspeaker(self, from_s: float, to_s: float) -> Samples:
        """What the loudspeaker played between two moments."""
        with self._lock:
            first = self.played_index(from_s)
            return self._loudspeaker.get(first, self.played_index(to_s) - first)

    def microphone(self, from_s: float, to_s: float) -> Samples:
        """What the microphone delivered between two moments; silence while it did not run."""
        with self._lock:
            return self._microphone.get(self.index(from_s), self.index(to_s) - self.index(from_s))

    def _echo_of(self, start: int, count: int) -> Floats:
        echo, memory = self._echo, self._path.memory
        # One clock's samples at the other's moments: between two of them lies a straight line.
        delay = round(echo.delay_s * self.rate_hz)
        moments = np.arange(start - memory - delay, start + count - delay, dtype=np.float64)
        moments *= self._loudspeaker_hz / self.rate_hz
        first = int(np.floor(moments[0]))
        played = self._loudspeaker.get(first, int(np.floor(moments[-1])) + 2 - first)
        if not played.any():
            return np.zeros(count, dtype=np.float32)
        between = np.interp(moments, np.arange(first, first + len(played)), played)
        driven = loudspeaker_distortion(between.astype(np.float32), echo.drive)
        return self._path.through(driven) * np.float32(10 ** (echo.gain_db / 20))


class VirtualCapture:
    """A `CapturePcm` in a room. `recording`, if given, is said anew whenever capture starts."""

    has_converter = False

    def __init__(self, room: Room, channels: int = 1, recording: Samples | None = None) -> None:
        self.rate_hz = room.rate_hz
        self.channels = channels
        self.sample_format = SampleFormat.S16_LE
        self.channel: int | None = None
        self.xruns = 0
        self._room = room
        self._recording = recording
        self._next: int | None = None

    def read(self) -> bytes:
        now_s = self._room.clock.now_s()
        if self._next is None:
            self._next = self._room.index(now_s)
            if self._recording is not None:
                self._room.say(self._recording, self._room.seconds(self._next))
            return b""
        count = self._room.index(now_s) - self._next
        if count < self.rate_hz // 100:  # a period of 10 ms
            return b""
        samples = self._room.capture(self._next, count)
        self._next += count
        return upmix(samples, self.channels)

    def available(self) -> int:
        """What came while the last piece was mixed. As of a card: how old that piece is."""
        if self._next is None:
            return 0
        return max(0, self._room.index(self._room.clock.now_s()) - self._next)

    def drop(self) -> None:
        self._next = None

    def muted_by(self) -> str | None:
        return None

    def check(self) -> None:
        """It cannot be lost."""

    def close(self) -> None:
        self._next = None


class VirtualPlayback:
    """A `PlaybackPcm` in a room."""

    def __init__(self, room: Room, channels: int = 1, buffer_ms: int = 80) -> None:
        self.rate_hz = room.rate_hz
        self.channels = channels
        self.sample_format = SampleFormat.S16_LE
        self.buffer_frames = buffer_ms * room.rate_hz // 1000
        self.xruns = 0
        self.software_gain = 1.0
        self._room = room
        self._end: int | None = None  # of what was written, on the room's axis

    def write(self, data: bytes) -> int:
        now = self._room.played_index(self._room.clock.now_s())
        if self._end is None or self._end < now:
            self.xruns += self._end is not None
            self._end = now
        room_frames = self.buffer_frames - (self._end - now)
        samples = downmix(data, self.channels)[: max(0, room_frames)]
        self._room.play(self._end, samples)
        self._end += len(samples)
        return len(samples)

    def queued(self) -> int:
        if self._end is None:
            return 0
        return max(0, self._end - self._room.played_index(self._room.clock.now_s()))

    def drop(self) -> None:
        if self._end is not None:
            self._room.silence_loudspeaker(self._room.played_index(self._room.clock.now_s()))
        self._end = None

    def check(self) -> None:
        """It cannot be lost."""

    def close(self) -> None:
        self.drop()


class VirtualButton:
    """A button that a program presses, in the event loop. `held`: a press keeps it down until it is
    released; otherwise it is let go at once. `language`: that of a key for one."""

    def __init__(
        self,
        handler: Callable[[ButtonEdge], None],
        *,
        held: bool = False,
        language: str | None = None,
    ) -> None:
        self.held = held
        self.edges = 0
        self.language = language
        self.pressed = False
        self.presses = 0
        self.bounces = 0
        self._handler = handler

    def press(self) -> float:
        """Push it down; returns when (monotonic seconds)."""
        self.presses += 1
        at_s = self._edge(pressed=True)
        if not self.held:
            self.release()
        return at_s

    def release(self) -> float:
        return self._edge(pressed=False)

    def close(self) -> None:
        """Nothing to close."""

    def _edge(self, *, pressed: bool) -> float:
        at_s = loop_now_s()
        self.edges += 1
        self.pressed = pressed
        self._handler(ButtonEdge(pressed, at_s, self.language))
        return at_s


class VirtualIndicator:
    """Lamps that only remember, newest last: (monotonic seconds, what they show)."""

    def __init__(self, limit: int = 1000) -> None:
        self.shown: list[tuple[float, Pattern]] = []
        self.recorded: list[tuple[float, bool]] = []
        self._limit = limit

    def show(self, pattern: Pattern) -> None:
        self.shown.append((loop_now_s(), pattern))
        del self.shown[: -self._limit]

    def recording(self, *, on: bool) -> None:
        self.recorded.append((loop_now_s(), on))
        del self.recorded[: -self._limit]

    def close(self) -> None:
        """Nothing to close."""
