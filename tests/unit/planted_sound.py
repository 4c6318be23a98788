"""Recordings of the measuring program with every figure known beforehand."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from kiosk.audio.acoustics import loudspeaker_distortion
from kiosk.audio.measuring import Program, Recorded, SoundFigures, Way, measured
from kiosk.audio.pcm import to_int16
from kiosk.audio.sweep import Floats64

RATE_HZ = 24_000
BEFORE_S = 0.7  # between the first sample recorded and the first one played


@dataclass(frozen=True)
class Planted:
    """What is between the program and its recording. `response`: the room's, with the direct sound
    first; `mains`: frequency and dBFS of hum."""

    delay_s: float = 0.02
    gain_db: float = -20.0
    drift_ppm: float = 0.0
    drive: float = 0.0
    response: Floats64 | None = None
    noise_dbfs: float = -75.0
    offset: float = 0.0
    mains: tuple[float, float] | None = None
    signs: tuple[float, ...] = (1.0,)  # of the microphone's channels
    loudspeakers: tuple[float, ...] = (1.0,)  # what each adds to what is heard
    rate_hz: int = RATE_HZ
    listened: int | None = None
    shorter: Mapping[str, float] = field(default_factory=dict)  # of the program's parts
    seed: int = 7

    @property
    def program(self) -> Program:
        return Program(len(self.loudspeakers), self.rate_hz, **self.shorter)

    def recorded(self) -> Recorded:
        rate_hz = self.rate_hz
        played = self.program.samples(rate_hz) @ np.array(self.loudspeakers)
        driven = loudspeaker_distortion(played.astype(np.float32), self.drive).astype(np.float64)
        if self.response is not None:
            size = 1 << (len(driven) + len(self.response)).bit_length()
            spectrum = np.fft.rfft(driven, size) * np.fft.rfft(self.response, size)
            driven = np.fft.irfft(spectrum, size)[: len(driven)]
        count = round((self.program.duration_s + BEFORE_S + 0.1) * rate_hz)
        moments = np.arange(count) - (BEFORE_S + self.delay_s) * rate_hz
        moments *= 1 + self.drift_ppm * 1e-6
        heard = np.interp(moments, np.arange(len(driven)), driven, 0, 0)
        heard *= 10 ** (self.gain_db / 20)
        random = np.random.default_rng(self.seed)
        channels = [heard * sign + self._beside(count, random) for sign in self.signs]
        return Recorded(
            to_int16(np.stack(channels, axis=1)), rate_hz, self.program, BEFORE_S, self.listened
        )

    def _beside(self, count: int, random: np.random.Generator) -> Floats64:
        """What is there without the loudspeaker."""
        beside = random.normal(0, 32768 * 10 ** (self.noise_dbfs / 20), count)
        beside += 32768 * self.offset
        if self.mains is not None:
            hz, dbfs = self.mains
            turns = 2 * np.pi * hz * np.arange(count) / self.rate_hz
            size = 32768 * 10 ** (dbfs / 20) * np.sqrt(2 / 1.25)
            beside += size * (np.sin(turns) + 0.5 * np.sin(3 * turns))
        return beside

    def figures(self) -> SoundFigures:
        return measured(self.recorded())

    def way(self) -> Way:
        way = self.figures().way
        assert way is not None
        return way


def reverberant(rt60_s: float, rate_hz: int = RATE_HZ, direct: float = 1.0) -> Floats64:
    """A room whose sound decays by 60 dB in that time, after the direct sound; energy 1."""
    time_s = np.arange(round(1.2 * rt60_s * rate_hz)) / rate_hz
    response = np.random.default_rng(5).normal(0, 0.01, len(time_s)) * 10 ** (-3 * time_s / rt60_s)
    response[0] = direct
    normalised: Floats64 = response / np.linalg.norm(response)
    return normalised


def shelved(hz: float, db: float, rate_hz: int = RATE_HZ) -> Floats64:
    """A way that lets what is above a frequency through with that gain."""
    size = 512
    frequency_hz = np.fft.rfftfreq(size, 1 / rate_hz)
    gain = np.where(frequency_hz < hz, 1.0, 10 ** (db / 20))
    response: Floats64 = np.roll(np.fft.irfft(gain, size), 32)
    return response
