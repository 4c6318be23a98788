"""Earcons: soft, distinct, short sounds, made from numbers. Pure: no I/O, no clock.

Each is a few notes of a damped sine with one overtone, like a small bell. A rising pair says "go
on", a falling one "over", a low repeated note "not now", a short repeated one "still here"; none is
longer than 0.45 s.
"""

from enum import StrEnum
from functools import cache

import numpy as np

from kiosk.audio.pcm import Samples, to_int16

RATE_HZ = 16_000
_PEAK = 0.18 * 32767  # -15 dBFS: heard in a lobby, startles nobody


class Earcon(StrEnum):
    PRESSED = "pressed"
    READY = "ready"
    TICK = "tick"
    HANG_UP = "hang_up"
    SORRY = "sorry"


# Notes as (start in seconds, hertz, length in seconds). C5 = 523, E5 = 659, G5 = 784,
# A4 = 440, E4 = 330.
_NOTES: dict[Earcon, tuple[tuple[float, float, float], ...]] = {
    Earcon.PRESSED: ((0.0, 523.25, 0.16),),
    Earcon.READY: ((0.0, 659.26, 0.14), (0.09, 783.99, 0.22)),
    Earcon.TICK: ((0.0, 392.0, 0.07), (0.12, 392.0, 0.07)),
    Earcon.HANG_UP: ((0.0, 659.26, 0.14), (0.10, 440.0, 0.28)),
    # As low as a loudspeaker of 40 mm has it.
    Earcon.SORRY: ((0.0, 329.63, 0.16), (0.18, 311.13, 0.26)),
}


@cache
def earcon_samples(earcon: Earcon) -> Samples:
    """The sound at `RATE_HZ`, mono; the same array every time, so do not write to it."""
    notes = _NOTES[earcon]
    length = max(start + duration for start, _, duration in notes)
    mix = np.zeros(round(length * RATE_HZ), dtype=np.float64)
    for start, hertz, duration in notes:
        note = _note(hertz, duration)
        at = round(start * RATE_HZ)
        mix[at : at + len(note)] += note[: len(mix) - at]
    samples = to_int16(mix * (_PEAK / np.abs(mix).max()))
    samples.setflags(write=False)
    return samples


def _note(hertz: float, duration_s: float) -> np.ndarray:
    time = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    tone = np.sin(2 * np.pi * hertz * time) + 0.25 * np.sin(4 * np.pi * hertz * time)
    # 4 ms of attack and a tail that reaches zero, so that no earcon clicks.
    attack = np.minimum(1, time / 0.004)
    decay = np.exp(-5 * time / duration_s) * (1 - time / duration_s)
    shaped: np.ndarray = tone * attack * decay
    return shaped
