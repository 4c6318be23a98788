"""Every figure of a measurement, planted at several values, odd ones too."""

import tracemalloc

import numpy as np
import pytest

from kiosk.audio.acoustics import impulse_response, kiosk_in
from kiosk.audio.measuring import Program, decay_s, hum, measured
from tests.unit.planted_sound import RATE_HZ, Planted, reverberant, shelved


@pytest.mark.parametrize("delay_ms", [0.0, 3.7, 41.3, 137.9, 612.0])
def test_the_delay_is_found_within_two_milliseconds(delay_ms: float) -> None:
    way = Planted(delay_s=delay_ms / 1000, response=reverberant(0.4)).way()
    assert way.delay_ms == pytest.approx(delay_ms, abs=2)


@pytest.mark.parametrize("drift_ppm", [0.0, 4.0, -17.3, 83.0, -311.0])
@pytest.mark.parametrize("rate_hz", [16_000, 48_000])
def test_the_drift_is_found_within_five_parts_in_a_million(drift_ppm: float, rate_hz: int) -> None:
    way = Planted(drift_ppm=drift_ppm, rate_hz=rate_hz, noise_dbfs=-60).way()
    assert way.drift_ppm == pytest.approx(drift_ppm, abs=5)


def test_a_measurement_leaves_a_kiosk_the_memory_that_it_may_have() -> None:
    recorded = Planted(rate_hz=48_000).recorded()
    tracemalloc.start()
    measured(recorded)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 45e6


@pytest.mark.parametrize("rt60_s", [0.25, 0.57, 1.0, 1.83])
def test_the_reverberation_time_is_found_within_a_tenth(rt60_s: float) -> None:
    way = Planted(response=reverberant(rt60_s), noise_dbfs=-65).way()
    assert way.rt60_s == pytest.approx(rt60_s, rel=0.1)


@pytest.mark.parametrize("seed", [2, 11])
def test_a_halls_reverberation_is_that_of_its_response(seed: int) -> None:
    response = impulse_response(kiosk_in(0.8, seed), RATE_HZ).astype(np.float64)
    true_s = decay_s(np.concatenate((response, np.zeros(RATE_HZ))), RATE_HZ)
    assert Planted(response=response).way().rt60_s == pytest.approx(true_s, rel=0.15)


def test_a_dry_room_has_no_reverberation_to_measure() -> None:
    assert Planted().way().rt60_s is None


@pytest.mark.parametrize(("drive", "gain_db"), [(0.6, -20), (1.3, -31), (2.7, -20)])
def test_distortion_is_that_of_a_tone(drive: float, gain_db: float) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 10 * np.arange(4096) / 4096)  # ten periods
    lines = np.abs(np.fft.rfft(np.tanh(drive * tone)))
    true = np.sqrt(np.sum(lines[20:60:10] ** 2)) / lines[10]
    way = Planted(drive=drive, gain_db=gain_db, response=reverberant(0.5)).way()
    assert way.distortion == pytest.approx(float(true), rel=0.15)


@pytest.mark.parametrize("noise_dbfs", [-75, -50])
def test_a_linear_loudspeaker_distorts_nothing(noise_dbfs: float) -> None:
    assert Planted(noise_dbfs=noise_dbfs, response=reverberant(0.6)).way().distortion < 0.005


@pytest.mark.parametrize(("hz", "db", "at_4", "at_7"), [
    (2000, -9, -9, -9), (5300, -14, 0, -14), (2000, 6, 6, 6), (20_000, 0, 0, 0),
])  # fmt: skip
def test_the_response_is_found_within_two_decibels(
    hz: float, db: float, at_4: float, at_7: float
) -> None:
    way = Planted(response=shelved(hz, db)).way()
    assert way.at_4_khz_db == pytest.approx(at_4, abs=2)
    assert way.at_7_khz_db == pytest.approx(at_7, abs=2)


def test_cards_that_do_not_reach_a_frequency_tell_nothing_of_it() -> None:
    way = Planted(rate_hz=11_025).way()
    assert (way.at_4_khz_db is not None, way.at_7_khz_db) == (True, None)


@pytest.mark.parametrize("gain_db", [-3.0, -20.0, -44.4])
def test_the_echos_loudness_is_found(gain_db: float) -> None:
    assert Planted(gain_db=gain_db).way().echo_db == pytest.approx(gain_db, abs=0.5)


@pytest.mark.parametrize("noise_dbfs", [-80, -61.5, -38])
def test_the_noise_is_found_beside_hum_and_offset(noise_dbfs: float) -> None:
    figures = Planted(noise_dbfs=noise_dbfs, offset=0.03).figures()
    assert figures.noise_dbfs == pytest.approx(noise_dbfs, abs=0.5)


@pytest.mark.parametrize("offset", [0.0, 0.013, -0.071])
def test_the_offset_is_found(offset: float) -> None:
    [channel] = Planted(offset=offset).figures().channels
    assert channel.offset == pytest.approx(offset, abs=0.0005)


@pytest.mark.parametrize(
    ("mains", "hz"), [((50.0, -50.0), 50), ((60.0, -41.7), 60), ((49.9, -63.0), 50)]
)
def test_hum_is_found_with_its_frequency(mains: tuple[float, float], hz: int) -> None:
    figures = Planted(mains=mains).figures()
    assert figures.hum_hz == hz
    assert figures.hum_dbfs == pytest.approx(mains[1], abs=1)


def test_a_tone_that_is_no_hum_is_none() -> None:
    turns = 2 * np.pi * 437.0 * np.arange(96_000) / 48_000
    noise = np.random.default_rng(2).normal(0, 10, 96_000)
    assert hum(1000 * np.sin(turns) + noise, 48_000)[0] is None


def test_two_channels_of_opposite_phase_are_told_and_the_best_is_named() -> None:
    figures = Planted(signs=(-0.98, 1.0)).figures()
    assert figures.best == 2
    assert [round(channel.alike) for channel in figures.channels] == [-1, 1]
    assert figures.mixed_db < -20


def test_channels_that_agree_lose_nothing() -> None:
    figures = Planted(signs=(1.0, 0.7)).figures()
    assert figures.best == 1
    assert figures.mixed_db == pytest.approx(-1.4, abs=0.5)
    assert min(channel.alike for channel in figures.channels) > 0.9


def test_a_dead_channel_is_one_of_zeros() -> None:
    there = Planted(signs=(1.0, 1.0)).recorded()
    there.channels[:, 0] = 0
    figures = measured(there)
    assert [channel.zeros for channel in figures.channels] == [True, False]
    assert figures.best == 2


def test_loudspeakers_are_heard_each_by_itself() -> None:
    assert Planted(loudspeakers=(0.5, 0.5)).figures().together_db == pytest.approx(6, abs=0.5)
    against = Planted(loudspeakers=(0.5, -0.48)).figures()
    assert against.together_db < -20
    assert min(against.alone_db) == pytest.approx(-0.4, abs=0.3)
    alone = Planted(loudspeakers=(1.0, 0.0)).figures()
    assert alone.alone_db[1] < -30


def test_clipping_is_counted() -> None:
    assert Planted(gain_db=12).way().clipped > 0.1
    assert Planted(gain_db=-6).way().clipped == 0


@pytest.mark.parametrize("noise_dbfs", [-90, -60, -30])
def test_noise_alone_is_no_sweep(noise_dbfs: float) -> None:
    figures = Planted(gain_db=-200, noise_dbfs=noise_dbfs).figures()
    assert figures.way is None


@pytest.mark.parametrize("seed", range(8))
def test_a_shorter_program_tells_a_sweep_from_noise(seed: int) -> None:
    shorter = {"quiet_s": 0.8, "sweep_s": 1.0, "tail_s": 0.3}
    noise = Planted(gain_db=-200, noise_dbfs=-50, shorter=shorter, seed=seed)
    assert noise.figures().way is None
    assert Planted(gain_db=-40, noise_dbfs=-50, shorter=shorter, seed=seed).figures().way


def test_a_sweep_at_the_level_of_the_noise_is_heard() -> None:
    way = Planted(gain_db=-41, noise_dbfs=-50).way()
    assert way.delay_ms == pytest.approx(20, abs=2)


def test_silence_of_zeros_is_measured_without_a_fuss() -> None:
    there = Planted(gain_db=-200, noise_dbfs=-200).figures()
    assert there.way is None
    assert there.channels[0].zeros


@pytest.mark.parametrize("seed", range(5))
def test_all_at_once_is_told_apart(seed: int) -> None:
    random = np.random.default_rng(seed)
    delay_ms, drift_ppm, rt60_s, gain_db, noise_dbfs = random.uniform(
        (0, -200, 0.2, -32, -80), (400, 200, 1.9, -8, -48)
    )
    direct = float(random.uniform(0.15, 1))
    planted = Planted(
        delay_s=delay_ms / 1000,
        gain_db=gain_db,
        drift_ppm=drift_ppm,
        response=reverberant(rt60_s, direct=direct),
        noise_dbfs=noise_dbfs,
    )
    figures, way = planted.figures(), planted.way()
    assert way.delay_ms == pytest.approx(delay_ms, abs=2)
    assert way.drift_ppm == pytest.approx(drift_ppm, abs=5)
    assert way.rt60_s == pytest.approx(rt60_s, rel=0.15)
    assert way.distortion < 0.01
    assert figures.noise_dbfs == pytest.approx(noise_dbfs, abs=0.5)
    assert figures.hum_hz is None


def test_the_program_has_its_parts_one_after_the_other() -> None:
    program = Program(3, 48_000)
    first_s, second_s = program.sweeps_at_s
    assert first_s + program.sweep_s + program.tail_s == program.alone_at_s[0]
    assert program.alone_at_s[-1] + program.alone.duration_s < second_s
    samples = program.samples(8000)
    assert samples.shape == (round(8000 * program.duration_s), 3)
    assert np.abs(samples).max() == pytest.approx(16_422, abs=30)
    assert not samples[: round(8000 * first_s)].any()
