"""Timeline of a visit: its moments, and the latencies measured on the way.

Whoever wires the kiosk observes: the journal, the demo, a screen. `words` is what visitor or agent
said; it is apart from `fields` so that a log, which must never hold it, need only not look.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from typing import TypeAlias


class What(StrEnum):
    """The kinds of moments."""

    STATE = "state"
    FITNESS = "fitness"
    PRESSED = "pressed"
    VISIT_STARTED = "visit_started"
    VISIT_ENDED = "visit_ended"
    MICROPHONE = "microphone"
    LEASED = "leased"  # what opens the conversation is in hand
    CONNECTED = "connected"
    QUEUED = "queued"
    ADMITTED = "admitted"
    LOST = "lost"
    SPEECH_STARTED = "speech_started"
    SPEECH_ENDED = "speech_ended"
    TRANSCRIPT = "transcript"
    RESPONSE = "response"
    CORRECTION = "correction"
    AUDIO_RECEIVED = "audio_received"
    AGENT_HEARD = "agent_heard"
    EARCON_HEARD = "earcon_heard"
    SENTENCE_HEARD = "sentence_heard"
    INTERRUPTED = "interrupted"
    SILENT = "silent"
    DRAINED = "drained"
    DUCKED = "ducked"
    AGENT_HANGS_UP = "agent_hangs_up"
    AGENT_TOOL = "agent_tool"
    TOOL_CALLED = "tool_called"
    GUARDRAIL = "guardrail"
    MALFORMED = "malformed"
    DEVICE_OPENED = "device_opened"
    DEVICE_LOST = "device_lost"
    OVERLOADED = "overloaded"


FieldValue: TypeAlias = str | int | float | None


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened, in monotonic seconds."""

    what: What
    at_s: float
    fields: Mapping[str, FieldValue] = field(default_factory=dict)
    words: str | None = None


Observer: TypeAlias = Callable[[Moment], None]


class Latencies:
    """The newest samples of one latency in milliseconds; bounded."""

    def __init__(self, limit: int = 5000) -> None:
        self.count = 0
        self._samples: deque[float] = deque(maxlen=limit)

    def add(self, value_ms: float) -> None:
        self.count += 1
        self._samples.append(value_ms)

    def percentile(self, percent: float, after: int = 0) -> float | None:
        """The nearest-rank percentile of all but the first `after`; None where there are none."""
        forgotten = self.count - len(self._samples)
        ordered = sorted(islice(self._samples, max(0, after - forgotten), None))
        if not ordered:
            return None
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]

    def summary(self) -> dict[str, float | None]:
        return {
            name: None if value is None else round(value, 1)
            for name, value in (("p50", self.percentile(50)), ("p99", self.percentile(99)))
        }


@dataclass(slots=True)
class Measures:
    """What a kiosk measures of itself all the time."""

    mic_to_wire: Latencies = field(default_factory=Latencies)
    wire_to_speaker: Latencies = field(default_factory=Latencies)
