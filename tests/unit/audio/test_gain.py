import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiosk.audio.gain import Gain, GainSettings
from kiosk.audio.levels import rms_dbfs
from kiosk.audio.pcm import Samples, silence
from tests.unit.sounds import noise, rms, tone, tone_and_rest

CHUNK = 320
FULL = 32767


def at(level_dbfs: float, seed: int = 1) -> Samples:
    """20 ms of hiss."""
    return noise(0.02, 16_000, rms=10 ** (level_dbfs / 20) * 32768, seed=seed)


def spoken(gain: Gain, level_dbfs: float, seconds: float) -> list[Samples]:
    return [gain.push(at(level_dbfs, seed), speech=True) for seed in range(round(seconds * 50))]


@pytest.mark.parametrize("level_dbfs", [-46, -40, -31, -23, -16])
def test_every_voice_leaves_at_about_the_same_level(level_dbfs: float) -> None:
    left = spoken(Gain(GainSettings()), level_dbfs, 6)
    assert rms_dbfs(np.concatenate(left[-50:])) == pytest.approx(-23, abs=1.5)


def test_pauses_within_speech_do_not_raise_it() -> None:
    gain = Gain(GainSettings())
    for number in range(500):
        pause = number % 25 >= 15
        gain.push(at(-70 if pause else -30, number), speech=True)
    assert gain.gain_db == pytest.approx(7, abs=1.5)


@pytest.mark.parametrize("level_dbfs", [-70, -20])
def test_it_does_not_move_while_nobody_speaks(level_dbfs: float) -> None:
    gain = Gain(GainSettings())
    spoken(gain, -40, 3)
    before_db = gain.gain_db
    chunk = at(level_dbfs)
    for _ in range(100):
        left = gain.push(chunk, speech=False)
    assert gain.gain_db == before_db
    assert rms(left) <= rms(chunk) * 10 ** (before_db / 20) * 1.001


@pytest.mark.parametrize(("level_dbfs", "bound_db"), [(-75, 12), (-8, -6)])
def test_it_keeps_within_its_limits(level_dbfs: float, bound_db: float) -> None:
    gain = Gain(GainSettings(least_db=-6, most_db=12))
    spoken(gain, level_dbfs, 8)
    assert gain.gain_db == bound_db


def test_a_turn_finds_its_level_within_a_second_whatever_the_one_before() -> None:
    gain = Gain(GainSettings())
    for level_dbfs in (-45, -18, -40):
        spoken(gain, level_dbfs, 1)
        assert gain.gain_db == pytest.approx(-23 - level_dbfs, abs=1.5)
        gain.push(at(-70), speech=False)


def test_within_a_turn_it_rises_slowly() -> None:
    gain = Gain(GainSettings())
    spoken(gain, -25, 2)
    gains_db = []
    for seed in range(200):
        gain.push(at(-39, seed), speech=True)
        gains_db.append(gain.gain_db)
    assert gains_db[-1] > gains_db[0] + 6
    assert np.diff(gains_db).max() <= 6 * 0.02 + 1e-9


def test_in_a_pause_between_words_it_does_not_move() -> None:
    gain = Gain(GainSettings())
    spoken(gain, -45, 0.3)
    before_db = gain.gain_db
    assert 0 < before_db < 20
    spoken(gain, -70, 0.5)
    assert gain.gain_db == before_db
    spoken(gain, -45, 0.1)
    assert gain.gain_db > before_db


def test_a_level_that_wanders_by_less_than_a_decibel_moves_nothing() -> None:
    gain = Gain(GainSettings())
    spoken(gain, -40, 6)
    settled_db = gain.gain_db
    # It rose until a decibel was left, so there is room on the louder side only.
    spoken(gain, -39.4, 4)
    assert gain.gain_db == settled_db


def test_auto_starts_at_the_calibrated_gain() -> None:
    gain = Gain(GainSettings(fixed_db=12))
    chunk = at(-40)
    left = gain.push(chunk, speech=False)
    assert rms_dbfs(left) == pytest.approx(rms_dbfs(chunk) + 12, abs=0.1)


@pytest.mark.parametrize("level_dbfs", [-46, -26])
def test_a_fixed_gain_stays(level_dbfs: float) -> None:
    gain = Gain(GainSettings(mode="fixed", fixed_db=6))
    left = spoken(gain, level_dbfs, 1)
    assert gain.gain_db == 6
    assert rms_dbfs(np.concatenate(left)) == pytest.approx(level_dbfs + 6, abs=0.2)


def test_no_gain_changes_no_sample() -> None:
    gain = Gain(GainSettings(mode="fixed"))
    sound = tone(440, 0.02, 16_000, 32_767)
    assert np.array_equal(gain.push(sound, speech=True), sound)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1, 300, 8000, 30_000, 32_767]), st.booleans()), max_size=60
    ),
    st.sampled_from([-30.0, 0.0, 20.0, 40.0]),
)
def test_nothing_wraps_or_reaches_full_scale(
    loudness: list[tuple[int, bool]], fixed_db: float
) -> None:
    gain = Gain(GainSettings(mode="fixed", fixed_db=fixed_db))
    for peak, speech in loudness:
        sound = tone(300, 0.02, 16_000, peak)
        left = gain.push(sound, speech=speech)
        assert left.dtype == np.int16
        assert len(left) == CHUNK
        assert np.abs(left.astype(int)).max() < max(FULL, peak + 1)
        # The sign of every sample is kept: nothing wrapped.
        assert not np.any(left.astype(int) * sound < 0)


def test_a_peak_is_turned_down_not_cut_off() -> None:
    gain = Gain(GainSettings(mode="fixed", fixed_db=20))
    left = [gain.push(tone(300, 0.02, 16_000, 20_000), speech=True) for _ in range(5)]
    fundamental, rest = tone_and_rest(left[-1], 300, 16_000)
    assert rest < fundamental / 1000
    assert np.abs(left[-1].astype(int)).max() == pytest.approx(0.89 * 32768, rel=0.01)


def test_a_door_that_slams_does_not_quieten_the_next_word() -> None:
    gain = Gain(GainSettings())
    spoken(gain, -40, 6)
    word = at(-40)
    before = gain.push(word, speech=True)
    gain.push(at(-3), speech=False)
    for _ in range(2):
        after = gain.push(word, speech=True)
    assert rms_dbfs(after) == pytest.approx(rms_dbfs(before), abs=0.5)


def test_the_gain_changes_without_a_step_between_chunks() -> None:
    # Down by 20 dB for a loud chunk, and back: a constant shows every step.
    gain = Gain(GainSettings(mode="fixed", fixed_db=20))
    quiet, loud = (np.full(CHUNK, value, dtype=np.int16) for value in (1000, 20_000))
    left = np.concatenate([gain.push(chunk, speech=True) for chunk in (quiet, loud, quiet, quiet)])
    back = left[2 * CHUNK :].astype(int)
    assert back[0] == pytest.approx(1000 * 0.89 * 32768 / 20_000, rel=0.01)
    assert np.abs(np.diff(back)).max() < 100
    assert back[-1] == pytest.approx(10_000, rel=0.01)


def test_silence_stays_silence() -> None:
    gain = Gain(GainSettings(mode="fixed", fixed_db=30))
    assert not gain.push(silence(CHUNK), speech=False).any()
    assert len(gain.push(silence(0), speech=False)) == 0
