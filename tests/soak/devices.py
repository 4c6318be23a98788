"""Counted cards and lamps: what the visit asks of them, and what they report, without a thread."""

import asyncio
from collections.abc import Callable

import numpy as np

from kiosk.audio.capture import CHUNK_SAMPLES, CapturedChunk
from kiosk.audio.gate import Edge, Verdict
from kiosk.audio.pcm import CHUNK_MS, Samples, silence
from kiosk.base.clock import loop_now_s
from kiosk.devices.ports import Clip, Drained, Lost, MicrophoneEvent, Opened, Pattern, Running
from kiosk.errors import DeviceError
from tests.unit.fakes import LoopSpeaker

_ONSET, _HANGOVER, _AFTER = 3, 30, 40  # chunks: until the gate opens, until it closes, and on

_SILENCE = silence(CHUNK_SAMPLES)


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
        self._next: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._wanted = True
        self._run(self._there)

    def stop(self) -> None:
        self._wanted = False
        self._run(False)

    def lose(self) -> None:
        if self._there:
            self._there = False
            self._run(False)
            self._report(Lost(DeviceError("unplugged")))

    def come_back(self) -> None:
        if not self._there:
            self._there = True
            self._report(Opened("a card"))
            self._run(self._wanted)

    def sound(self, seconds: float, *, speech: bool) -> None:
        """Somebody speaks, or makes a noise that the kiosk's gate takes for speech."""
        if self._next is None and self.running:
            self._chunk(0, max(_ONSET + 1, round(seconds * 1000 / CHUNK_MS)), speech)

    def _chunk(self, number: int, last: int, speech: bool) -> None:
        self._next = None
        if not self.running or number == last + _AFTER:
            return
        closes = last + _HANGOVER
        edges = {_ONSET: Edge.SPEECH_STARTED, closes: Edge.SPEECH_ENDED}
        verdict = Verdict(_ONSET <= number < closes, True, edges.get(number))
        heard = self._voice[number % len(self._voice)] if speech and number < last else _SILENCE
        self._handler(CapturedChunk(heard, loop_now_s(), verdict))
        self._next = self._loop.call_later(CHUNK_MS / 1000, self._chunk, number + 1, last, speech)

    def _run(self, running: bool) -> None:
        if running != self.running:
            self.running = running
            self._report(Running(running))
            if not running and self._next is not None:
                self._next.cancel()
                self._next = None

    def _report(self, event: MicrophoneEvent) -> None:
        self._loop.call_soon(self._handler, event)  # as out of a thread


class CountedSpeaker(LoopSpeaker):
    """A loudspeaker that can be unplugged, and forgets what it played."""

    def __init__(self, report: Callable[[Opened | Lost], None]) -> None:
        super().__init__()
        self._lost_report = report
        self._there = True

    def play(self, clip: Clip) -> int:
        del self.heard[:], self.ducked[:]
        if self._there and len(clip.samples):
            return super().play(clip)
        self._given += 1
        if self._sounding is None:
            self._report(Drained(self._given, self._loop.time()))
        return self._given

    def lose(self) -> None:
        if self._there:
            self._there = False
            self.flush()
            self._loop.call_soon(self._lost_report, Lost(DeviceError("unplugged")))
            self._report(Drained(self._given, self._loop.time()))

    def come_back(self) -> None:
        if not self._there:
            self._there = True
            self._loop.call_soon(self._lost_report, Opened("a card"))


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
