"""The gain of the microphone: a quiet child and a loud adult leave at about the same level. Pure.

It may not decide what is speech, and stands after the gate: noise lifted before a detector that
judges levels would be speech to it.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from kiosk.audio.levels import FULL_SCALE, SpeechLevel, peak_size
from kiosk.audio.pcm import CHUNK_MS, Samples, to_int16


@dataclass(frozen=True, slots=True)
class GainSettings:
    """`fixed_db` is the whole gain in mode "fixed", and where "auto" starts.

    Measured with 64 questions in eight voices, each the first of its visit, as the local agent's
    recogniser understood them at -16 dBFS, at -46, and at -33 in pink noise 10 dB below: fixed at
    0 dB 57, 52, 34; "auto" 57, 56, 43, and it leaves -20, -27 and -18 dBFS; WebRTC's AGC2 58, 45,
    34, leaving -8, -28 and -34. Before the gate, "auto" in that noise: 6 of 32 instead of 18.
    """

    mode: Literal["auto", "fixed"] = "auto"
    fixed_db: float = 0.0
    target_dbfs: float = -23.0
    least_db: float = -10.0
    most_db: float = 30.0


# In a turn's first second of speech. At 6 or 12 dB a second from the start, a slow rise went
# through the whole first question, and 23 of 32 were understood instead of 31.
_FIRST_DB_PER_S = 50.0
_FIRST_CHUNKS = 50
_UP_DB_PER_S = 6.0
_DOWN_DB_PER_S = 30.0
_CLOSE_ENOUGH_DB = 1.0  # a level that wanders by so much is followed by nobody

_PEAK_LIMIT = 0.89 * FULL_SCALE  # -1 dBFS: where peaks are held
_RAMP_DOWN_SAMPLES = 32  # 2 ms
# For the peaks inside that ramp: beyond the limit they are bent, and end below full scale.
_MOST = 0.998 * FULL_SCALE


class Gain:
    """One stream's gain; feed it every 20 ms chunk of 16 kHz sound, in order."""

    def __init__(self, settings: GainSettings) -> None:
        self._settings = settings
        self._level = SpeechLevel()
        self._gain_db = settings.fixed_db
        self._turn_chunks = 0
        self._factor = _factor(self._gain_db)

    @property
    def gain_db(self) -> float:
        """The gain now, peaks apart."""
        return self._gain_db

    def push(self, chunk: Samples, *, speech: bool) -> Samples:
        """The chunk at its new level, as long; the gain moves in speech only."""
        peak = peak_size(chunk)
        # What the card delivered fits: nothing is turned down for its peaks that is not turned up.
        limit = max(1.0, _PEAK_LIMIT / peak) if peak else np.inf
        if speech and self._settings.mode == "auto":
            self._follow(chunk)
        else:
            self._turn_chunks = 0
        factor, before = min(_factor(self._gain_db), limit), self._factor
        self._factor = factor
        if factor == before == 1.0:
            return chunk
        gain = factor if factor == before else _curve(before, factor, len(chunk))
        changed = np.multiply(chunk, gain, dtype=np.float64)
        most = max(before, factor)
        return to_int16(_bent(changed) if most > 1 and most * peak > _PEAK_LIMIT else changed)

    def _follow(self, chunk: Samples) -> None:
        if not self._turn_chunks:
            self._level = SpeechLevel()  # perhaps somebody else speaks
        self._level.push(chunk)
        self._turn_chunks += 1
        level_dbfs = self._level.dbfs
        if level_dbfs is None or self._level.in_pause:
            return
        step_db = self._settings.target_dbfs - level_dbfs - self._gain_db
        if abs(step_db) <= _CLOSE_ENOUGH_DB:
            return
        first = self._turn_chunks <= _FIRST_CHUNKS
        up_db = (_FIRST_DB_PER_S if first else _UP_DB_PER_S) * CHUNK_MS / 1000
        down_db = (_FIRST_DB_PER_S if first else _DOWN_DB_PER_S) * CHUNK_MS / 1000
        self._gain_db = self._bounded(self._gain_db + min(up_db, max(-down_db, step_db)))

    def _bounded(self, gain_db: float) -> float:
        return min(self._settings.most_db, max(self._settings.least_db, gain_db))


def _factor(gain_db: float) -> float:
    return float(10 ** (gain_db / 20))


def _curve(before: float, factor: float, count: int) -> npt.NDArray[np.float64]:
    """The whole chunk is known before any of it leaves: down in time for the peak, up slowly."""
    curve = np.full(count, factor)
    ramp = min(_RAMP_DOWN_SAMPLES if factor < before else count, count)
    curve[:ramp] = np.linspace(before, factor, ramp, endpoint=False)
    return curve


def _bent(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Values beyond the limit bent, so that none reaches full scale."""
    size = np.abs(values)
    room = _MOST - _PEAK_LIMIT
    return np.where(
        size <= _PEAK_LIMIT,
        values,
        np.sign(values) * (_PEAK_LIMIT + room * np.tanh((size - _PEAK_LIMIT) / room)),
    )
