"""The visit's core, in microseconds: what goes in with the time, what comes out, in which order.

The sounds of the kiosk's own end as soon as they begin, unless a test says that they go on.
"""

import itertools
from dataclasses import replace

import pytest

from kiosk.audio.earcons import Earcon
from kiosk.causes import CAUSES
from kiosk.devices.ports import ButtonEdge
from kiosk.endings import RULES, Ending, Farewell, Kind
from kiosk.moments import Moment, What
from kiosk.visit import effects as do
from kiosk.visit import inputs
from kiosk.visit.core import VisitCore
from kiosk.visit.feedback import DEADLINES, EARCONS
from kiosk.visit.fitness import Cause
from kiosk.visit.inputs import CardUse, OwnSound
from kiosk.visit.plan import Plan
from kiosk.visit.states import HOLD, TOGGLE_CUTTING, Event, State
from kiosk.visit.visit import (
    COUGH_S,
    FAREWELL_LIMIT_S,
    HEAR_OUT_LIMIT_S,
    HOLD_S,
    MEANT_S,
    NERVOUS_S,
    ONE_MOMENT_S,
    READY_S,
    SPOKE_S,
)
from tests.bare_conversation import PLAN
from tests.moments import a_moment

# All different, so that what rang tells which it was.
LIMITS = replace(
    PLAN, max_s=570.0, warning_s=30.0, idle_s=21.0, answer_s=22.0, connect_s=15.0, queue_s=120.0
)
HELD = replace(LIMITS, table=HOLD, held_button=True)

CONNECTED = inputs.Happened(Event.CONNECTED)
QUEUED = inputs.Happened(Event.QUEUED)
ADMITTED = inputs.Happened(Event.ADMITTED)
AGENT_STARTED = inputs.Happened(Event.AGENT_STARTED)
DRAINED = inputs.Happened(Event.DRAINED)
INTERRUPTED = inputs.Happened(Event.INTERRUPTED)
TURN_SKIPPED = inputs.Happened(Event.TURN_SKIPPED)
HANG_UP = inputs.Happened(Event.HANG_UP)

# From the press on, how each state is reached.
WAYS: dict[State, tuple[inputs.Input, ...]] = {
    State.OPENING: (),
    State.QUEUED: (CONNECTED, QUEUED),
    State.LISTENING: (CONNECTED,),
    State.THINKING: (CONNECTED, inputs.Speech(True, 0.0), inputs.Speech(False, 0.0)),
    State.SPEAKING: (CONNECTED, AGENT_STARTED),
    State.CLOSING: (HANG_UP,),
}

# Not those that begin a visit.
EVENTS = [event for event in Event if event not in (Event.PRESS, Event.PRESS_LEFT)]


class Kiosk:
    """A core, the time, and everything that it asked for. `began_s`: when the button was pressed.

    `sounds`: whether the kiosk's own sounds go on until `falls_silent`.
    """

    def __init__(self, plan: Plan = LIMITS, *, fit: bool = True, sounds: bool = False) -> None:
        self.core = VisitCore(plan)
        self.now_s = self.began_s = 1000.0
        self.sounds = sounds
        self.done: list[tuple[float, do.Effect]] = []
        self.bring(inputs.Wake())
        if fit:
            self.bring(
                inputs.CardOpened(CardUse.MICROPHONE, "a card"),
                inputs.CardOpened(CardUse.SPEAKER, "a card"),
                inputs.LeaseAvailability(ready=True),
            )
        self.done.clear()

    def bring(self, *happened: inputs.Input) -> list[do.Effect]:
        """What came of the last of them."""
        effects: list[do.Effect] = []
        for each in happened:
            effects = self._handle(each)
            if not self.sounds and self.core.kept.own_sound.busy:
                self._handle(OwnSound())
        return effects

    def wait(self, seconds: float) -> None:
        """Time passes, and the core is woken whenever it wants to be."""
        until_s = self.now_s + seconds
        for _ in range(1000):
            at_s = self.core.wake_at_s
            if at_s is None or at_s > until_s:
                break
            self.now_s = max(self.now_s, at_s)
            self.bring(inputs.Wake())
        else:
            raise AssertionError("the core wants to be woken for ever")
        self.now_s = until_s

    def press(self) -> list[do.Effect]:
        return self.bring(inputs.OperatorPress())

    def button(self, *, down: bool) -> list[do.Effect]:
        return self.bring(ButtonEdge(down, self.now_s))

    def speaks(self) -> list[do.Effect]:
        return self.bring(inputs.Speech(True, self.now_s))

    def stops_speaking(self) -> list[do.Effect]:
        return self.bring(inputs.Speech(False, self.now_s))

    def conversation_ends(self, kind: Kind, chance: float = 0.5) -> list[do.Effect]:
        return self.bring(inputs.ConversationOver(Ending(kind), chance))

    def goes_to(self, state: State) -> None:
        """A visit, as far as this."""
        if self.core.visit is None:
            self.began_s = self.now_s
            self.press()
        self.bring(*WAYS[state])
        assert self.state() is state
        self.done.clear()

    def state(self) -> State:
        return self.core.state

    def silence(self) -> list[do.Effect]:
        return self._handle(OwnSound())

    # --- what came of it ------------------------------------------------------------------------

    def of(self, kind: type[do.Effect]) -> list[do.Effect]:
        return [effect for _, effect in self.done if type(effect) is kind]

    @property
    def said(self) -> list[tuple[float, str]]:
        """When, since the press, each sentence was asked for."""
        return [
            (round(at_s - self.began_s, 3), effect.key)
            for at_s, effect in self.done
            if isinstance(effect, do.Announce)
        ]

    def moments(self, what: What) -> list[Moment]:
        notices = [effect for _, effect in self.done if isinstance(effect, do.Notify)]
        return [notice.moment for notice in notices if notice.moment.what is what]

    @property
    def ended(self) -> list[tuple[float, str]]:
        """When, since the press, a visit ended, and how."""
        ended = self.moments(What.VISIT_ENDED)
        return [(round(m.at_s - self.began_s, 3), str(m.fields["kind"])) for m in ended]

    def _handle(self, happened: inputs.Input) -> list[do.Effect]:
        effects = self.core.handle(happened, self.now_s)
        self.done += [(self.now_s, effect) for effect in effects]
        if any(isinstance(effect, do.CloseConversation) for effect in effects):
            self._handle(inputs.ConversationOver(Ending(Kind.STOPPED)))
        if any(isinstance(effect, do.HearOut) for effect in effects):
            self._handle(inputs.HeardOut())
        return effects


def in_state(state: State, plan: Plan = LIMITS, *, sounds: bool = False) -> Kiosk:
    kiosk = Kiosk(plan, sounds=sounds)
    kiosk.goes_to(state)
    return kiosk


# --- the order ----------------------------------------------------------------------------------


def test_after_a_press_the_first_effects_are_lamp_and_card_and_the_last_are_moments() -> None:
    effects = Kiosk(replace(LIMITS, disclosure=True)).press()
    kinds = [type(effect) for effect in effects]
    assert kinds[:2] == [do.Light, do.StartCapture]
    assert kinds[2:-3] == [
        do.DropReport, do.FallSilent, do.Chime, do.BeginVisit, do.Announce, do.Converse, do.Forget,
    ]  # fmt: skip
    moments = [each.moment.what for each in effects if isinstance(each, do.Notify)]
    assert moments == [What.PRESSED, What.VISIT_STARTED, What.STATE]
    assert kinds[-3:] == [do.Notify] * 3


@pytest.mark.parametrize("state", WAYS)
def test_whatever_happens_lamp_and_card_come_first_and_listeners_last(state: State) -> None:
    everything: list[inputs.Input] = [
        *(inputs.Happened(event, Ending(Kind.QUOTA)) for event in EVENTS),
        inputs.OperatorPress(),
        inputs.CardLost(CardUse.MICROPHONE, "unplugged"),
        inputs.Instructed(Cause.PAUSED, end_visit=True),
        inputs.ConversationOver(Ending(Kind.NETWORK_LOST)),
    ]
    for happened in everything:
        kiosk = in_state(state, sounds=True)
        effects = kiosk.core.handle(happened, kiosk.now_s)
        urgencies = [effect.urgency for effect in effects]
        assert urgencies == sorted(urgencies)


# --- the button ---------------------------------------------------------------------------------


def test_a_nervous_second_press_does_nothing() -> None:
    kiosk = in_state(State.LISTENING)
    kiosk.wait(NERVOUS_S - 0.01)
    assert kiosk.press() == []
    kiosk.wait(0.02)
    kiosk.press()
    assert kiosk.ended == [(1.01, Kind.HUNG_UP)]


def test_where_the_button_is_held_no_press_is_nervous() -> None:
    kiosk = in_state(State.LISTENING, HELD)
    assert do.AllowTalk(False) in kiosk.button(down=False)
    assert do.AllowTalk(True) in kiosk.button(down=True)


def test_a_press_that_came_while_closing_begins_the_next_visit() -> None:
    kiosk = in_state(State.LISTENING, sounds=True)
    kiosk.bring(inputs.Happened(Event.ENDED, Ending(Kind.AGENT_FAILED)))
    kiosk.wait(2)
    kiosk.press()
    assert kiosk.state() is State.CLOSING
    kiosk.silence()
    assert kiosk.state() is State.IDLE
    kiosk.wait(0)
    assert kiosk.state() is State.OPENING
    assert len(kiosk.of(do.StartCapture)) == 1


def test_a_held_button_let_go_while_closing_begins_none() -> None:
    kiosk = in_state(State.LISTENING, HELD, sounds=True)
    kiosk.bring(inputs.Happened(Event.ENDED, Ending(Kind.AGENT_FAILED)))
    kiosk.button(down=True)
    kiosk.button(down=False)
    kiosk.silence()
    kiosk.wait(60)
    assert kiosk.state() is State.IDLE


def test_a_press_that_overtakes_the_one_that_waited_is_the_only_one() -> None:
    kiosk = in_state(State.LISTENING, sounds=True)
    kiosk.bring(inputs.Happened(Event.ENDED, Ending(Kind.AGENT_FAILED)))
    kiosk.wait(2)
    kiosk.press()
    kiosk.silence()
    kiosk.now_s += 2
    kiosk.press()
    kiosk.wait(0)
    assert kiosk.state() is State.OPENING


def test_a_press_that_the_last_word_answered_begins_none() -> None:
    kiosk = in_state(State.LISTENING, sounds=True)
    kiosk.wait(2)
    kiosk.bring(inputs.LeaseAvailability(ready=False))
    kiosk.bring(inputs.Happened(Event.ENDED, Ending(Kind.BACKEND_UNREACHABLE)))
    kiosk.press()
    kiosk.silence()
    kiosk.wait(60)
    assert kiosk.state() is State.IDLE
    assert [key for _, key in kiosk.said] == [Cause.CANNOT_REACH]


def test_an_apology_is_said_once_however_often_the_button_is_pressed() -> None:
    kiosk = Kiosk(fit=False, sounds=True)
    for _ in range(3):
        kiosk.press()
        kiosk.wait(1.1)
    assert [key for _, key in kiosk.said] == [Cause.NO_SPEAKER]
    kiosk.silence()
    kiosk.press()
    assert [key for _, key in kiosk.said] == [Cause.NO_SPEAKER] * 2
    assert kiosk.of(do.Chime) == [do.Chime(Earcon.SORRY)] * 2
    assert kiosk.of(do.HurryLease) == [do.HurryLease()] * 2


# --- a plan per visit ---------------------------------------------------------------------------


def test_settings_that_are_read_again_are_the_plan_of_the_next_visit() -> None:
    kiosk = in_state(State.LISTENING)
    kiosk.core.plan = replace(LIMITS, max_s=100.0, warning_s=20.0)
    kiosk.bring(AGENT_STARTED)
    kiosk.wait(569)
    assert kiosk.ended == []
    kiosk.wait(2)
    assert kiosk.ended == [(570.0, Kind.TIME_UP)]
    kiosk.done.clear()
    kiosk.began_s = kiosk.now_s
    kiosk.press()
    kiosk.bring(CONNECTED, AGENT_STARTED)
    kiosk.wait(600)
    assert kiosk.ended == [(100.0, Kind.TIME_UP)]


# --- how long things may last -------------------------------------------------------------------


@pytest.mark.parametrize("state", set(State) - set(DEADLINES) - {State.IDLE, State.CLOSING})
def test_nothing_rings_where_nothing_has_a_deadline(state: State) -> None:
    kiosk = in_state(state)
    kiosk.wait(LIMITS.max_s - LIMITS.warning_s - 1)
    assert kiosk.done == []


def test_an_idle_kiosk_wants_no_waking() -> None:
    kiosk = Kiosk()
    assert kiosk.core.wake_at_s is None


def test_connecting_asks_for_patience_and_has_a_limit() -> None:
    kiosk = in_state(State.OPENING)
    kiosk.wait(3600)
    assert kiosk.said == [(ONE_MOMENT_S, "one_moment"), (15.0, "cannot_reach")]
    assert kiosk.ended == [(15.0, Kind.UNREACHABLE)]
    [ended] = kiosk.moments(What.VISIT_ENDED)
    assert ended.fields["detail"] == "no conversation in 15 s"


def test_connecting_in_time_needs_no_patience() -> None:
    kiosk = in_state(State.OPENING)
    kiosk.wait(ONE_MOMENT_S - 0.1)
    kiosk.bring(CONNECTED, AGENT_STARTED)
    kiosk.wait(500)
    assert kiosk.said == []


def test_a_lost_connection_has_the_whole_time_to_come_back() -> None:
    kiosk = in_state(State.OPENING)
    kiosk.wait(10)
    kiosk.bring(CONNECTED)
    kiosk.wait(1)
    kiosk.conversation_ends(Kind.NETWORK_LOST)
    kiosk.wait(14.9)
    assert kiosk.ended == []
    kiosk.wait(0.2)
    assert kiosk.ended == [(26.0, Kind.UNREACHABLE)]


def test_the_queue_has_a_limit_of_its_own_and_no_other() -> None:
    kiosk = in_state(State.QUEUED)
    for happened in (inputs.Speech(True, 0), inputs.Speech(False, 0), AGENT_STARTED, DRAINED):
        kiosk.wait(10)
        kiosk.bring(happened)
    kiosk.wait(79)
    assert kiosk.said == []
    kiosk.wait(2)
    assert kiosk.ended == [(120.0, Kind.BUSY)]
    [ended] = kiosk.moments(What.VISIT_ENDED)
    assert ended.fields["detail"] == "nobody became free in 120 s"


def test_whoever_is_admitted_has_the_whole_time_to_begin() -> None:
    kiosk = in_state(State.QUEUED)
    kiosk.wait(119)
    kiosk.bring(ADMITTED)
    kiosk.wait(22)
    assert kiosk.said == [(140.0, "still_there")]


def test_a_silent_visitor_is_asked_once_and_then_taken_to_be_gone() -> None:
    kiosk = in_state(State.LISTENING)
    kiosk.wait(42.5)
    assert kiosk.said == [(21.0, "still_there"), (42.0, "goodbye")]
    assert kiosk.ended == [(42.0, Kind.ABANDONED)]


@pytest.mark.parametrize("sign", ["the visitor", "the agent"])
def test_whoever_answers_the_question_is_asked_anew_the_next_time(sign: str) -> None:
    kiosk = in_state(State.LISTENING)
    kiosk.wait(30)
    if sign == "the visitor":
        kiosk.speaks()
        kiosk.stops_speaking()
        kiosk.bring(TURN_SKIPPED)
    else:
        kiosk.bring(AGENT_STARTED, DRAINED)
    assert kiosk.state() is State.LISTENING
    kiosk.wait(21.5)
    assert [key for _, key in kiosk.said] == ["still_there", "still_there"]


def test_nobody_is_asked_while_speaking_however_long() -> None:
    kiosk = in_state(State.LISTENING)
    kiosk.wait(20)
    kiosk.speaks()
    kiosk.wait(300)
    assert kiosk.said == []


def test_between_words_of_a_held_button_the_idle_clock_starts_anew() -> None:
    kiosk = in_state(State.LISTENING, HELD)
    kiosk.speaks()
    kiosk.wait(100)
    kiosk.stops_speaking()
    kiosk.wait(20.9)
    assert kiosk.said == []
    kiosk.wait(0.2)
    assert kiosk.said == [(121.0, "still_there")]


def test_an_answer_has_a_limit() -> None:
    kiosk = in_state(State.THINKING)
    kiosk.wait(3600)
    assert kiosk.ended == [(22.0, Kind.NO_ANSWER)]


@pytest.mark.parametrize("happened", [TURN_SKIPPED, AGENT_STARTED])
def test_an_answer_that_came_or_will_not_come_is_not_waited_for(happened: inputs.Input) -> None:
    kiosk = in_state(State.THINKING)
    kiosk.wait(21)
    kiosk.bring(happened)
    kiosk.wait(20)
    assert (kiosk.said, kiosk.ended) == ([], [])


def test_the_visitor_is_warned_before_the_time_is_up() -> None:
    kiosk = in_state(State.SPEAKING)  # whatever the visit does
    kiosk.wait(600)
    assert kiosk.said == [(540.0, "warning"), (570.0, "time_up")]
    assert kiosk.ended == [(570.0, Kind.TIME_UP)]


@pytest.mark.parametrize("state", DEADLINES)
def test_a_visit_that_is_over_has_no_clocks_any_more(state: State) -> None:
    kiosk = in_state(state)
    kiosk.wait(2)
    kiosk.bring(HANG_UP)
    assert kiosk.state() is State.IDLE
    assert kiosk.core.wake_at_s is None


def test_whoever_comes_to_listening_speaking_is_not_asked_whether_he_is_there() -> None:
    kiosk = in_state(State.OPENING)
    kiosk.speaks()
    kiosk.bring(CONNECTED)
    kiosk.wait(10 * LIMITS.idle_s)
    assert kiosk.said == []
    kiosk.stops_speaking()
    kiosk.bring(TURN_SKIPPED)
    kiosk.wait(LIMITS.idle_s + 0.1)
    assert [key for _, key in kiosk.said] == ["still_there"]


def test_letting_go_of_the_button_ends_speaking_too() -> None:
    kiosk = in_state(State.LISTENING, HELD)
    kiosk.speaks()
    kiosk.button(down=False)
    kiosk.wait(HELD.answer_s)
    assert kiosk.state() is State.LISTENING
    kiosk.wait(HELD.idle_s + 0.1)
    assert [key for _, key in kiosk.said] == ["still_there"]


def test_a_lease_shortens_the_visit_and_its_end_is_announced() -> None:
    kiosk = in_state(State.SPEAKING)
    kiosk.wait(2)
    kiosk.bring(inputs.LimitedTo(100.0))
    kiosk.wait(3600)
    assert kiosk.said == [(72.0, "last_warning"), (102.0, "time_up")]


def test_a_very_short_visit_is_announced_too() -> None:
    kiosk = in_state(State.SPEAKING)
    kiosk.bring(inputs.LimitedTo(20.0))
    kiosk.wait(3600)
    assert kiosk.said == [(10.0, "last_warning"), (20.0, "time_up")]


def test_nothing_makes_a_visit_longer() -> None:
    kiosk = in_state(State.SPEAKING)
    kiosk.bring(inputs.LimitedTo(3000.0))
    kiosk.wait(300)
    kiosk.bring(inputs.LimitedTo(300.0))
    kiosk.wait(3600)
    assert kiosk.said == [(540.0, "warning"), (570.0, "time_up")]


def test_who_was_warned_is_not_warned_again() -> None:
    kiosk = in_state(State.SPEAKING)
    kiosk.wait(545)
    kiosk.bring(inputs.LimitedTo(10.0))
    kiosk.wait(3600)
    assert kiosk.said == [(540.0, "warning"), (555.0, "time_up")]


@pytest.mark.parametrize("state", [State.IDLE, State.CLOSING])
def test_a_visit_that_is_over_has_no_end_to_come(state: State) -> None:
    kiosk = Kiosk(sounds=True)
    if state is State.CLOSING:
        kiosk.goes_to(state)
    due_s = kiosk.core.wake_at_s
    kiosk.bring(inputs.LimitedTo(1.0))
    assert kiosk.core.wake_at_s == due_s


@pytest.mark.parametrize("state", [s for s in WAYS if s is not State.CLOSING])
@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("late", [False, True])
def test_every_event_in_every_state_before_and_after_every_deadline_leads_home(
    state: State, event: Event, late: bool
) -> None:
    kiosk = in_state(state)
    for _ in range(4):
        due_s = kiosk.core.wake_at_s
        if due_s is None:
            break
        kiosk.now_s = max(kiosk.now_s, due_s + (0.001 if late else -0.001))
        kiosk.bring(inputs.Happened(event, Ending(Kind.INTERNAL)))
        kiosk.bring(inputs.Wake())
    kiosk.wait(LIMITS.max_s + 2 * FAREWELL_LIMIT_S)
    assert kiosk.state() is State.IDLE
    assert len(kiosk.ended) == 1
    assert len(kiosk.of(do.StopCapture)) == 1


# --- turns --------------------------------------------------------------------------------------


def test_a_turn_that_ended_while_the_line_opened_is_waited_for_once_it_is_open() -> None:
    kiosk = in_state(State.OPENING)
    kiosk.speaks()
    kiosk.stops_speaking()
    kiosk.bring(CONNECTED)
    assert kiosk.state() is State.THINKING
    # The next conversation gets it again.
    kiosk.conversation_ends(Kind.NETWORK_LOST)
    kiosk.bring(CONNECTED)
    assert kiosk.state() is State.THINKING
    kiosk.bring(AGENT_STARTED, DRAINED)
    kiosk.conversation_ends(Kind.NETWORK_LOST)
    kiosk.bring(CONNECTED)
    assert kiosk.state() is State.LISTENING


def test_a_visitor_who_still_speaks_when_the_line_opens_is_not_waited_for() -> None:
    kiosk = in_state(State.OPENING)
    kiosk.stops_speaking()
    kiosk.speaks()
    kiosk.bring(CONNECTED)
    assert kiosk.state() is State.LISTENING


def test_a_barge_in_that_is_confirmed_after_it_ended_is_waited_for() -> None:
    kiosk = in_state(State.SPEAKING)
    kiosk.speaks()
    kiosk.stops_speaking()
    kiosk.bring(INTERRUPTED)
    assert kiosk.state() is State.THINKING


def test_a_word_the_agent_heard_and_went_on_over_is_no_turn() -> None:
    kiosk = in_state(State.SPEAKING)
    kiosk.speaks()
    kiosk.stops_speaking()
    kiosk.bring(DRAINED, AGENT_STARTED, INTERRUPTED)
    assert kiosk.state() is State.LISTENING


def test_an_agent_that_skips_the_turn_before_the_gate_closes_is_believed() -> None:
    kiosk = in_state(State.LISTENING)
    kiosk.speaks()
    kiosk.bring(TURN_SKIPPED)
    kiosk.stops_speaking()
    assert kiosk.state() is State.LISTENING
    kiosk.speaks()
    kiosk.stops_speaking()
    assert kiosk.state() is State.THINKING


def test_a_skipped_turn_says_nothing_of_the_next() -> None:
    kiosk = in_state(State.LISTENING)
    kiosk.bring(TURN_SKIPPED)
    kiosk.speaks()
    kiosk.stops_speaking()
    assert kiosk.state() is State.THINKING


def test_a_new_visit_owes_nothing_to_the_last() -> None:
    kiosk = in_state(State.OPENING)
    kiosk.stops_speaking()
    kiosk.wait(2)
    kiosk.bring(HANG_UP)
    kiosk.wait(2)
    kiosk.press()
    kiosk.bring(CONNECTED)
    assert kiosk.state() is State.LISTENING


# --- speaking over ------------------------------------------------------------------------------


def test_the_agent_steps_back_at_once_and_comes_back_if_nothing_follows() -> None:
    kiosk = in_state(State.SPEAKING)
    kiosk.speaks()
    kiosk.wait(5)
    ducked = [(at_s - kiosk.began_s, e.on) for at_s, e in kiosk.done if isinstance(e, do.Duck)]
    assert ducked == [(0.0, True), (pytest.approx(LIMITS.duck_s), False)]
    assert len(kiosk.moments(What.DUCKED)) == 1


def test_whoever_speaks_again_keeps_the_agent_soft_for_longer() -> None:
    kiosk = in_state(State.SPEAKING)
    kiosk.speaks()
    kiosk.wait(0.5)
    kiosk.stops_speaking()
    kiosk.speaks()
    kiosk.wait(5)
    restored = [at_s for at_s, effect in kiosk.done if effect == do.Duck(False)]
    assert [at_s - kiosk.began_s for at_s in restored] == [pytest.approx(0.5 + LIMITS.duck_s)]


@pytest.mark.parametrize("happened", [INTERRUPTED, DRAINED, HANG_UP])
def test_the_loudspeaker_is_restored_at_once_when_the_visit_goes_on(
    happened: inputs.Input,
) -> None:
    kiosk = in_state(State.SPEAKING)
    kiosk.speaks()
    kiosk.wait(0.1)
    assert kiosk.bring(happened).count(do.Duck(False)) == 1
    kiosk.wait(5)
    assert kiosk.of(do.Duck) == [do.Duck(True), do.Duck(False)]


@pytest.mark.parametrize("state", [State.LISTENING, State.THINKING, State.OPENING])
def test_nobody_is_ducked_who_does_not_speak(state: State) -> None:
    kiosk = in_state(state)
    kiosk.speaks()
    kiosk.stops_speaking()
    assert kiosk.of(do.Duck) == kiosk.of(do.GiveWay) == []


def test_the_kiosks_own_sentence_gives_way_and_is_said_when_the_turn_ends() -> None:
    kiosk = in_state(State.LISTENING)
    kiosk.bring(OwnSound(True, ("disclosure",)))
    kiosk.sounds = True
    kiosk.bring(OwnSound(True, ("disclosure",)))
    assert do.GiveWay() in kiosk.speaks()
    assert do.SayOwed() in kiosk.stops_speaking()


def test_nothing_is_owed_to_a_visitor_who_has_gone() -> None:
    kiosk = in_state(State.LISTENING)
    kiosk.wait(2)
    assert do.Forget() in kiosk.bring(HANG_UP)


@pytest.mark.parametrize("state", [s for s in WAYS if s is not State.QUEUED])
def test_who_is_in_no_queue_is_not_told_to_wait(state: State) -> None:
    kiosk = Kiosk()
    kiosk.press()
    kiosk.bring(*WAYS[state])
    assert do.Forget("queued") in kiosk.of(do.Forget)


def test_speech_is_nobodys_while_talk_is_not_allowed_or_the_visit_closes() -> None:
    kiosk = in_state(State.LISTENING, HELD)
    kiosk.button(down=False)
    assert kiosk.speaks() == []
    kiosk = in_state(State.CLOSING, sounds=True)
    assert kiosk.speaks() == []


# --- connections --------------------------------------------------------------------------------


def test_a_lost_connection_is_tried_again_after_a_wait_that_doubles() -> None:
    kiosk = in_state(State.LISTENING)
    delays_ms = []
    for _ in range(3):
        kiosk.conversation_ends(Kind.NETWORK_LOST, chance=1.0)
        delays_ms.append(kiosk.moments(What.LOST)[-1].fields["delay_ms"])
        kiosk.wait(4.1)
        kiosk.bring(CONNECTED)
    assert delays_ms == [1000, 2000, 4000]
    assert len(kiosk.of(do.Converse)) == 3
    kiosk.conversation_ends(Kind.NETWORK_LOST)
    assert [kind for _, kind in kiosk.ended] == [Kind.NETWORK_LOST]


def test_chance_chooses_the_wait() -> None:
    kiosk = in_state(State.LISTENING)
    kiosk.conversation_ends(Kind.NETWORK_LOST, chance=0.25)
    kiosk.wait(0.24)
    assert kiosk.of(do.Converse) == []
    kiosk.wait(0.02)
    assert kiosk.of(do.Converse) == [do.Converse(follows=True)]


@pytest.mark.parametrize("kind", [kind for kind in Kind if not RULES[kind].retries])
def test_what_would_fail_again_is_not_tried_again(kind: Kind) -> None:
    kiosk = in_state(State.LISTENING)
    kiosk.conversation_ends(kind)
    assert [ended for _, ended in kiosk.ended] == [kind]


def test_a_visit_that_ends_while_it_waits_to_reconnect_opens_nothing_more() -> None:
    kiosk = in_state(State.LISTENING)
    kiosk.wait(2)
    kiosk.conversation_ends(Kind.NETWORK_LOST, chance=1.0)
    kiosk.press()
    kiosk.wait(60)
    assert kiosk.of(do.Converse) == kiosk.of(do.CloseConversation) == []
    assert kiosk.ended == [(2.0, Kind.HUNG_UP)]


# --- closing ------------------------------------------------------------------------------------


def test_an_agent_that_hangs_up_is_heard_out_before_anything_is_closed() -> None:
    kiosk = in_state(State.SPEAKING)
    core = kiosk.core
    ending = Ending(Kind.AGENT_ENDED)
    effects = core.handle(inputs.Happened(Event.ENDED, ending), 1000.0)
    assert do.HearOut() in effects
    assert do.SilenceAgent() not in effects
    assert do.CloseConversation(ending) not in effects
    effects = core.handle(inputs.HeardOut(), 1005.0)
    assert effects[:2] == [do.SilenceAgent(), do.CloseConversation(ending)]
    assert kiosk.state() is State.CLOSING
    core.handle(OwnSound(), 1005.0)
    core.handle(inputs.ConversationOver(Ending(Kind.STOPPED)), 1006.0)
    assert kiosk.state() is State.IDLE


@pytest.mark.parametrize(
    "order", list(itertools.permutations(["silent", "closed"])), ids=lambda order: order[0]
)
def test_a_visit_is_over_when_its_last_word_is_heard_and_the_conversation_closed(
    order: tuple[str, ...],
) -> None:
    kiosk = in_state(State.LISTENING)
    core = kiosk.core
    core.handle(inputs.Happened(Event.ENDED, Ending(Kind.QUOTA)), 1000.0)
    last: dict[str, inputs.Input] = {
        "silent": OwnSound(),
        "closed": inputs.ConversationOver(Ending(Kind.STOPPED)),
    }
    core.handle(last[order[0]], 1001.0)
    assert kiosk.state() is State.CLOSING
    core.handle(last[order[1]], 1002.0)
    assert kiosk.state() is State.IDLE


@pytest.mark.parametrize("kind", [Kind.AGENT_ENDED, Kind.MAX_DURATION, Kind.QUOTA])
def test_a_farewell_that_never_ends_is_given_up(kind: Kind) -> None:
    kiosk = in_state(State.SPEAKING)
    core = kiosk.core
    effects = core.handle(inputs.Happened(Event.ENDED, Ending(kind)), 1000.0)
    while (at_s := core.wake_at_s) is not None:
        effects += core.handle(inputs.Wake(), at_s)
    # Of the steps, those in which something is heard: the rest is the conversation's fault.
    heard = (RULES[kind].farewell is Farewell.FINISH) + (CAUSES[kind].sentence is not None)
    assert effects.count(do.PlaybackStuck()) == heard
    assert do.AbandonConversation() in effects
    assert kiosk.state() is State.IDLE
    assert at_s is None


def test_a_sentence_that_nobody_could_render_keeps_no_visit_open() -> None:
    kiosk = in_state(State.LISTENING)  # every sound ends as it begins
    kiosk.bring(inputs.Happened(Event.ENDED, Ending(Kind.QUOTA)))
    assert kiosk.state() is State.IDLE


# --- fitness and the lamp -----------------------------------------------------------------------


def test_the_lamp_follows_state_and_fitness() -> None:
    kiosk = Kiosk(fit=False)
    assert kiosk.core.cause is Cause.NO_SPEAKER
    assert kiosk.bring(inputs.CardOpened(CardUse.SPEAKER, "")) != []
    kiosk.bring(inputs.CardOpened(CardUse.MICROPHONE, ""))
    effects = kiosk.bring(inputs.LeaseAvailability(ready=True))
    assert effects[0] == do.Light(State.IDLE, unfit=False)
    assert kiosk.bring(inputs.Instructed(Cause.PAUSED))[0] == do.Light(State.IDLE, unfit=True)
    assert kiosk.core.cause is None, "a paused kiosk asks the backend at a press"
    assert kiosk.bring(inputs.OperatorPress())[0] == do.Light(State.OPENING, unfit=False)


def test_what_has_not_changed_is_neither_lit_nor_reported_again() -> None:
    kiosk = Kiosk()
    assert kiosk.bring(inputs.LeaseAvailability(ready=True)) == []
    lost = inputs.CardLost(CardUse.MICROPHONE, "unplugged")
    assert len(kiosk.bring(lost)) > 0
    assert kiosk.bring(lost) == []


@pytest.mark.parametrize("state", [s for s in WAYS if s is not State.CLOSING])
@pytest.mark.parametrize(
    ("card", "kind"),
    [(CardUse.MICROPHONE, Kind.MICROPHONE_LOST), (CardUse.SPEAKER, Kind.SPEAKER_LOST)],
)
def test_a_card_that_is_lost_ends_the_visit(state: State, card: CardUse, kind: Kind) -> None:
    kiosk = in_state(state)
    kiosk.bring(inputs.CardLost(card, "unplugged"))
    [ended] = kiosk.moments(What.VISIT_ENDED)
    assert (ended.fields["kind"], ended.fields["detail"]) == (kind, "unplugged")


def test_an_operator_may_pause_and_end_the_visit_under_way_or_let_it_go_on() -> None:
    kiosk = in_state(State.LISTENING)
    kiosk.bring(inputs.Instructed(Cause.PAUSED))
    assert kiosk.state() is State.LISTENING
    kiosk.bring(inputs.Instructed(Cause.PAUSED, end_visit=True))
    assert [kind for _, kind in kiosk.ended] == [Kind.PAUSED]


def test_the_ready_chime_is_for_who_waits_and_sounds_over_nobody_who_speaks() -> None:
    kiosk = Kiosk(sounds=True)
    assert do.Chime(EARCONS[Event.PRESS, State.OPENING]) in kiosk.press()
    kiosk.bring(CONNECTED)
    kiosk.wait(READY_S)
    assert do.Chime(Earcon.READY, polite=True) in kiosk.of(do.Chime), "behind what still sounds"
    for follows in (inputs.Speech(True, 0.0), AGENT_STARTED, QUEUED):
        kiosk = in_state(State.OPENING)
        kiosk.bring(CONNECTED, follows)
        kiosk.wait(5.0)
        assert kiosk.of(do.Chime) == []
    kiosk.speaks()
    kiosk.bring(ADMITTED)
    kiosk.wait(READY_S)
    assert kiosk.of(do.Chime) == [do.Chime(Earcon.READY)], "it was promised"


# --- staff who hold the button ------------------------------------------------------------------


def held(plan: Plan = LIMITS, *, fit: bool = True) -> Kiosk:
    kiosk = Kiosk(plan, fit=fit)
    kiosk.button(down=True)
    return kiosk


def test_a_button_held_through_a_visit_ends_it_and_then_the_report_is_made() -> None:
    kiosk = held()
    kiosk.bring(CONNECTED, AGENT_STARTED)
    kiosk.wait(HOLD_S - 0.1)
    assert kiosk.ended == []
    kiosk.wait(0.2)
    assert kiosk.ended == [(HOLD_S, Kind.HUNG_UP)]
    assert kiosk.of(do.ComposeReport) == [do.ComposeReport()]


def test_where_no_visit_can_be_held_the_report_is_made_at_once() -> None:
    kiosk = held(fit=False)
    kiosk.wait(HOLD_S + 1)
    assert kiosk.of(do.ComposeReport) == [do.ComposeReport()]


def test_a_button_let_go_in_time_is_a_visitors() -> None:
    kiosk = held()
    kiosk.wait(HOLD_S - 0.1)
    kiosk.button(down=False)
    kiosk.wait(4)
    assert kiosk.of(do.ComposeReport) == []
    assert kiosk.state() is State.OPENING


def test_a_hold_that_begins_within_a_visit_is_none() -> None:
    kiosk = in_state(State.LISTENING, replace(LIMITS, table=TOGGLE_CUTTING))
    kiosk.wait(2)
    kiosk.bring(AGENT_STARTED)
    kiosk.button(down=True)
    kiosk.wait(HOLD_S + 1)
    assert kiosk.of(do.ComposeReport) == []


def test_who_holds_the_button_to_speak_is_not_cut_off() -> None:
    kiosk = held(HELD)
    kiosk.bring(CONNECTED)
    kiosk.wait(HOLD_S + 1)
    assert (kiosk.of(do.ComposeReport), kiosk.ended) == ([], [])


def test_where_the_button_is_held_to_speak_and_nobody_answers_the_report_is_made() -> None:
    kiosk = held(HELD)
    kiosk.wait(HOLD_S + 0.1)
    assert kiosk.of(do.ComposeReport) == [do.ComposeReport()]


@pytest.mark.parametrize(
    ("speech", "reported"),
    [
        ((), True),
        (((0.3, 0.3 + SPOKE_S - 0.1),), True),  # a noise in the hall, and the gate's hangover
        (((0.2, 0.2 + SPOKE_S),), False),
        (((0.2, 1.0), (3.0, 4.0)), False),
        (((9.9, None),), False),
    ],
)
def test_a_visitor_who_holds_the_button_while_speaking_gets_no_report(
    speech: tuple[tuple[float, float | None], ...], reported: bool
) -> None:
    kiosk = held()
    for began_s, ended_s in speech:
        kiosk.wait(kiosk.began_s + began_s - kiosk.now_s)
        kiosk.speaks()
        if ended_s is not None:
            kiosk.wait(kiosk.began_s + ended_s - kiosk.now_s)
            kiosk.stops_speaking()
    kiosk.wait(HOLD_S)
    assert (do.ComposeReport() in kiosk.of(do.ComposeReport)) == reported


def test_a_press_drops_a_report_and_one_that_was_to_come() -> None:
    kiosk = Kiosk(sounds=True)
    kiosk.button(down=True)
    kiosk.bring(CONNECTED)
    kiosk.wait(HOLD_S + 0.1)
    kiosk.button(down=False)
    assert kiosk.state() is State.CLOSING
    assert do.DropReport() in kiosk.button(down=True)
    kiosk.button(down=False)
    kiosk.silence()
    kiosk.wait(1)
    assert kiosk.of(do.ComposeReport) == []
    assert kiosk.state() is State.OPENING


# --- moments ------------------------------------------------------------------------------------


def test_a_whole_visit_is_told_to_the_letter() -> None:
    kiosk = Kiosk(replace(LIMITS, disclosure=True))
    kiosk.button(down=True)
    kiosk.wait(0.5)
    kiosk.bring(inputs.Speech(True, kiosk.now_s - 0.1))
    kiosk.wait(0.5)
    kiosk.bring(CONNECTED)
    kiosk.wait(1)
    kiosk.bring(inputs.Speech(False, kiosk.now_s - 0.2))
    kiosk.wait(1)
    kiosk.bring(AGENT_STARTED)
    kiosk.wait(1)
    kiosk.bring(inputs.Speech(True, kiosk.now_s))
    kiosk.bring(inputs.ConversationOver(Ending(Kind.NETWORK_LOST, 1006, "gone"), 0.5))
    kiosk.wait(1)
    kiosk.bring(inputs.ConversationOver(Ending(Kind.QUOTA, 1008, "no more"), 0.5))
    told = [
        (
            round(notice.moment.at_s - kiosk.began_s, 3),
            notice.moment.what,
            dict(notice.moment.fields),
        )
        for _, notice in kiosk.done
        if isinstance(notice, do.Notify)
    ]
    lost = {"kind": "network_lost", "code": 1006, "detail": "gone", "attempt": 1, "delay_ms": 500}
    ended = {"kind": "quota", "code": 1008, "detail": "no more", "severity": 3,
             "malformed_frames": 0, "unknown_frames": 0}  # fmt: skip
    assert told == [
        (0.0, What.PRESSED, {}),
        (0.0, What.VISIT_STARTED, {"press_id": ""}),
        (0.0, What.STATE, {"state": "opening"}),
        (0.4, What.SPEECH_STARTED, {}),
        (1.0, What.STATE, {"state": "listening"}),
        (1.8, What.SPEECH_ENDED, {}),
        (2.0, What.STATE, {"state": "thinking"}),
        (3.0, What.STATE, {"state": "speaking"}),
        (4.0, What.SPEECH_STARTED, {}),
        (4.0, What.DUCKED, {}),
        (4.0, What.LOST, lost),
        (4.0, What.STATE, {"state": "opening"}),
        (5.0, What.STATE, {"state": "closing"}),
        (5.0, What.VISIT_ENDED, ended),
        (5.0, What.STATE, {"state": "idle"}),
    ]
    assert kiosk.said == [(0.0, "disclosure"), (5.0, "not_today")]


def test_what_a_card_and_fitness_report_is_told_to_the_letter() -> None:
    kiosk = Kiosk()
    kiosk.bring(inputs.CardLost(CardUse.MICROPHONE, "unplugged"))
    kiosk.bring(inputs.CardOpened(CardUse.MICROPHONE, "48000 Hz"))
    told = [e.moment for _, e in kiosk.done if isinstance(e, do.Notify)]
    assert told == [
        a_moment(What.DEVICE_LOST, 1000.0, {"device": "microphone", "detail": "unplugged"}),
        a_moment(What.FITNESS, 1000.0, {"cause": "no_microphone"}),
        a_moment(What.DEVICE_OPENED, 1000.0, {"device": "microphone", "detail": "48000 Hz"}),
        a_moment(What.FITNESS, 1000.0, {"cause": "fit"}),
    ]


def test_a_report_is_made_once_for_each_hold() -> None:
    kiosk = held()
    kiosk.wait(HOLD_S + 1)
    kiosk.button(down=False)
    kiosk.press()
    kiosk.bring(CONNECTED)
    kiosk.wait(2)
    kiosk.bring(HANG_UP)
    assert kiosk.of(do.ComposeReport) == [do.ComposeReport()]


@pytest.mark.parametrize("kind", [Kind.AGENT_ENDED, Kind.QUOTA])
def test_each_step_of_a_farewell_has_its_whole_time(kind: Kind) -> None:
    kiosk = in_state(State.SPEAKING)
    core = kiosk.core
    core.handle(inputs.Happened(Event.ENDED, Ending(kind)), 1000.0)
    first_s = HEAR_OUT_LIMIT_S if kind is Kind.AGENT_ENDED else FAREWELL_LIMIT_S
    assert core.wake_at_s == 1000.0 + first_s
    if kind is Kind.AGENT_ENDED:
        core.handle(inputs.HeardOut(), 1005.0)
        assert core.wake_at_s == 1005.0 + FAREWELL_LIMIT_S


def test_a_report_of_having_heard_out_that_nobody_waits_for_changes_nothing() -> None:
    for state in (State.IDLE, *WAYS):
        kiosk = Kiosk(sounds=True)
        if state is not State.IDLE:
            kiosk.goes_to(state)
        assert kiosk.bring(inputs.HeardOut()) == []


def test_a_conversation_that_ends_when_there_is_no_visit_changes_nothing() -> None:
    assert Kiosk().conversation_ends(Kind.NETWORK_LOST) == []


# --- what the agent has said, and works on ------------------------------------------------------


def test_a_lost_connection_ticks_and_leaves_what_the_agent_has_said_to_be_heard() -> None:
    kiosk = in_state(State.SPEAKING)
    kiosk.conversation_ends(Kind.NETWORK_LOST)
    assert kiosk.of(do.Chime) == [do.Chime(Earcon.TICK)]
    assert kiosk.of(do.SilenceAgent) == []
    kiosk.wait(1.0)
    kiosk.bring(CONNECTED)
    assert kiosk.state() is State.SPEAKING
    kiosk.bring(DRAINED)
    assert kiosk.state() is State.LISTENING


@pytest.mark.parametrize("over", [DRAINED, INTERRUPTED])
def test_after_a_lost_connection_only_an_agent_that_still_sounds_is_heard(
    over: inputs.Input,
) -> None:
    kiosk = in_state(State.SPEAKING)
    kiosk.conversation_ends(Kind.NETWORK_LOST)
    kiosk.bring(over)
    kiosk.wait(1.0)
    kiosk.bring(CONNECTED)
    assert kiosk.state() is State.LISTENING


@pytest.mark.parametrize(
    ("state", "limit_s"), [(State.THINKING, LIMITS.answer_s), (State.LISTENING, LIMITS.idle_s)]
)
def test_a_tool_of_the_agents_moves_the_clocks_by_the_time_it_may_take(
    state: State, limit_s: float
) -> None:
    kiosk = in_state(state)
    kiosk.bring(inputs.AgentWorks(30.0))
    kiosk.wait(30.0 + limit_s - 0.1)
    assert kiosk.state() is state
    kiosk.done.clear()
    kiosk.wait(0.2)
    assert kiosk.state() is not state or kiosk.of(do.Announce) == [do.Announce("still_there")]


def test_while_a_tool_runs_the_visitor_hears_that_it_goes_on() -> None:
    kiosk = in_state(State.THINKING)
    kiosk.bring(inputs.AgentWorks(30.0))
    kiosk.wait(ONE_MOMENT_S - 0.1)
    assert kiosk.of(do.Announce) == []
    kiosk.wait(20)
    assert kiosk.of(do.Announce) == [do.Announce("one_moment")]


def test_when_a_tool_has_run_the_clocks_begin_anew() -> None:
    kiosk = in_state(State.THINKING)
    kiosk.bring(inputs.AgentWorks(300.0))
    kiosk.wait(3.0)
    kiosk.bring(inputs.AgentWorks(0.0))
    kiosk.wait(LIMITS.answer_s - 0.1)
    assert kiosk.state() is State.THINKING
    assert kiosk.of(do.Announce) == []
    kiosk.wait(0.2)
    assert kiosk.state() is not State.THINKING


def test_an_agent_that_speaks_while_its_tool_runs_is_waited_for_afterwards() -> None:
    kiosk = in_state(State.THINKING)
    kiosk.bring(inputs.AgentWorks(60.0), AGENT_STARTED)
    kiosk.wait(2.0)
    kiosk.bring(DRAINED)
    kiosk.done.clear()
    kiosk.wait(58.0 + LIMITS.idle_s - 0.1)
    assert kiosk.of(do.Announce) == [do.Announce("one_moment")]
    kiosk.wait(0.2)
    assert kiosk.of(do.Announce)[-1] == do.Announce("still_there")


def test_a_tool_of_a_lost_conversation_is_not_waited_for() -> None:
    kiosk = in_state(State.THINKING)
    kiosk.bring(inputs.AgentWorks(300.0))
    kiosk.conversation_ends(Kind.NETWORK_LOST)
    kiosk.wait(2.0)
    kiosk.bring(CONNECTED)
    kiosk.wait(LIMITS.answer_s + 0.1)
    assert kiosk.state() is not State.THINKING


def test_nobody_talks_over_a_visitor_who_speaks_while_a_tool_runs() -> None:
    kiosk = in_state(State.LISTENING)
    kiosk.bring(inputs.AgentWorks(30.0))
    kiosk.speaks()
    kiosk.wait(10.0)
    assert kiosk.of(do.Announce) == []


# --- coughs -------------------------------------------------------------------------------------


def test_an_interruption_that_nobody_meant_lets_the_answer_go_on() -> None:
    kiosk = in_state(State.SPEAKING)
    kiosk.bring(INTERRUPTED)
    kiosk.wait(COUGH_S - 0.1)
    assert kiosk.of(do.GoOn) == []
    kiosk.wait(0.2)
    assert kiosk.of(do.GoOn) == [do.GoOn()]
    kiosk.bring(AGENT_STARTED, DRAINED, inputs.GoneOn())
    kiosk.wait(10)
    assert kiosk.of(do.GoOn) == [do.GoOn()]


def test_the_quiet_counts_from_the_last_voice() -> None:
    kiosk = in_state(State.SPEAKING)
    kiosk.speaks()
    kiosk.bring(INTERRUPTED)
    kiosk.wait(1.5)
    kiosk.stops_speaking()
    kiosk.wait(COUGH_S - LIMITS.hangover_s - 0.1)
    assert kiosk.of(do.GoOn) == []
    kiosk.wait(0.2)
    assert kiosk.of(do.GoOn) == [do.GoOn()]


def test_who_speaks_for_long_has_meant_it_however_slow_the_agent_is() -> None:
    kiosk = in_state(State.SPEAKING)
    kiosk.speaks()
    kiosk.bring(INTERRUPTED)
    kiosk.wait(MEANT_S + LIMITS.hangover_s + 0.1)
    kiosk.stops_speaking()
    kiosk.wait(10.0)
    assert kiosk.of(do.GoOn) == []


def test_who_spoke_for_long_has_meant_it_also_where_the_agent_says_so_afterwards() -> None:
    kiosk = in_state(State.SPEAKING)
    kiosk.speaks()
    kiosk.wait(MEANT_S + LIMITS.hangover_s + 0.1)
    kiosk.stops_speaking()
    kiosk.bring(INTERRUPTED)
    kiosk.wait(LIMITS.answer_s - 0.1)
    assert kiosk.of(do.GoOn) == []


def test_a_cough_before_its_interruption_is_no_question() -> None:
    kiosk = in_state(State.SPEAKING)
    kiosk.speaks()
    kiosk.wait(0.3)
    kiosk.stops_speaking()
    kiosk.bring(INTERRUPTED)
    kiosk.wait(COUGH_S + 0.1)
    assert kiosk.of(do.GoOn) == [do.GoOn()]


def test_a_noise_over_an_answer_that_began_before_the_gate_closed_is_no_question() -> None:
    kiosk = in_state(State.LISTENING)
    kiosk.speaks()
    kiosk.wait(MEANT_S + LIMITS.hangover_s + 0.1)
    kiosk.bring(inputs.TurnTaken(heard=True), AGENT_STARTED)
    kiosk.stops_speaking()
    kiosk.wait(4.0)
    # The agent notices the noise sooner than the kiosk's own gate.
    kiosk.bring(INTERRUPTED)
    assert kiosk.state() is State.LISTENING
    kiosk.speaks()
    kiosk.wait(0.3)
    kiosk.stops_speaking()
    kiosk.wait(COUGH_S + 0.1)
    assert kiosk.of(do.GoOn) == [do.GoOn()]


def test_a_turn_that_goes_to_the_next_conversation_is_waited_for_there() -> None:
    kiosk = in_state(State.LISTENING)
    kiosk.speaks()
    kiosk.bring(inputs.TurnTaken(heard=True))
    kiosk.conversation_ends(Kind.NETWORK_LOST)
    kiosk.stops_speaking()
    kiosk.bring(CONNECTED)
    assert kiosk.state() is State.THINKING


def test_who_speaks_again_is_waited_for_again() -> None:
    kiosk = in_state(State.SPEAKING)
    kiosk.bring(INTERRUPTED)
    kiosk.wait(1.0)
    kiosk.speaks()
    kiosk.wait(10.0)
    assert kiosk.of(do.GoOn) == []


@pytest.mark.parametrize(
    "sign", [inputs.TurnTaken(), TURN_SKIPPED, HANG_UP], ids=["taken", "skipped", "over"]
)
def test_an_interruption_that_was_meant_is_left_at_that(sign: inputs.Input) -> None:
    kiosk = in_state(State.SPEAKING)
    kiosk.bring(INTERRUPTED)
    kiosk.wait(1.0)
    kiosk.bring(sign)
    kiosk.wait(COUGH_S + 1)
    assert kiosk.of(do.GoOn) == []


def test_an_answer_that_goes_on_is_cut_by_the_kiosks_own_ear() -> None:
    kiosk = in_state(State.SPEAKING)
    kiosk.bring(INTERRUPTED)
    kiosk.wait(COUGH_S + 0.1)
    kiosk.bring(AGENT_STARTED)
    kiosk.done.clear()
    kiosk.speaks()
    assert kiosk.of(do.SilenceAgent) == []
    kiosk.bring(inputs.SpeechHeld())
    assert kiosk.of(do.SilenceAgent) == [do.SilenceAgent()]
    assert kiosk.state() is State.LISTENING


def test_only_an_answer_that_goes_on_is_cut_by_the_kiosk_itself() -> None:
    kiosk = in_state(State.SPEAKING)
    kiosk.speaks()
    kiosk.bring(inputs.SpeechHeld())
    assert kiosk.of(do.SilenceAgent) == []
    assert kiosk.state() is State.SPEAKING


# --- a lamp that is honest ----------------------------------------------------------------------


def fails(kiosk: Kiosk, kind: Kind) -> None:
    """A visit that ends before anybody is answered."""
    kiosk.wait(NERVOUS_S + 0.1)
    kiosk.press()
    kiosk.bring(inputs.Happened(Event.ENDED, Ending(kind)))
    kiosk.wait(0.1)
    assert kiosk.state() is State.IDLE


@pytest.mark.parametrize(
    "kind",
    [
        Kind.UNREACHABLE,
        Kind.NO_METADATA,
        Kind.AGENT_MISSING,
        Kind.OVERRIDE_REFUSED,
        Kind.REFUSED,
        Kind.QUOTA,
    ],
)
@pytest.mark.parametrize("heals", [(CONNECTED, AGENT_STARTED, DRAINED), (CONNECTED,)])
def test_after_two_visits_that_the_agent_refused_the_lamp_says_so_until_one_is_held(
    kind: Kind, heals: tuple[inputs.Input, ...]
) -> None:
    kiosk = Kiosk()
    fails(kiosk, kind)
    assert kiosk.core.shown is None, "one may fail by chance"
    fails(kiosk, kind)
    assert kiosk.core.shown is Cause.NOT_ANSWERED
    assert kiosk.core.cause is None, "a press is the trial"
    assert kiosk.core.kept.light == do.Light(State.IDLE, unfit=True)
    kiosk.wait(5.0)
    kiosk.press()
    kiosk.bring(*heals, HANG_UP)
    kiosk.wait(1.0)
    assert kiosk.core.shown is None


def test_what_two_visits_failed_for_is_forgotten_after_a_quarter_of_an_hour() -> None:
    kiosk = Kiosk()
    fails(kiosk, Kind.UNREACHABLE)
    fails(kiosk, Kind.UNREACHABLE)
    kiosk.wait(890)
    assert kiosk.core.shown is Cause.NOT_ANSWERED
    kiosk.wait(20)
    assert kiosk.core.shown is None


@pytest.mark.parametrize("kind", [Kind.HUNG_UP, Kind.NO_ANSWER, Kind.NETWORK_LOST, Kind.SAFETY])
def test_what_the_next_visit_need_not_fail_for_leaves_the_lamp_alone(kind: Kind) -> None:
    kiosk = Kiosk()
    for _ in range(2):
        fails(kiosk, kind)
    assert kiosk.core.shown is None


@pytest.mark.parametrize("cause", [Cause.CLOSED, Cause.NO_MINUTES_LEFT, Cause.PAUSED])
def test_what_the_backend_says_is_shown_for_as_long_as_it_said(cause: Cause) -> None:
    kiosk = Kiosk()
    kiosk.bring(inputs.Instructed(cause, 100.0))
    assert kiosk.core.shown is cause
    kiosk.wait(99.0)
    assert kiosk.core.kept.light == do.Light(State.IDLE, unfit=True)
    kiosk.wait(2.0)
    assert kiosk.core.shown is None
    kiosk.bring(inputs.Instructed(cause))
    kiosk.wait(100_000.0)
    assert kiosk.core.shown is cause, "until it says something else"
    kiosk.bring(inputs.Instructed(None))
    assert kiosk.core.shown is None


def test_a_kiosk_that_cannot_say_that_an_ai_answers_holds_no_visit() -> None:
    plan = replace(LIMITS, disclosure=True)
    kiosk = Kiosk(plan)
    kiosk.bring(inputs.OwnVoice(can_disclose=False))
    assert kiosk.core.cause is Cause.NO_VOICE
    kiosk.press()
    assert kiosk.state() is State.IDLE
    assert kiosk.said == [(0.0, "out_of_order")]
    kiosk.bring(inputs.OwnVoice(can_disclose=True))
    assert kiosk.core.cause is None


def test_where_no_disclosure_is_due_a_kiosk_without_a_voice_serves() -> None:
    kiosk = Kiosk(replace(LIMITS, disclosure=False))
    kiosk.bring(inputs.OwnVoice(can_disclose=False))
    assert kiosk.core.cause is None
