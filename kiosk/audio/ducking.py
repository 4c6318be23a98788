"""Ducking: the loudspeaker steps back while somebody speaks over it, and plays as loud as a visitor
wants it. Pure: no clock, no threads."""

import numpy as np

from kiosk.audio.pcm import Samples, to_int16


class Ducking:
    """Lowers a stream by `depth_db` within `fade_ms`, and raises it again as smoothly; besides, by
    `level_db`, 0 or less.

    `on` and `level_db` may be set from any thread; samples pass through one.
    """

    def __init__(self, depth_db: float = 12.0, fade_ms: float = 30.0) -> None:
        self.on = False
        self.level_db = 0.0
        self._low = 10 ** (-depth_db / 20)
        self._fade_ms = fade_ms
        self._gain = 1.0

    def push(self, samples: Samples, rate_hz: int) -> Samples:
        """The next samples of the stream, as loud as they should be."""
        target = self._target()
        if self._gain == target == 1.0:
            return samples
        most = (1 - self._low) * 1000 / (self._fade_ms * rate_hz)  # change a sample
        way = target - self._gain
        steps = np.arange(1, len(samples) + 1) * (most if way > 0 else -most)
        gains = self._gain + np.clip(steps, min(way, 0.0), max(way, 0.0))
        if len(gains):
            self._gain = target if abs(target - gains[-1]) < most else float(gains[-1])
        return to_int16(samples * gains)

    def settle(self) -> None:
        """What comes next is another sound: it begins as loud as it should be, without a fade."""
        self._gain = self._target()

    def _target(self) -> float:
        return float((self._low if self.on else 1.0) * 10 ** (self.level_db / 20))
