"""What a backend is told of a visit: in order, bounded, and nobody's words."""

from hypothesis import given
from hypothesis import strategies as st

from kiosk.contract import MAX_EVENTS, EndVisit, VisitEvent
from kiosk.listeners.backend_events import DROPPED, BackendEvents
from kiosk.moments import FieldValue, Moment, What
from tests.moments import a_moment

FIELDS = st.dictionaries(
    st.sampled_from(["tool", "failed", "rule", "kind", "code", "percent", "detail", "device"]),
    st.none() | st.integers(-(10**20), 10**20) | st.floats() | st.text(),
)
MOMENTS = st.builds(a_moment, st.sampled_from(What), st.floats(0, 1e6), FIELDS, st.text())


def visit(*moments: Moment) -> BackendEvents:
    events = BackendEvents()
    events.observe(a_moment(What.PRESSED, 100.0))
    events.observe(a_moment(What.VISIT_STARTED, 100.2, {"press_id": "p"}))
    for moment in moments:
        events.observe(moment)
    return events


def agent_tool(name: str) -> Moment:
    return a_moment(What.AGENT_TOOL, 101.0, {"tool": name, "failed": 1})


def test_what_happened_is_told_with_its_time_since_the_press() -> None:
    formats: dict[str, FieldValue] = {"conversation_id": "c", "input_format": "pcm_16000"}
    events = visit(
        a_moment(What.CONNECTED, 100.5, formats),
        a_moment(What.TRANSCRIPT, 103.25, words="my name is Ada"),
        a_moment(What.STATE, 103.5, {"state": "speaking"}),
        agent_tool("end_call"),
    )
    assert events.take() == (
        VisitEvent(sequence=1, at_s=0.5, what="connected", fields={"input_format": "pcm_16000"}),
        VisitEvent(sequence=2, at_s=3.25, what="transcript"),
        VisitEvent(
            sequence=3, at_s=1.0, what="agent_tool", fields={"tool": "end_call", "failed": 1}
        ),
    )
    assert events.take() == ()


def test_a_tool_whose_name_is_none_is_told_without_it() -> None:
    [event] = visit(agent_tool("tell Ada of 07700 900123")).take()
    assert event.fields == {"failed": 1}


def test_each_connection_has_its_own_batch_and_each_visit_begins_anew() -> None:
    events = visit(a_moment(What.CONNECTED, 101.0))
    assert [event.what for event in events.take()] == ["connected"]
    events.observe(a_moment(What.LOST, 102.0, {"kind": "network_lost", "code": None}))
    [lost] = events.take()
    lost_fields = {"kind": "network_lost", "attempt": 0, "delay_ms": 0}
    assert (lost.sequence, lost.at_s, lost.fields) == (1, 2.0, lost_fields)
    events.observe(a_moment(What.AGENT_HEARD, 103.0))
    events.observe(a_moment(What.PRESSED, 200.0))
    events.observe(a_moment(What.VISIT_STARTED, 200.0))
    assert events.take() == ()


def test_many_turns_leave_room_for_what_happens_once() -> None:
    turns = [a_moment(What.TRANSCRIPT, 101.0 + number) for number in range(1000)]
    events = visit(*turns, a_moment(What.GUARDRAIL, 2000.0, {"rule": "minors"})).take()
    assert [event.what for event in events[-2:]] == ["guardrail", DROPPED]
    assert events[-1].fields == {"count": 960}
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))


def test_the_last_of_too_many_says_how_many_were_dropped() -> None:
    events = visit(*[agent_tool("search")] * 100).take()
    assert len(events) == MAX_EVENTS
    assert (events[-1].what, events[-1].fields) == (DROPPED, {"count": 100 - MAX_EVENTS + 1})


@given(st.lists(MOMENTS, max_size=200))
def test_whatever_happens_can_be_reported(moments: list[Moment]) -> None:
    events = BackendEvents()
    for moment in moments:
        events.observe(moment)
    end = EndVisit(press_id="p", outcome="hung_up", duration_s=1, events=events.take())
    assert EndVisit.model_validate_json(end.model_dump_json()) == end
