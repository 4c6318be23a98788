"""Levels in dBFS, of speech and of the room, and where in a recording sound is.

Pure: no I/O, no clock. It may not decide what is speech; it is told.
"""

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from kiosk.audio.pcm import CHUNK_MS, Samples, ms_to_samples

SILENCE_DBFS = -96.0
FULL_SCALE = 32768.0
_LARGEST = 32767

# The room's level is the mean over so much: words have gaps as long. Over 100 ms instead, eight
# people talking at once seem 3 dB quieter than they are.
_SMOOTHED_CHUNKS = 15

_SPEECH_CHUNKS = 100  # 2 s of speech make a level ...
_FEWEST_SPEECH_CHUNKS = 10  # ... and 0.2 s a first one
_SPEECH_RANGE_DB = 15.0  # what is quieter than the loud parts by more is a pause

_EDGE_MS = 50  # of silence left on each side: a plosive's closure is shorter
_AUDIBLE = 33  # -60 dBFS; espeak-ng's own silence is exact zeros

_FULL_SCALE_RUN = 3  # a loud sound may touch full scale once; a clipped one stays there
_PEAK_SECONDS = 10


def rms_dbfs(samples: Samples) -> float:
    """The root mean square level; a full-scale square wave is 0 dBFS, nothing is -96."""
    if not len(samples):
        return SILENCE_DBFS
    wide = samples.astype(np.float64)
    mean_square = float(np.einsum("n,n->", wide, wide)) / len(samples)
    if mean_square < 0.25:
        return SILENCE_DBFS
    return max(SILENCE_DBFS, 10 * math.log10(mean_square / FULL_SCALE**2))


def peak_size(samples: Samples) -> int:
    """How far from zero the farthest sample is, 0 to 32768."""
    # Not by the absolute value: that of -32768 does not fit into 16 bits.
    return max(int(samples.max(initial=0)), -int(samples.min(initial=0)))


def clipped_samples(samples: Samples) -> int:
    """How many samples stand at full scale in runs of at least three: what a card cut off."""
    at_limit = (samples == _LARGEST) | (samples <= -_LARGEST)
    if not at_limit.any():
        return 0
    steps = np.diff(np.concatenate(([False], at_limit, [False])).astype(np.int8))
    runs = np.flatnonzero(steps == -1) - np.flatnonzero(steps == 1)
    return int(runs[runs >= _FULL_SCALE_RUN].sum())


def voiced_span(
    samples: Samples, rate_hz: int, threshold_dbfs: float = -40.0, window_ms: int = 10
) -> tuple[int, int]:
    """First and one past the last sample of the windows above the threshold; (0, 0) if none."""
    window = max(1, rate_hz * window_ms // 1000)
    loud = [
        at
        for at in range(0, len(samples), window)
        if rms_dbfs(samples[at : at + window]) > threshold_dbfs
    ]
    return (loud[0], min(len(samples), loud[-1] + window)) if loud else (0, 0)


class RoomFloor:
    """The quietest 300 ms of the last `window_ms`, fed with chunks of 20 ms.

    A noise that has gone on for the whole window is the floor; one that stops is forgotten at
    once. Speech cannot raise the floor above its own gaps: the quietest moment counts, not a share
    of the moments, however long somebody speaks without a pause.
    """

    def __init__(self, window_ms: int) -> None:
        self._window = max(1, window_ms // CHUNK_MS)
        self._smoothed: deque[float] = deque(maxlen=_SMOOTHED_CHUNKS)
        self._heard = 0
        # A sliding minimum: (when, level), ever newer and ever louder.
        self._quietest: deque[tuple[int, float]] = deque()

    @property
    def dbfs(self) -> float | None:
        """The floor of what was heard so far; None before 300 ms were."""
        return self._quietest[0][1] if self._quietest else None

    @property
    def settled(self) -> bool:
        """Whether a whole window was heard: before that the floor may be somebody speaking."""
        return self._heard >= self._window

    def push(self, chunk: Samples) -> None:
        """The next 20 ms of sound."""
        self._smoothed.append(10 ** (rms_dbfs(chunk) / 10))
        if len(self._smoothed) < _SMOOTHED_CHUNKS:
            return
        level_dbfs = max(SILENCE_DBFS, 10 * math.log10(sum(self._smoothed) / _SMOOTHED_CHUNKS))
        while self._quietest and self._quietest[-1][1] >= level_dbfs:
            self._quietest.pop()
        self._heard += 1
        self._quietest.append((self._heard, level_dbfs))
        if self._quietest[0][0] <= self._heard - self._window:
            self._quietest.popleft()


class SpeechLevel:
    """The level of the last 2 s of speech, its pauses left out. Feed it chunks of speech only."""

    def __init__(self) -> None:
        self._levels: deque[float] = deque(maxlen=_SPEECH_CHUNKS)

    @property
    def dbfs(self) -> float | None:
        """None before 200 ms of speech were heard."""
        if len(self._levels) < _FEWEST_SPEECH_CHUNKS:
            return None
        pause_dbfs = self._pause_dbfs()
        powers = [10 ** (level / 10) for level in self._levels if level >= pause_dbfs]
        return 10 * math.log10(sum(powers) / len(powers))

    @property
    def in_pause(self) -> bool:
        """Whether the newest chunk is a pause between words, or after the last one."""
        return bool(self._levels) and self._levels[-1] < self._pause_dbfs()

    def push(self, chunk: Samples) -> None:
        """The next 20 ms of speech."""
        self._levels.append(rms_dbfs(chunk))

    def _pause_dbfs(self) -> float:
        # Below the loud parts, not the loudest: that may be a cough.
        return sorted(self._levels)[len(self._levels) * 9 // 10] - _SPEECH_RANGE_DB


@dataclass(frozen=True, slots=True)
class Levels:
    """What a microphone delivers: the peak of the last 10 s, the levels of speech and of the room
    (None: not heard yet), how many samples the card has clipped in all, for how many seconds it
    delivered zeros and nothing else, which of its channels are listened to, and how late the
    loudspeaker is in the room (None: not measured yet)."""

    peak_dbfs: float = SILENCE_DBFS
    speech_dbfs: float | None = None
    room_dbfs: float | None = None
    clipped_samples: int = 0
    zeros_s: int = 0
    channels: tuple[int, ...] = ()
    loudspeaker_late_ms: int | None = None


class Meter:
    """Measures one microphone; `levels` is renewed every second and may be read by any thread."""

    def __init__(self, room_window_ms: int = 8000) -> None:
        self.levels = Levels()
        self.channels: tuple[int, ...] = ()  # that are listened to, from 1 on
        self.late_ms: int | None = None  # the loudspeaker
        self._speech = SpeechLevel()
        self._room = RoomFloor(room_window_ms)
        self._peaks: deque[int] = deque([0], maxlen=_PEAK_SECONDS)
        self._clipped = 0
        self._zeros_s = 0
        self._chunks = 0

    def push_card(self, samples: Samples) -> None:
        """The next samples of one channel at any rate, as the card delivered them."""
        peak = peak_size(samples)
        self._peaks[-1] = max(self._peaks[-1], peak)
        if peak >= _LARGEST:
            self._clipped += clipped_samples(samples)

    def push(self, chunk: Samples, *, speech: bool) -> None:
        """The next 20 ms, before any gain, and whether the gate calls them speech."""
        self._room.push(chunk)
        if speech:
            self._speech.push(chunk)
        self._chunks += 1
        if self._chunks * CHUNK_MS % 1000 == 0:
            self._zeros_s += not self._peaks[-1]
            peak = max(self._peaks)
            self.levels = Levels(
                max(SILENCE_DBFS, 20 * math.log10(peak / FULL_SCALE)) if peak else SILENCE_DBFS,
                self._speech.dbfs,
                self._room.dbfs,
                self._clipped,
                self._zeros_s,
                self.channels,
                self.late_ms,
            )
            self._peaks.append(0)


def trim_silence(samples: Samples, rate_hz: int) -> Samples:
    """The recording with at most 50 ms of silence before and after; empty if nothing is heard."""
    audible = np.flatnonzero(np.abs(samples.astype(np.int32)) >= _AUDIBLE)
    if not len(audible):
        return samples[:0]
    edge = ms_to_samples(_EDGE_MS, rate_hz)
    return samples[max(0, audible[0] - edge) : audible[-1] + 1 + edge]


def pause_before(samples: Samples, rate_hz: int, pause_ms: int = 220) -> int | None:
    """Where the last pause of at least `pause_ms` ends; None if there is none.

    A pause is 30 dB quieter than the loudest 20 ms: between sentences voices are silent for longer
    than within them.
    """
    size = ms_to_samples(CHUNK_MS, rate_hz)
    count = len(samples) // size
    if not count:
        return None
    wide = samples[: count * size].astype(np.float64).reshape(count, size)
    power = np.einsum("nk,nk->n", wide, wide) / size
    quiet = power <= max(power.max() * 1e-3, 1.0)
    run = 0
    last = None
    for number, is_quiet in enumerate(quiet):
        if is_quiet:
            run += 1
        else:
            if run * CHUNK_MS >= pause_ms:
                last = number * size
            run = 0
    return len(samples) if run * CHUNK_MS >= pause_ms else last
