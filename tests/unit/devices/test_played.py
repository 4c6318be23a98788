import threading
import time

import numpy as np
import pytest

from kiosk.audio.pcm import Samples
from kiosk.devices.played import PlayedSound
from tests.unit.sounds import noise

RATE_HZ = 16_000


def ones(count: int, value: int = 1) -> Samples:
    return np.full(count, value, dtype=np.int16)


@pytest.fixture
def now_s() -> float:
    return time.monotonic() + 60  # later than when anything here is made, however busy the machine


def test_what_is_put_is_got_at_its_time_and_silence_around_it(now_s: float) -> None:
    played = PlayedSound()
    played.put(now_s, ones(160, 7))
    got = played.get(now_s - 0.01, 480)
    np.testing.assert_array_equal(got, [0] * 160 + [7] * 160 + [0] * 160)


def test_pieces_of_one_stream_join_without_a_seam_whatever_their_times_are_rounded_to(
    now_s: float,
) -> None:
    played, sound = PlayedSound(), noise(0.4, RATE_HZ)
    rounding_s = np.random.default_rng(1).uniform(-0.9, 0.9, 20) / RATE_HZ
    for index, off_s in enumerate(rounding_s):
        piece = sound[index * 320 : (index + 1) * 320]
        played.put(now_s + index * 0.02 + float(off_s) * (index > 0), piece)
    np.testing.assert_array_equal(played.get(now_s, len(sound)), sound)


def test_another_sound_begins_when_it_is_heard_and_not_where_the_last_one_ended(
    now_s: float,
) -> None:
    played = PlayedSound()
    played.put(now_s, ones(160))
    played.put(now_s + 0.01 + 0.0007, ones(160, 2))
    assert int(np.argmax(played.get(now_s, 400) == 2)) == pytest.approx(171, abs=1)


def test_a_gap_in_the_sound_is_silence(now_s: float) -> None:
    played = PlayedSound()
    played.put(now_s, ones(160))
    played.put(now_s + 0.03, ones(160))
    np.testing.assert_array_equal(played.get(now_s, 640), [1] * 160 + [0] * 320 + [1] * 160)


def test_what_is_cut_is_silence_and_what_follows_is_heard(now_s: float) -> None:
    played = PlayedSound()
    played.put(now_s, ones(1600))
    played.cut(now_s + 0.02)
    played.put(now_s + 0.05, ones(160, 2))
    got = played.get(now_s, 1600)
    assert set(got[:320].tolist()) == {1}
    assert set(got[320:800].tolist()) == {0}
    assert set(got[800:960].tolist()) == {2}
    assert set(got[960:].tolist()) == {0}


def test_what_nobody_put_is_silence(now_s: float) -> None:
    assert not PlayedSound().get(now_s - 3600, 320).any()
    assert not PlayedSound().get(now_s + 3600, 320).any()


def test_two_seconds_are_remembered_however_long_it_plays(now_s: float) -> None:
    played = PlayedSound()
    for index in range(1000):
        played.put(now_s + index * 0.02, ones(320, index + 1))
    got = played.get(now_s + 18, 2 * RATE_HZ)
    np.testing.assert_array_equal(got, np.repeat(np.arange(901, 1001), 320))


def test_one_thread_may_write_while_another_reads(now_s: float) -> None:
    played = PlayedSound()

    def write() -> None:
        for index in range(300):
            played.put(now_s + index * 0.02, ones(320))

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        got = played.get(now_s, 3200)
        assert np.count_nonzero(got) % 320 == 0
    writer.join()
