"""Streaming sample-rate conversion with a small, constant delay. Pure: no I/O, no clock.

A polyphase windowed-sinc filter: every input sample yields its share of output at once, so the
delay never varies (libraries built for files answer in bursts, up to 40 ms late). The filter is
flat to 7/8 of the lower rate's band and 88 dB down where aliases would fall into it.
"""

from fractions import Fraction
from functools import cache

import numpy as np
import numpy.typing as npt

from kiosk.audio.pcm import Samples, silence, to_int16

# 39 samples of the lower rate on each side of the centre: 2.44 ms at 16 kHz. With a Kaiser window
# of beta 8.9 that is a transition of 0.073 of the lower rate (7.0 to 8.2 kHz at 16 kHz).
_HALF_LENGTH = 39
_KAISER_BETA = 8.9
_CUTOFF = 0.475  # centre of the transition, as a part of the lower rate
_PIECE_SAMPLES = 4096


class Resampler:
    """Converts one mono stream from `from_hz` to `to_hz`, piece by piece.

    Feeding a stream in pieces gives exactly the samples of feeding it whole. `delay_s` is how much
    later than its input a sample leaves.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        ratio = Fraction(to_hz, from_hz)
        self._up, self._down = ratio.numerator, ratio.denominator
        self._bank = _filter_bank(self._up, self._down)
        taps = self._bank.shape[1]
        self.delay_s = 0.0 if self._up == self._down else taps / 2 / from_hz
        self._history = np.zeros(taps - 1, dtype=np.float32)
        self._position = (
            0  # of the next output, in input samples times `up`, from the history's end
        )

    def begin_at(self, level: int) -> None:
        """Begin as if this sample had been there for ever: an offset is no step."""
        self._history[:] = level

    def push(self, samples: Samples) -> Samples:
        """The output that these input samples complete."""
        if self._up == self._down:
            return samples
        stream = np.concatenate((self._history, samples.astype(np.float32)))
        end = len(samples) * self._up
        first, count = self._position, len(range(self._position, end, self._down))
        self._position += count * self._down - end
        taps = self._bank.shape[1]
        self._history = stream[len(stream) - (taps - 1) :].copy()
        if not count:
            return silence(0)
        # Sums of products by einsum, never by `@`: that is BLAS, whose threads spin while they wait
        # for each other, and in a thread of real-time priority they would wait for ever.
        if 1 in (self._up, self._down):
            # Every window has all phases, and lies `down` samples after the one before: a view,
            # without a copy. The gathering below costs ten times as much.
            step = stream.itemsize
            shape, strides = (count // self._up, taps), (self._down * step, step)
            windows = np.ndarray(shape, stream.dtype, stream, first * step, strides)
            return to_int16(np.einsum("nk,pk->np", windows, self._bank).ravel())
        positions = first + self._down * np.arange(count)
        chosen = np.lib.stride_tricks.sliding_window_view(stream, taps)[positions // self._up]
        return to_int16(np.einsum("nk,nk->n", chosen, self._bank[positions % self._up]))

    def flush(self) -> Samples:
        """The tail that still stands in the filter; afterwards the resampler is as new."""
        if self._up == self._down:
            return silence(0)
        tail = self.push(silence(self._bank.shape[1] // 2))
        self._history[:] = 0
        self._position = 0
        return tail


def resample(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """Convert a whole recording: the filter's delay taken out, the length exact to a sample."""
    if from_hz == to_hz:
        return samples
    resampler = Resampler(from_hz, to_hz)
    # In pieces: in one, 18 s of speech gather 250 MB, and finding those takes half a second.
    parts = [
        resampler.push(samples[at : at + _PIECE_SAMPLES])
        for at in range(0, len(samples), _PIECE_SAMPLES)
    ]
    converted = np.concatenate((*parts, resampler.flush()))
    lead = round(resampler.delay_s * to_hz)
    return converted[lead : lead + round(len(samples) * to_hz / from_hz)]


@cache
def _filter_bank(up: int, down: int) -> npt.NDArray[np.float32]:
    """One row of taps for each of the `up` phases, in the order a window of input is laid out."""
    lower = 1 / max(up, down)  # of the rate at which the prototype is sampled
    half = _HALF_LENGTH / lower
    taps = 2 * int(np.ceil(half / up))
    time = (np.arange(taps * up) - (taps * up) / 2) * lower
    cutoff = 2 * _CUTOFF
    prototype = cutoff * np.sinc(cutoff * time) * np.kaiser(taps * up, _KAISER_BETA)
    prototype *= up / prototype.sum()
    # Laid out as a window is, or every sum would cost seven times as much.
    bank = prototype.reshape(taps, up).T[:, ::-1]
    return np.ascontiguousarray(bank, dtype=np.float32)
