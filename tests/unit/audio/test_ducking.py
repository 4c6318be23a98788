import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.audio.ducking import Ducking
from kiosk.audio.pcm import Samples
from tests.unit.sounds import noise

RATE_HZ = 48_000
LOUD = 20_000
SOFT = LOUD * 10 ** (-12 / 20)


def steady(ms: float, rate_hz: int = RATE_HZ) -> Samples:
    return np.full(round(ms * rate_hz / 1000), LOUD, dtype=np.int16)


def test_what_is_not_ducked_passes_untouched() -> None:
    sound = noise(0.1, RATE_HZ)
    np.testing.assert_array_equal(Ducking().push(sound, RATE_HZ), sound)


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 22_050, 48_000])
def test_the_loudspeaker_is_twelve_decibels_softer_within_thirty_milliseconds(rate_hz: int) -> None:
    ducking = Ducking()
    ducking.on = True
    fading, after = ducking.push(steady(31, rate_hz), rate_hz), ducking.push(steady(20), rate_hz)
    assert fading[0] > 0.99 * LOUD
    assert fading[-1] == after[0] == after[-1] == pytest.approx(SOFT, abs=1)


def test_it_comes_back_as_smoothly_and_then_passes_untouched_again() -> None:
    ducking = Ducking()
    ducking.on = True
    ducking.push(steady(40), RATE_HZ)
    ducking.on = False
    back = ducking.push(steady(31), RATE_HZ)
    assert back[0] == pytest.approx(SOFT, rel=0.01)
    assert (np.diff(back.astype(int)) >= 0).all()
    assert back[-1] == LOUD
    sound = noise(0.02, RATE_HZ)
    np.testing.assert_array_equal(ducking.push(sound, RATE_HZ), sound)


@given(st.lists(st.tuples(st.integers(0, 2000), st.booleans()), min_size=1, max_size=12))
def test_a_fade_never_jumps_and_never_leaves_its_bounds(pieces: list[tuple[int, bool]]) -> None:
    ducking = Ducking()
    heard = [np.array([LOUD])]
    for count, on in pieces:
        ducking.on = on
        heard.append(ducking.push(np.full(count, LOUD, dtype=np.int16), RATE_HZ).astype(int))
    stream = np.concatenate(heard)
    most = (LOUD - SOFT) / (0.030 * RATE_HZ)
    assert np.abs(np.diff(stream)).max(initial=0) <= 2 * most + 1
    assert stream.min() >= SOFT - 1
    assert stream.max() <= LOUD


@given(st.lists(st.integers(0, 900), min_size=1, max_size=20), st.booleans())
def test_a_fade_in_pieces_is_the_fade_of_the_whole(sizes: list[int], up: bool) -> None:
    whole, pieces = Ducking(), Ducking()
    for ducking in (whole, pieces):
        ducking.on = True
        if up:
            ducking.push(steady(50), RATE_HZ)
            ducking.on = False
    sound = noise(sum(sizes) / RATE_HZ, RATE_HZ, rms=5000)
    cuts = np.cumsum(sizes)[:-1]
    in_pieces = [pieces.push(piece, RATE_HZ) for piece in np.split(sound, cuts)]
    at_once = whole.push(sound, RATE_HZ)
    # A step at a seam may be rounded off: by less than the change of one sample.
    np.testing.assert_allclose(np.concatenate(in_pieces).astype(int), at_once.astype(int), atol=16)


@pytest.mark.parametrize("on", [True, False])
def test_another_sound_begins_as_loud_as_it_should_be(on: bool) -> None:
    ducking = Ducking()
    ducking.on = not on
    ducking.push(steady(50), RATE_HZ)
    ducking.on = on
    ducking.settle()
    heard = ducking.push(steady(10), RATE_HZ)
    assert set(heard.tolist()) == {round(SOFT) if on else LOUD}


def test_a_visitors_own_level_holds_beside_the_ducking() -> None:
    ducking = Ducking()
    ducking.level_db = -6.0
    ducking.settle()
    assert ducking.push(steady(5), RATE_HZ)[-1] == pytest.approx(LOUD * 10 ** (-6 / 20), abs=1)
    ducking.on = True
    ducking.push(steady(40), RATE_HZ)
    assert ducking.push(steady(5), RATE_HZ)[-1] == pytest.approx(SOFT * 10 ** (-6 / 20), abs=1)
    ducking.on, ducking.level_db = False, 0.0
    ducking.push(steady(60), RATE_HZ)
    sound = noise(0.02, RATE_HZ)
    np.testing.assert_array_equal(ducking.push(sound, RATE_HZ), sound)
