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
from kiosk.audio.echo import HalfDuplex, Heard
from kiosk.audio.gain import Gain, GainSettings
from kiosk.audio.gate import Gate, GateSettings, kiosk_gate
from kiosk.audio.levels import Meter, rms_dbfs
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


# --- the treatment ------------------------------------------------------------------------------


class Split:
    """A canceller of which the agent hears 2, and the gate 1; it may say that the agent sounds."""

    def __init__(self, *, agent_sounds: bool = False) -> None:
        self.agent_sounds = agent_sounds
        self.far: list[Samples] = []

    def begin(self) -> None: ...

    def push(self, mic: Samples, far: Samples) -> Heard:
        self.far.append(far)
        near, judged = np.full_like(mic, 2), np.full_like(mic, 1)
        return Heard(near, judged, self.agent_sounds)


class Counting:
    """A loudspeaker whose sound is a number: how many milliseconds after the start it is."""

    def get(self, from_s: float, count: int) -> Samples:
        return np.full(count, round((from_s - START_S) * 1000), dtype=np.int16)


def treated(treatment: Treatment, samples: Samples) -> list[CapturedChunk]:
    chain = CaptureChain(CaptureLayout(16_000, 1), treatment)
    return list(chain.push(upmix(samples, 1), START_S))


def values(samples: Samples | None) -> set[int]:
    return set() if samples is None else set(samples.tolist())


def test_the_loudspeaker_is_taken_out_then_the_gate_judges_then_the_gain_is_applied() -> None:
    judged: list[set[int]] = []

    def detector(chunk: Samples) -> bool:
        judged.append(values(chunk))
        return True

    gain = Gain(GainSettings(mode="fixed", fixed_db=20))
    treatment = Treatment(Gate(GateSettings(), detector), Split(), gain)
    chunks = treated(treatment, noise(0.2, 16_000))
    assert judged == [{1}] * 10
    assert values(chunks[-1].samples) == {20}


def test_the_canceller_gets_what_was_played_meanwhile_ten_milliseconds_ahead() -> None:
    split = Split()
    treated(Treatment(Gate(GateSettings(), loud), split, played=Counting()), noise(0.1, 16_000))
    assert [values(far) for far in split.far] == [{10}, {30}, {50}, {70}, {90}]


def test_the_meter_hears_the_microphone_before_anything_is_done_to_it() -> None:
    meter = Meter()
    gain = Gain(GainSettings(mode="fixed", fixed_db=20))
    sound = noise(3, 16_000, rms=1000)
    treated(Treatment(Gate(GateSettings(), loud), Split(), gain, meter=meter), sound)
    assert meter.levels.speech_dbfs is None
    assert meter.levels.room_dbfs == pytest.approx(rms_dbfs(sound), abs=0.5)


def test_what_the_agent_says_is_not_metered_as_a_visitors_voice() -> None:
    sound = noise(3, 16_000, rms=1000)
    for agent_sounds in (True, False):
        meter = Meter()
        gate = Gate(GateSettings(), lambda _: True)
        treated(Treatment(gate, Split(agent_sounds=agent_sounds), meter=meter), sound)
        assert (meter.levels.speech_dbfs is None) == agent_sounds


def test_while_only_the_agent_sounds_what_is_left_of_the_room_stands_in() -> None:
    gate = Gate(GateSettings(), lambda _: False)
    chunks = treated(Treatment(gate, Split(agent_sounds=True)), noise(1, 16_000))
    assert {chunk.verdict.passes for chunk in chunks} == {False}
    assert [values(chunk.stand_in) for chunk in chunks] == [{1}] * 50
    assert values(chunks[0].samples) == {2}  # for the pre-roll


def test_a_visitor_who_speaks_over_the_agent_passes_with_their_own_sound() -> None:
    gate = Gate(GateSettings(), lambda _: True)
    chunks = treated(Treatment(gate, Split(agent_sounds=True)), noise(0.2, 16_000))
    assert [chunk.verdict.passes for chunk in chunks] == [False] * 2 + [True] * 8
    assert {chunk.stand_in is None for chunk in chunks[2:]} == {True}
    assert values(chunks[-1].samples) == {2}


def test_while_nothing_is_played_nothing_stands_in() -> None:
    gate = Gate(GateSettings(), lambda _: False)
    chunks = treated(Treatment(gate, Split()), noise(1, 16_000))
    assert {(chunk.verdict.passes, chunk.stand_in is None) for chunk in chunks} == {(True, True)}


def test_in_half_duplex_nothing_of_what_is_heard_meanwhile_goes_out() -> None:
    class Noisy:
        def get(self, from_s: float, count: int) -> Samples:
            return noise(count / 16_000, 16_000)

    gate = Gate(GateSettings(), loud)
    chunks = treated(Treatment(gate, HalfDuplex(), played=Noisy()), noise(1, 16_000, rms=8000))
    assert not any(chunk.verdict.speech for chunk in chunks)
    assert not any(chunk.samples.any() for chunk in chunks)


def test_a_speakerphone_that_is_deaf_while_it_plays_is_not_silent() -> None:
    class PlayedFor3S:
        def get(self, from_s: float, count: int) -> Samples:
            at_s = START_S + 3 - from_s
            return np.full(count, 1000 if 0 < at_s <= 3 else 0, np.int16)

    treatment = Treatment(Gate(GateSettings(), lambda _: False), played=PlayedFor3S())
    chain = CaptureChain(CaptureLayout(16_000, 1), treatment)
    zeros = upmix(np.zeros(CHUNK_SAMPLES, np.int16), 1)
    silent_s = []
    for number in range(350):
        list(chain.push(zeros, START_S + 1.3 + number * 0.02))
        silent_s.append(chain.constant_s)
    assert silent_s[140] == 0
    assert silent_s[-1] == pytest.approx(7 - (3 - 1.3 + 1.2), abs=0.1)


@pytest.mark.parametrize("agent_sounds", [True, False])
def test_the_gate_does_not_learn_the_room_while_the_agent_sounds(agent_sounds: bool) -> None:
    """What a canceller leaves is no room: the true one is judged as ever, once it is heard."""

    class Muffled:
        def begin(self) -> None: ...

        def push(self, mic: Samples, far: Samples) -> Heard:
            return Heard(mic, np.zeros_like(mic), agent_sounds)

    gate = kiosk_gate(GateSettings())
    room = noise(12, 16_000, rms=100)
    treated(Treatment(gate), room)
    assert gate._leveller is not None
    learnt_db = gate._leveller.gain_db
    treated(Treatment(gate, Muffled()), noise(12, 16_000))
    kept = gate._leveller.gain_db == pytest.approx(learnt_db)
    assert kept == agent_sounds
