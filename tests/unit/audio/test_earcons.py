from itertools import combinations

import numpy as np
import pytest

from kiosk.audio.earcons import RATE_HZ, Earcon, earcon_samples
from kiosk.audio.levels import rms_dbfs
from tests.unit.sounds import Floats


@pytest.mark.parametrize("earcon", Earcon)
class TestEachEarcon:
    def test_is_short(self, earcon: Earcon) -> None:
        assert 0.05 < len(earcon_samples(earcon)) / RATE_HZ <= 0.45

    def test_is_soft_and_yet_heard(self, earcon: Earcon) -> None:
        samples = earcon_samples(earcon)
        assert 20 * np.log10(np.abs(samples.astype(int)).max() / 32768) < -12
        assert -40 < rms_dbfs(samples) < -18

    def test_does_not_click_at_its_ends(self, earcon: Earcon) -> None:
        samples = earcon_samples(earcon).astype(int)
        ends = np.concatenate((samples[:2], samples[-16:]))
        assert np.abs(ends).max() < 0.02 * np.abs(samples).max()

    def test_has_no_step_inside(self, earcon: Earcon) -> None:
        samples = earcon_samples(earcon).astype(float)
        # The steepest a sound below 2.5 kHz can be at this peak.
        steepest = 2 * np.pi * 2500 / RATE_HZ * np.abs(samples).max()
        assert np.abs(np.diff(samples)).max() < steepest

    def test_cannot_be_changed_by_accident(self, earcon: Earcon) -> None:
        with pytest.raises(ValueError, match="read-only"):
            earcon_samples(earcon)[0] = 1

    def test_is_made_once(self, earcon: Earcon) -> None:
        assert earcon_samples(earcon) is earcon_samples(earcon)


@pytest.mark.parametrize(("one", "other"), tuple(combinations(Earcon, 2)))
def test_no_two_earcons_sound_alike(one: Earcon, other: Earcon) -> None:
    assert _likeness(_spectrogram(one), _spectrogram(other)) < 0.85


def _spectrogram(earcon: Earcon) -> Floats:
    samples = np.zeros(RATE_HZ // 2)
    samples[: len(earcon_samples(earcon))] = earcon_samples(earcon)
    return np.abs(np.fft.rfft(samples.reshape(-1, 400) * np.hanning(400), axis=1))


def _likeness(one: Floats, other: Floats) -> float:
    return float((one * other).sum() / np.sqrt((one**2).sum() * (other**2).sum()))
