"""One playback card's stream: converts, keeps what the card did not take, and knows when each
sample is heard. Used only by the thread that owns the card."""

import numpy as np

from kiosk.audio.echo import REFERENCE_LEAD_S
from kiosk.audio.pcm import INTERNAL_RATE_HZ, Samples, ms_to_samples, silence, to_int16, upmix
from kiosk.audio.resample import Resampler
from kiosk.base.clock import REAL, Clock
from kiosk.devices.bridge import POLL_S, STALL_S
from kiosk.devices.played import PlayedSound
from kiosk.devices.ports import PlaybackPcm, Source
from kiosk.errors import DeviceError

# The card's own count of what it has not played jumps by a period; only more than that is a gap.
_GAP_S = 0.05
# What a card that is kept running owns: it cannot be dropped, so this is how late a flush is.
KEPT_S = 0.02
_KEPT_LOOK_S = 0.005
# Three quarters of what the card holds are there for a thread that is woken late.
_PART_ALONE = 0.25
_LONGEST_ALONE_S = 0.02


class CardStream:
    """What goes to one card from its opening to its loss."""

    def __init__(
        self,
        device: PlaybackPcm,
        played: PlayedSound | None = None,
        wake_lead_ms: int = 0,
        clock: Clock = REAL,
        *,
        keep_running: bool = False,
    ) -> None:
        self.started = False
        self._keep_running = keep_running
        kept = round(KEPT_S * device.rate_hz)
        self._most = min(device.buffer_frames, kept) if keep_running else device.buffer_frames
        self._silence = 0  # frames of it behind the last sound
        self._device = device
        self._played = played
        self._clock = clock
        self._wake_lead = ms_to_samples(wake_lead_ms, device.rate_hz)
        self._frame_bytes = device.sample_format.sample_bytes * device.channels
        self._resampler: Resampler | None = None
        self._reference: Resampler | None = None
        self._key: tuple[int, Source] | None = None
        self._pending = bytearray()
        self._running = False  # the card itself: from the first write on
        self._anchor_s = 0.0  # when the first of `_frames` frames was or will be heard
        self._frames = 0
        # The reference for what was appended: seconds after the anchor, which the first write sets.
        self._unheard: list[tuple[float, Samples]] = []
        self._xruns = device.xruns
        self._queued = 0  # frames in the card when it was asked last, which takes its time
        # Frames queued, and since when they are that many with nothing more accepted.
        self._progress = (0, 0.0)

    def room(self) -> int:
        """Frames that may still be appended without the card owning more than its buffer."""
        pending = len(self._pending) // self._frame_bytes
        return self._most - self._ask() - pending

    def append(self, samples: Samples, rate_hz: int, source: Source) -> float:
        """Convert one slice; returns when its first sample will be heard (monotonic seconds)."""
        if self._key != (rate_hz, source):
            self.append_tail()
            self._key = (rate_hz, source)
            self._resampler = Resampler(rate_hz, self._device.rate_hz)
            self._reference = Resampler(rate_hz, INTERNAL_RATE_HZ)
        assert self._resampler is not None
        assert self._reference is not None
        if not self.started:
            self._wake_up()
        heard_at_s = self._end_s() + self._resampler.delay_s
        self._silence = 0
        self._note(self._reference.push(_louder(samples, self._device.software_gain)))
        self._put(self._resampler.push(samples))
        return heard_at_s

    def append_tail(self) -> None:
        """What still stands in the resampler's filter, once."""
        if self._resampler is not None and self._reference is not None:
            self._note(self._reference.flush())
            self._put(self._resampler.flush())
            self._resampler, self._reference, self._key = None, None, None
            self.write_out()

    def write_out(self) -> None:
        """Give the card what it takes; the rest stays pending."""
        while self._pending:
            asked_s = self._clock.now_s()
            piece = bytes(self._pending)
            if self._keep_running:
                piece = piece[: max(0, self._most - self._ask()) * self._frame_bytes]
            frames = self._device.write(piece) if piece else 0
            if not frames:
                break
            if not self._running:
                self._running = True
                self._anchor_s = self._began_s(asked_s, frames)
                self._xruns = self._device.xruns
            del self._pending[: frames * self._frame_bytes]
            self._progress = (-1, self._clock.now_s())
            self._ask()
        self._tell()
        self._watch()

    def left_ms(self) -> float:
        """How long what was appended will still sound."""
        self.write_out()
        frames = self._ask() + len(self._pending) // self._frame_bytes - self._silence
        return max(0, frames) * 1000 / self._device.rate_hz

    def fill(self) -> None:
        """Silence, as much as a card that is kept running may own."""
        if not self.started:
            self._wake_up()
        else:
            self._end_s()  # it may have run dry
        frames = self.room()
        if frames > 0:
            self._silence += frames
            self._put(silence(frames))
        self.write_out()

    def next_look_s(self) -> float:
        """How long the card may be left alone: a full buffer for longer than one near its end."""
        if self._keep_running:
            return _KEPT_LOOK_S
        left_s = self._queued / self._device.rate_hz
        return max(POLL_S, min(_LONGEST_ALONE_S, left_s * _PART_ALONE))

    def drop(self) -> None:
        """Silence now."""
        self._device.drop()
        if self._played is not None:
            self._played.cut(self._clock.now_s())
        self._forget()
        self.started = self._running = False
        self._queued = 0

    def silence_s(self) -> float:
        """Silence as soon as the card can: at once, or when a card that is kept running has played
        what it owns. When that is."""
        if not self._keep_running or not self._running:
            self.drop()
            return self._clock.now_s()
        self._tell()
        self._frames -= len(self._pending) // self._frame_bytes
        self._forget()
        self._ask()
        silent_s = self._end_s()
        if self._played is not None:
            self._played.cut(silent_s)
        return silent_s

    def _forget(self) -> None:
        """What the card does not own yet is not heard."""
        self._pending.clear()
        self._unheard.clear()
        self._resampler, self._reference, self._key = None, None, None

    def _began_s(self, asked_s: float, frames: int) -> float:
        """When the card began to play the first `frames` it was given, some time in the write.

        The card's count of what is left tells when; its error is as good as the write was short.
        """
        written_s = self._clock.now_s()
        left = self._device.queued()
        counted_s = self._clock.now_s() - (frames - left) / self._device.rate_hz
        return min(max(counted_s, asked_s), written_s)

    def _wake_up(self) -> None:
        """Begin the stream with silence: an echo canceller must know of a sound before it is
        heard, and some amplifiers and televisions swallow what a new stream begins with."""
        self._anchor_s, self._frames = self._clock.now_s(), 0
        lead_s = 0.0 if self._played is None else REFERENCE_LEAD_S
        lead = ms_to_samples(1000 * lead_s, self._device.rate_hz)
        self._put(silence(max(lead, self._wake_lead)))

    def _end_s(self) -> float:
        """When a frame appended now will be heard.

        Counted from the stream's beginning, because the card's own count jitters; looked up in it
        only when the card ran dry or lost time.
        """
        now_s, rate_hz = self._clock.now_s(), self._device.rate_hz
        ahead = self._queued + len(self._pending) // self._frame_bytes
        counted_s = self._anchor_s + self._frames / rate_hz
        measured_s = now_s + ahead / rate_hz
        if not self._running:
            return measured_s
        if not ahead:  # the card ran dry, and starts anew with the next write
            self._tell()
            self._xruns = self._device.xruns
            self._running = False
            self._wake_up()
            return self._anchor_s + self._frames / rate_hz
        if self._xruns != self._device.xruns or abs(counted_s - measured_s) > _GAP_S:
            self._tell()
            self._xruns = self._device.xruns
            self._anchor_s, self._frames = measured_s, 0
            return measured_s
        return counted_s

    def _note(self, reference: Samples) -> None:
        """Remember the reference for what is put next."""
        assert self._resampler is not None
        assert self._reference is not None
        later_s = self._resampler.delay_s - self._reference.delay_s
        self._unheard.append((self._frames / self._device.rate_hz + later_s, reference))

    def _tell(self) -> None:
        """Let the echo canceller know what is heard when."""
        if self._played is not None:
            for after_s, samples in self._unheard:
                self._played.put(self._anchor_s + after_s, samples)
        self._unheard.clear()

    def _put(self, samples: Samples) -> None:
        if len(samples):
            device = self._device
            self.started = True
            self._frames += len(samples)
            louder = _louder(np.asarray(samples), device.software_gain)
            self._pending += upmix(louder, device.channels, device.sample_format)

    def _ask(self) -> int:
        self._queued = self._device.queued() if self.started else 0
        return self._queued

    def _watch(self) -> None:
        now_s = self._clock.now_s()
        idle = not self._queued and not self._pending
        if self._queued != self._progress[0] or idle:
            self._progress = (self._queued, now_s)
        elif now_s - self._progress[1] > STALL_S:
            raise DeviceError(f"the speaker took nothing for {STALL_S:g} s")


def _louder(samples: Samples, gain: float) -> Samples:
    return samples if gain == 1.0 else to_int16(samples * np.float32(gain))
