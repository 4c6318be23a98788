"""The verdict on a visit: what spoils one is injected as moments, and must be named."""

from collections.abc import Iterator, Mapping

import pytest

from kiosk.causes import CAUSES, NOTICE
from kiosk.endings import Kind
from kiosk.listeners.verdicts import SIGNS
from kiosk.listeners.visit_record import LOSSES, VisitRecords, VisitSummary
from kiosk.measures import Measures
from kiosk.moments import FieldValue, Moment, What
from kiosk.visit.traces import MOST_VISITS
from tests.moments import a_moment

SAID = "the blue whale came ashore in this bay in the winter"


class Visits:
    """Visits whose records are kept."""

    def __init__(self) -> None:
        self.counters = dict.fromkeys(LOSSES, 5)
        self._measures = Measures()
        self.records = VisitRecords(lambda: self._measures, lambda: self.counters)

    def held(
        self,
        *moments: Moment,
        kind: str = "hung_up",
        press_id: str = "p",
        lost: Mapping[str, int] | None = None,
    ) -> VisitSummary:
        """One, from 100 s to 160 s; `lost`: what its counters count in it."""
        ended: dict[str, FieldValue] = {
            "kind": kind,
            "severity": CAUSES[kind].severity,
            "code": None,
            "detail": "",
        }
        for moment in (
            a_moment(What.PRESSED, 100.0),
            a_moment(What.VISIT_STARTED, 100.0, {"press_id": press_id}),
            *moments,
        ):
            self.records.observe(moment)
        for name, count in (lost or {}).items():
            self.counters[name] += count
        self.records.observe(a_moment(What.VISIT_ENDED, 160.0, ended))
        record = self.records.of(press_id)
        assert record is not None
        return record


def turn(at_s: float, answer_s: float | None = 0.8) -> Iterator[Moment]:
    """A question of two seconds, and its answer."""
    yield a_moment(What.SPEECH_STARTED, at_s)
    yield a_moment(What.SPEECH_ENDED, at_s + 2.0)
    yield a_moment(What.TRANSCRIPT, at_s + 2.3, words="where is the whale")
    yield a_moment(What.RESPONSE, at_s + 2.4, words=SAID)
    if answer_s is not None:
        yield a_moment(What.AGENT_HEARD, at_s + 2.0 + answer_s)
        yield a_moment(What.DRAINED, at_s + 7.0)


def over(at_s: float, words: str | None) -> Iterator[Moment]:
    """An answer over which the gate opens; `words` None: for no turn."""
    yield a_moment(What.RESPONSE, at_s, words=SAID)
    yield a_moment(What.AGENT_HEARD, at_s)
    yield a_moment(What.SPEECH_STARTED, at_s + 1.0)
    yield a_moment(What.SPEECH_ENDED, at_s + 2.0)
    if words is not None:
        yield a_moment(What.TRANSCRIPT, at_s + 2.2, words=words)
    yield a_moment(What.DRAINED, at_s + 4.0)


def gaps(count: int, gap_ms: int) -> list[Moment]:
    return [a_moment(What.GAP, 120.0 + n, {"gap_ms": gap_ms}) for n in range(count)]


def link(**fields: FieldValue) -> Moment:
    plain: dict[str, FieldValue] = {
        "round_trip_ms": 40.0, "sent_segments": 900, "resent_segments": 3
    }  # fmt: skip
    return a_moment(What.LINK, 155.0, plain | fields)


def room(**fields: FieldValue) -> Moment:
    plain: dict[str, FieldValue] = {
        "round_trip_ms": 40.0, "jitter_ms": 2.0, "sent_packets": 900, "lost_packets": 9,
        "received_packets": 1000, "missed_packets": 9, "concealed_ms": 100,
    }  # fmt: skip
    return a_moment(What.ROOM, 155.0, plain | fields)


def test_a_visit_over_webrtc_that_lost_little_is_good() -> None:
    record = Visits().held(*turn(101.0), *turn(111.0), room())
    assert record.verdict.worth == "good"


def test_an_ordinary_visit_is_good() -> None:
    record = Visits().held(*turn(101.0), *turn(111.0), link(), lost={"clipped_samples": 9})
    assert (record.verdict.worth, record.verdict.cause) == ("good", None)
    assert record.sentence == "It was a good visit."


@pytest.mark.parametrize(
    ("cause", "moments", "lost", "sentence"),
    [
        ("loop_stalled", [a_moment(What.STALLED, 120.0, {"stall_ms": 700})], {}, "for 700 ms"),
        ("xruns", [], {"microphone_xruns": 2, "speaker_xruns": 1}, "2 times at the microphone"),
        ("xruns", [], {"microphone_dropped_chunks": 10}, "at the sound card"),
        ("lossy_link", [link(resent_segments=40)], {}, "40 of 900 segments"),
        ("lossy_link", [*gaps(4, 900), link(resent_segments=2)], {}, "4 gaps"),
        ("lossy_link", [*gaps(4, 900), link(round_trip_ms=300.0)], {}, "4 gaps"),
        ("agent_stutters", [*gaps(4, 900), link(resent_segments=0)], {}, "4 gaps, 3600 ms"),
        ("lossy_room", [room(missed_packets=90)], {}, "90 of 1000 of the agent's"),
        ("lossy_room", [room(lost_packets=80)], {}, "80 of 900 packets"),
        ("slow_link", [link(round_trip_ms=612.5)], {}, "takes 612.5 ms"),
        (
            "echo_leak",
            [*over(120.0, "the blue Whale came ashore"), *over(130.0, "in this bay in the winter")],
            {},
            "2 times with the agent's own",
        ),
        (
            "echo_leak",
            [moment for n in range(4) for moment in over(120.0 + 5 * n, None)],
            {},
            "4 times without words",
        ),
        (
            "tool_failed",
            [a_moment(What.TOOL_CALLED, 120.0, {"tool": "x", "error_type": "client_timeout"})],
            {},
            "1 of the agent's 1 calls",
        ),
        ("tool_failed", [a_moment(What.AGENT_TOOL, 120.0, {"failed": 1})], {}, "1 of the"),
        ("slow_agent", [*turn(120.0, 4.0), *turn(130.0, 5.0)], {}, "after 4000.0 ms"),
    ],
)
def test_what_spoils_a_visit_is_named(
    cause: str, moments: list[Moment], lost: dict[str, int], sentence: str
) -> None:
    record = Visits().held(*turn(101.0), *moments, lost=lost)
    assert (record.verdict.worth, record.verdict.cause) == ("spoilt", cause)
    assert sentence in record.sentence
    assert record.sentence.endswith(f"What to do: {CAUSES[cause].remedy}")
    assert "whale" not in record.sentence


def test_a_microphone_of_zeros_loses_a_visit() -> None:
    record = Visits().held(kind="abandoned", lost={"zeros_s": 30})
    assert (record.verdict.worth, record.verdict.cause) == ("lost", "microphone_zeros")


def test_whoever_speaks_is_no_microphone_of_zeros() -> None:
    """Some microphones deliver zeros wherever nobody speaks."""
    assert Visits().held(*turn(101.0), lost={"zeros_s": 40}).verdict.cause is None


@pytest.mark.parametrize("kind", ["abandoned", "hung_up", "time_up"])
def test_a_visitor_who_leaves_before_an_answer(kind: str) -> None:
    record = Visits().held(kind=kind)
    assert (record.verdict.worth, record.verdict.cause) == ("lost", "visitor_left")


def test_a_visitor_who_leaves_because_no_answer_comes() -> None:
    record = Visits().held(*turn(120.0, None))
    assert (record.verdict.worth, record.verdict.cause) == ("lost", "slow_agent")


@pytest.mark.parametrize("kind", [kind for kind in Kind if CAUSES[kind].severity < NOTICE])
@pytest.mark.parametrize("turns", [0, 1])
def test_a_fault_that_ends_a_visit_is_its_cause(kind: Kind, turns: int) -> None:
    answers = [moment for n in range(turns) for moment in turn(110.0 + n)]
    record = Visits().held(*answers, kind=kind, lost={"speaker_xruns": 9})
    assert (record.verdict.worth, record.verdict.cause) == ("spoilt" if turns else "lost", kind)
    assert kind in record.sentence


def test_a_connection_that_was_lost_in_between_is_the_cause() -> None:
    lost = a_moment(What.LOST, 120.0, {"kind": "peer_dead", "code": None, "attempt": 1})
    record = Visits().held(*turn(101.0), lost, *turn(120.0, 6.0))
    assert (record.verdict.worth, record.verdict.cause) == ("spoilt", "peer_dead")


@pytest.mark.parametrize("kind", ["paused", "closed", "ended_by_operator", "stopped"])
def test_what_lets_no_visit_begin_is_its_cause(kind: str) -> None:
    assert Visits().held(kind=kind).verdict.cause == kind


@pytest.mark.parametrize(
    "words",
    [
        "came ashore",
        "how did it come ashore in the bay",
        None,
        "Where is the exit?",
        "the blue whale came ashore",  # once: who was offered it chose it
    ],
)
def test_whoever_speaks_over_the_agent_is_no_echo(words: str | None) -> None:
    """Not even one who repeats some of its words."""
    answer = [a_moment(What.AGENT_HEARD, 124.5), a_moment(What.DRAINED, 128.0)]
    assert Visits().held(*turn(101.0), *over(120.0, words), *answer).verdict.cause is None


def test_who_repeats_the_agent_after_it_is_no_echo() -> None:
    again = [
        a_moment(What.SPEECH_STARTED, 120.0),
        a_moment(What.SPEECH_ENDED, 122.0),
        a_moment(What.TRANSCRIPT, 122.3, words="in the winter"),
        a_moment(What.AGENT_HEARD, 122.9),
    ]
    assert Visits().held(*turn(101.0), *again).verdict.cause is None


def test_an_answer_whose_text_comes_behind_its_sound_is_none_that_is_waited_for() -> None:
    late = [
        a_moment(What.SPEECH_STARTED, 120.0),
        a_moment(What.SPEECH_ENDED, 122.0),
        a_moment(What.AGENT_HEARD, 122.9),
        a_moment(What.TRANSCRIPT, 123.3, words="where is the exit"),
        a_moment(What.DRAINED, 126.0),
    ]
    assert Visits().held(*turn(101.0), *late).verdict.cause is None


def test_coughs_in_a_long_visit_are_no_echo() -> None:
    talk = [moment for n in range(60) for moment in turn(101.0 + 10 * n)]
    coughs = [moment for n in range(5) for moment in over(120.0 + 100 * n, None)]
    assert Visits().held(*talk, *coughs).verdict.cause is None


@pytest.mark.parametrize("transcript_first", [False, True])
def test_who_interrupts_the_greeting_is_answered(transcript_first: bool) -> None:
    """The loudspeaker's silence is told by its own thread, when the words are there already."""
    told = [
        a_moment(What.INTERRUPTED, 103.0),
        a_moment(What.TRANSCRIPT, 103.0, words="where is the exit"),
    ]
    record = Visits().held(
        a_moment(What.AGENT_HEARD, 101.0),
        a_moment(What.SPEECH_STARTED, 102.0),
        *(reversed(told) if transcript_first else told),
        a_moment(What.SILENT, 103.1),
        a_moment(What.SPEECH_ENDED, 103.5),
        a_moment(What.RESPONSE, 104.0, words=SAID),
        a_moment(What.AGENT_HEARD, 104.2),
        a_moment(What.DRAINED, 109.0),
    )
    assert (record.verdict.worth, record.verdict.cause) == ("good", None)


def test_who_speaks_over_a_greeting_that_is_heard_to_its_end_is_answered() -> None:
    record = Visits().held(
        a_moment(What.AGENT_HEARD, 101.0),
        a_moment(What.SPEECH_STARTED, 102.0),
        a_moment(What.SPEECH_ENDED, 103.0),
        a_moment(What.TRANSCRIPT, 103.3, words="where is the exit"),
        a_moment(What.DRAINED, 104.0),
        a_moment(What.AGENT_HEARD, 104.2),
        a_moment(What.DRAINED, 109.0),
    )
    assert record.verdict.cause is None


def test_an_agent_that_leaves_the_visitor_time_is_not_slow() -> None:
    thinking = [
        a_moment(What.SPEECH_STARTED, 140.0),
        a_moment(What.SPEECH_ENDED, 142.0),
        a_moment(What.TRANSCRIPT, 142.3, words="let me think"),
        a_moment(What.AGENT_TOOL, 142.6, {"tool": "skip_turn", "failed": 0}),
    ]
    assert Visits().held(*turn(101.0), *thinking).verdict.cause is None


def test_a_visit_that_was_held_in_writing_is_good() -> None:
    asked = [a_moment(What.ASKED, 110.0), a_moment(What.AGENT_HEARD, 111.0)]
    assert Visits().held(a_moment(What.AGENT_HEARD, 101.0), *asked).verdict.worth == "good"
    late = Visits().held(*asked, a_moment(What.ASKED, 150.0))
    assert (late.verdict.worth, late.verdict.cause) == ("spoilt", "slow_agent")


def test_every_sign_has_its_row_in_the_table_of_causes() -> None:
    assert {sign.cause for sign in SIGNS} <= set(CAUSES)
    empty = Visits().held()
    assert all(sign.says.format(**dict.fromkeys(empty.figures, 0)) for sign in SIGNS)


def test_the_last_visits_are_kept_and_no_more() -> None:
    visits = Visits()
    for number in range(MOST_VISITS + 1):
        visits.held(press_id=f"p{number}")
    assert visits.records.of("p0") is None
    assert visits.records.of("p1") is not None
    newest = visits.records.of(None)
    assert newest is not None
    assert newest.press_id == f"p{MOST_VISITS}"
