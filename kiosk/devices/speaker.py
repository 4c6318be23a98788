"""The playback thread: clips -> the card's rate and channels -> card, flushable at any sample."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable

import numpy as np

from kiosk.audio.pcm import Samples, upmix
from kiosk.audio.resample import Resampler
from kiosk.devices.bridge import POLL_S, STALL_S, DeviceThread, Outbox
from kiosk.devices.ports import (
    Began,
    Clip,
    Drained,
    Flushed,
    Lost,
    Opened,
    PlaybackPcm,
    Source,
    SpeakerEvent,
)
from kiosk.errors import DeviceError

_OUTBOX_LIMIT = 1000
# An agent that never stops must not fill the memory: what is over this is dropped.
_MAX_WAITING_S = 300
_SLICE_MS = 20
# When this little is left in the card and no clip follows, the resampler's tail is sent after it.
_LAST_CALL_MS = 30


class SpeakerThread(DeviceThread[PlaybackPcm]):
    """A `Speaker` over any PlaybackPcm. The card owns at most its buffer, the rest waits here."""

    def __init__(
        self,
        open_pcm: Callable[[], PlaybackPcm],
        handler: Callable[[SpeakerEvent], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__("speaker", open_pcm)
        self._outbox = Outbox(loop, handler, _OUTBOX_LIMIT)
        self._drained = 0  # the last count reported
        self._lock = threading.Lock()  # guards the six below, which two threads share
        self._clips: deque[Clip] = deque()
        self._position = 0  # in the first clip
        self._given = 0
        self._serving = False
        self._flush_card = False
        self._sounding: Source | None = None  # whose sound went to the card last

    def play(self, clip: Clip) -> int:
        with self._lock:
            if self._serving and len(clip.samples) and self._waiting_s() < _MAX_WAITING_S:
                self._clips.append(clip)
            self._given += 1
            given, lost = self._given, not self._serving
        if lost:
            self._report_drained(given)  # nobody may wait for what is never heard
        self._wake.set()
        return given

    def flush(self, *sources: Source) -> None:
        gone = sources or tuple(Source)
        with self._lock:
            if self._clips and self._clips[0].source in gone:
                self._position = 0
            self._clips = deque(clip for clip in self._clips if clip.source not in gone)
            if self._sounding in gone:
                self._flush_card = True
        self._wake.set()

    def _waiting_s(self) -> float:
        return sum(len(clip.samples) / clip.rate_hz for clip in self._clips)

    def _serve(self, device: PlaybackPcm) -> None:
        stream = _CardStream(device)
        while self._awake():
            with self._lock:
                flush, self._flush_card = self._flush_card, False
                if flush:
                    self._sounding = None
            if flush:
                stream.drop()
                self._outbox.put(Flushed(time.monotonic()))
            self._feed(stream)
            if not self._finish(stream):
                self._wake.wait(POLL_S)
            else:
                self._wake.wait()
        device.drop()  # closing would play out what is queued

    def _feed(self, stream: "_CardStream") -> None:
        """Fill the card's buffer with what waits."""
        while stream.room() > 0:
            piece = self._take()
            if piece is None:
                stream.write_out()
                return
            clip, samples, first = piece
            heard_at_s = stream.append(samples, clip.rate_hz, clip.source)
            if first:
                self._outbox.put(Began(clip, heard_at_s))
        stream.write_out()

    def _take(self) -> tuple[Clip, Samples, bool] | None:
        """The next slice of the first clip, and whether it is the clip's first."""
        with self._lock:
            if not self._clips or self._flush_card:
                return None
            clip, start = self._clips[0], self._position
            end = start + clip.rate_hz * _SLICE_MS // 1000
            if end >= len(clip.samples):
                self._clips.popleft()
                self._position = 0
            else:
                self._position = end
            self._sounding = clip.source
            return clip, clip.samples[start:end], start == 0

    def _finish(self, stream: "_CardStream") -> bool:
        """True when nothing sounds and nothing waits, so that the thread may sleep."""
        with self._lock:
            waiting, given = bool(self._clips) or self._flush_card, self._given
        if waiting:
            return False
        if not stream.started:
            self._report_drained(given)
            return True
        left_ms = stream.left_ms()
        if left_ms <= _LAST_CALL_MS:
            stream.append_tail()
        if left_ms > 0 or stream.left_ms() > 0:
            return False
        stream.drop()  # a card left to run dry would report an underrun
        with self._lock:
            if not self._clips:
                self._sounding = None
        self._report_drained(given)
        return True

    def _report_drained(self, given: int) -> None:
        if given != self._drained:
            self._drained = given
            self._outbox.put(Drained(given, time.monotonic()))

    def _report_opened(self, device: PlaybackPcm) -> None:
        with self._lock:
            self._serving = True
        self._outbox.put(Opened(f"{device.rate_hz} Hz, {device.channels} channel(s)"))

    def _report_lost(self, error: DeviceError) -> None:
        with self._lock:
            self._serving = False
            self._clips.clear()
            self._position = 0
            self._sounding = None
            given = self._given
        self._outbox.put(Lost(error))
        # What waited is gone: nobody may wait for it to be heard.
        self._report_drained(given)


class _CardStream:
    """One card's output: converts, keeps what the card did not take yet, watches its progress."""

    def __init__(self, device: PlaybackPcm) -> None:
        self.started = False
        self._device = device
        self._frame_bytes = 2 * device.channels
        self._resampler: Resampler | None = None
        self._key: tuple[int, Source] | None = None
        self._pending = bytearray()
        # Frames queued, and since when they are that many with nothing more accepted.
        self._progress = (0, 0.0)

    def room(self) -> int:
        """Frames that may still be appended without the card owning more than its buffer."""
        pending = len(self._pending) // self._frame_bytes
        return self._device.buffer_frames - self._queued() - pending

    def append(self, samples: Samples, rate_hz: int, source: Source) -> float:
        """Convert one slice; returns when its first sample will be heard (monotonic seconds)."""
        if self._key != (rate_hz, source):
            self.append_tail()
            self._key = (rate_hz, source)
            self._resampler = Resampler(rate_hz, self._device.rate_hz)
        assert self._resampler is not None
        ahead = self._queued() + len(self._pending) // self._frame_bytes
        heard_at_s = time.monotonic() + ahead / self._device.rate_hz + self._resampler.delay_s
        self._put(self._resampler.push(samples))
        return heard_at_s

    def append_tail(self) -> None:
        """What still stands in the resampler's filter, once."""
        if self._resampler is not None:
            self._put(self._resampler.flush())
            self._resampler, self._key = None, None
            self.write_out()

    def write_out(self) -> None:
        """Give the card what it takes; the rest stays pending."""
        while self._pending:
            frames = self._device.write(bytes(self._pending))
            if not frames:
                break
            del self._pending[: frames * self._frame_bytes]
            self._progress = (-1, time.monotonic())
        self._watch()

    def left_ms(self) -> float:
        """How long what was appended will still sound."""
        self.write_out()
        frames = self._queued() + len(self._pending) // self._frame_bytes
        return frames * 1000 / self._device.rate_hz

    def drop(self) -> None:
        self._device.drop()
        self._pending.clear()
        self._resampler, self._key = None, None
        self.started = False

    def _put(self, samples: Samples) -> None:
        if len(samples):
            self.started = True
            self._pending += upmix(np.asarray(samples), self._device.channels)

    def _queued(self) -> int:
        return self._device.queued() if self.started else 0

    def _watch(self) -> None:
        queued, now_s = self._queued(), time.monotonic()
        if queued != self._progress[0] or not queued:
            self._progress = (queued, now_s)
        elif now_s - self._progress[1] > STALL_S:
            raise DeviceError(f"the speaker took nothing for {STALL_S:g} s")
