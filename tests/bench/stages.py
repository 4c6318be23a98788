"""What each stage of the sound costs for every 20 ms, on this machine. No bars: they are the
machine's as much as ours."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from kiosk.audio.capture import CHUNK_SAMPLES, CaptureChain, CaptureLayout, Treatment
from kiosk.audio.echo import EchoCanceller
from kiosk.audio.gain import Gain, GainSettings
from kiosk.audio.linear_echo import LinearCanceller
from kiosk.audio.pcm import CHUNK_MS, INTERNAL_RATE_HZ, Samples, downmix, samples_to_bytes
from kiosk.audio.resample import Resampler
from tests.bench.figures import Figure, percentile
from tests.bench.gate_sweep import new_gate

_CARD_HZ = 48_000
_CARD_SAMPLES = _CARD_HZ * CHUNK_MS // 1000
_ROUNDS = 1500
_WARM_UP = 100

Stage = Callable[[int], object]
T = TypeVar("T")


def figures() -> Iterator[Figure]:
    for name, stage in stages():
        took_us = _took_us(stage)
        for percent, what in ((50, "median"), (99, "p99")):
            name_ = f"20 ms of sound, {name}: {what}"
            yield Figure(name_, "us", percentile(took_us, percent))


def _took_us(stage: Stage) -> list[float]:
    took = []
    for number in range(_ROUNDS + _WARM_UP):
        began_ns = time.perf_counter_ns()
        stage(number)
        took.append((time.perf_counter_ns() - began_ns) / 1000)
    return took[_WARM_UP:]


def stages() -> Iterator[tuple[str, Stage]]:
    """Each stage by its name; called with the number of the chunk, it works on one."""
    from pywebrtc_audio import AudioProcessor

    card = _pieces(_CARD_SAMPLES, 1)
    near, far = _pieces(CHUNK_SAMPLES, 2), _pieces(CHUNK_SAMPLES, 3)
    frames = [samples_to_bytes(np.repeat(piece, 2)) for piece in card]
    yield "down-mix of 48 kHz stereo", lambda n: downmix(_of(frames, n), 2)
    to_wire = Resampler(_CARD_HZ, INTERNAL_RATE_HZ)
    yield "resampling 48 to 16 kHz", lambda n: to_wire.push(_of(card, n))
    linear = LinearCanceller()
    yield "linear echo canceller", lambda n: linear.push(_of(near, n), _of(far, n))
    suppressor = AudioProcessor(
        sample_rate=INTERNAL_RATE_HZ, echo_cancellation=True, noise_suppression=True
    )
    yield "AEC3 and noise suppression", lambda n: suppressor.process(_of(near, n), _of(far, n))
    gate = new_gate()
    yield "gate", lambda n: gate.push(_of(near, n))
    gain = Gain(GainSettings())
    yield "gain", lambda n: gain.push(_of(near, n), speech=True)
    chain = CaptureChain(
        CaptureLayout(_CARD_HZ, 2),
        Treatment(new_gate(), EchoCanceller(), Gain(GainSettings()), _Playing(far)),
    )
    yield (
        "the whole capture chain",
        lambda n: list(chain.push(_of(frames, n), 100.0 + n * CHUNK_MS / 1000)),
    )
    to_card = Resampler(INTERNAL_RATE_HZ, _CARD_HZ)
    yield "resampling 16 to 48 kHz", lambda n: to_card.push(_of(near, n))


class _Playing:
    """A loudspeaker that never stops."""

    def __init__(self, pieces: Sequence[Samples]) -> None:
        self._sound = np.concatenate(list(pieces))

    def get(self, from_s: float, count: int) -> Samples:
        at = round(from_s * INTERNAL_RATE_HZ) % (len(self._sound) - count)
        return self._sound[at : at + count]


def _pieces(size: int, seed: int) -> list[Samples]:
    """A second of noise whose loudness moves as speech does."""
    rng = np.random.default_rng(seed)
    return [
        np.round(rng.normal(0, rng.uniform(50, 3000), size)).astype(np.int16)
        for _ in range(1000 // CHUNK_MS)
    ]


def _of(pieces: Sequence[T], number: int) -> T:
    return pieces[number % len(pieces)]
