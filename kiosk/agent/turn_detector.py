"""Turn detection: voice activity over the incoming stream. Pure.

Sound arrives in bursts, so turns are found in the time of the stream; when a chunk arrived is only
remembered, for the timeline.
"""

from collections import deque
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from kiosk.audio.capture import CHUNK_SAMPLES
from kiosk.audio.gate import Edge, Gate, GateSettings, webrtc_detector
from kiosk.audio.levels import voiced_span
from kiosk.audio.pcm import CHUNK_MS, INTERNAL_RATE_HZ, PcmFormat, Rechunker, Samples
from kiosk.audio.resample import Resampler

_PREROLL_MS = 300
_LONGEST_TURN_MS = 30_000


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """The visitor speaks."""


@dataclass(frozen=True, slots=True)
class TurnGrows:
    """What was said so far, 16 kHz mono, while there is time to look at it before it is held."""

    samples: Samples


@dataclass(frozen=True, slots=True)
class TurnHeld:
    """The visitor has spoken for so long that it is meant for the agent; `insists`: twice as long,
    whatever it sounds like."""

    insists: bool = False


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """What was said, 16 kHz mono, and when its last voiced sample arrived (monotonic). `held`: it
    was long enough for TurnHeld."""

    samples: Samples
    last_voiced_received_s: float
    held: bool


TurnEvent: TypeAlias = TurnStarted | TurnGrows | TurnHeld | TurnEnded


class TurnDetector:
    """One conversation's hearing, up to but not including recognition.

    A turn ends after `end_of_turn_ms` without a voice, and is held after `held_ms` with one. It
    grows at 0.7 of that.
    """

    def __init__(self, format_: PcmFormat, end_of_turn_ms: int, held_ms: int) -> None:
        self._format = format_
        self._resampler = Resampler(format_.rate_hz, INTERNAL_RATE_HZ)
        self._rechunker = Rechunker(CHUNK_SAMPLES)
        settings = GateSettings(hangover_ms=end_of_turn_ms, held_ms=held_ms)
        self._gate = Gate(settings, webrtc_detector())
        # Of voice in the turn under way, in milliseconds, and what comes of it.
        self._marks = (held_ms * 7 // 10, held_ms, 2 * held_ms)
        self._passed = 0  # of the marks
        self._before: deque[tuple[Samples, float]] = deque(maxlen=_PREROLL_MS // CHUNK_MS)
        self._turn: list[tuple[Samples, float]] = []

    def push(self, audio: bytes, received_s: float) -> list[TurnEvent]:
        """The next piece of the visitor's stream, in the format of the wire."""
        events: list[TurnEvent] = []
        converted = self._resampler.push(self._format.decode(audio))
        for chunk in self._rechunker.push(converted):
            verdict = self._gate.push(chunk)
            if verdict.edge is Edge.SPEECH_STARTED:
                self._turn = list(self._before)
                self._passed = 0
                events.append(TurnStarted())
            if verdict.speech or verdict.edge is not None:
                self._turn.append((chunk, received_s))
            while verdict.speech and self._passed < len(self._marks):
                if verdict.voiced_ms < self._marks[self._passed]:
                    break
                events.append(self._mark())
                self._passed += 1
            too_long = len(self._turn) * CHUNK_MS >= _LONGEST_TURN_MS
            if self._turn and (verdict.edge is Edge.SPEECH_ENDED or too_long):
                events.append(self._end_turn())
            self._before.append((chunk, received_s))
        return events

    def _mark(self) -> TurnEvent:
        if self._passed == 0:
            return TurnGrows(np.concatenate([chunk for chunk, _ in self._turn]))
        return TurnHeld(insists=self._passed > 1)

    def _end_turn(self) -> TurnEnded:
        samples = np.concatenate([chunk for chunk, _ in self._turn])
        _, end = voiced_span(samples, INTERNAL_RATE_HZ)
        last = max(0, end - 1) // CHUNK_SAMPLES
        ended = TurnEnded(samples, self._turn[last][1], self._passed > 1)
        self._turn = []
        return ended
