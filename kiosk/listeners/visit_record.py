"""Record of a visit: times, counts and nobody's words, and the verdict on it.

Pure: no I/O, no clock.
"""

import re
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kiosk.contract import VisitVerdict
from kiosk.convai.server_tools import SKIP_TURN
from kiosk.listeners.verdicts import sentence_of, verdict_of
from kiosk.measures import Latencies, Measures
from kiosk.moments import FieldValue, Moment, VisitEnded, VisitStarted, What
from kiosk.visit.states import State
from kiosk.visit.traces import MOST_VISITS

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
    What.GAP: "gaps",
}
# Added up over the visit, by the moment's field.
_ADDED: dict[What, tuple[tuple[str, str], ...]] = {
    What.GAP: (("gaps_ms", "gap_ms"),),
    What.LINK: (("sent_segments", "sent_segments"), ("resent_segments", "resent_segments")),
    What.ROOM: tuple(
        (name, name)
        for name in (
            "sent_packets",
            "lost_packets",
            "received_packets",
            "missed_packets",
            "concealed_ms",
        )
    ),
}
_WORST: dict[What, tuple[str, ...]] = {
    What.STALLED: ("stall_ms",),
    What.LINK: ("round_trip_ms",),
    What.ROOM: ("round_trip_ms", "jitter_ms"),
}
# So many of the agent's own words in a row, said over its voice, are no visitor's.
_ECHOED_WORDS = 5
_WORD = re.compile(r"[^\W_]+")
_COUNTS = (
    *dict.fromkeys(_COUNTED.values()), "tools_failed", "unmeant_openings", "echoed_turns",
    *(name for added in _ADDED.values() for name, _ in added),
)  # fmt: skip
LOSSES = (
    "microphone_xruns", "speaker_xruns", "microphone_dropped_chunks", "uplink_dropped_chunks",
    "clipped_samples", "zeros_s",
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
    "tools_failed",
    "lost_by",
    "answered",
    "unanswered_ms",
    "unmeant_openings",
    "echoed_turns",
    "speech_s",
    *dict.fromkeys(name for added in _ADDED.values() for name, _ in added),
    *dict.fromkeys(name for names in _WORST.values() for name in names),
    *LOSSES,
)


class VisitRecord:
    """An observer of moments. `measures` and `counters` are those of the kiosk, which go on from
    visit to visit; `counters` has LOSSES. What a visitor says has ended `hangover_s` before the
    gate closes."""

    def __init__(
        self,
        measures: Callable[[], Measures],
        counters: Callable[[], Mapping[str, int]],
        hangover_s: float = 0.0,
    ) -> None:
        self._hangover_s = hangover_s
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
        found = self.so_far(ended_s)
        self._begun = False
        self._agent_words = ""
        return found

    @property
    def answers_ms(self) -> tuple[float, ...]:
        """How long each answer of the visit let wait for it."""
        return self._answers.samples()

    def so_far(self, now_s: float) -> dict[str, FieldValue]:
        """The summary of the visit under way, as if it ended now."""
        if not self._begun:
            return {}
        measures, counters = self._measures(), self._counters()
        found: dict[str, FieldValue] = {
            **self._times_ms,
            **{name: self._counts[name] for name in _COUNTS},
            **self._worst,
            "lost_by": self._lost_by,
            "answered": int(self._was_answered),
            "unanswered_ms": self._waited_ms(now_s),
            "duration_s": round(now_s - self._pressed_s, 1),
            "unmeant_openings": self._counts["unmeant_openings"] + self._unmeant,
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
        self._worst: dict[str, float] = {}
        self._lost_by: FieldValue = None  # the connection that was lost last
        self._understood_s: float | None = None  # what the agent has not answered yet
        self._was_answered = False
        self._spoke_since = False  # the visitor, since the agent was heard last
        self._agent_sounds = self._over_agent = self._unmeant = False
        self._agent_words = ""  # of its newest turn; gone with the visit

    def _follow(self, moment: Moment) -> None:
        what, at_s = moment.what, moment.at_s
        self._count(moment)
        self._look_for_echo(moment)
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
                self._spoke_since = True
            case What.SPEECH_ENDED if self._speaks_since_s is not None:
                ended_s = max(self._speaks_since_s, at_s - self._hangover_s)
                self._speech_s += ended_s - self._speaks_since_s
                self._speaks_since_s, self._asked_s = None, ended_s
            case What.TRANSCRIPT if self._agent_sounds and not self._spoke_since:
                self._was_answered = True  # the text came behind the sound of its answer
            case What.TRANSCRIPT | What.ASKED:
                self._understood_s = self._asked_s or at_s
            case What.AGENT_TOOL if moment.fields["tool"] == SKIP_TURN:
                self._understood_s = None  # it leaves the visitor time
            case What.LOST:
                self._lost_by = moment.fields["kind"]
            case What.AGENT_HEARD:
                self._answered(at_s)

    def _count(self, moment: Moment) -> None:
        what, fields = moment.what, moment.fields
        if what in _COUNTED:
            self._counts[_COUNTED[what]] += 1
        if fields.get("failed") or fields.get("error_type"):
            self._counts["tools_failed"] += 1
        for name, field in _ADDED.get(what, ()):
            self._counts[name] += int(_number(fields.get(field)))
        if what in _WORST:
            for name in _WORST[what]:
                self._worst[name] = max(self._worst.get(name, 0), _number(fields.get(name)))

    def _waited_ms(self, now_s: float) -> float | None:
        return None if self._understood_s is None else _ms(now_s - self._understood_s)

    def _look_for_echo(self, moment: Moment) -> None:
        """What opens the gate over the agent's voice is a visitor's turn, or none, or the agent's
        own words."""
        match moment.what:
            case What.AGENT_HEARD:
                self._agent_sounds = True
            case What.DRAINED | What.SILENT | What.INTERRUPTED:
                self._agent_sounds = False
            case What.SPEECH_STARTED:
                self._counts["unmeant_openings"] += self._unmeant
                self._over_agent = self._unmeant = self._agent_sounds
            case What.RESPONSE:
                if self._unmeant:  # nobody asked: the agent goes on by itself
                    self._counts["unmeant_openings"] += 1
                    self._unmeant, self._asked_s = False, None
                self._agent_words = _bare(moment.words)
            case What.TRANSCRIPT:
                said = _bare(moment.words)
                echoed = len(said.split()) >= _ECHOED_WORDS and said in self._agent_words
                self._counts["echoed_turns"] += self._over_agent and echoed
                self._unmeant = False

    def _answered(self, at_s: float) -> None:
        self._spoke_since = False
        self._was_answered |= self._understood_s is not None
        self._understood_s = None
        if self._asked_s is not None:
            after_ms, self._asked_s = (at_s - self._asked_s) * 1000, None
            self._answers.add(after_ms)
            if self._first_answer_ms is None:
                self._first_answer_ms = round(after_ms, 1)

    def _first(self, name: str, at_s: float) -> None:
        self._times_ms.setdefault(name, _ms(at_s - self._pressed_s))


@dataclass(frozen=True, slots=True)
class VisitSummary:
    """What is kept of a visit: its ending, its figures by FIELDS, and the verdict on it."""

    press_id: str
    kind: str
    figures: Mapping[str, FieldValue]
    verdict: VisitVerdict
    answers_ms: tuple[float, ...] = ()

    @property
    def sentence(self) -> str:
        return sentence_of(self.verdict, self.figures)


class VisitRecords:
    """An observer of moments that keeps the records of the last visits. Arguments as those of
    VisitRecord."""

    def __init__(
        self,
        measures: Callable[[], Measures],
        counters: Callable[[], Mapping[str, int]],
        hangover_s: float = 0.0,
    ) -> None:
        self._visit = VisitRecord(measures, counters, hangover_s)
        self._press_id = ""
        self._records: deque[VisitSummary] = deque(maxlen=MOST_VISITS)

    def observe(self, moment: Moment) -> None:
        self._visit.observe(moment)
        match moment:
            case VisitStarted(press_id=press_id):
                self._press_id = press_id
            case VisitEnded(kind=kind):
                figures = self._visit.fields(moment.at_s)
                if figures:
                    verdict = verdict_of(kind, figures)
                    answers_ms = self._visit.answers_ms
                    summary = VisitSummary(self._press_id, kind, figures, verdict, answers_ms)
                    self._records.append(summary)

    def judge(self, kind: str, now_s: float) -> VisitVerdict | None:
        """The verdict on the visit under way, if it ended now, by this kind."""
        figures = self._visit.so_far(now_s)
        return verdict_of(kind, figures) if figures else None

    def of(self, press_id: str | None) -> VisitSummary | None:
        """That of a press; None names the last visit."""
        for record in reversed(self._records):
            if press_id in (None, record.press_id):
                return record
        return None


def _number(value: FieldValue) -> float:
    return value if isinstance(value, int | float) else 0


def _bare(words: str | None) -> str:
    """The words alone, in small letters, with a space around each."""
    return f" {' '.join(_WORD.findall((words or '').lower()))} "


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


def _percentiles(name: str, latencies: Latencies, after: int) -> dict[str, FieldValue]:
    values = {percent: latencies.percentile(percent, after) for percent in (50, 99)}
    return {
        f"{name}_p{percent}_ms": None if value is None else round(value, 1)
        for percent, value in values.items()
    }
