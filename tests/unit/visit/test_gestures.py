"""What strangers do with one button, and what each of it means."""

from dataclasses import replace

import pytest

from kiosk.audio.earcons import Earcon
from kiosk.devices.ports import ButtonEdge
from kiosk.endings import Kind
from kiosk.visit import effects as do
from kiosk.visit import inputs
from kiosk.visit.feedback import LAMPS, UNFIT_LAMP
from kiosk.visit.states import State
from kiosk.visit.visit import EXTRA_S, LEFT_S, NERVOUS_S
from tests.unit.visit.test_core import (
    AGENT_STARTED,
    CONNECTED,
    DRAINED,
    HANG_UP,
    HELD,
    LIMITS,
    Kiosk,
    in_state,
)

LEASED = inputs.LimitedTo(3600.0)


# --- a visit that somebody left -----------------------------------------------------------------


@pytest.mark.parametrize("after_s", [LEFT_S + 0.1, 20.0, LIMITS.idle_s + 5])
def test_the_next_visitors_press_on_a_visit_that_was_left_begins_a_new_one(after_s: float) -> None:
    kiosk = in_state(State.SPEAKING)
    kiosk.bring(DRAINED)
    kiosk.wait(after_s)
    kiosk.done.clear()
    kiosk.press()
    kiosk.wait(0.1)
    assert [kind for _, kind in kiosk.ended] == [Kind.ABANDONED]
    assert kiosk.state() is State.OPENING, "and nobody says goodbye to him who comes"
    assert kiosk.of(do.Announce) == []
    assert kiosk.of(do.Chime) == [do.Chime(Earcon.PRESSED)]


def test_a_visitor_who_has_just_spoken_or_heard_ends_his_visit_by_a_press() -> None:
    kiosk = in_state(State.SPEAKING)
    kiosk.wait(30.0)
    kiosk.bring(DRAINED)
    kiosk.wait(LEFT_S - 0.1)
    kiosk.press()
    kiosk.wait(1.0)
    assert [kind for _, kind in kiosk.ended] == [Kind.HUNG_UP]
    assert kiosk.state() is State.IDLE


def test_who_speaks_is_there() -> None:
    kiosk = in_state(State.LISTENING)
    kiosk.speaks()
    kiosk.wait(LEFT_S + 5)
    kiosk.press()
    kiosk.wait(1.0)
    assert kiosk.state() is State.IDLE


def test_a_held_kiosks_visitor_may_think_until_he_is_asked_whether_he_is_there() -> None:
    kiosk = in_state(State.LISTENING, HELD)
    kiosk.wait(LEFT_S + 5)
    kiosk.press()
    assert kiosk.state() is State.LISTENING
    assert kiosk.ended == []
    kiosk.wait(LIMITS.idle_s - LEFT_S - 3)
    assert [key for _, key in kiosk.said] == ["still_there"]
    kiosk.press()
    kiosk.wait(0.1)
    assert kiosk.ended == [], "that was the answer"
    kiosk.wait(LEFT_S)
    kiosk.press()
    kiosk.wait(0.1)
    assert [kind for _, kind in kiosk.ended] == [Kind.ABANDONED]
    assert kiosk.state() is State.OPENING


def test_a_visitor_who_waits_for_the_agents_tool_has_not_left() -> None:
    kiosk = in_state(State.LISTENING)
    kiosk.bring(inputs.AgentWorks(30.0))
    kiosk.wait(LEFT_S + 5)
    kiosk.press()
    kiosk.wait(1.0)
    assert [kind for _, kind in kiosk.ended] == [Kind.HUNG_UP]


def test_nobody_is_put_into_the_visit_of_another_by_the_warning() -> None:
    kiosk = in_state(State.SPEAKING)
    kiosk.bring(LEASED)
    kiosk.wait(LIMITS.max_s - LIMITS.warning_s - 22)
    kiosk.bring(DRAINED)
    kiosk.wait(LIMITS.idle_s + 5)  # asked, and then warned of its end
    assert [key for _, key in kiosk.said] == ["still_there", "warning"]
    kiosk.press()
    kiosk.wait(0.1)
    assert [kind for _, kind in kiosk.ended] == [Kind.ABANDONED]
    assert kiosk.state() is State.OPENING


# --- the warning --------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [State.LISTENING, State.THINKING, State.SPEAKING])
def test_a_press_in_the_warning_gives_more_time(state: State) -> None:
    long = replace(LIMITS, idle_s=9999.0, answer_s=9999.0)
    kiosk = in_state(state, long)
    kiosk.bring(LEASED)
    kiosk.wait(LIMITS.max_s - LIMITS.warning_s + 1)
    assert kiosk.said[-1] == (LIMITS.max_s - LIMITS.warning_s, "warning")
    kiosk.press()
    assert kiosk.of(do.Chime)[-1] == do.Chime(Earcon.PRESSED)
    assert kiosk.state() is state
    kiosk.wait(EXTRA_S)
    assert kiosk.ended == []
    assert kiosk.said[-1] == (LIMITS.max_s - LIMITS.warning_s + EXTRA_S, "warning")
    kiosk.wait(LIMITS.warning_s)
    assert kiosk.ended == [(LIMITS.max_s + EXTRA_S, Kind.TIME_UP)]


@pytest.mark.parametrize("state", [State.OPENING, State.QUEUED])
def test_it_does_so_too_where_the_agent_is_not_there(state: State) -> None:
    long = replace(LIMITS, connect_s=9999.0, queue_s=9999.0)
    kiosk = in_state(state, long)
    kiosk.bring(LEASED)
    kiosk.wait(LIMITS.max_s - 1)
    kiosk.press()
    kiosk.wait(10.0)
    assert kiosk.ended == []


def test_the_warning_that_was_obeyed_is_not_said_again() -> None:
    kiosk = in_state(State.SPEAKING)
    kiosk.bring(LEASED)
    kiosk.wait(LIMITS.max_s - LIMITS.warning_s + 1)
    kiosk.press()
    assert kiosk.of(do.Hush) == [do.Hush("warning")]


def test_a_second_press_for_more_time_is_the_same_hand() -> None:
    kiosk = in_state(State.SPEAKING)
    kiosk.bring(LEASED)
    kiosk.wait(LIMITS.max_s - LIMITS.warning_s + 1)
    for _ in range(3):
        kiosk.press()
        kiosk.wait(NERVOUS_S + 0.2)
    assert kiosk.ended == []
    kiosk.wait(3.0)
    kiosk.press()
    assert [kind for _, kind in kiosk.ended] == [Kind.HUNG_UP]


def test_a_held_kiosks_press_in_the_warning_is_a_turn_too() -> None:
    kiosk = in_state(State.SPEAKING, replace(HELD, idle_s=9999.0))
    kiosk.bring(LEASED)
    kiosk.wait(LIMITS.max_s - LIMITS.warning_s + 1)
    kiosk.done.clear()
    kiosk.press()
    assert kiosk.of(do.CutTurn) == [do.CutTurn()]
    assert kiosk.of(do.AllowTalk) == [do.AllowTalk(allowed=True)]
    kiosk.wait(LIMITS.warning_s)
    assert kiosk.ended == []


def test_no_press_gives_more_than_the_lease_allows_and_nobody_is_told_that_it_would() -> None:
    kiosk = in_state(State.LISTENING, replace(LIMITS, idle_s=9999.0))
    kiosk.bring(inputs.LimitedTo(100.0))
    kiosk.wait(80.0)
    assert [key for _, key in kiosk.said] == ["last_warning"]
    kiosk.speaks()
    kiosk.press()
    assert [kind for _, kind in kiosk.ended] == [Kind.HUNG_UP]


def test_without_a_lease_the_end_is_put_off_once_as_the_service_ends_by_itself() -> None:
    kiosk = in_state(State.SPEAKING)
    for _ in range(2):
        kiosk.wait(LIMITS.max_s - LIMITS.warning_s + 1 if not kiosk.said else LIMITS.warning_s)
        if kiosk.said[-1][1] == "warning":
            kiosk.press()
    kiosk.wait(LIMITS.warning_s)
    assert [key for _, key in kiosk.said] == ["warning", "last_warning", "time_up"]
    assert kiosk.ended == [(LIMITS.max_s + LIMITS.warning_s, Kind.TIME_UP)]


# --- a child ------------------------------------------------------------------------------------


def test_of_fifty_presses_two_begin_a_visit_and_then_somebody_is_asked_to_wait() -> None:
    kiosk = Kiosk()
    for _ in range(50):
        kiosk.press()
        kiosk.wait(0.1)
    assert len(kiosk.of(do.BeginVisit)) == 2
    assert [key for _, key in kiosk.said][-1] == "too_soon"
    kiosk.wait(10)
    kiosk.press()
    assert len(kiosk.of(do.BeginVisit)) == 3, "and then it serves again"


def test_while_somebody_is_asked_to_wait_no_press_asks_again() -> None:
    kiosk = Kiosk()
    for _ in range(6):
        kiosk.press()
        kiosk.wait(NERVOUS_S + 0.1)
    kiosk.sounds = True
    kiosk.done.clear()
    for _ in range(5):
        kiosk.press()
        kiosk.wait(NERVOUS_S + 0.1)
    assert kiosk.of(do.Announce) == [do.Announce("too_soon")]


@pytest.mark.parametrize("stops", [True, False])
def test_a_visit_in_which_somebody_spoke_is_no_game(stops: bool) -> None:
    kiosk = Kiosk()
    for _ in range(6):
        kiosk.press()
        kiosk.bring(CONNECTED)
        kiosk.speaks()
        kiosk.wait(1.5)
        if stops:
            kiosk.stops_speaking()
        kiosk.press()
        kiosk.wait(NERVOUS_S + 0.1)
    assert len(kiosk.of(do.BeginVisit)) == 6


# --- held as on an intercom ---------------------------------------------------------------------


def talks_with_the_button_held() -> Kiosk:
    kiosk = Kiosk()
    kiosk.button(down=True)
    kiosk.bring(CONNECTED)
    kiosk.speaks()
    kiosk.wait(3.0)
    kiosk.stops_speaking()
    kiosk.button(down=False)
    return kiosk


def test_who_speaks_with_the_button_held_is_heard_to_the_end_whatever_it_takes() -> None:
    kiosk = Kiosk()
    kiosk.button(down=True)
    kiosk.bring(CONNECTED)
    kiosk.speaks()
    kiosk.wait(30.0)
    kiosk.stops_speaking()
    kiosk.button(down=False)
    assert kiosk.state() is State.THINKING
    assert kiosk.ended == []
    assert kiosk.of(do.ComposeReport) == []


def test_the_next_press_of_one_who_holds_the_button_to_speak_ends_nothing() -> None:
    kiosk = talks_with_the_button_held()
    kiosk.bring(AGENT_STARTED)
    kiosk.wait(3.0)
    kiosk.button(down=True)
    assert kiosk.state() is State.LISTENING
    assert kiosk.of(do.CutTurn) == [do.CutTurn()]
    kiosk.speaks()
    kiosk.wait(2.0)
    kiosk.stops_speaking()
    kiosk.button(down=False)
    kiosk.wait(2.0)
    kiosk.button(down=True)
    assert kiosk.state() is State.LISTENING
    assert kiosk.ended == []


@pytest.mark.parametrize("held_s", [3.0, 12.0])
def test_who_holds_it_to_speak_may_think_between_two_turns(held_s: float) -> None:
    kiosk = Kiosk()
    kiosk.button(down=True)
    kiosk.bring(CONNECTED)
    kiosk.speaks()
    kiosk.wait(held_s)
    kiosk.stops_speaking()
    kiosk.button(down=False)
    kiosk.bring(AGENT_STARTED, DRAINED)
    kiosk.wait(LEFT_S + 3)
    kiosk.button(down=True)
    assert kiosk.state() is State.LISTENING
    assert kiosk.ended == []


def test_who_holds_it_to_speak_ends_nothing_while_the_line_opens() -> None:
    kiosk = Kiosk()
    kiosk.button(down=True)
    kiosk.speaks()
    kiosk.wait(0.9)
    kiosk.button(down=False)
    kiosk.wait(0.5)
    kiosk.button(down=True)
    assert kiosk.state() is State.OPENING
    assert kiosk.ended == []


def test_a_press_without_a_word_is_an_ordinary_one() -> None:
    kiosk = Kiosk()
    kiosk.button(down=True)
    kiosk.bring(CONNECTED)
    kiosk.wait(1.0)
    kiosk.button(down=False)
    kiosk.wait(1.0)
    kiosk.bring(ButtonEdge(True, kiosk.now_s))
    assert [kind for _, kind in kiosk.ended] == [Kind.HUNG_UP]


def test_the_next_visitor_does_not_inherit_how_the_last_one_held_the_button() -> None:
    kiosk = talks_with_the_button_held()
    kiosk.bring(HANG_UP)
    kiosk.wait(2.0)
    kiosk.press()
    kiosk.bring(CONNECTED)
    kiosk.wait(2.0)
    kiosk.press()
    assert [kind for _, kind in kiosk.ended][-1] == Kind.HUNG_UP


# --- what is seen and heard ---------------------------------------------------------------------


def test_every_lamp_has_a_rhythm_of_its_own() -> None:
    patterns = [*LAMPS.values(), UNFIT_LAMP]
    assert len(set(patterns)) == len(patterns)


def test_a_press_that_ends_a_visit_silences_the_kiosks_own_sentence_at_once() -> None:
    kiosk = Kiosk(replace(LIMITS, disclosure=True), sounds=True)
    kiosk.press()
    kiosk.wait(2.0)
    ends = kiosk.press()
    order = [type(effect) for effect in ends]
    assert order.index(do.FallSilent) < order.index(do.Chime)
    assert do.Chime(Earcon.HANG_UP) in ends


def test_an_operators_end_is_heard() -> None:
    kiosk = in_state(State.SPEAKING)
    kiosk.bring(HANG_UP)
    assert do.Chime(Earcon.HANG_UP) in kiosk.of(do.Chime)
    assert [key for _, key in kiosk.said] == ["stopped_here"]
    assert [kind for _, kind in kiosk.ended] == [Kind.ENDED_BY_OPERATOR]
