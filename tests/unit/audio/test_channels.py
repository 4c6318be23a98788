"""Which of a card's channels are listened to."""

import numpy as np
import pytest

from kiosk.audio.channels import ChannelMix, Frames
from kiosk.audio.levels import rms_dbfs
from kiosk.audio.pcm import Samples
from tests.unit.sounds import noise

PIECE = 960
VOICE = noise(2, 48_000, 3000)


def card(*channels: Samples) -> Frames:
    return np.stack(channels, axis=1).astype(np.float32)


def heard(mix: ChannelMix, frames: Frames, *, quiet: bool = True) -> Samples:
    pieces = [mix.push(frames[at : at + PIECE], quiet=quiet) for at in range(0, len(frames), PIECE)]
    return np.concatenate(pieces)


OTHERS = {
    "dead": np.zeros_like(VOICE),
    "constant": np.full_like(VOICE, -15_729),
    "inverted": -VOICE,
    "clipped": np.where(VOICE > 0, 32_767, -32_768).astype(np.int16),
}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("order", [1, -1])
def test_a11_b12_beside_another_channel_the_microphone_is_heard_whole(
    other: str, order: int
) -> None:
    mix = ChannelMix(2)
    sound = heard(mix, card(*(VOICE, OTHERS[other])[::order]))
    settled = slice(len(VOICE) // 2, None)
    assert rms_dbfs(sound[settled]) == pytest.approx(rms_dbfs(VOICE[settled]), abs=0.1)
    assert len(mix.heard) == 1


def test_two_microphones_are_heard_as_their_mean() -> None:
    mix = ChannelMix(2)
    assert mix.push(card(VOICE, VOICE), quiet=True).tolist() == VOICE.tolist()
    noises = card(noise(1, 48_000, 3000, 1), noise(1, 48_000, 3000, 2))
    heard(mix, noises)
    assert mix.heard == (1, 2)


def test_b2_of_an_array_the_first_microphone_is_heard() -> None:
    loudspeaker = np.zeros_like(VOICE)
    microphones = [noise(2, 48_000, 3000, seed) for seed in range(5)]
    mix = ChannelMix(6)
    assert heard(mix, card(*microphones, loudspeaker)).tolist() == microphones[0].tolist()


def test_of_several_inputs_the_one_with_a_voice_is_heard_and_not_the_noise_of_an_empty_one() -> (
    None
):
    empty = [noise(2, 48_000, 2, seed) for seed in range(3)]
    mix = ChannelMix(4)
    heard(mix, card(*empty, noise(2, 48_000, 2, 9)))
    assert mix.heard == (1,)
    sound = heard(mix, card(empty[0], VOICE, *empty[1:]))
    assert mix.heard == (2,)
    assert sound[PIECE:].tolist() == VOICE[PIECE:].tolist()


def test_an_arrays_own_channel_that_takes_out_the_noise_is_heard_again_with_the_voice() -> None:
    din, cleaned = noise(2, 48_000, 200), noise(2, 48_000, 5)
    mix = ChannelMix(4)
    heard(mix, card(cleaned, din, din, din))
    assert mix.heard == (2,)
    sound = heard(mix, card(VOICE, VOICE, VOICE, VOICE))
    assert mix.heard == (1,)
    assert sound[PIECE:].tolist() == VOICE[PIECE:].tolist()


def test_b2_a_channel_that_has_sound_only_while_the_loudspeaker_has_is_none() -> None:
    loudspeaker = noise(1, 48_000, 9000, 7)
    room = noise(1, 48_000, 30, 8)
    mix = ChannelMix(3)
    heard(mix, card(np.zeros_like(room), room, room))
    sound = heard(mix, card(loudspeaker, room, room), quiet=False)
    assert mix.heard == (2,)
    assert sound.tolist() == room.tolist()


def test_before_it_is_quiet_all_that_has_sound_may_be_a_microphone() -> None:
    mix = ChannelMix(2)
    heard(mix, card(np.zeros_like(VOICE), VOICE), quiet=False)
    assert mix.heard == (2,)


def test_the_one_channel_that_is_named_is_heard_whatever_it_is() -> None:
    mix = ChannelMix(2, 1)
    assert not heard(mix, card(np.zeros_like(VOICE), VOICE)).any()
    assert mix.heard == (1,)


def test_a_change_of_channels_makes_no_step() -> None:
    high, low = np.full(48_000, 8000, np.int16), np.full(48_000, -8000, np.int16)
    mix = ChannelMix(2)
    first = mix.push(card(high, low)[:PIECE], quiet=True)
    ripple = noise(1, 48_000, 2)
    sound = np.concatenate((first, heard(mix, card(high, low + ripple))))
    assert mix.heard == (2,)
    assert np.abs(np.diff(sound.astype(int))).max() < 40
