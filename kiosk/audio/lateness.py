"""Lateness of the loudspeaker: how long after its time a sound is in the room. Pure: no I/O, no
clock.

A card tells when it has played a sample, and knows nothing of the television, soundbar or Bluetooth
behind it, which may keep it for a second more. An echo canceller looks for the echo in the quarter
of a second after its cause; what comes later it takes for a visitor.
"""

from collections import deque

import numpy as np
import numpy.typing as npt

from kiosk.audio.levels import rms_dbfs
from kiosk.audio.pcm import CHUNK_MS, INTERNAL_RATE_HZ, Samples, ms_to_samples, silence

_CHUNK = ms_to_samples(CHUNK_MS, INTERNAL_RATE_HZ)
_DECIMATED = 4  # 4 kHz is enough for what both have in common
_RATE_HZ = INTERNAL_RATE_HZ // _DECIMATED
_MOST_MS = 1200
_WINDOW_MS = 3000
# It takes some milliseconds: seldom, once it is known.
_EVERY_CHUNKS, _KNOWN_EVERY_CHUNKS = 25, 100
# Of the loudspeaker in the window, before anything is looked for.
_LEAST_SOUND_MS = 800
_SOUND_DBFS = -50.0
# Where both are alike the correlation stands out of the rest by 17 to 60 times its spread, also
# while a visitor talks; two voices that have nothing in common came to 14, and once to 18, never
# twice at one place.
_CLEAR = 16.0
_SAME_MS = 10
# The cancellers find by themselves what is up to so late; what is later is held back to where they
# find it at once.
_FOUND_MS, _HELD_TO_MS = 220, 80

_Floats = npt.NDArray[np.float32]


class Lateness:
    """Measures it, and holds the played sound back by so much, in whole chunks of 20 ms. It is
    remembered from visit to visit."""

    def __init__(self) -> None:
        self.late_ms: int | None = None  # as measured; None: not yet
        self._held = 0  # chunks
        self._seen_ms: float | None = None  # by the measurement before
        self.begin()

    def begin(self) -> None:
        """The microphone starts: what was played before is over."""
        chunks = _MOST_MS // CHUNK_MS
        self._far = deque([silence(_CHUNK)] * (chunks + 1), maxlen=chunks + 1)  # newest first
        window = (_WINDOW_MS + _MOST_MS) // CHUNK_MS
        nothing = np.zeros(_CHUNK // _DECIMATED, dtype=np.float32)
        self._played = deque([nothing] * window, maxlen=window)
        self._heard = deque([nothing] * (_WINDOW_MS // CHUNK_MS), maxlen=_WINDOW_MS // CHUNK_MS)
        self._sounds = deque([False] * window, maxlen=window)
        self._chunks = 0

    def push(self, mic: Samples, far: Samples) -> Samples:
        """(320,) of the microphone and of what was played meanwhile; what of it is in the room."""
        self._far.appendleft(far)
        self._played.append(_decimated(far))
        self._heard.append(_decimated(mic))
        self._sounds.append(rms_dbfs(far) > _SOUND_DBFS)
        self._chunks += 1
        every = _EVERY_CHUNKS if self.late_ms is None else _KNOWN_EVERY_CHUNKS
        if self._chunks % every == 0:
            self._measure()
        return self._far[self._held]

    def _measure(self) -> None:
        if sum(self._sounds) * CHUNK_MS < _LEAST_SOUND_MS:
            return
        now_ms, before_ms = self._alike_ms(), self._seen_ms
        self._seen_ms = now_ms
        if now_ms is None or before_ms is None or abs(now_ms - before_ms) > _SAME_MS:
            return  # by chance, or not yet for certain
        self.late_ms = round(now_ms)
        if now_ms <= _FOUND_MS:
            self._held = 0
        elif not 0 <= now_ms - self._held * CHUNK_MS <= _FOUND_MS:
            self._held = round((now_ms - _HELD_TO_MS) / CHUNK_MS)

    def _alike_ms(self) -> float | None:
        """After how long the microphone has what the loudspeaker had; None: it has not."""
        played, heard = np.concatenate(self._played), np.concatenate(self._heard)
        # The newest of both are of one moment: the window begins so much into what was played.
        size = 1 << (len(played) + len(heard) - 1).bit_length()
        both = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(played, size))
        # By its phases alone: neither a voice's pitch nor the room's resonances make false peaks.
        both /= np.maximum(np.abs(both), 1e-9)
        low, high = (round(hz * size / _RATE_HZ) for hz in (250, 1800))
        both[:low] = 0
        both[high:] = 0
        alike = np.fft.irfft(both, size)
        shift = len(played) - len(heard)
        # heard[n] is played[n + shift - late]: at the index late - shift.
        most = _MOST_MS * _RATE_HZ // 1000
        lags = alike[(np.arange(most) - shift) % size]
        at = int(np.argmax(np.abs(lags)))
        if abs(lags[at]) < _CLEAR * float(np.sqrt(np.mean(alike**2))):
            return None
        return at * 1000 / _RATE_HZ


def _decimated(samples: Samples) -> _Floats:
    """A quarter of the rate. What is folded back is alike in both, or in neither."""
    mean: _Floats = samples.reshape(-1, _DECIMATED).mean(axis=1, dtype=np.float32)
    return mean
