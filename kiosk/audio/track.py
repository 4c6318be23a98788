"""Sound along a time axis: written in pieces, cut, and read anywhere. Pure: no clock, no I/O."""

from kiosk.audio.pcm import Samples, silence


class Track:
    """Mono sound along an axis of samples; at least the newest `keep_s` seconds are kept."""

    def __init__(self, rate_hz: int, keep_s: float) -> None:
        self.rate_hz = rate_hz
        self._keep = round(keep_s * rate_hz)
        self._start = 0
        self._length = 0
        self._buffer = silence(rate_hz)

    def put(self, at: int, samples: Samples) -> None:
        """Place sound at a sample index; a gap before it is silence, what was there is replaced."""
        self._make_room(at - self._start + len(samples))
        offset = max(0, at - self._start)
        samples = samples[max(0, self._start - at) :]
        self._buffer[self._length : offset] = 0
        self._buffer[offset : offset + len(samples)] = samples
        self._length = max(self._length, offset + len(samples))

    def cut(self, at: int) -> None:
        """Forget everything from a sample index on."""
        self._length = min(self._length, max(0, at - self._start))

    def get(self, start: int, count: int) -> Samples:
        """`count` samples from `start` on; silence where nothing was put or nothing is kept."""
        result = silence(count)
        low, high = max(start, self._start), min(start + count, self._start + self._length)
        if low < high:
            result[low - start : high - start] = self._buffer[
                low - self._start : high - self._start
            ]
        return result

    def _make_room(self, needed: int) -> None:
        if needed <= len(self._buffer):
            return
        # After a long pause everything is gone, and most of the pause itself.
        gone = needed - self._keep if needed > 2 * self._keep else 0
        kept = self._buffer[min(gone, self._length) : self._length]
        self._start += gone
        self._length = len(kept)
        self._buffer = silence(2 * (needed - gone))
        self._buffer[: len(kept)] = kept
