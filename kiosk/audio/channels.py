"""Choice among a card's channels: those that are microphones, and one sound made of them. Pure: no
I/O, no clock.

A card may have channels to which nothing is connected (zeros, or one value for ever), that clip,
that have the phase turned round, or that carry what the loudspeaker plays: a mean of all is then no
microphone, or a bad one.
"""

import numpy as np
import numpy.typing as npt

from kiosk.audio.pcm import Samples, to_int16

Frames = npt.NDArray[np.float32]

# A look at the channels costs more than all else here: one piece of sound in so many is enough.
_LOOK_EVERY = 5
# What is remembered of each channel, in looks: about half a second.
_FORGET = 0.8
# A pair in phase, or with nothing in common, keeps half of its power or more in the mean.
_OPPOSITE = 0.1
# A channel of which this much stands at full scale has no voice left in it, if another has.
_CLIPPED, _SOUND = 0.2, 0.02
_FULL_SCALE = 32766.0
# So much softer (25 dB) than another channel, ever since there was a voice in that: an input to
# which nothing is connected, of a card with several.
_UNUSED, _VOICE = 0.003, 100.0**2
_AUDIBLE = 4.0  # in mean square: what is softer tells nothing of phases


class ChannelMix:
    """One sound of a card's channels, for as long as the card is open.

    `channel` is the only one to listen to, from 1 on. With None it is the mean of two that are
    microphones, the better one of two otherwise, and of an array the first that is a microphone:
    arrays have there what they made of all.
    """

    def __init__(self, channels: int, channel: int | None = None) -> None:
        self._only = channel
        self._channels = channels
        self._lives = np.zeros(channels, dtype=bool)
        self._power = np.zeros(channels)
        self._clipped = np.zeros(channels)
        self._most = np.zeros(channels)  # of the power while the loudspeaker is silent
        self._mean_power = 0.0
        self._opposite = False
        self._weights = self._weighted(np.ones(channels, dtype=bool))
        self._begun = False
        self._pieces = 0

    @property
    def heard(self) -> tuple[int, ...]:
        """The channels that are listened to, from 1 on."""
        return tuple(int(each) + 1 for each in np.flatnonzero(self._weights))

    def push(self, frames: Frames, *, quiet: bool) -> Samples:
        """The next frames, (n, channels) on the int16 scale, as (n,); `quiet`: the loudspeaker has
        been silent for so long that nothing of it is in any channel."""
        if not len(frames):
            return to_int16(np.zeros(0))
        if self._channels == 1:
            return to_int16(frames[:, 0])
        before = self._weights
        if self._only is None and self._pieces % _LOOK_EVERY == 0:
            self._learn(frames, quiet=quiet)
            self._weights = self._chosen(frames)
        self._pieces += 1
        if not self._begun or np.array_equal(before, self._weights):
            self._begun = True
            return to_int16(_mixed(frames, self._weights))
        fade = np.linspace(0, 1, len(frames), dtype=np.float32)
        mixed = _mixed(frames, before) * (1 - fade) + _mixed(frames, self._weights) * fade
        return to_int16(mixed)

    def _learn(self, frames: Frames, *, quiet: bool) -> None:
        if quiet:
            # What has sound only while the loudspeaker has is the loudspeaker's own.
            self._lives |= np.ptp(frames, axis=0) > 0
        about = frames - frames.mean(axis=0)
        self._power = _FORGET * self._power + np.einsum("nc,nc->c", about, about) / len(frames)
        mean = about.mean(axis=1)
        mean_square = float(np.einsum("n,n->", mean, mean)) / len(frames)
        self._mean_power = _FORGET * self._mean_power + mean_square
        if quiet:
            self._most = np.maximum(self._most, self._power)
        full = (np.abs(frames) >= _FULL_SCALE).mean(axis=0)
        self._clipped = _FORGET * self._clipped + (1 - _FORGET) * full

    def _chosen(self, frames: Frames) -> npt.NDArray[np.float32]:
        able = self._lives if self._lives.any() else np.ptp(frames, axis=0) > 0
        if not able.any():
            return self._weights
        loudest = float(self._most[able].max())
        if self._channels > 2 and loudest > _VOICE / (1 - _FORGET):
            able = able & (self._most > _UNUSED * loudest)
        sound = able & (self._clipped < _SOUND)
        if sound.any():
            able = able & (self._clipped < _CLIPPED)
        return self._weighted(able)

    def _weighted(self, able: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
        weights = np.zeros(self._channels, dtype=np.float32)
        if self._only is not None:
            weights[self._only - 1] = 1
        elif self._channels > 2:
            weights[int(np.argmax(able))] = 1
        elif able.all() and not self._opposed():
            weights[:] = 0.5
        else:
            weights[int(np.argmax(np.where(able, self._power, -1.0)))] = 1
        return weights

    def _opposed(self) -> bool:
        power = float(self._power.mean())
        if power > _AUDIBLE:
            # What was once turned round is so for ever.
            self._opposite = self._opposite or self._mean_power < _OPPOSITE * power
        return self._opposite


def _mixed(frames: Frames, weights: Frames) -> Frames:
    mixed: Frames = np.einsum("nc,c->n", frames, weights)
    return mixed
