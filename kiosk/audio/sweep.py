"""Sweep: a tone that rises evenly in octaves, and what its way through a room made of it (Farina,
2000). Pure: no I/O, no clock.

What is recorded, divided by what was played, is the room's impulse response; what a loudspeaker
adds of its own, harmonics, comes out before it, each order at a moment of its own.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats64 = npt.NDArray[np.float64]

_FADE_IN_S, _FADE_OUT_S = 0.03, 0.005
# Where the sweep has hardly any power nothing is known: so much less than its most is nothing.
_REGULAR = 1e-7


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep of amplitude 1 from one frequency to another."""

    from_hz: float
    to_hz: float
    duration_s: float

    def samples(self, rate_hz: int) -> Floats64:
        """(n,) at any rate that has its frequencies."""
        count = round(self.duration_s * rate_hz)
        time_s = np.arange(count) / rate_hz
        octaves = math.log(self.to_hz / self.from_hz)
        turns = self.from_hz * self.duration_s / octaves
        tone = np.sin(2 * np.pi * turns * np.expm1(time_s / self.duration_s * octaves))
        rising, falling = time_s / _FADE_IN_S, (count / rate_hz - time_s) / _FADE_OUT_S
        fade = np.clip(np.minimum(rising, falling), 0, 1)
        faded: Floats64 = tone * np.sin(fade * np.pi / 2) ** 2
        return faded

    def lead_s(self, order: int) -> float:
        """How long before the response its harmonic of this order comes; the first is itself."""
        return self.duration_s * math.log(order) / math.log(self.to_hz / self.from_hz)

    def response(self, heard: Floats64, rate_hz: int) -> Floats64:
        """(n,) what was heard from the sweep's beginning on, to the response at those delays.

        What comes before, the harmonics, stands at the end, as at negative indices."""
        size = 1 << (len(heard) + round(self.duration_s * rate_hz) - 1).bit_length()
        played = np.fft.rfft(self.samples(rate_hz), size)
        power = np.abs(played) ** 2
        divided = np.fft.rfft(heard, size) * np.conj(played) / (power + _REGULAR * power.max())
        frequency_hz: Floats64 = np.fft.rfftfreq(size, 1 / rate_hz).astype(np.float64)
        response: Floats64 = np.fft.irfft(divided * self._band(frequency_hz), size)
        return response

    def _band(self, frequency_hz: Floats64) -> Floats64:
        """What of its range counts: without sharp edges, which would ring."""
        rising = (frequency_hz / self.from_hz - 1) / 0.5
        falling = (self.to_hz - frequency_hz) / (0.08 * self.to_hz)
        band: Floats64 = np.sin(np.clip(np.minimum(rising, falling), 0, 1) * np.pi / 2) ** 2
        return band


def apart_s(first: Floats64, second: Floats64, rate_hz: int, most_s: float) -> float:
    """How much later in its piece the second of two recordings of one sound is; a fraction of a
    sample is found too. Both as long, and not farther apart than `most_s`."""
    size = 1 << (2 * len(first) - 1).bit_length()
    cross = np.fft.rfft(second, size) * np.conj(np.fft.rfft(first, size))
    similar = np.fft.irfft(cross, size)
    reach = round(most_s * rate_hz)
    near = np.concatenate((similar[-reach:], similar[: reach + 1]))
    return (peak_at(near) - reach) / rate_hz


def peak_at(values: Floats64) -> float:
    """The index of the largest value, and what a parabola through its neighbours adds."""
    top = int(values.argmax())
    if not 0 < top < len(values) - 1:
        return float(top)
    before, at, after = values[top - 1 : top + 2]
    bend = before - 2 * at + after
    return top + (0.5 * float((before - after) / bend) if bend else 0.0)
