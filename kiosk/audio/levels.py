"""How loud: levels in dBFS, and where in a recording sound is. Pure: no I/O, no clock."""

import math

import numpy as np

from kiosk.audio.pcm import Samples

SILENCE_DBFS = -96.0
FULL_SCALE = 32768.0


def rms_dbfs(samples: Samples) -> float:
    """The root mean square level; a full-scale square wave is 0 dBFS, nothing is -96."""
    if not len(samples):
        return SILENCE_DBFS
    mean_square = float(np.mean(np.square(samples, dtype=np.float64)))
    if mean_square < 0.25:
        return SILENCE_DBFS
    return max(SILENCE_DBFS, 10 * math.log10(mean_square / FULL_SCALE**2))


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
