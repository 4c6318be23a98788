"""A high-pass for the microphone: offset, rumble and the mains' fundamental go, the voice stays.
Pure: no I/O, no clock.

What lies below a voice is no part of one, and yet it was the level of the room, turned the visitor
down for the detectors, and made a step at every edge of the gate that the far end heard as a word.
"""

import math

import numpy as np
import numpy.typing as npt

from kiosk.audio.pcm import INTERNAL_RATE_HZ, Samples, to_int16

# The lowest voices begin at 85 Hz, but are understood by what lies above; 50 and 60 Hz lose 12 and
# 9 dB, an offset everything. Four poles took out more rumble, but rang for longer than the echo
# canceller knows: in 4 of 12 demos the agent then heard a visitor who had said nothing, with two in
# none of 9.
CUTOFF_HZ = 100.0
# A longer piece is taken in parts: powers of the pole beyond that grow out of a float's digits.
_LONGEST = 320


class HighPass:
    """Two poles (Butterworth) over one mono stream, piece by piece; no delay.

    It begins as if the first sample had been there for ever: an offset makes no click at the start.
    """

    def __init__(self, rate_hz: int = INTERNAL_RATE_HZ, cutoff_hz: float = CUTOFF_HZ) -> None:
        k = math.tan(math.pi * cutoff_hz / rate_hz)
        self._gain = 1 / (1 + math.sqrt(2) * k + k * k)
        b, c = 2 * (k * k - 1) * self._gain, (1 - math.sqrt(2) * k + k * k) * self._gain
        # 1 / (1 + b/z + c/z^2) is twice the real part of a filter with one complex pole, whose
        # output is a running sum of the input over powers of the pole: no loop over samples.
        pole = complex(-b / 2, math.sqrt(c - b * b / 4))
        self._pole, self._part = pole, pole / (2j * pole.imag)
        self._powers = (pole ** np.arange(_LONGEST)).astype(np.complex128)
        self._state = 0j
        self._last: tuple[float, float] | None = None

    def push(self, samples: Samples) -> Samples:
        """The filtered sound, as many samples."""
        parts = [
            self._filtered(samples[start : start + _LONGEST].astype(np.float64))
            for start in range(0, len(samples), _LONGEST)
        ]
        return to_int16(np.concatenate(parts)) if parts else samples

    def _filtered(self, samples: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        before = self._last or (float(samples[0]), float(samples[0]))
        stream = np.concatenate((before, samples))
        self._last = float(stream[-2]), float(stream[-1])
        bends = stream[2:] - 2 * stream[1:-1] + stream[:-2]
        powers = self._powers[: len(samples)]
        sums = powers * (np.cumsum(bends / powers) + self._pole * self._state)
        self._state = complex(sums[-1])
        filtered: npt.NDArray[np.float64] = 2 * self._gain * (self._part * sums).real
        return filtered
