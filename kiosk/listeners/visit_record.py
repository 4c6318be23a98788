"""Record of a visit, for the journal: times, counts and nobody's words.

Pure: no I/O, no clock.
"""

from collections import Counter
from collections.abc import Callable, Mapping

from kiosk.measures import Latencies, Measures
from kiosk.moments import FieldValue, Moment, What
from kiosk.visit.states import State

# How long after the press each first happened.
_FIRST: dict[What, str] = {
    What.MICROPHONE: "microphone_ms",
    What.EARCON_HEARD: "chime_ms",
    What.LEASED: "lease_ms",
    What.CONNECTED: "connect_ms",
    What.AGENT_HEARD: "first_sound_ms",
}
_COUNTED: dict[What, str] = {
    What.TRANSCRIPT: "turns",
    What.RESPONSE: "answers",
    What.SPEECH_STARTED: "gate_openings",
    What.INTERRUPTED: "interruptions",
    What.LOST: "reconnects",
    What.TOOL_CALLED: "tools",
    What.AGENT_TOOL: "tools",
    What.GUARDRAIL: "guardrails",
}
LOSSES = (
    "microphone_xruns", "speaker_xruns", "microphone_dropped_chunks", "uplink_dropped_chunks",
    "clipped_samples",
)  # fmt: skip
FIELDS = (
    "duration_s",
    "language",
    "light_ms",
    *_FIRST.values(),
    "listening_ms",
    "queue_ms",
    "first_answer_ms",
    "answer_p50_ms",
    "answer_p99_ms",
    "mic_to_wire_p50_ms",
    "mic_to_wire_p99_ms",
    "wire_to_speaker_p50_ms",
    "wire_to_speaker_p99_ms",
    *dict.fromkeys(_COUNTED.values()),
    "speech_s",
    *LOSSES,
)


class VisitRecord:
    """An observer of moments. `measures` and `counters` are those of the kiosk, which go on from
    visit to visit; `counters` has LOSSES."""

    def __init__(
        self,
        measures: Callable[[], Measures],
        counters: Callable[[], Mapping[str, int]],
    ) -> None:
        self._measures = measures
        self._counters = counters
        self._last_press_s = 0.0
        self._begun = False

    def observe(self, moment: Moment) -> None:
        if moment.what is What.PRESSED:
            self._last_press_s = moment.at_s
        elif moment.what is What.VISIT_STARTED:
            self._begin()
        elif self._begun:
            self._follow(moment)

    def fields(self, ended_s: float) -> dict[str, FieldValue]:
        """The summary of the visit that ends now: all FIELDS, None where there is nothing to tell.
        Nothing at all without a visit."""
        if not self._begun:
            return {}
        self._begun = False
        measures, counters = self._measures(), self._counters()
        found: dict[str, FieldValue] = {
            **self._times_ms,
            **{name: self._counts[name] for name in _COUNTED.values()},
            "duration_s": round(ended_s - self._pressed_s, 1),
            "language": self._language,
            "speech_s": round(self._speech_s, 1),
            "first_answer_ms": self._first_answer_ms,
            **_percentiles("answer", self._answers, 0),
            **_percentiles("mic_to_wire", measures.mic_to_wire, self._measured[0]),
            **_percentiles("wire_to_speaker", measures.wire_to_speaker, self._measured[1]),
            **{name: max(0, counters[name] - self._before[name]) for name in LOSSES},
        }
        return {name: found.get(name) for name in FIELDS}

    def _begin(self) -> None:
        self._begun = True
        self._pressed_s = self._last_press_s
        measures = self._measures()
        self._measured = (measures.mic_to_wire.count, measures.wire_to_speaker.count)
        self._before = dict(self._counters())
        self._times_ms: dict[str, FieldValue] = {}
        self._counts: Counter[str] = Counter()
        self._answers = Latencies()
        self._first_answer_ms: float | None = None
        self._language: FieldValue = None  # where it is not the kiosk's own
        self._speech_s = 0.0
        self._speaks_since_s: float | None = None
        self._asked_s: float | None = None
        self._queued_s: float | None = None

    def _follow(self, moment: Moment) -> None:
        what, at_s = moment.what, moment.at_s
        if what in _COUNTED:
            self._counts[_COUNTED[what]] += 1
        if what in _FIRST and moment.fields.get("running") != 0:
            self._first(_FIRST[what], at_s)
        match what:
            case What.STATE:
                self._first("light_ms", at_s)
                if moment.fields.get("state") == State.LISTENING:
                    self._first("listening_ms", at_s)
            case What.LANGUAGE:
                self._language = moment.fields["language"]
            case What.QUEUED:
                self._queued_s = at_s
            case What.ADMITTED if self._queued_s is not None:
                self._times_ms["queue_ms"] = _ms(at_s - self._queued_s)
            case What.SPEECH_STARTED:
                self._speaks_since_s, self._asked_s = at_s, None
            case What.SPEECH_ENDED if self._speaks_since_s is not None:
                self._speech_s += at_s - self._speaks_since_s
                self._speaks_since_s, self._asked_s = None, at_s
            case What.AGENT_HEARD if self._asked_s is not None:
                self._answered((at_s - self._asked_s) * 1000)

    def _answered(self, after_ms: float) -> None:
        self._asked_s = None
        self._answers.add(after_ms)
        if self._first_answer_ms is None:
            self._first_answer_ms = round(after_ms, 1)

    def _first(self, name: str, at_s: float) -> None:
        self._times_ms.setdefault(name, _ms(at_s - self._pressed_s))


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


def _percentiles(name: str, latencies: Latencies, after: int) -> dict[str, FieldValue]:
    values = {percent: latencies.percentile(percent, after) for percent in (50, 99)}
    return {
        f"{name}_p{percent}_ms": None if value is None else round(value, 1)
        for percent, value in values.items()
    }
