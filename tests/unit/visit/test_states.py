from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.visit.states import (
    HOLD,
    TOGGLE,
    TOGGLE_CUTTING,
    Action,
    Event,
    State,
    Transitions,
    step,
    table_for,
)

TABLES = {"toggle": TOGGLE, "toggle, cutting": TOGGLE_CUTTING, "hold": HOLD}
events = st.lists(st.sampled_from(Event), max_size=60)
every_table = pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)

LIVE = (State.OPENING, State.QUEUED, State.LISTENING, State.THINKING, State.SPEAKING)
TALKING = (State.LISTENING, State.THINKING, State.SPEAKING)


def walk(table: Transitions, *events: Event) -> tuple[State, list[Action]]:
    """From IDLE through these events: where it ends, and everything done on the way."""
    state, done = State.IDLE, list[Action]()
    for event in events:
        state, actions = step(table, state, event)
        done += actions
    return state, done


@every_table
def test_every_event_has_a_result_in_every_state(table: Transitions) -> None:
    for state in State:
        for event in Event:
            following, actions = step(table, state, event)
            assert following in State
            assert all(action in Action for action in actions)
            if event not in table[state]:
                assert (following, actions) == (state, ())


@every_table
def test_every_state_is_reached_and_leads_back_to_idle(table: Transitions) -> None:
    for state in State:
        assert _reachable(table, state) == set(State)


@every_table
def test_every_event_and_every_cell_is_of_use(table: Transitions) -> None:
    used = {event for cells in table.values() for event in cells}
    assert used >= set(Event) - {Event.RELEASE, Event.NO_ANSWER}
    assert all(Action.CLOSE in done for state in LIVE for done in [table[state][Event.ENDED][1]])


@every_table
@given(events)
def test_closing_is_left_by_closed_only(table: Transitions, events: list[Event]) -> None:
    state = State.IDLE
    for event in events:
        before, (state, _) = state, step(table, state, event)
        if before is State.CLOSING:
            assert state is (State.IDLE if event is Event.CLOSED else State.CLOSING)


@every_table
@given(events)
def test_a_visit_starts_from_idle_and_by_a_press_only(
    table: Transitions, events: list[Event]
) -> None:
    state = State.IDLE
    for event in events:
        before, (state, actions) = state, step(table, state, event)
        starts = (before, event) == (State.IDLE, Event.PRESS)
        assert (Action.OPEN in actions) == (Action.START_CAPTURE in actions) == starts
        assert (before is State.IDLE and state is not State.IDLE) == starts


@every_table
@given(events)
def test_a_visit_is_closed_exactly_once(table: Transitions, events: list[Event]) -> None:
    state, opened, closed = State.IDLE, 0, 0
    for event in events:
        before, (state, actions) = state, step(table, state, event)
        opened += Action.OPEN in actions
        closed += Action.CLOSE in actions
        assert (Action.CLOSE in actions) == (state is State.CLOSING and before is not State.CLOSING)
        assert opened - closed == (state in LIVE)


@every_table
def test_what_ends_a_visit_ends_it_in_every_live_state(table: Transitions) -> None:
    for state in LIVE:
        for event in (Event.ENDED, Event.HANG_UP, Event.TIME_UP):
            assert step(table, state, event) == (State.CLOSING, (Action.CLOSE,))
        assert step(table, state, Event.LOST) == (State.OPENING, ())


@every_table
def test_what_comes_late_does_nothing(table: Transitions) -> None:
    for event in set(Event) - {Event.PRESS, Event.RELEASE, Event.CLOSED}:
        assert step(table, State.CLOSING, event) == (State.CLOSING, ())
    for event in set(Event) - {Event.PRESS, Event.PRESS_UNFIT, Event.PRESS_MASHED}:
        assert step(table, State.IDLE, event) == (State.IDLE, ())


@every_table
def test_a_press_while_closing_is_remembered(table: Transitions) -> None:
    assert step(table, State.CLOSING, Event.PRESS) == (State.CLOSING, (Action.REMEMBER_PRESS,))


@every_table
def test_an_unfit_press_says_why_and_opens_nothing(table: Transitions) -> None:
    assert step(table, State.IDLE, Event.PRESS_UNFIT) == (State.IDLE, (Action.SAY_CAUSE,))


@every_table
def test_a_turn_goes_round(table: Transitions) -> None:
    start = (Event.PRESS, Event.CONNECTED)
    assert walk(table, *start)[0] is State.LISTENING
    assert walk(table, *start, Event.AGENT_STARTED)[0] is State.SPEAKING
    assert walk(table, *start, Event.AGENT_STARTED, Event.DRAINED)[0] is State.LISTENING
    assert walk(table, *start, Event.AGENT_STARTED, Event.INTERRUPTED)[0] is State.LISTENING


@pytest.mark.parametrize("table", [TOGGLE, TOGGLE_CUTTING])
def test_a_toggled_turn_ends_with_the_speech(table: Transitions) -> None:
    start = (Event.PRESS, Event.CONNECTED, Event.SPEECH_STARTED, Event.SPEECH_ENDED)
    assert walk(table, *start)[0] is State.THINKING
    assert walk(table, *start, Event.SPEECH_STARTED)[0] is State.LISTENING
    assert walk(table, *start, Event.NO_ANSWER)[0] is State.CLOSING
    assert walk(table, *start[:2], Event.ABANDONED)[0] is State.CLOSING


@pytest.mark.parametrize("table", [TOGGLE, TOGGLE_CUTTING])
@pytest.mark.parametrize("state", [State.OPENING, State.LISTENING, State.THINKING])
def test_a_second_press_hangs_up(table: Transitions, state: State) -> None:
    assert step(table, state, Event.PRESS) == (State.CLOSING, (Action.CLOSE,))


def test_a_press_while_the_agent_speaks_hangs_up_or_cuts_as_configured() -> None:
    assert step(TOGGLE, State.SPEAKING, Event.PRESS) == (State.CLOSING, (Action.CLOSE,))
    cut = step(TOGGLE_CUTTING, State.SPEAKING, Event.PRESS)
    assert cut == (State.LISTENING, (Action.CUT_TURN,))


@pytest.mark.parametrize("table", [TOGGLE, TOGGLE_CUTTING])
def test_letting_go_of_a_toggle_does_nothing(table: Transitions) -> None:
    assert all(step(table, state, Event.RELEASE) == (state, ()) for state in State)


# --- the queue, and turns nobody takes ----------------------------------------------------------


@every_table
def test_a_visitor_is_queued_from_wherever_the_visit_stands(table: Transitions) -> None:
    for state in TALKING:
        assert step(table, state, Event.QUEUED) == (State.QUEUED, (Action.SAY_QUEUED,))
    for state in (State.IDLE, State.OPENING, State.QUEUED, State.CLOSING):
        assert step(table, state, Event.QUEUED) == (state, ())


@every_table
def test_the_queue_is_left_by_being_admitted_or_by_what_ends_or_loses_a_visit(
    table: Transitions,
) -> None:
    assert step(table, State.QUEUED, Event.ADMITTED) == (State.LISTENING, ())
    leaving = {event for event in Event if step(table, State.QUEUED, event)[0] is not State.QUEUED}
    ends = {Event.ENDED, Event.HANG_UP, Event.TIME_UP, Event.LOST}
    assert leaving - {Event.PRESS} == ends | {Event.ADMITTED, Event.PRESS_LANGUAGE}


@every_table
def test_nobody_takes_turns_in_the_queue(table: Transitions) -> None:
    # Music is no agent, and what the visitor says there nobody hears.
    for event in (
        Event.AGENT_STARTED,
        Event.DRAINED,
        Event.INTERRUPTED,
        Event.SPEECH_STARTED,
        Event.SPEECH_ENDED,
        Event.TURN_SKIPPED,
        Event.ABANDONED,
        Event.NO_ANSWER,
    ):
        assert step(table, State.QUEUED, event) == (State.QUEUED, ())


@every_table
def test_an_admission_that_nobody_waits_for_changes_nothing(table: Transitions) -> None:
    for state in set(State) - {State.QUEUED}:
        assert step(table, state, Event.ADMITTED) == (state, ())


def test_a_press_in_the_queue_hangs_up_unless_the_button_is_for_holding() -> None:
    for table in (TOGGLE, TOGGLE_CUTTING):
        assert step(table, State.QUEUED, Event.PRESS) == (State.CLOSING, (Action.CLOSE,))
        assert step(table, State.QUEUED, Event.RELEASE) == (State.QUEUED, ())
    assert step(HOLD, State.QUEUED, Event.PRESS) == (State.QUEUED, (Action.OPEN_TALK,))
    assert step(HOLD, State.QUEUED, Event.RELEASE) == (State.QUEUED, (Action.CLOSE_TALK,))


@every_table
def test_a_skipped_turn_gives_the_visitor_the_word_again(table: Transitions) -> None:
    assert step(table, State.THINKING, Event.TURN_SKIPPED) == (State.LISTENING, ())
    for state in set(State) - {State.THINKING}:
        assert step(table, state, Event.TURN_SKIPPED) == (state, ())


# --- the held button ----------------------------------------------------------------------------


@given(events)
def test_a_held_button_never_hangs_up(events: list[Event]) -> None:
    state = State.IDLE
    for event in events:
        before, (state, actions) = state, step(HOLD, state, event)
        if event in (Event.PRESS, Event.RELEASE) and before is not State.CLOSING:
            assert Action.CLOSE not in actions


@given(events)
def test_talk_is_open_exactly_while_held_in_a_live_visit(events: list[Event]) -> None:
    # Edges of a button alternate; everything else comes as it likes.
    state, held, talking = State.IDLE, False, False
    for event in events:
        if event is (Event.PRESS if held else Event.RELEASE) or event is Event.PRESS_UNFIT:
            continue
        held = event is Event.PRESS if event in (Event.PRESS, Event.RELEASE) else held
        before, (state, actions) = state, step(HOLD, state, event)
        talking = (talking and Action.CLOSE_TALK not in actions) or Action.OPEN_TALK in actions
        if event is Event.PRESS and before is not State.CLOSING:
            assert talking
        if event is Event.RELEASE and before in LIVE and before is not State.THINKING:
            assert not talking


def test_holding_speaks_and_letting_go_waits_for_the_answer() -> None:
    start = (Event.PRESS, Event.CONNECTED)
    assert walk(HOLD, *start, Event.SPEECH_ENDED)[0] is State.LISTENING
    state, done = walk(HOLD, *start, Event.RELEASE)
    assert (state, done[-1]) == (State.THINKING, Action.CLOSE_TALK)
    state, done = walk(HOLD, *start, Event.RELEASE, Event.PRESS)
    assert (state, done[-1]) == (State.LISTENING, Action.OPEN_TALK)


def test_a_tap_without_a_word_needs_no_answer() -> None:
    start = (Event.PRESS, Event.CONNECTED, Event.RELEASE, Event.NO_ANSWER)
    assert walk(HOLD, *start)[0] is State.LISTENING


def test_holding_while_the_agent_speaks_gives_the_visitor_the_word() -> None:
    start = (Event.PRESS, Event.CONNECTED, Event.RELEASE, Event.AGENT_STARTED, Event.PRESS)
    state, done = walk(HOLD, *start)
    assert state is State.LISTENING
    assert done[-2:] == [Action.CUT_TURN, Action.OPEN_TALK]


def test_the_configuration_chooses_the_table() -> None:
    assert table_for("toggle", "hang_up") is TOGGLE
    assert table_for("toggle", "cut_turn") is TOGGLE_CUTTING
    assert table_for("hold", "hang_up") is table_for("hold", "cut_turn") is HOLD


def _reachable(table: Transitions, start: State) -> set[State]:
    found, waiting = {start}, deque([start])
    while waiting:
        for following, _ in table[waiting.popleft()].values():
            if following not in found:
                found.add(following)
                waiting.append(following)
    return found


def test_a_held_button_let_go_while_closing_begins_no_visit_that_nobody_talks_in() -> None:
    remembered = step(HOLD, State.CLOSING, Event.PRESS)
    assert remembered == (State.CLOSING, (Action.REMEMBER_PRESS,))
    assert step(HOLD, State.CLOSING, Event.RELEASE) == (State.CLOSING, (Action.FORGET_PRESS,))
    assert step(TOGGLE, State.CLOSING, Event.RELEASE) == (State.CLOSING, ())
