"""Playing and recording at once, for measurements: all channels, as the cards have them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kiosk.audio.pcm import SampleFormat, Samples, downmix, to_int16, upmix
from kiosk.base.clock import REAL, Clock
from kiosk.devices.bridge import FIRST_SOUND_S, STALL_S
from kiosk.devices.ports import CapturePcm, PlaybackPcm
from kiosk.errors import DeviceError

_LOOK_S = 0.004
# Cards run by clocks of their own: when they began is best asked before these differ.
_ANCHORED_S = 2.0


class LostSoundError(DeviceError):
    """The machine did not keep up, and a card lost sound: what was recorded measures nothing."""


class NotWantedError(DeviceError):
    """Something else is more important."""


@dataclass(frozen=True, slots=True)
class Take:
    """What was recorded meanwhile, (n, channels) int16. `played_at_s`: when by the cards' account
    the first frame was played, in seconds after the first one recorded; `queued_s`: how long by the
    same account a sound waits in the loudspeaker's card."""

    channels: Samples
    played_at_s: float
    queued_s: float


def play_and_record(
    capture: CapturePcm,
    playback: PlaybackPcm,
    frames: Samples,
    clock: Clock = REAL,
    wanted: Callable[[], bool] = lambda: True,
) -> Take:
    """Play (n, channels) int16, and record until the last of them was played. Blocks for as long;
    raises DeviceError when a card is gone, stalls or loses sound, or it is not wanted any more."""
    recorder, player = _Recorder(capture, clock), _Player(playback, frames, clock)
    wake_up = clock.wake_up()
    lost = capture.xruns, playback.xruns
    try:
        while not player.done:
            recorder.look()
            if recorder.began_s is not None:
                player.look()
            wake_up.wait(_LOOK_S)
            if not wanted():
                raise NotWantedError("a visitor came; ask again between visits")
        recorder.look()
    finally:
        capture.drop()
        playback.drop()
    if (capture.xruns, playback.xruns) != lost:
        raise LostSoundError(
            "a card lost sound again and again; end what else keeps this machine busy (`top`)"
        )
    assert recorder.began_s is not None
    assert player.began_s is not None
    return Take(recorder.channels(), player.began_s - recorder.began_s, player.queued_s)


class _Recorder:
    """Takes what the microphone's card has."""

    def __init__(self, pcm: CapturePcm, clock: Clock) -> None:
        self.began_s: float | None = None  # when the first frame was captured
        self._pcm = pcm
        self._clock = clock
        self._frame_bytes = pcm.channels * pcm.sample_format.sample_bytes
        self._data = bytearray()
        self._progress_s = clock.now_s()

    def look(self) -> None:
        data = self._pcm.read()
        waiting = self._pcm.available() if data else 0
        now_s = self._clock.now_s()
        if not data:
            patience_s = FIRST_SOUND_S if self.began_s is None else STALL_S
            if now_s - self._progress_s > patience_s:
                raise DeviceError(f"the microphone delivered nothing for {patience_s:g} s")
            return
        self._progress_s = now_s
        self._data += data
        captured_s = (len(self._data) // self._frame_bytes + waiting) / self._pcm.rate_hz
        # Whoever looks late believes that it began late.
        if self.began_s is None:
            self.began_s = now_s - captured_s
        elif captured_s < _ANCHORED_S:
            self.began_s = min(self.began_s, now_s - captured_s)

    def channels(self) -> Samples:
        pcm, data = self._pcm, bytes(self._data)
        each = [
            downmix(data, pcm.channels, pcm.sample_format, number + 1)
            for number in range(pcm.channels)
        ]
        return np.stack(each, axis=1)


class _Player:
    """Gives the loudspeaker's card what it takes."""

    def __init__(self, pcm: PlaybackPcm, frames: Samples, clock: Clock) -> None:
        self.done = False
        self.began_s: float | None = None  # when the first frame was played
        self.queued_s = 0.0
        self._pcm = pcm
        self._clock = clock
        self._frame_bytes = pcm.channels * pcm.sample_format.sample_bytes
        louder = to_int16(frames * np.float32(pcm.software_gain))
        self._left = memoryview(interleaved(louder, pcm.sample_format))
        self._written = 0
        self._progress_s = clock.now_s()

    def look(self) -> None:
        pcm = self._pcm
        taken, ahead = 0, pcm.queued() if self._written else 0
        if self._left and (room := max(0, pcm.buffer_frames - ahead)):
            taken = pcm.write(bytes(self._left[: room * self._frame_bytes]))
            self._left = self._left[taken * self._frame_bytes :]
            self._written += taken
        queued = pcm.queued()
        now_s = self._clock.now_s()
        if taken or self.began_s is None:
            self._progress_s = now_s
        elif now_s - self._progress_s > STALL_S + self.queued_s:
            raise DeviceError(f"the loudspeaker took nothing for {STALL_S:g} s")
        if not self._left and not queued:
            self.done = True
            return
        began_s = now_s + (queued - self._written) / pcm.rate_hz
        if self.began_s is None:
            self.began_s = began_s
        elif self._written < _ANCHORED_S * pcm.rate_hz:
            self.began_s = min(self.began_s, began_s)
            self.queued_s = max(self.queued_s, queued / pcm.rate_hz)


def interleaved(frames: Samples, sample_format: SampleFormat) -> bytes:
    """(n, channels) int16 as a card takes them."""
    size = sample_format.sample_bytes
    each = [
        np.frombuffer(upmix(channel, 1, sample_format), np.uint8).reshape(-1, size)
        for channel in frames.T
    ]
    return np.stack(each, axis=1).tobytes()
