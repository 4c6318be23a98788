"""Playing and recording at once, with virtual cards in virtual time."""

import numpy as np
import pytest

from kiosk.audio.measuring import Program, Recorded, Way, measured
from kiosk.audio.pcm import SampleFormat, downmix
from kiosk.devices.bridge import FIRST_SOUND_S
from kiosk.devices.duplex import LostSoundError, NotWantedError, interleaved, play_and_record
from kiosk.devices.virtual import Echo, Room, VirtualCapture, VirtualPlayback
from kiosk.errors import DeviceError
from kiosk.lab.virtual_clock import VirtualClock

RATE_HZ = 24_000


class Overrunning(VirtualCapture):
    """A card that loses sound once."""

    def read(self) -> bytes:
        self.xruns = 1
        return super().read()


class Deaf(VirtualCapture):
    """A card that delivers nothing."""

    def read(self) -> bytes:
        return b""


class Stuck(VirtualPlayback):
    """A card that takes nothing any more."""

    def write(self, data: bytes) -> int:
        return 0

    def queued(self) -> int:
        return self.buffer_frames // 2


@pytest.mark.parametrize("echo", [
    Echo(delay_s=0.0), Echo(delay_s=0.0237, drift_ppm=-61), Echo(delay_s=0.31, gain_db=-33),
])  # fmt: skip
@pytest.mark.parametrize("channels", [1, 2])
def test_delay_and_drift_of_the_room_are_found(
    clock: VirtualClock, echo: Echo, channels: int
) -> None:
    room = Room(RATE_HZ, echo=echo, clock=clock)
    capture, playback = VirtualCapture(room, channels), VirtualPlayback(room, channels)
    program = Program(channels, RATE_HZ)
    heard = play_and_record(capture, playback, program.samples(RATE_HZ), clock)
    assert heard.channels.shape[1] == channels
    assert heard.queued_s == pytest.approx(0.08, abs=0.01)
    way = measured(Recorded(heard.channels, RATE_HZ, program, heard.played_at_s)).way
    assert isinstance(way, Way)
    assert way.delay_ms == pytest.approx(1000 * echo.delay_s, abs=2)
    assert way.drift_ppm == pytest.approx(echo.drift_ppm, abs=5)
    assert way.echo_db == pytest.approx(echo.gain_db, abs=1)


FRAMES = np.zeros((RATE_HZ, 1), np.int16)


def test_a_card_that_lost_sound_measures_nothing(clock: VirtualClock) -> None:
    room = Room(RATE_HZ, clock=clock)
    with pytest.raises(LostSoundError):
        play_and_record(Overrunning(room), VirtualPlayback(room), FRAMES, clock)


def test_cards_that_stand_still_are_given_up(clock: VirtualClock) -> None:
    room = Room(RATE_HZ, clock=clock)
    began_s = clock.now_s()
    with pytest.raises(DeviceError, match="microphone delivered nothing"):
        play_and_record(Deaf(room), VirtualPlayback(room), FRAMES, clock)
    assert clock.now_s() - began_s == pytest.approx(FIRST_SOUND_S, abs=0.1)
    with pytest.raises(DeviceError, match="loudspeaker took nothing"):
        play_and_record(VirtualCapture(room), Stuck(room), FRAMES, clock)


def test_it_ends_at_once_where_it_is_not_wanted_any_more(clock: VirtualClock) -> None:
    room = Room(RATE_HZ, clock=clock)
    began_s = clock.now_s()
    with pytest.raises(NotWantedError):
        play_and_record(
            VirtualCapture(room),
            VirtualPlayback(room),
            FRAMES,
            clock,
            lambda: clock.now_s() < began_s + 0.2,
        )
    assert clock.now_s() - began_s < 0.25


@pytest.mark.parametrize("sample_format", list(SampleFormat))
def test_channels_stay_apart_in_every_format(sample_format: SampleFormat) -> None:
    frames = np.array([[1, -2], [300, -400], [32767, -32768]], np.int16)
    data = interleaved(frames, sample_format)
    each = [downmix(data, 2, sample_format, channel) for channel in (1, 2)]
    np.testing.assert_array_equal(np.stack(each, axis=1), frames)
