"""What the resampler lets through, keeps out and delays."""

from collections.abc import Iterator

import numpy as np

from kiosk.audio.pcm import INTERNAL_RATE_HZ, Samples, silence
from kiosk.audio.resample import Resampler
from tests.bench.figures import AT_MOST, Figure, at_least

_CARD_RATES_HZ = (48_000, 44_100)
_AMPLITUDE = 30_000
_HIGHEST_KEPT_HZ = 7000
_LOWEST_ALIAS_HZ = 8250


def figures() -> Iterator[Figure]:
    for rate_hz in _CARD_RATES_HZ:
        name = f"resampling {rate_hz / 1000:g} to 16 kHz"
        aliases = np.arange(_LOWEST_ALIAS_HZ, rate_hz / 2 - 200, 111.0)
        rejection_db = min(-_gain_db(rate_hz, hz) for hz in aliases)
        yield Figure(f"{name}: alias rejection", "dB", rejection_db, at_least(86))
        yield Figure(f"{name}: delay", "ms", _delay_ms(rate_hz), AT_MOST(2.5))
        kept = np.append(np.arange(100, _HIGHEST_KEPT_HZ, 211.0), _HIGHEST_KEPT_HZ)
        ripple_db = max(abs(_gain_db(rate_hz, hz)) for hz in kept)
        yield Figure(f"{name}: off flat up to 7 kHz", "dB", ripple_db, AT_MOST(0.5))


def _gain_db(rate_hz: int, tone_hz: float) -> float:
    """What becomes of a tone, wherever in the spectrum it ends."""
    time_s = np.arange(rate_hz) / rate_hz
    tone: Samples = np.round(_AMPLITUDE * np.sin(2 * np.pi * tone_hz * time_s)).astype(np.int16)
    out = Resampler(rate_hz, INTERNAL_RATE_HZ).push(tone)
    settled = out[INTERNAL_RATE_HZ // 10 : -INTERNAL_RATE_HZ // 10].astype(np.float64)
    return float(20 * np.log10(max(settled.std(), 1e-3) / (_AMPLITUDE / np.sqrt(2))))


def _delay_ms(rate_hz: int) -> float:
    """From a click to the middle of what leaves."""
    click = silence(rate_hz)
    click[rate_hz // 2] = _AMPLITUDE
    out = Resampler(rate_hz, INTERNAL_RATE_HZ).push(click).astype(np.float64) ** 2
    middle = float((out * np.arange(len(out))).sum() / out.sum())
    return (middle / INTERNAL_RATE_HZ - (rate_hz // 2) / rate_hz) * 1000
