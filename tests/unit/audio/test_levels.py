import numpy as np
import pytest

from kiosk.audio.levels import SILENCE_DBFS, rms_dbfs, voiced_span
from kiosk.audio.pcm import silence
from tests.unit.sounds import tone


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
