import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.audio.acoustics import (
    EchoPath,
    Floats,
    impulse_response,
    kiosk_in,
    loudspeaker_distortion,
)

RATE_HZ = 16_000


def decay_s(response: Floats) -> float:
    """The time in which sound falls by 60 dB, from its fall from -5 to -35 (T30, ISO 3382)."""
    left = np.cumsum(np.square(response.astype(np.float64))[::-1])[::-1]
    level = 10 * np.log10(left / left[0] + 1e-12)
    start, end = int(np.argmax(level < -5)), int(np.argmax(level < -35))
    slope = np.polyfit(np.arange(start, end) / RATE_HZ, level[start:end], 1)[0]
    return float(-60 / slope)


@pytest.mark.parametrize("rt60_s", [0.3, 0.6, 1.0])
def test_sound_decays_about_as_fast_as_asked(rt60_s: float) -> None:
    # Sound between bare parallel walls dies more slowly than Eyring's formula has it.
    for seed in range(3):
        measured_s = decay_s(impulse_response(kiosk_in(rt60_s, seed), RATE_HZ))
        assert 0.95 * rt60_s < measured_s < 1.5 * rt60_s


@pytest.mark.parametrize("rt60_s", [0.3, 1.0])
@pytest.mark.parametrize("rate_hz", [16_000, 48_000])
def test_a_response_keeps_the_energy_and_begins_with_the_direct_sound(
    rt60_s: float, rate_hz: int
) -> None:
    response = impulse_response(kiosk_in(rt60_s, 1), rate_hz)
    assert len(response) == round(rt60_s * rate_hz)
    assert float(np.sum(np.square(response))) == pytest.approx(1, rel=1e-4)
    assert int(np.argmax(np.abs(response))) == 0


def test_the_same_room_sounds_the_same_and_another_differently() -> None:
    first, again, other = (impulse_response(kiosk_in(0.3, seed), RATE_HZ) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other, atol=0.01)


def test_a_room_hardly_carries_what_is_constant() -> None:
    response = impulse_response(kiosk_in(0.6, 3), RATE_HZ)
    assert abs(float(response.sum())) < 0.2 * float(np.abs(response).sum())


@given(
    st.integers(1, 400),
    st.lists(st.integers(1, 700), min_size=1, max_size=12),
    st.integers(0, 2**32 - 1),
)
def test_a_path_in_pieces_is_one_convolution(length: int, sizes: list[int], seed: int) -> None:
    generator = np.random.default_rng(seed)
    response = generator.normal(0, 0.1, length).astype(np.float32)
    path = EchoPath(response)
    sound = generator.normal(0, 3000, sum(sizes)).astype(np.float32)
    stream = np.concatenate((np.zeros(path.memory, np.float32), sound))
    heard, at = [], 0
    for size in sizes:
        heard.append(path.through(stream[at : at + path.memory + size]))
        at += size
    assert [len(piece) for piece in heard] == sizes
    whole = np.convolve(sound.astype(np.float64), response.astype(np.float64))[: len(sound)]
    np.testing.assert_allclose(np.concatenate(heard), whole, atol=0.05)


def test_a_path_of_one_sample_changes_the_loudness_only() -> None:
    path = EchoPath(np.array([0.5], np.float32))
    assert path.memory == 0
    sound = np.arange(10, dtype=np.float32)
    np.testing.assert_allclose(path.through(sound), sound / 2, atol=1e-5)


def test_a_loudspeaker_that_is_not_driven_is_linear() -> None:
    sound = np.linspace(-32768, 32767, 100).astype(np.float32)
    np.testing.assert_array_equal(loudspeaker_distortion(sound, drive=0), sound)


def test_a_driven_loudspeaker_flattens_peaks_and_leaves_soft_sound_alone() -> None:
    peak, soft = loudspeaker_distortion(np.array([32768.0, 300.0], np.float32), drive=1)
    assert 20 * np.log10(peak / 32768) == pytest.approx(-2.4, abs=0.1)
    assert soft == pytest.approx(300, rel=0.001)
