"""A linear echo canceller: subtracts what the loudspeaker explains, and nothing else. Pure: no I/O.

A partitioned-block frequency-domain Kalman filter (Enzner and Vary, 2006; Kuech and others, 2014).
Each partition holds 20 ms of the room's impulse response as a spectrum together with how uncertain
it is; the more there is in the error that the loudspeaker does not explain, the smaller the step.
So it needs no double-talk detector: a visitor's voice slows its learning instead of spoiling it.
"""

from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from kiosk.audio.pcm import CHUNK_MS, INTERNAL_RATE_HZ, Samples, ms_to_samples, to_int16

BLOCK = ms_to_samples(CHUNK_MS, INTERNAL_RATE_HZ)
# 320 ms: 30 of lead, a card's delay of up to 250, and the early reflections.
PARTITIONS = 16
# How much of the room is believed still true a block later. At 0.9995 clocks 50 ppm apart cost
# more than the room's learning gains: words understood while both talk 33 %, at 0.999 54 %, 83 %
# here.
_PERSISTENCE = 0.99
_ERROR_SMOOTHING = 0.9
# A partition is 20 ms long: what runs over its end is not the room, and is cut off. That, and the
# doubt that grows with time, is done once in so many chunks: each time would cost a third more, and
# cancels no better.
_UPKEEP_CHUNKS = 4
# An echo is expected soon and fading: what is likely is learned first. In the first second while
# both talk that is worth 2 dB.
_FIRST_UNCERTAINTY_DB = -3.0
_FADING_DB = 1.5  # a partition
_MOST_FADING_DB = 12.0
_REGULAR = 1e-10
# A partition with so much of the response's power is where the echo is; before anything is learned
# the power is spread. At 0.3 an echo 250 ms late is found after 0.7 instead of 0.5 s of speech.
_CLEAR_SHARE = 0.2
_FULL_SCALE = np.float32(32768.0)

_Spectra = npt.NDArray[np.complex64]
_Floats = npt.NDArray[np.float32]
_T = TypeVar("_T", bound=np.generic)


class _Latest(Generic[_T]):
    """The latest rows, the newest first, without moving them: each one is written twice."""

    def __init__(self, memory: npt.NDArray[_T]) -> None:
        self._memory = memory
        self._newest = 0

    @property
    def rows(self) -> npt.NDArray[_T]:
        return self._memory[self._newest : self._newest + len(self._memory) // 2]

    def push(self, row: npt.NDArray[_T]) -> None:
        half = len(self._memory) // 2
        self._newest = (self._newest - 1) % half
        self._memory[self._newest] = self._memory[self._newest + half] = row


class LinearCanceller:
    """One microphone and one loudspeaker at 16 kHz, in chunks of 20 ms."""

    def __init__(self) -> None:
        bins = BLOCK + 1
        self._room: _Spectra = np.zeros((PARTITIONS, bins), np.complex64)
        fading_db = np.minimum(_FADING_DB * np.arange(PARTITIONS), _MOST_FADING_DB)
        first = 10 ** ((_FIRST_UNCERTAINTY_DB - fading_db) / 10)
        self._uncertainty: _Floats = np.repeat(first[:, None], bins, axis=1).astype(np.float32)
        self._error_power: _Floats = np.ones(bins, np.float32)
        self._error_window: _Floats = np.zeros(2 * BLOCK, np.float32)  # a chunk after a silent one
        self._chunks = 0
        self._power: _Floats = np.zeros(PARTITIONS, np.float32)  # of the response, by partition
        self.begin()

    def begin(self) -> None:
        """The room is as it was learnt; what was played in it before is over."""
        bins = BLOCK + 1
        self._far: _Latest[np.complex64] = _Latest(np.zeros((2 * PARTITIONS, bins), np.complex64))
        self._far_power: _Latest[np.float32] = _Latest(np.zeros((2 * PARTITIONS, bins), np.float32))
        self._far_window: _Floats = np.zeros(2 * BLOCK, np.float32)  # the last chunk and this one
        self._silent_blocks = PARTITIONS

    def push(self, mic: Samples, far: Samples) -> Samples:
        """(320,) int16 of the microphone and of what was played meanwhile; the difference."""
        self._silent_blocks = 0 if far.any() else self._silent_blocks + 1
        if self._silent_blocks > PARTITIONS:
            return mic  # nothing that was played can still be heard
        self._take_in(far.astype(np.float32) / _FULL_SCALE)
        expected = np.fft.irfft((self._room * self._far.rows).sum(axis=0))[BLOCK:]
        error = mic.astype(np.float32) / _FULL_SCALE - expected.astype(np.float32)
        self._learn(error)
        return to_int16(error * _FULL_SCALE)

    def strongest_partition(self) -> int | None:
        """How many chunks after its cause the echo is strongest; None: not clear (yet)."""
        strongest = int(self._power.argmax())
        clear = self._power[strongest] > _CLEAR_SHARE * self._power.sum()
        return strongest if clear else None

    def _take_in(self, far: _Floats) -> None:
        self._far_window[:BLOCK] = self._far_window[BLOCK:]
        self._far_window[BLOCK:] = far
        spectrum = np.fft.rfft(self._far_window).astype(np.complex64, copy=False)
        self._far.push(spectrum)
        self._far_power.push(np.abs(spectrum) ** 2)

    def _learn(self, error: _Floats) -> None:
        self._error_window[BLOCK:] = error
        spectrum = np.fft.rfft(self._error_window).astype(np.complex64, copy=False)
        far_power = self._far_power.rows
        explained = (self._uncertainty * far_power).sum(axis=0)
        power = np.abs(spectrum) ** 2
        self._error_power += (1 - _ERROR_SMOOTHING) * (power - self._error_power)
        step = self._uncertainty / (explained + 2 * self._error_power + _REGULAR)
        change = np.conj(self._far.rows)
        change *= step
        change *= spectrum
        self._room += change
        step *= far_power
        step *= -0.5
        step += 1
        self._uncertainty *= step
        self._chunks += 1
        if self._chunks % _UPKEEP_CHUNKS == 0:
            self._upkeep()

    def _upkeep(self) -> None:
        """What time does to the knowledge of the room."""
        responses = np.fft.irfft(self._room, axis=1)
        responses[:, BLOCK:] = 0
        self._room[:] = np.fft.rfft(responses, axis=1)
        power = np.abs(self._room) ** 2
        self._power = power.sum(axis=1)
        kept = _PERSISTENCE ** (2 * _UPKEEP_CHUNKS)
        self._uncertainty *= kept
        self._uncertainty += (1 - kept) * power
