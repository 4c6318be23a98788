"""The summary of a visit: its fields, and that nobody's words are among them."""

from hypothesis import given
from hypothesis import strategies as st

from kiosk.listeners.visit_record import FIELDS, LOSSES, VisitRecord
from kiosk.measures import Measures
from kiosk.moments import FieldValue, Moment, What
from tests.moments import a_moment

MOMENTS = st.builds(
    a_moment,
    st.sampled_from([what for what in What if what is not What.VISIT_STARTED]),
    st.floats(0, 1e6),
    st.dictionaries(st.sampled_from(["state", "tool", "detail", "rule"]), st.just("marzipan")),
    st.just("marzipan"),
)


class Kiosk:
    """What a record reads of a kiosk."""

    def __init__(self) -> None:
        self.measures = Measures()
        self.counters = dict.fromkeys(LOSSES, 7)
        self.summary = VisitRecord(lambda: self.measures, lambda: self.counters)

    def begin(self, *moments: Moment) -> None:
        for moment in (
            a_moment(What.PRESSED, 100.0),
            a_moment(What.VISIT_STARTED, 100.01, {"press_id": "p"}),
            *moments,
        ):
            self.summary.observe(moment)

    def told(self, *moments: Moment, ended_s: float = 160.0) -> dict[str, FieldValue]:
        self.begin(*moments)
        return {name: value for name, value in self.summary.fields(ended_s).items() if value}


def test_the_fields_are_these() -> None:
    kiosk = Kiosk()
    kiosk.begin()
    assert tuple(kiosk.summary.fields(160.0)) == FIELDS == (
        "duration_s",
        "language",
        "light_ms",
        "microphone_ms",
        "chime_ms",
        "lease_ms",
        "connect_ms",
        "first_sound_ms",
        "listening_ms",
        "queue_ms",
        "first_answer_ms",
        "answer_p50_ms",
        "answer_p99_ms",
        "mic_to_wire_p50_ms",
        "mic_to_wire_p99_ms",
        "wire_to_speaker_p50_ms",
        "wire_to_speaker_p99_ms",
        "turns",
        "answers",
        "gate_openings",
        "interruptions",
        "reconnects",
        "tools",
        "guardrails",
        "gaps",
        "tools_failed",
        "lost_by",
        "answered",
        "unanswered_ms",
        "unmeant_openings",
        "echoed_turns",
        "speech_s",
        "gaps_ms",
        "sent_segments",
        "resent_segments",
        "sent_packets",
        "lost_packets",
        "received_packets",
        "missed_packets",
        "concealed_ms",
        "stall_ms",
        "round_trip_ms",
        "jitter_ms",
        "microphone_xruns",
        "speaker_xruns",
        "microphone_dropped_chunks",
        "uplink_dropped_chunks",
        "clipped_samples",
        "zeros_s",
    )  # fmt: skip


def test_the_stages_are_timed_from_the_press() -> None:
    told = Kiosk().told(
        a_moment(What.STATE, 100.02, {"state": "opening"}),
        a_moment(What.MICROPHONE, 100.025, {"running": 0}),  # of the visit before
        a_moment(What.MICROPHONE, 100.03, {"running": 1}),
        a_moment(What.EARCON_HEARD, 100.05),
        a_moment(What.LEASED, 100.06),
        a_moment(What.CONNECTED, 100.3, {"conversation_id": "c"}),
        a_moment(What.STATE, 100.31, {"state": "listening"}),
        a_moment(What.PRESSED, 150.0),  # hangs up
    )
    assert told == {
        "duration_s": 60.0,
        "light_ms": 20.0,
        "microphone_ms": 30.0,
        "chime_ms": 50.0,
        "lease_ms": 60.0,
        "connect_ms": 300.0,
        "listening_ms": 310.0,
    }


def test_an_answer_is_timed_from_the_end_of_what_the_visitor_said() -> None:
    turns = [
        a_moment(what, 101.0 + 10 * turn + at_s)
        for turn, answer_s in enumerate((0.9, 0.5, 0.7))
        for what, at_s in (
            (What.SPEECH_STARTED, 0.0),
            (What.SPEECH_ENDED, 2.0),
            (What.TRANSCRIPT, 2.1),
            (What.AGENT_HEARD, 2.0 + answer_s),
            (What.AGENT_HEARD, 5.0),  # it goes on
        )
    ]
    told = Kiosk().told(*turns)
    assert (told["first_answer_ms"], told["answer_p50_ms"], told["answer_p99_ms"]) == (
        900.0,
        700.0,
        900.0,
    )
    assert (told["turns"], told["gate_openings"], told["speech_s"]) == (3, 3, 6.0)


def test_what_a_visitor_adds_before_the_answer_belongs_to_the_question() -> None:
    told = Kiosk().told(
        a_moment(What.SPEECH_STARTED, 101.0),
        a_moment(What.SPEECH_ENDED, 102.0),
        a_moment(What.SPEECH_STARTED, 103.0),
        a_moment(What.AGENT_HEARD, 103.5),  # it interrupts: no answer to the end of a question
    )
    assert "first_answer_ms" not in told


def test_a_summary_is_of_one_visit() -> None:
    kiosk = Kiosk()
    kiosk.measures.mic_to_wire.add(900.0)
    kiosk.begin(a_moment(What.INTERRUPTED, 101.0), a_moment(What.QUEUED, 101.0))
    kiosk.summary.fields(110.0)
    kiosk.begin()
    kiosk.measures.mic_to_wire.add(4.0)
    kiosk.counters = {**kiosk.counters, "speaker_xruns": 9}
    told = {name: value for name, value in kiosk.summary.fields(160.0).items() if value}
    assert told == {
        "duration_s": 60.0,
        "mic_to_wire_p50_ms": 4.0,
        "mic_to_wire_p99_ms": 4.0,
        "speaker_xruns": 2,
    }


def test_latencies_are_of_one_visit_however_many_there_were() -> None:
    kiosk = Kiosk()
    for _ in range(6000):
        kiosk.measures.mic_to_wire.add(900.0)
    kiosk.begin()
    for _ in range(10):
        kiosk.measures.mic_to_wire.add(4.0)
    assert kiosk.summary.fields(160.0)["mic_to_wire_p99_ms"] == 4.0


def test_without_a_visit_there_is_nothing_to_tell() -> None:
    kiosk = Kiosk()
    assert kiosk.summary.fields(1.0) == {}
    kiosk.begin()
    assert kiosk.summary.fields(101.0)
    assert kiosk.summary.fields(102.0) == {}


@given(st.lists(MOMENTS, max_size=30))
def test_nothing_that_was_said_is_told(moments: list[Moment]) -> None:
    kiosk = Kiosk()
    kiosk.begin(*moments)
    fields = kiosk.summary.fields(2e6)
    codes = {moment.fields["language"] for moment in moments if moment.what is What.LANGUAGE}
    kinds = {moment.fields["kind"] for moment in moments if moment.what is What.LOST}
    assert fields.pop("language") in {None, *codes}
    assert fields.pop("lost_by") in {None, *kinds}
    assert all(value is None or isinstance(value, int | float) for value in fields.values())
