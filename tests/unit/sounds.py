"""Sounds to test with, made from numbers."""

import numpy as np
import numpy.typing as npt

from kiosk.audio.pcm import Samples, to_int16

Floats = npt.NDArray[np.float64]


def tone(hertz: float, seconds: float, rate_hz: int, peak: float = 32000.0) -> Samples:
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    return to_int16(peak * np.sin(2 * np.pi * hertz * time))


def noise(seconds: float, rate_hz: int, rms: float = 1000.0, seed: int = 1) -> Samples:
    return to_int16(np.random.default_rng(seed).normal(0, rms, round(seconds * rate_hz)))


def syllables(seconds: float, rate_hz: int, peak: float = 12_000.0, seed: int = 1) -> Samples:
    """What a canceller takes for speech: glottal pulses and breath, every 100 ms as loud as it
    likes. Broadband, and nothing in it repeats."""
    generator = np.random.default_rng(seed)
    count = round(seconds * rate_hz)
    pulses = 3.0 * (np.arange(count) % (rate_hz // 120) == 0)
    voice = np.convolve(generator.normal(0, 1, count) + pulses, np.hanning(6), mode="same")
    length = rate_hz // 10
    loudness = np.clip(generator.normal(0.5, 0.4, count // length + 1), 0, 1)
    envelope = np.repeat(loudness, length)[:count]
    smooth = np.hanning(rate_hz // 20)
    voice *= np.convolve(envelope, smooth / smooth.sum(), mode="same")
    return to_int16(peak * voice / np.abs(voice).max())


def tone_and_rest(samples: Samples, hertz: float, rate_hz: int) -> tuple[float, float]:
    """The RMS of the part of a sound that is a tone of this pitch, and of everything else."""
    time = np.arange(len(samples)) / rate_hz
    turns = 2 * np.pi * hertz * time
    basis = np.stack((np.sin(turns), np.cos(turns)), axis=1)
    wide = samples.astype(np.float64)
    weights = np.linalg.lstsq(basis, wide, rcond=None)[0]
    fitted: Floats = basis @ weights
    return rms(fitted), rms(wide - fitted)


def rms(values: Floats | Samples) -> float:
    return float(np.sqrt(np.mean(np.square(values.astype(np.float64)))))
