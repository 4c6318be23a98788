"""Rooms with a kiosk in them, sample by sample: what a microphone hears of agent and visitor.

None of these voices, sentences and rooms was used to choose a default.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from kiosk.agent.guide import expand_phrase, load_guide
from kiosk.audio.acoustics import (
    Shoebox,
    impulse_response,
    kiosk_in,
    loudspeaker_distortion,
)
from kiosk.audio.capture import CaptureChain, CapturedChunk, CaptureLayout, Treatment
from kiosk.audio.echo import REFERENCE_LEAD_S, EchoCanceller
from kiosk.audio.pcm import CHUNK_MS, INTERNAL_RATE_HZ, Samples, samples_to_bytes, silence, to_int16
from kiosk.audio.resample import resample
from tests.bench.gate_sweep import (
    HELD_OUT,
    active_dbfs,
    at_active_level,
    new_gain,
    new_gate,
    spoken,
)

Floats = npt.NDArray[np.float64]

HZ = INTERNAL_RATE_HZ
SEEDS = (101, 102, 103)
RT60_S = (0.3, 0.6, 1.0)
LEVEL_DBFS = -26.0
NOISE_DBFS = -65.0
DRIVE = 1.5
DRIFT_PPM = 50.0
_AGENT_VOICE = "en-gb-scotland+f4"
_BREATH_S = 0.35


@dataclass(frozen=True, slots=True)
class Place:
    """A room with its kiosk; `delay_s` is of the card and the air together."""

    rt60_s: float
    seed: int
    delay_s: float = 0.03
    level_dbfs: float = LEVEL_DBFS
    drive: float = DRIVE
    drift_ppm: float = DRIFT_PPM

    def echo(self, far: Samples, like: Samples | None = None) -> Floats:
        """What the microphone hears of the loudspeaker. Its level is that of `like`, which the
        loudspeaker would play undisturbed (None: of `far`)."""
        reference = active_dbfs(self._through(far if like is None else like))
        return self._through(far) * 10 ** ((self.level_dbfs - reference) / 20)

    def _through(self, far: Samples) -> Floats:
        response = _response(self.rt60_s, self.seed)
        played = loudspeaker_distortion(far.astype(np.float32), self.drive)
        heard = convolved(played.astype(np.float64), response)
        moments = np.arange(len(far)) * (1 - self.drift_ppm * 1e-6) - self.delay_s * HZ
        arrived: Floats = np.interp(moments, np.arange(len(far)), heard, left=0.0)
        return arrived


class Timeline:
    """A loudspeaker's sound on an axis that begins at 0 s."""

    def __init__(self, far: Samples) -> None:
        self._far = np.concatenate((far, silence(HZ)))

    def get(self, from_s: float, count: int) -> Samples:
        at = max(0, round((from_s - REFERENCE_LEAD_S) * HZ))
        return self._far[at : at + count]


def captured(mic: Floats, far: Samples, canceller: EchoCanceller) -> list[CapturedChunk]:
    """Through the chain at 16 kHz, as the capture thread runs it, but for the gain."""
    treatment = Treatment(new_gate(), canceller, played=Timeline(far))
    chain = CaptureChain(CaptureLayout(HZ, 1), treatment)
    whole = len(mic) // 320 * 320
    return list(chain.push(samples_to_bytes(to_int16(mic[:whole])), 0.0))


def through_the_card(mic: Floats, canceller: EchoCanceller) -> list[CapturedChunk]:
    """The same from a card of 48 kHz in periods of 20 ms, while the agent is silent."""
    treatment = Treatment(new_gate(), canceller, new_gain())
    chain = CaptureChain(CaptureLayout(48_000, 1), treatment)
    card = resample(to_int16(mic), HZ, 48_000)
    chunks: list[CapturedChunk] = []
    for at in range(0, len(card), 960):
        chunks += chain.push(samples_to_bytes(card[at : at + 960]), at / 48_000)
    return chunks


@cache
def agent_speech(seconds: int) -> Samples:
    """The agent talks on, with a breath between two sentences."""
    entries = load_guide().entries
    said = [spoken(entry.say, _AGENT_VOICE) for entry in entries]
    breath = silence(round(_BREATH_S * HZ))
    once = np.concatenate([part for sentence in said for part in (sentence, breath)])
    times = -(-seconds * HZ // len(once))
    # Never the same twice in step with a room's learning: each round begins elsewhere.
    rounds = [np.roll(once, -number * 7 * HZ) for number in range(times)]
    return np.concatenate(rounds)[: seconds * HZ]


@cache
def questions(count: int) -> tuple[tuple[str, Samples], ...]:
    """The guide's, in all its wordings and the held-out voices in turn; (text, 16 kHz)."""
    wordings = sorted(
        {text for entry in load_guide().entries for ask in entry.ask for text in expand_phrase(ask)}
    )
    chosen = [wordings[at * len(wordings) // count] for at in range(count)]
    voices = HELD_OUT.voices
    return tuple((text, spoken(text, voices[at % len(voices)])) for at, text in enumerate(chosen))


def visitor_in(rt60_s: float, seed: int, speech: Samples) -> Floats:
    """A visitor 0.7 m from the microphone of that room, with the tail of the last word."""
    place = kiosk_in(rt60_s, seed)
    x, y, z = place.microphone_m
    standing = Shoebox(place.size_m, (x, y + 0.7, z + 0.3), place.microphone_m, rt60_s)
    response = impulse_response(standing, HZ, seed)
    padded = np.concatenate((speech, silence(round(rt60_s * HZ))))
    return convolved(padded.astype(np.float64), response)


def floor(count: int, seed: int, level_dbfs: float = NOISE_DBFS) -> Floats:
    """The room's own noise."""
    noise: Floats = np.random.default_rng(seed).normal(0, 32768 * 10 ** (level_dbfs / 20), count)
    return noise


def at_level(samples: Samples, level_dbfs: float = LEVEL_DBFS) -> Floats:
    """Speech with its active parts at a level, on the int16 scale."""
    return at_active_level(samples, level_dbfs)


def convolved(samples: Floats, response: npt.NDArray[np.float32]) -> Floats:
    """As long as `samples`."""
    size = 1 << (len(samples) + len(response) - 1).bit_length()
    heard: Floats = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(response, size), size)
    return heard[: len(samples)]


def chunk_at(sample: int) -> int:
    return sample * 1000 // (HZ * CHUNK_MS)


@cache
def _response(rt60_s: float, seed: int) -> npt.NDArray[np.float32]:
    return impulse_response(kiosk_in(rt60_s, seed), HZ, seed)
