"""Sounds for whole visits, and a room in which they can be compared sample by sample."""

import numpy as np

from kiosk.audio.high_pass import HighPass
from kiosk.audio.pcm import Samples, silence
from kiosk.devices.virtual import Room
from kiosk.lab.virtual_loop import running_clock

RATE_HZ = 16_000


def tone(hertz: float, seconds: float, amplitude: int = 6000) -> Samples:
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    sound: Samples = np.round(amplitude * np.sin(2 * np.pi * hertz * time_s)).astype(np.int16)
    return sound


def words(seconds: float, seed: int = 1) -> Samples:
    """Speech-like sound no two parts of which are alike: noise in syllables, through a formant."""
    generator = np.random.default_rng(seed)
    noise = generator.normal(0, 1, round(seconds * RATE_HZ))
    time_s = np.arange(len(noise)) / RATE_HZ
    voice = np.sign(np.sin(2 * np.pi * 140 * time_s)) * (1 + 0.3 * noise)
    shaped = np.convolve(voice, np.hanning(12), mode="same")
    syllables = 0.55 + 0.45 * np.sin(2 * np.pi * 4 * time_s)
    scaled = shaped * syllables
    speech: Samples = np.round(9000 * scaled / np.abs(scaled).max()).astype(np.int16)
    return speech


def as_captured(sound: Samples) -> Samples:
    """What the kiosk makes of it, and of half a second of silence after it: what lies below a voice
    is taken out, from the first sample on."""
    return HighPass().push(np.concatenate((sound, silence(RATE_HZ // 2))))


def quiet_room(noise_dbfs: float | None = None, **settings: object) -> Room:
    """16 kHz and no noise, so that what is sent can be compared sample by sample."""
    return Room(RATE_HZ, noise_dbfs=noise_dbfs, record=True, clock=running_clock(), **settings)  # type: ignore[arg-type]


def pitch_hz(samples: Samples, rate_hz: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples))
    return float(np.fft.rfftfreq(len(samples), 1 / rate_hz)[spectrum.argmax()])
