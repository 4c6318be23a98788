from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.audio.capture import (
    CHUNK_SAMPLES,
    CaptureChain,
    CapturedChunk,
    CaptureLayout,
    Treatment,
)
from kiosk.audio.gate import Gate, GateSettings
from kiosk.audio.pcm import Samples, upmix
from tests.unit.audio.test_gate import loud
from tests.unit.sounds import noise

START_S = 5000.0


def captured(
    samples: Samples, rate_hz: int, channels: int, sizes: list[int]
) -> list[CapturedChunk]:
    """The chunks of a card that delivers the recording in pieces of these sizes, over and over."""
    chain = CaptureChain(CaptureLayout(rate_hz, channels), Treatment(Gate(GateSettings(), loud)))
    chunks: list[CapturedChunk] = []
    at = turn = 0
    while at < len(samples):
        piece = samples[at : at + sizes[turn % len(sizes)]]
        chunks += chain.push(upmix(piece, channels), START_S + at / rate_hz)
        at += len(piece)
        turn += 1
    return chunks


@given(
    st.sampled_from([8000, 16_000, 22_050, 44_100, 48_000]),
    st.integers(1, 3),
    st.lists(st.integers(50, 3000), min_size=1, max_size=5),
)
def test_chunks_are_20_ms_long_and_20_ms_apart(
    rate_hz: int, channels: int, sizes: list[int]
) -> None:
    chunks = captured(noise(0.5, rate_hz), rate_hz, channels, sizes)
    assert len(chunks) in (24, 25)
    assert all(len(chunk.samples) == CHUNK_SAMPLES for chunk in chunks)
    for one, next_ in pairwise(chunks):
        # Output falls between input samples: it is never further off than one of them.
        assert next_.captured_at_s - one.captured_at_s == pytest.approx(0.02, abs=1.01 / 8000)


@pytest.mark.parametrize("rate_hz", [16_000, 44_100, 48_000])
@pytest.mark.parametrize("sizes", [[960], [441, 100, 7], [5000]])
def test_a_click_is_dated_when_the_card_captured_it(rate_hz: int, sizes: list[int]) -> None:
    samples = np.zeros(rate_hz // 2, dtype=np.int16)
    samples[round(0.3 * rate_hz)] = 30_000
    chunks = captured(samples, rate_hz, 1, sizes)
    loudest = max(chunks, key=lambda chunk: int(np.abs(chunk.samples.astype(int)).max()))
    index = int(np.argmax(np.abs(loudest.samples.astype(int))))
    assert loudest.captured_at_s + index / 16_000 == pytest.approx(START_S + 0.3, abs=2 / 16_000)


def test_the_gate_judges_every_chunk_once() -> None:
    asked: list[int] = []

    def detector(chunk: Samples) -> bool:
        asked.append(len(chunk))
        return True

    chain = CaptureChain(CaptureLayout(16_000, 1), Treatment(Gate(GateSettings(), detector)))
    chunks = list(chain.push(upmix(noise(0.11, 16_000), 1), START_S))
    assert asked == [CHUNK_SAMPLES] * 5
    assert [chunk.verdict.speech for chunk in chunks] == [False, False, True, True, True]
