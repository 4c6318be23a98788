from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.audio.acoustics import EchoPath, impulse_response, kiosk_in
from kiosk.audio.echo import (
    ONSET_GUARD_MS,
    REFERENCE_LEAD_S,
    Canceller,
    EchoCanceller,
    HalfDuplex,
    Heard,
    ReferenceReader,
    Silent,
    Transparent,
)
from kiosk.audio.pcm import CHUNK_MS, INTERNAL_RATE_HZ, Samples, ms_to_samples, silence, to_int16
from tests.unit.sounds import noise, rms, syllables

RATE_HZ = INTERNAL_RATE_HZ
CHUNK = ms_to_samples(CHUNK_MS, RATE_HZ)
CHUNK_S = CHUNK_MS / 1000
SAMPLE_S = 1 / RATE_HZ
SECOND = 50  # chunks


def decibels(ratio: float) -> float:
    return float(20 * np.log10(ratio)) if ratio else float("-inf")


def echo_of(far: Samples, delay_ms: int = 60, seed: int = 1, gain: float = 0.5) -> Samples:
    """What a microphone hears of a loudspeaker in a room, and of a quiet room's noise."""
    response = impulse_response(kiosk_in(0.3, seed), RATE_HZ)
    lead = np.zeros(len(response) - 1 + delay_ms * RATE_HZ // 1000, np.float32)
    late = EchoPath(response).through(np.concatenate((lead, far.astype(np.float32))))[: len(far)]
    return to_int16(gain * late + noise(len(far) / RATE_HZ, RATE_HZ, rms=6))


def heard(canceller: Canceller, mic: Samples, far: Samples) -> list[Heard]:
    return list(_heard(canceller, mic, far))


def _heard(canceller: Canceller, mic: Samples, far: Samples) -> Iterator[Heard]:
    for at in range(0, len(mic) - CHUNK + 1, CHUNK):
        yield canceller.push(mic[at : at + CHUNK], far[at : at + CHUNK])


def judged(chunks: list[Heard]) -> Samples:
    return np.concatenate([chunk.judged for chunk in chunks])


def near(chunks: list[Heard]) -> Samples:
    return np.concatenate([chunk.near for chunk in chunks])


# --- without an echo canceller ------------------------------------------------------------------


def test_without_cancellation_everything_passes_whatever_is_played() -> None:
    mic, far = noise(0.5, RATE_HZ), noise(0.5, RATE_HZ, seed=2)
    chunks = heard(Transparent(), mic, far)
    np.testing.assert_array_equal(near(chunks), mic)
    np.testing.assert_array_equal(judged(chunks), mic)
    assert not any(chunk.agent_sounds for chunk in chunks)


def test_half_duplex_is_deaf_while_the_loudspeaker_sounds_and_for_half_a_second_after() -> None:
    mic = noise(3, RATE_HZ)
    far = silence(len(mic))
    far[RATE_HZ : 2 * RATE_HZ] = noise(1, RATE_HZ, seed=2)
    chunks = heard(HalfDuplex(), mic, far)
    deaf = [chunk.agent_sounds for chunk in chunks]
    assert deaf == [not chunk.near.any() for chunk in chunks]
    assert deaf == [not chunk.judged.any() for chunk in chunks]
    first, last = deaf.index(True), len(deaf) - deaf[::-1].index(True)
    assert all(deaf[first:last])
    assert first == SECOND
    assert 480 <= (last - 2 * SECOND) * CHUNK_MS <= 520
    open_ = np.repeat([not one for one in deaf], CHUNK)
    np.testing.assert_array_equal(near(chunks)[open_], mic[open_])


def test_half_duplex_is_deaf_through_the_gaps_between_words() -> None:
    far = silence(2 * RATE_HZ)
    for at in range(0, len(far), 24 * CHUNK):
        far[at : at + CHUNK] = noise(CHUNK_S, RATE_HZ)
    assert all(chunk.agent_sounds for chunk in heard(HalfDuplex(), noise(2, RATE_HZ), far))


def test_what_nobody_could_hear_makes_nobody_deaf() -> None:
    far = noise(0.5, RATE_HZ, rms=10)  # -70 dBFS
    assert not any(chunk.agent_sounds for chunk in heard(HalfDuplex(), far, far))


def test_a_silent_loudspeaker_plays_silence() -> None:
    np.testing.assert_array_equal(Silent().get(5.0, 7), silence(7))


# --- with it ------------------------------------------------------------------------------------


@pytest.mark.parametrize("delay_ms", [20, 120, 250])
def test_after_a_second_the_gate_hears_next_to_nothing_of_the_agent(delay_ms: int) -> None:
    far = syllables(3, RATE_HZ)
    mic = echo_of(far, delay_ms)
    left = judged(heard(EchoCanceller(), mic, far))
    assert decibels(rms(left[RATE_HZ:]) / rms(mic[RATE_HZ:])) < -30


def test_the_agent_hears_little_of_itself_and_the_gate_less() -> None:
    far = syllables(4, RATE_HZ)
    mic = echo_of(far)
    chunks = heard(EchoCanceller(), mic, far)
    late = slice(2 * RATE_HZ, None)
    sent, decided = rms(near(chunks)[late]), rms(judged(chunks)[late])
    assert decibels(rms(mic[late]) / sent) > 15
    assert decided < sent


def test_a_visitor_who_speaks_over_the_agent_is_noticed_and_sent_whole() -> None:
    far, spoken = syllables(6, RATE_HZ), syllables(6, RATE_HZ, seed=50)
    spoken[: 3 * RATE_HZ] = 0
    mic = to_int16(echo_of(far).astype(float) + spoken)
    chunks = heard(EchoCanceller(), mic, far)
    while_both = slice(int(3.5 * RATE_HZ), None)
    alone = slice(RATE_HZ, 3 * RATE_HZ)
    decided = judged(chunks)
    assert decibels(rms(decided[while_both]) / rms(decided[alone])) > 20
    sent, words = near(chunks)[while_both].astype(float), spoken[while_both].astype(float)
    assert abs(decibels(float(sent @ words) / float(words @ words))) < 1


def test_while_nothing_is_played_both_hear_the_room_untouched() -> None:
    mic = syllables(1, RATE_HZ)
    chunks = heard(EchoCanceller(), mic, silence(len(mic)))
    np.testing.assert_array_equal(near(chunks), mic)
    np.testing.assert_array_equal(judged(chunks), mic)
    assert not any(chunk.agent_sounds for chunk in chunks)


def test_the_moment_in_which_the_agent_begins_is_kept_from_the_gate() -> None:
    far = silence(2 * RATE_HZ)
    far[RATE_HZ:] = syllables(1, RATE_HZ)
    mic = to_int16(echo_of(far).astype(float) + syllables(2, RATE_HZ, seed=50))
    chunks = heard(EchoCanceller(), mic, far)
    guarded = chunks[SECOND : SECOND + ONSET_GUARD_MS // CHUNK_MS]
    assert all(chunk.agent_sounds for chunk in guarded)
    microphone = rms(mic[RATE_HZ:][: len(guarded) * CHUNK])
    assert decibels(microphone / rms(judged(guarded))) > 15


def test_the_room_is_the_agents_for_half_a_second_after_it_fell_silent() -> None:
    far = np.concatenate((syllables(1, RATE_HZ), silence(RATE_HZ)))
    far[RATE_HZ - 5 * CHUNK : RATE_HZ] = noise(5 * CHUNK_S, RATE_HZ)
    sounds = [chunk.agent_sounds for chunk in heard(EchoCanceller(), echo_of(far), far)]
    assert sounds.index(False, SECOND) == pytest.approx(SECOND + 25, abs=1)


def test_a_chunk_stays_a_chunk() -> None:
    far = syllables(0.5, RATE_HZ)
    for chunk in heard(EchoCanceller(), echo_of(far), far):
        for samples in (chunk.near, chunk.judged):
            assert samples.shape == (CHUNK,)
            assert samples.dtype == np.int16


# --- the reference in step ----------------------------------------------------------------------


class Asked:
    """A loudspeaker that remembers from when on it was read."""

    def __init__(self) -> None:
        self.from_s: list[float] = []

    def get(self, from_s: float, count: int) -> Samples:
        self.from_s.append(from_s)
        return silence(count)


START_S = 5000.0


def positions(late_s: list[float]) -> tuple[list[float], int]:
    """Chunk n was captured at n times 20 ms; its estimate is off by so much. How far off each read
    was, in samples, and the jumps."""
    asked = Asked()
    reader = ReferenceReader(asked)
    for index, off_s in enumerate(late_s):
        assert len(reader.read(START_S + index * CHUNK_S + off_s, CHUNK)) == CHUNK
    lead_s = START_S + REFERENCE_LEAD_S
    return [
        (at_s - lead_s - index * CHUNK_S) * RATE_HZ for index, at_s in enumerate(asked.from_s)
    ], reader.jumps


def test_the_reference_is_read_a_lead_ahead_and_on_without_a_seam() -> None:
    off, jumps = positions([0.0] * 100)
    assert off == pytest.approx([0.0] * 100, abs=0.01)
    assert jumps == 0


@given(st.lists(st.floats(0, 0.5), min_size=1, max_size=48))
def test_single_late_estimates_do_not_move_it(late_s: list[float]) -> None:
    """However late: within a second one was in time."""
    off, jumps = positions([0.0, *late_s, 0.0, *late_s, 0.0])
    assert off == pytest.approx([0.0] * len(off), abs=0.01)
    assert jumps == 0


def test_a_lasting_shift_moves_it_once_and_is_counted() -> None:
    off, jumps = positions([0.0] * 100 + [0.2] * 200)
    assert jumps == 1
    moved = [index for index, at in enumerate(off) if abs(at) > 0.5]
    assert moved[0] - 100 == pytest.approx(SECOND, abs=1)
    assert off[moved[0] :] == pytest.approx([0.2 * RATE_HZ] * len(moved), abs=1)


def test_an_estimate_earlier_than_all_before_is_followed_at_once() -> None:
    off, jumps = positions([0.0] * 100 + [-0.05] * 100)
    assert jumps == 1
    assert off[100:] == pytest.approx([-0.05 * RATE_HZ] * 100, abs=1)


def test_a_first_estimate_that_was_late_is_put_right_with_the_first_that_is_not() -> None:
    off, jumps = positions([0.005] * 10 + [0.0] * 150)
    assert jumps == 0
    assert off[:10] == pytest.approx([80.0] * 10, abs=0.01)
    assert off[10:] == pytest.approx([0.0] * 150, abs=0.01)


def test_once_it_is_settled_an_early_estimate_moves_it_by_a_sample_in_six_chunks_only() -> None:
    off, jumps = positions([0.0] * 60 + [-0.002] * 240)
    assert jumps == 0
    assert fastest(off) < 1.01
    assert off[-1] == pytest.approx(-0.002 * RATE_HZ, abs=1.01)


@given(st.lists(st.floats(0, 0.0099), min_size=2 * SECOND, max_size=4 * SECOND))
def test_estimates_that_are_late_for_seconds_move_it_no_faster_than_a_clock(
    late_s: list[float],
) -> None:
    """A busy machine is no room that changes."""
    off, jumps = positions([0.0] * SECOND + late_s + [0.0] * SECOND)
    assert jumps == 0
    assert fastest(off) < 1.01


def fastest(off: list[float]) -> float:
    """How many samples it moved at most in any six chunks."""
    return float(np.abs(np.array(off[6:]) - np.array(off[:-6])).max())


@pytest.mark.parametrize("ppm", [50, -50])
def test_clocks_that_drift_are_followed_sample_by_sample(ppm: int) -> None:
    chunks = 60 * SECOND
    drift_s = [index * CHUNK_S * ppm * 1e-6 for index in range(chunks)]
    off, jumps = positions(drift_s)
    assert jumps == 0
    assert np.abs(np.diff(off)).max() < 1.01
    # Forward it goes after a whole second of proof: by then 50 us more.
    behind = np.array(off) - np.array(drift_s) * RATE_HZ
    assert np.abs(behind).max() < 3


def test_drift_is_followed_through_jitter() -> None:
    generator = np.random.default_rng(1)
    chunks = 60 * SECOND
    drift_s = np.arange(chunks) * CHUNK_S * 50e-6
    late_s = drift_s + np.where(generator.uniform(size=chunks) < 0.2, 0, 0.008)
    off, jumps = positions([float(each) for each in late_s])
    assert jumps == 0
    settled = np.array(off)[3 * SECOND :] - drift_s[3 * SECOND :] * RATE_HZ
    assert np.abs(settled).max() < 3


def test_the_reader_gives_what_was_played() -> None:
    class Ramp:
        def get(self, from_s: float, count: int) -> Samples:
            first = round((from_s - START_S) * RATE_HZ)
            return np.arange(first, first + count).astype(np.int16)

    reader = ReferenceReader(Ramp())
    read = [reader.read(START_S + index * CHUNK_S, CHUNK) for index in range(10)]
    lead = round(REFERENCE_LEAD_S * RATE_HZ)
    np.testing.assert_array_equal(np.concatenate(read), np.arange(lead, lead + 10 * CHUNK))
