import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.audio.resample import Resampler, resample
from tests.unit.sounds import noise, rms, tone, tone_and_rest

RATES = (8000, 16_000, 22_050, 24_000, 44_100, 48_000)
PAIRS = [(48_000, 16_000), (16_000, 48_000), (44_100, 16_000), (22_050, 48_000), (8000, 48_000)]
PAIRS += [(16_000, 8000), (24_000, 44_100), (16_000, 16_000)]


@given(
    st.sampled_from(PAIRS),
    st.lists(st.integers(0, 700), min_size=1, max_size=12),
)
def test_a_stream_in_pieces_is_converted_as_the_whole(
    pair: tuple[int, int], sizes: list[int]
) -> None:
    stream = noise(sum(sizes) / 48_000, 48_000)
    whole = Resampler(*pair)
    expected = np.concatenate((whole.push(stream), whole.flush()))
    pieces, at = Resampler(*pair), 0
    out = []
    for size in sizes:
        out.append(pieces.push(stream[at : at + size]))
        at += size
    out.append(pieces.flush())
    np.testing.assert_array_equal(np.concatenate(out), expected)


@pytest.mark.parametrize("from_hz", RATES)
@pytest.mark.parametrize("to_hz", RATES)
def test_every_push_gives_its_share_of_output(from_hz: int, to_hz: int) -> None:
    resampler, out = Resampler(from_hz, to_hz), 0
    for step in range(1, 30):
        out += len(resampler.push(noise(0.02, from_hz)))
        assert out == math.ceil(step * round(0.02 * from_hz) * to_hz / from_hz)


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS)
@pytest.mark.parametrize("part", [0.02, 0.2, 0.4, 7 / 16])
def test_the_pass_band_is_flat_within_half_a_decibel_and_clean(
    from_hz: int, to_hz: int, part: float
) -> None:
    hertz = part * min(from_hz, to_hz)
    sent = tone(hertz, 0.3, from_hz)
    middle = resample(sent, from_hz, to_hz)[round(0.05 * to_hz) : round(0.25 * to_hz)]
    level, rest = tone_and_rest(middle, hertz, to_hz)
    assert abs(20 * math.log10(level / (32_000 / math.sqrt(2)))) < 0.5
    # What is left are images and rounding.
    assert 20 * math.log10(level / rest) > 80


@pytest.mark.parametrize(
    ("from_hz", "to_hz"),
    [(a, b) for a in RATES for b in RATES if a > b and a * 7 / 16 > b * 9 / 16],
)
def test_what_would_alias_into_the_pass_band_is_86_db_down(from_hz: int, to_hz: int) -> None:
    lowest = to_hz * 9 / 16  # its alias is the end of the pass-band
    for hertz in np.linspace(lowest, from_hz * 0.495, 12):
        out = resample(tone(float(hertz), 0.2, from_hz), from_hz, to_hz)
        middle = out[round(0.05 * to_hz) : round(0.15 * to_hz)]
        # Rounding to whole steps alone leaves 0.29 of a step, which is -98 dB.
        assert 20 * math.log10(max(0.3, rms(middle)) / rms(tone(1000, 0.1, from_hz))) <= -86


@pytest.mark.parametrize("from_hz", [22_050, 24_000, 44_100, 48_000])
def test_the_delay_to_16_khz_is_under_two_and_a_half_milliseconds(from_hz: int) -> None:
    assert 0 < Resampler(from_hz, 16_000).delay_s <= 0.0025


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS)
def test_the_delay_is_what_it_says(from_hz: int, to_hz: int) -> None:
    click = np.zeros(from_hz // 10, dtype=np.int16)
    click[from_hz // 20] = 30_000
    resampler = Resampler(from_hz, to_hz)
    out = resampler.push(click)
    heard_s = int(np.argmax(np.abs(out.astype(int)))) / to_hz
    assert heard_s == pytest.approx(0.05 + resampler.delay_s, abs=1.01 / min(from_hz, to_hz))


@given(st.sampled_from(PAIRS), st.integers(0, 3000))
def test_a_whole_recording_keeps_its_length(pair: tuple[int, int], length: int) -> None:
    from_hz, to_hz = pair
    out = resample(noise(length / from_hz, from_hz), from_hz, to_hz)
    assert len(out) == round(length * to_hz / from_hz)


def test_equal_rates_change_and_delay_nothing() -> None:
    samples = noise(0.05, 16_000)
    resampler = Resampler(16_000, 16_000)
    assert resampler.delay_s == 0
    np.testing.assert_array_equal(resampler.push(samples), samples)
    assert len(resampler.flush()) == 0


def test_after_a_flush_the_resampler_is_as_new() -> None:
    used, new = Resampler(48_000, 16_000), Resampler(48_000, 16_000)
    used.push(noise(0.05, 48_000, seed=2))
    used.flush()
    later = noise(0.05, 48_000)
    np.testing.assert_array_equal(used.push(later), new.push(later))


def test_full_scale_does_not_wrap_round() -> None:
    square = np.where(np.arange(4800) // 48 % 2, 32767, -32768).astype(np.int16)
    out = resample(square, 48_000, 16_000)
    # The overshoot is clipped: neighbours of one half-wave keep their sign.
    assert (out[192:1392].reshape(-1, 16)[:, 4:12].std(axis=1) < 4000).all()
