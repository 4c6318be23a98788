"""Microphone -> wire: gapless, in order, and nothing of what was said lost.

From the press on, chunks are kept; once the conversation is connected they go out at once, first
what was said while connecting. A chunk the gate calls not-speech goes out as digital silence, never
as nothing; when speech begins, its pre-roll follows it out at once. Both put the stream ahead of
real time: that *debt* is repaid by leaving out as many silent chunks later.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kiosk.audio.capture import CHUNK_SAMPLES, CapturedChunk
from kiosk.audio.echo import ONSET_GUARD_MS
from kiosk.audio.gate import Edge
from kiosk.audio.pcm import CHUNK_MS, INTERNAL_RATE_HZ, PcmFormat, Samples, silence
from kiosk.audio.resample import Resampler
from kiosk.base.clock import loop_now_s
from kiosk.measures import Latencies
from kiosk.visit.turn_memory import TurnMemory

# What is said while the socket opens, or while the network stalls: the newest is kept.
BACKLOG_MS = 3000

_SILENCE = silence(CHUNK_SAMPLES)


@dataclass(frozen=True, slots=True)
class _Outgoing:
    samples: Samples
    captured_at_s: float
    in_debt: bool


class Uplink:
    """One visit's microphone stream. `push` and `run` are used in the same event loop."""

    def __init__(self, preroll_ms: int, mic_to_wire: Latencies, memory: TurnMemory) -> None:
        self._mic_to_wire = mic_to_wire
        self._memory = memory
        self._outgoing: deque[_Outgoing] = deque(maxlen=BACKLOG_MS // CHUNK_MS)
        self._preroll_chunks = max(1, preroll_ms // CHUNK_MS)
        self._preroll: deque[CapturedChunk] = deque(
            maxlen=self._preroll_chunks + ONSET_GUARD_MS // CHUNK_MS
        )
        # What may be the beginning of speech, for the memory: the pre-roll is gone once it is sent.
        self._onset: deque[Samples] = deque(maxlen=self._preroll_chunks)
        self._ready = asyncio.Event()
        self.dropped_chunks = 0  # since the kiosk was started
        self.reset()

    def reset(self) -> None:
        """Start a visit: nothing said yet, not connected."""
        self.talk_open = True
        self._connected = False
        self._on_hold = False
        self._debt = 0  # in chunks
        self._again: tuple[Samples, ...] = ()
        self._outgoing.clear()
        self._preroll.clear()
        self._onset.clear()

    @property
    def debt_ms(self) -> int:
        """How far what was sent is ahead of real time."""
        return self._debt * CHUNK_MS

    def connect(self, again: tuple[Samples, ...] = ()) -> None:
        """From now on chunks go out; what was kept counts as debt. `again`: chunks that another
        conversation has heard already, sent first. They are no debt: a server that listens for the
        end of a turn needs the silence that follows."""
        self._again = again
        if again:
            self._outgoing.clear()  # what of it was speech is among them
        self._connected = True
        self._on_hold = False
        self._debt = len(self._outgoing)
        self._ready.set()

    def allow_talk(self, *, allowed: bool) -> None:
        """Whether the microphone's sound may go out (a held button), or only silence."""
        self.talk_open = allowed

    def hold(self, *, on: bool) -> None:
        """Whether the visitor is held in a queue, where nobody listens: only silence goes out."""
        self._on_hold = on
        self._preroll.clear()
        if on:
            self._debt = max(0, self._debt - len(self._outgoing))
            self._outgoing.clear()

    def disconnect(self) -> None:
        """From now on chunks are kept again."""
        self._connected = False
        self._on_hold = False
        self._debt = 0
        self._preroll.clear()

    def push(self, chunk: CapturedChunk) -> None:
        """The next chunk of the microphone, in order."""
        self._debt -= 1  # real time went on by one chunk
        talking = self.talk_open and not self._on_hold
        if talking:
            self._remember(chunk)
        else:
            self._onset.clear()
        # While connecting nothing is cut but the loudspeaker's own trace.
        passes = chunk.verdict.passes or not (self._connected or chunk.over_agent)
        if talking and passes:
            self._send_preroll(speech=chunk.verdict.speech)
            self._send(chunk.samples, chunk.captured_at_s)
            return
        if talking:
            self._preroll.append(chunk)
        else:
            self._preroll.clear()  # nothing said before the button was held goes out
        if self._debt < 0:
            stand_in = chunk.stand_in if talking else None
            self._send(_SILENCE if stand_in is None else stand_in, chunk.captured_at_s)

    async def run(self, send: Callable[[bytes], Awaitable[None]], format_: PcmFormat) -> None:
        """Send sound in a format until cancelled, or until `send` raises because the connection is
        gone."""
        resampler = Resampler(INTERNAL_RATE_HZ, format_.rate_hz)
        again, self._again = self._again, ()
        for samples in again:
            await send(format_.encode(resampler.push(samples)))
        while True:
            while self._connected and self._outgoing:
                item = self._outgoing.popleft()
                audio = format_.encode(resampler.push(item.samples))
                await send(audio)
                if not item.in_debt:
                    self._mic_to_wire.add((loop_now_s() - item.captured_at_s) * 1000)
            self._ready.clear()
            await self._ready.wait()

    def _remember(self, chunk: CapturedChunk) -> None:
        if chunk.verdict.speech:
            for samples in (*self._onset, chunk.samples):
                self._memory.visitor_spoke(samples)
            self._onset.clear()
            return
        if chunk.verdict.edge is Edge.SPEECH_ENDED:
            self._memory.visitor_paused()
        if not chunk.over_agent:
            self._onset.append(chunk.samples)

    def _send_preroll(self, *, speech: bool) -> None:
        # Silence already stood in for these; now they follow with their own sound. Over the agent
        # speech is noticed that much later, and what is not sure to be speech may be the agent's.
        kept = list(self._preroll)
        self._preroll.clear()
        overlap = any(chunk.over_agent for chunk in kept)
        if not overlap:
            kept = kept[-self._preroll_chunks :]
        elif not speech:
            last = max(at for at, chunk in enumerate(kept) if chunk.over_agent)
            kept = kept[last + 1 :]
        for chunk in kept:
            self._send(chunk.samples, chunk.captured_at_s)

    def _send(self, samples: Samples, captured_at_s: float) -> None:
        self._debt += 1
        self._queue(samples, captured_at_s, self._debt > 0 or not self._connected)

    def _queue(self, samples: Samples, captured_at_s: float, in_debt: bool) -> None:
        if len(self._outgoing) == self._outgoing.maxlen:
            self.dropped_chunks += 1
            self._debt = max(0, self._debt - 1)  # what is dropped is ahead of nothing
        self._outgoing.append(_Outgoing(samples, captured_at_s, in_debt))
        self._ready.set()
