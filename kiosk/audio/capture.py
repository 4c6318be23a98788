"""From what a card delivers to chunks with a verdict. Pure: no I/O, time is an argument."""

from collections.abc import Iterator
from dataclasses import dataclass

from kiosk.audio.gate import Gate, Verdict
from kiosk.audio.pcm import (
    CHUNK_MS,
    INTERNAL_RATE_HZ,
    Rechunker,
    Samples,
    downmix,
    ms_to_samples,
)
from kiosk.audio.resample import Resampler

CHUNK_SAMPLES = ms_to_samples(CHUNK_MS, INTERNAL_RATE_HZ)


@dataclass(frozen=True, slots=True)
class CapturedChunk:
    """20 ms of 16 kHz sound, when its first sample was captured (monotonic seconds), and whether
    it is speech."""

    samples: Samples
    captured_at_s: float
    verdict: Verdict


class CaptureChain:
    """Down-mixes, converts to 16 kHz, cuts into chunks and asks the gate, one card's stream."""

    def __init__(self, rate_hz: int, channels: int, gate: Gate) -> None:
        self._channels = channels
        self._gate = gate
        self._resampler = Resampler(rate_hz, INTERNAL_RATE_HZ)
        self._rechunker = Rechunker(CHUNK_SAMPLES)

    def push(self, data: bytes, captured_at_s: float) -> Iterator[CapturedChunk]:
        """`data`: interleaved S16_LE; `captured_at_s`: when its first sample was captured."""
        started_s = (
            captured_at_s - self._resampler.delay_s - self._rechunker.held / INTERNAL_RATE_HZ
        )
        converted = self._resampler.push(downmix(data, self._channels))
        for index, samples in enumerate(self._rechunker.push(converted)):
            yield CapturedChunk(
                samples, started_s + index * CHUNK_MS / 1000, self._gate.push(samples)
            )
