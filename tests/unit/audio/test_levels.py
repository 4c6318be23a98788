import numpy as np
import pytest

from kiosk.audio.levels import (
    SILENCE_DBFS,
    Levels,
    Meter,
    RoomFloor,
    SpeechLevel,
    clipped_samples,
    rms_dbfs,
    voiced_span,
)
from kiosk.audio.pcm import Samples, silence
from tests.unit.sounds import noise, tone

CHUNK = 320


def hiss(level_dbfs: float, seed: int = 1) -> Samples:
    """20 ms."""
    return noise(0.02, 16_000, rms=10 ** (level_dbfs / 20) * 32768, seed=seed)


def test_a_full_scale_square_wave_is_0_dbfs_and_a_sine_3_below() -> None:
    square = np.where(np.arange(1000) % 2, 32767, -32768).astype(np.int16)
    assert rms_dbfs(square) == pytest.approx(0, abs=0.01)
    assert rms_dbfs(tone(1000, 1, 16_000, 32767)) == pytest.approx(-3.01, abs=0.02)


def test_nothing_and_silence_have_the_lowest_level() -> None:
    assert rms_dbfs(silence(0)) == rms_dbfs(silence(320)) == SILENCE_DBFS
    assert rms_dbfs(np.ones(320, dtype=np.int16)) > SILENCE_DBFS


def test_the_voiced_span_is_where_the_sound_is() -> None:
    sound = np.concatenate((silence(8000), tone(440, 0.5, 16_000), silence(4000)))
    first, end = voiced_span(sound, 16_000)
    assert first == pytest.approx(8000, abs=160)
    assert end == pytest.approx(16_000, abs=160)
    assert voiced_span(silence(1000), 16_000) == (0, 0)
    assert voiced_span(silence(0), 16_000) == (0, 0)


def test_the_voiced_span_ends_with_the_recording() -> None:
    assert voiced_span(tone(440, 0.105, 16_000), 16_000) == (0, 1680)


# --- clipping -----------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [32767, -32767, -32768])
def test_a_run_at_full_scale_is_clipped_and_a_single_sample_is_not(limit: int) -> None:
    sound = silence(100)
    sound[[10, 20, 21]] = limit
    assert clipped_samples(sound) == 0
    sound[50:54] = limit
    sound[97:] = limit
    assert clipped_samples(sound) == 7


def test_a_loud_tone_is_not_clipped_until_it_is_cut_off() -> None:
    assert clipped_samples(tone(200, 0.1, 48_000, 32700)) == 0
    cut = np.clip(tone(200, 0.1, 48_000, 20_000).astype(int) * 2, -32768, 32767).astype(np.int16)
    assert clipped_samples(cut) > 0.3 * len(cut)


def test_nothing_is_not_clipped() -> None:
    assert clipped_samples(silence(0)) == 0


# --- the room and the voice ---------------------------------------------------------------------


def test_the_floor_is_the_quietest_300_ms() -> None:
    floor = RoomFloor(4000)
    for number in range(150):
        floor.push(hiss(-60 if 50 <= number < 70 else -20, number))
    assert floor.dbfs == pytest.approx(-60, abs=0.5)


def test_a_noise_is_the_floor_when_it_has_filled_the_window() -> None:
    floor = RoomFloor(1000)
    for number in range(100):
        floor.push(hiss(-70, number))
    levels = []
    for number in range(100):
        floor.push(hiss(-30, number))
        levels.append(floor.dbfs)
    assert levels[48] == pytest.approx(-70, abs=1)
    assert levels[70] == pytest.approx(-30, abs=1)


def test_a_floor_is_settled_after_a_whole_window() -> None:
    floor = RoomFloor(1000)
    assert floor.dbfs is None
    heard = []
    for number in range(80):
        floor.push(hiss(-40, number))
        heard.append(floor.settled)
    assert heard.index(True) == 50 + 14 - 1  # the first 300 ms are one level


def test_the_floor_remembers_no_more_than_its_window() -> None:
    floor = RoomFloor(1000)
    for number in range(3000):
        floor.push(hiss(-60 + number / 100))
    assert len(floor._quietest) <= 50


def test_the_speech_level_leaves_pauses_and_a_cough_out() -> None:
    level = SpeechLevel()
    for number in range(9):
        level.push(hiss(-30, number))
        assert level.dbfs is None
    for number in range(100):
        level.push(hiss(-80 if number % 4 == 0 else -30, number))
    assert level.dbfs == pytest.approx(-30, abs=0.3)
    level.push(hiss(-12))
    assert level.dbfs == pytest.approx(-30, abs=3)


def test_a_pause_is_told_from_speech() -> None:
    level = SpeechLevel()
    assert not level.in_pause
    for number in range(50):
        level.push(hiss(-30, number))
    assert not level.in_pause
    level.push(hiss(-60))
    assert level.in_pause


# --- the meter ----------------------------------------------------------------------------------


def test_a_meter_tells_all_four_once_a_second() -> None:
    meter = Meter()
    clipped = silence(960)
    clipped[100:110] = 32767
    for number in range(100):
        speech = number >= 50
        meter.push_card(clipped if number == 60 else silence(960))
        meter.push(hiss(-30 if speech else -60, number), speech=speech)
        if number == 48:
            assert meter.levels == Levels()
    levels = meter.levels
    assert levels.peak_dbfs == pytest.approx(0, abs=0.01)
    assert levels.clipped_samples == 10
    assert levels.speech_dbfs == pytest.approx(-30, abs=0.5)
    assert levels.room_dbfs == pytest.approx(-60, abs=0.5)


def test_a_peak_is_forgotten_after_ten_seconds_and_the_clipping_never() -> None:
    meter = Meter()
    meter.push_card(np.full(960, -32768, dtype=np.int16))
    peaks = []
    for _ in range(12):
        for _ in range(50):
            meter.push_card(tone(1000, 0.02, 48_000, 3277))
            meter.push(silence(CHUNK), speech=False)
        peaks.append(meter.levels.peak_dbfs)
    assert peaks[0] == peaks[9] == 0
    assert peaks[10] == pytest.approx(-20, abs=0.1)
    assert meter.levels.clipped_samples == 960
    assert meter.levels.speech_dbfs is None
