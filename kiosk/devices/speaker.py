"""The playback thread: clips -> the card's rate and channels -> card, flushable at any sample."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable

from kiosk.audio.ducking import Ducking
from kiosk.audio.pcm import Samples
from kiosk.base.clock import REAL, Clock
from kiosk.devices.bridge import DeviceThread, Outbox
from kiosk.devices.card_stream import CardStream
from kiosk.devices.played import PlayedSound
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
        played: PlayedSound | None = None,
        ducking: Ducking | None = None,
        wake_lead_ms: int = 0,
        clock: Clock = REAL,
        *,
        keep_running: bool = False,
    ) -> None:
        super().__init__("speaker", open_pcm, clock)
        self._played = played
        self._ducking = ducking or Ducking()
        self._wake_lead_ms = wake_lead_ms
        self._keep_running = keep_running
        self._outbox = Outbox(loop, handler, _OUTBOX_LIMIT)
        self._drained = 0  # the last count reported
        self.xruns = 0  # of the card as it is open now; read by any thread
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

    def duck(self, *, on: bool) -> None:
        self._ducking.on = on

    def set_level(self, level_db: float) -> None:
        self._ducking.level_db = level_db

    def _waiting_s(self) -> float:
        return sum(len(clip.samples) / clip.rate_hz for clip in self._clips)

    def _serve(self, device: PlaybackPcm) -> None:
        stream = CardStream(
            device,
            self._played,
            self._wake_lead_ms,
            self._clock,
            keep_running=self._keep_running,
        )
        while self._awake():
            with self._lock:
                flush, self._flush_card = self._flush_card, False
                if flush:
                    self._sounding = None
            if flush:
                self._outbox.put(Flushed(stream.silence_s()))
            self._feed(stream)
            self.xruns = device.xruns
            if not self._finish(stream):
                self._wake.wait(stream.next_look_s())
            else:
                self._rest(device)
        device.drop()  # closing would play out what is queued

    def _feed(self, stream: CardStream) -> None:
        """Fill the card's buffer with what waits."""
        while stream.room() > 0:
            piece = self._take()
            if piece is None:
                stream.write_out()
                return
            clip, samples, first = piece
            if not stream.started:
                self._ducking.settle()
            samples = self._ducking.push(samples, clip.rate_hz)
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

    def _finish(self, stream: CardStream) -> bool:
        """True when nothing sounds and nothing waits, so that the thread may sleep."""
        with self._lock:
            waiting, given = bool(self._clips) or self._flush_card, self._given
        if waiting:
            return False
        if not stream.started and not self._keep_running:
            self._report_drained(given)
            return True
        left_ms = stream.left_ms()
        if left_ms <= _LAST_CALL_MS:
            stream.append_tail()
        if self._keep_running:
            stream.fill()
        if left_ms > 0 or stream.left_ms() > 0:
            return False
        if not self._keep_running:
            stream.drop()  # a card left to run dry would report an underrun
        with self._lock:
            if not self._clips:
                self._sounding = None
        self._report_drained(given)
        return not self._keep_running

    def _report_drained(self, given: int) -> None:
        if given != self._drained:
            self._drained = given
            self._outbox.put(Drained(given, self._clock.now_s()))

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
