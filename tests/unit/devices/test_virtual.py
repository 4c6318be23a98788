import time
from itertools import pairwise

import numpy as np
import pytest

from kiosk.audio.levels import rms_dbfs
from kiosk.audio.pcm import Samples, samples_from_bytes, samples_to_bytes, to_int16, upmix
from kiosk.devices.ports import ButtonEdge
from kiosk.devices.virtual import (
    Echo,
    Room,
    VirtualButton,
    VirtualCapture,
    VirtualIndicator,
    VirtualPlayback,
)
from tests.unit.sounds import tone, tone_and_rest

RATE_HZ = 8000


def ones(count: int, value: int = 1) -> Samples:
    return np.full(count, value, dtype=np.int16)


# --- the room -----------------------------------------------------------------------------------


def test_what_a_visitor_says_is_captured_when_it_is_said() -> None:
    room = Room(RATE_HZ, noise_dbfs=None)
    room.say(ones(100, 500), room.seconds(1000))
    heard = room.capture(950, 200)
    np.testing.assert_array_equal(heard, [0] * 50 + [500] * 100 + [0] * 50)
    np.testing.assert_array_equal(room.microphone(room.seconds(950), room.seconds(1150)), heard)


def test_a_room_without_echo_keeps_the_loudspeaker_out() -> None:
    room = Room(RATE_HZ, noise_dbfs=None)
    room.play(0, ones(1000, 500))
    assert not room.capture(0, 1000).any()


def test_an_echo_is_late_and_soft() -> None:
    room = Room(RATE_HZ, noise_dbfs=None, echo=Echo(delay_s=0.05, gain_db=-20))
    room.play(0, ones(100, 1000))
    heard = room.capture(0, 1000)
    np.testing.assert_array_equal(np.flatnonzero(heard), np.arange(400, 500))
    assert set(heard[400:500].tolist()) == {100}


def test_a_quiet_room_has_its_noise() -> None:
    assert rms_dbfs(Room(RATE_HZ, noise_dbfs=-60).capture(0, RATE_HZ)) == pytest.approx(-60, abs=1)


def test_the_walls_answer_is_applied() -> None:
    response = np.array([0.5, 0.0, 0.25], np.float32)
    echo = Echo(delay_s=0.01, gain_db=0, response=response)
    room = Room(RATE_HZ, noise_dbfs=None, echo=echo)
    room.play(0, ones(1, 8000))
    heard = np.concatenate([room.capture(at, 37) for at in range(0, 148, 37)])
    np.testing.assert_array_equal(np.flatnonzero(heard), [80, 82])
    assert heard[[80, 82]].tolist() == [4000, 2000]


def test_whoever_listens_later_hears_what_the_walls_still_send() -> None:
    response = np.full(100, 0.01, np.float32)
    room = Room(RATE_HZ, noise_dbfs=None, echo=Echo(delay_s=0, gain_db=0, response=response))
    room.play(0, ones(1000, 10_000))
    heard = room.capture(500, 700)
    np.testing.assert_allclose(heard[:500], 10_000, atol=1)
    np.testing.assert_allclose(heard[500:600], np.arange(9900, -100, -100), atol=1)
    assert not heard[600:].any()


def test_a_loudspeaker_driven_hard_distorts_what_is_loud() -> None:
    def heard(peak: int) -> tuple[float, float]:
        room = Room(RATE_HZ, noise_dbfs=None, echo=Echo(delay_s=0, gain_db=0, drive=1))
        room.play(0, tone(1000, 0.5, RATE_HZ, peak))
        return tone_and_rest(room.capture(0, RATE_HZ // 2), 1000, RATE_HZ)

    loud, rest = heard(30_000)
    assert loud < 0.9 * 30_000 / 2**0.5
    assert rest > loud / 50
    soft, rest = heard(3000)
    assert soft == pytest.approx(3000 / 2**0.5, rel=0.01)
    assert rest < soft / 500


@pytest.mark.parametrize("ppm", [50, -50])
def test_a_clock_that_drifts_shifts_the_echo_by_as_much_every_second(ppm: int) -> None:
    rate_hz = 16_000
    room = Room(rate_hz, noise_dbfs=None, echo=Echo(delay_s=0.02, gain_db=0, drift_ppm=ppm))
    pulse = to_int16(10_000 * np.hanning(33))
    came_s = []
    for second in (0, 10, 20):
        room.play(second * rate_hz, pulse)  # by the loudspeaker's own count
        start = second * rate_hz - 100
        heard = room.capture(start, 700).astype(float)
        centre = float(heard @ np.arange(len(heard)) / heard.sum()) - 100
        came_s.append(centre / rate_hz)
    assert came_s[0] == pytest.approx(0.021, abs=2e-6)
    # A loudspeaker whose clock runs faster is there earlier.
    assert np.diff(came_s) == pytest.approx([-10 * ppm * 1e-6] * 2, rel=0.02)


def test_the_loudspeaker_counts_by_its_own_clock() -> None:
    room = Room(48_000, echo=Echo(drift_ppm=50))
    now_s = time.monotonic()
    counted = room.played_index(now_s + 100) - room.played_index(now_s)
    assert counted == pytest.approx(100 * 48_000 * 1.00005, abs=1)


def test_everything_at_once_clips_instead_of_wrapping_round() -> None:
    room = Room(RATE_HZ, noise_dbfs=None, echo=Echo(delay_s=0, gain_db=0))
    room.play(0, ones(10, 30_000))
    room.say(ones(10, 30_000), room.seconds(0))
    assert set(room.capture(0, 10).tolist()) == {32_767}


def test_time_and_samples_are_one_axis() -> None:
    room = Room(48_000)
    now_s = time.monotonic()
    assert room.seconds(room.index(now_s)) == pytest.approx(now_s, abs=1 / 48_000)
    assert room.index(now_s + 1) - room.index(now_s) in (47_999, 48_000, 48_001)


# --- the drivers --------------------------------------------------------------------------------


def test_a_capture_starts_with_its_first_read_and_misses_nothing_after() -> None:
    room = Room(RATE_HZ, noise_dbfs=-40)
    capture, started_s = VirtualCapture(room, channels=2), time.monotonic()
    pieces = [capture.read()]
    assert pieces == [b""]
    while time.monotonic() < started_s + 0.06:
        pieces.append(capture.read())
    stereo = samples_from_bytes(b"".join(pieces)).reshape(-1, 2)
    np.testing.assert_array_equal(stereo[:, 0], stereo[:, 1])
    heard = room.microphone(started_s - 0.01, started_s + 0.1)
    first = int(np.flatnonzero(heard)[0])
    np.testing.assert_array_equal(stereo[:, 0], heard[first : first + len(stereo)])


def test_a_recording_is_said_anew_whenever_capture_starts() -> None:
    room = Room(RATE_HZ, noise_dbfs=None)
    capture = VirtualCapture(room, recording=ones(200, 700))
    for _ in range(2):
        capture.read()
        data = b""
        while len(data) < 400:
            data += capture.read()
        np.testing.assert_array_equal(samples_from_bytes(data)[:200], ones(200, 700))
        capture.drop()
    capture.close()


def test_a_playback_takes_what_its_buffer_holds() -> None:
    room = Room(RATE_HZ)
    playback = VirtualPlayback(room, channels=2, buffer_ms=80)
    assert playback.buffer_frames == 640
    taken = playback.write(upmix(ones(1000), 2))
    assert taken == 640
    assert 500 < playback.queued() <= 640
    assert playback.write(upmix(ones(1000), 2)) < 140
    playback.drop()
    assert playback.queued() == 0
    playback.close()


def test_what_is_dropped_is_not_heard() -> None:
    room = Room(RATE_HZ)
    playback, started_s = VirtualPlayback(room), time.monotonic()
    playback.write(samples_to_bytes(ones(640, 9)))
    playback.drop()
    dropped_s = time.monotonic()
    heard = room.loudspeaker(started_s, started_s + 0.1)
    assert np.count_nonzero(heard) <= (dropped_s - started_s) * RATE_HZ + 1


def test_a_playback_that_ran_dry_counts_it_and_starts_again() -> None:
    room = Room(RATE_HZ)
    playback = VirtualPlayback(room, buffer_ms=20)
    sound = tone(440, 0.01, RATE_HZ)
    playback.write(samples_to_bytes(sound))
    while playback.queued():
        time.sleep(0.002)
    time.sleep(0.002)
    playback.write(samples_to_bytes(sound))
    assert playback.xruns == 1
    assert playback.queued() > 0


async def test_a_virtual_button_has_edges() -> None:
    edges: list[ButtonEdge] = []
    button = VirtualButton(edges.append, held=True)
    times = [button.press(), button.release()]
    button.close()
    assert edges == [ButtonEdge(True, times[0]), ButtonEdge(False, times[1])]


async def test_a_virtual_button_that_is_not_held_is_let_go_at_once() -> None:
    edges: list[ButtonEdge] = []
    button = VirtualButton(edges.append)
    pressed_s = button.press()
    assert not button.pressed
    assert edges[0] == ButtonEdge(True, pressed_s)
    assert [edge.pressed for edge in edges] == [True, False]


async def test_a_virtual_indicator_remembers_the_newest() -> None:
    indicator = VirtualIndicator(limit=2)
    for lit in (True, False, True):
        indicator.recording(on=lit)
        indicator.show(((lit, 1.0),))
    indicator.close()
    assert [on for _, on in indicator.recorded] == [False, True]
    assert [pattern[0][0] for _, pattern in indicator.shown] == [False, True]
    assert all(a <= b for (a, _), (b, _) in pairwise(indicator.shown))
