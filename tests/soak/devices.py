"""Counted cards and lamps: what the visit asks of them, and what they report, without a thread."""

import asyncio
from collections.abc import Callable

import numpy as np

from kiosk.audio.capture import CHUNK_SAMPLES, CapturedChunk
from kiosk.audio.gate import Edge, Verdict
from kiosk.audio.pcm import CHUNK_MS, Samples, silence
from kiosk.base.clock import loop_now_s
from kiosk.devices.bridge import FIRST_SOUND_S, REOPEN_INTERVAL_S, STALL_S
from kiosk.devices.ports import (
    BusyError,
    Clip,
    Drained,
    Lost,
    MicrophoneEvent,
    Opened,
    Pattern,
    Running,
)
from kiosk.errors import DeviceError
from tests.unit.fakes import LoopSpeaker

_ONSET, _HANGOVER, _AFTER = 3, 30, 40  # chunks: until the gate opens, until it closes, and on

_SILENCE = silence(CHUNK_SAMPLES)

# What may be wrong with a card: it is away; another program has it when it is to start next; it
# does nothing more; it starts late, and so late comes what it captures.
LOST, BUSY, STUCK, SLOW = "lost", "busy", "stuck", "slow"


class CountedMicrophone:
    """A `Microphone` that delivers chunks while somebody makes a sound, and a little longer."""

    def __init__(self, handler: Callable[[MicrophoneEvent], None], voice: Samples) -> None:
        self.running = False
        self._handler = handler
        self._loop = asyncio.get_running_loop()
        count = len(voice) // CHUNK_SAMPLES
        self._voice = np.split(voice[: count * CHUNK_SAMPLES], count)
        self._wanted = False
        self._there = True
        self._wrong: str | None = None
        self._late_s = 0.0
        self._starts: asyncio.TimerHandle | None = None
        self._gives_up: asyncio.TimerHandle | None = None
        self._next: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._wanted = True
        self._follow()

    def stop(self) -> None:
        self._wanted = False
        self._follow()

    def fail(self, how: str, late_s: float = 0.0) -> None:
        """LOST, BUSY, STUCK or SLOW by so much, until `mend`."""
        self._wrong = how
        if how == LOST:
            self._lose(DeviceError("unplugged"))
        elif how == SLOW:
            self._late_s = late_s
        elif how == STUCK and self.running:
            self._stick(STALL_S)

    def mend(self) -> None:
        self._wrong, self._late_s = None, 0.0
        _cancel(self._gives_up)
        self._come_back()

    def sound(self, seconds: float, *, speech: bool) -> None:
        """Somebody speaks, or makes a noise that the kiosk's gate takes for speech."""
        if self._next is None and self.running:
            last = max(_ONSET + 1, round(seconds * 1000 / CHUNK_MS))
            self._next = self._loop.call_later(self._late_s, self._chunk, 0, last, speech)

    def _chunk(self, number: int, last: int, speech: bool) -> None:
        self._next = None
        if not self.running or number == last + _AFTER or self._wrong == STUCK:
            return
        closes = last + _HANGOVER
        edges = {_ONSET: Edge.SPEECH_STARTED, closes: Edge.SPEECH_ENDED}
        verdict = Verdict(_ONSET <= number < closes, True, edges.get(number))
        heard = self._voice[number % len(self._voice)] if speech and number < last else _SILENCE
        self._handler(CapturedChunk(heard, loop_now_s() - self._late_s, verdict))
        self._next = self._loop.call_later(CHUNK_MS / 1000, self._chunk, number + 1, last, speech)

    def _follow(self) -> None:
        """Start or stop, as is wanted."""
        if not (self._wanted and self._there):
            _cancel(self._starts, self._gives_up, self._next)
            self._starts = self._next = None
            self._run(False)
        elif self._wrong == BUSY:
            self._lose(BusyError("another program has it"))
        elif not self.running and self._starts is None:
            self._starts = self._loop.call_later(self._late_s, self._begin)

    def _begin(self) -> None:
        self._starts = None
        self._run(True)
        if self._wrong == STUCK:
            self._stick(FIRST_SOUND_S)

    def _stick(self, patience_s: float) -> None:
        """Nothing comes until its thread gives it up, and opens it again."""
        self._gives_up = self._loop.call_later(patience_s, self._give_up)

    def _give_up(self) -> None:
        self._lose(DeviceError("the microphone delivered nothing"))
        self._loop.call_later(REOPEN_INTERVAL_S, self._reopen)

    def _reopen(self) -> None:
        if self._wrong == STUCK:
            self._come_back()

    def _lose(self, error: DeviceError) -> None:
        if self._there:
            self._there = False
            self._follow()
            self._report(Lost(error))

    def _come_back(self) -> None:
        if not self._there:
            self._there = True
            self._report(Opened("a card"))
            self._follow()

    def _run(self, running: bool) -> None:
        if running != self.running:
            self.running = running
            self._report(Running(running))

    def _report(self, event: MicrophoneEvent) -> None:
        self._loop.call_soon(self._handler, event)  # as out of a thread


class CountedSpeaker(LoopSpeaker):
    """A loudspeaker with which something may be wrong, and which forgets what it played."""

    def __init__(self, report: Callable[[Opened | Lost], None]) -> None:
        super().__init__()
        self._lost_report = report
        self._there = True
        self._wrong: str | None = None
        self._gives_up: asyncio.TimerHandle | None = None

    def play(self, clip: Clip) -> int:
        del self.heard[:], self.ducked[:]
        if self._wrong == BUSY:
            self._lose(BusyError("another program has it"))
        if self._there and len(clip.samples):
            return super().play(clip)
        self._given += 1
        if self._sounding is None:
            self._report(Drained(self._given, self._loop.time()))
        return self._given

    def fail(self, how: str) -> None:
        """LOST, BUSY or STUCK, until `mend`."""
        self._wrong = how
        if how == LOST:
            self._lose(DeviceError("unplugged"))
        elif how == STUCK and self._sounding is not None:
            self._stick()

    def mend(self) -> None:
        self._wrong = None
        self._come_back()

    def _next(self) -> None:
        super()._next()
        if self._wrong == STUCK:
            self._stick()

    def _stick(self) -> None:
        """What sounds has no end until the thread gives the card up, and opens it again."""
        assert self._sounding is not None
        _cancel(self._sounding[2], self._gives_up)
        self._gives_up = self._loop.call_later(STALL_S, self._give_up, self._sounding[0])

    def _give_up(self, clip: Clip) -> None:
        if self._sounding is not None and self._sounding[0] is clip:
            self._lose(DeviceError("the speaker took nothing"))
            self._loop.call_later(REOPEN_INTERVAL_S, self._reopen)

    def _reopen(self) -> None:
        if self._wrong == STUCK:
            self._come_back()

    def _lose(self, error: DeviceError) -> None:
        if self._there:
            self._there = False
            self.flush()
            self._loop.call_soon(self._lost_report, Lost(error))
            self._report(Drained(self._given, self._loop.time()))

    def _come_back(self) -> None:
        if not self._there:
            self._there = True
            self._loop.call_soon(self._lost_report, Opened("a card"))


def _cancel(*handles: asyncio.TimerHandle | None) -> None:
    for handle in handles:
        if handle is not None:
            handle.cancel()


class Lamps:
    """Both lamps as they are now, and how often the state lamp changed."""

    def __init__(self) -> None:
        self.recording_lit = False
        self.shown: Pattern = ()
        self.changes = 0

    def show(self, pattern: Pattern) -> None:
        self.changes += pattern != self.shown
        self.shown = pattern

    def recording(self, *, on: bool) -> None:
        self.recording_lit = on

    def close(self) -> None:
        """Nothing to close."""
