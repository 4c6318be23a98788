"""The visitor's choice of a language: keys, the agent's change, and back to the site's own."""

from dataclasses import replace

import pytest

from kiosk.audio.earcons import Earcon
from kiosk.devices.ports import ButtonEdge
from kiosk.endings import Ending, Kind
from kiosk.moments import What
from kiosk.visit import effects as do
from kiosk.visit import inputs
from kiosk.visit.states import Event, State
from kiosk.visit.visit import HOLD_S, LEFT_S, NERVOUS_S, SETTLE_S
from tests.unit.visit.test_core import (
    AGENT_STARTED,
    CONNECTED,
    DRAINED,
    HELD,
    LIMITS,
    Kiosk,
    in_state,
)

TALKING = (
    State.OPENING, State.QUEUED, State.LISTENING, State.THINKING, State.SPEAKING,
)  # fmt: skip
DISCLOSING = replace(LIMITS, disclosure=True)


def key(kiosk: Kiosk, language: str) -> list[do.Effect]:
    """A visitor pushes the key of a language and lets go."""
    effects = kiosk.bring(ButtonEdge(True, kiosk.now_s, language))
    kiosk.bring(ButtonEdge(False, kiosk.now_s, language))
    return effects


def languages(kiosk: Kiosk) -> list[str | None]:
    """Those that the kiosk's sentences were to be in, one after the other."""
    return [effect.language for _, effect in kiosk.done if isinstance(effect, do.UseLanguage)]


# --- a visit begins -----------------------------------------------------------------------------


def test_a_key_begins_a_visit_in_its_language() -> None:
    kiosk = Kiosk(DISCLOSING)
    effects = key(kiosk, "de")
    assert kiosk.state() is State.OPENING
    wanted = [type(effect) for effect in effects]
    assert wanted.index(do.UseLanguage) < wanted.index(do.Announce), "the disclosure is in it too"
    assert kiosk.of(do.Converse) == [do.Converse(follows=False, language="de")]
    (chosen,) = kiosk.moments(What.LANGUAGE)
    assert (chosen.fields["language"], chosen.fields["by"]) == ("de", "visitor")


def test_the_key_of_the_kiosks_own_language_is_the_button() -> None:
    kiosk = Kiosk()
    key(kiosk, "en")
    assert kiosk.of(do.Converse) == [do.Converse(follows=False, language=None)]
    assert languages(kiosk) == []
    assert kiosk.moments(What.LANGUAGE) == []


def test_after_the_visit_the_kiosk_speaks_its_own_language_again() -> None:
    kiosk = Kiosk()
    key(kiosk, "de")
    kiosk.bring(CONNECTED)
    kiosk.wait(2.0)
    kiosk.press()
    kiosk.wait(1.0)
    assert kiosk.state() is State.IDLE
    assert languages(kiosk) == ["de", None]
    kiosk.press()
    assert kiosk.of(do.Converse)[-1] == do.Converse(follows=False, language=None)


def test_why_no_visit_can_be_held_is_told_in_the_language_of_the_key() -> None:
    kiosk = Kiosk(fit=False)
    effects = key(kiosk, "fr")
    assert [each for each in effects if not isinstance(each, do.Notify)] == [
        do.DropReport(),
        do.UseLanguage("fr"),
        do.FallSilent(),
        do.Chime(Earcon.SORRY),
        do.HurryLease(),
        do.Announce("no_speaker"),
    ]
    kiosk.wait(5.0)
    kiosk.press()
    assert languages(kiosk) == ["fr", None], "who presses the button next is another visitor"


def test_staffs_report_is_in_the_kiosks_own_language() -> None:
    kiosk = Kiosk(fit=False)
    kiosk.bring(ButtonEdge(True, kiosk.now_s, "fr"))
    kiosk.wait(HOLD_S)
    assert kiosk.of(do.ComposeReport)
    assert languages(kiosk) == ["fr", None]


# --- a visit goes on in another language ----------------------------------------------------------


@pytest.mark.parametrize("state", TALKING)
def test_the_key_of_another_language_goes_on_in_another_conversation(state: State) -> None:
    kiosk = in_state(state, DISCLOSING)
    kiosk.wait(LEFT_S / 2)
    kiosk.done.clear()
    kiosk.began_s = kiosk.now_s
    key(kiosk, "de")
    assert kiosk.state() is State.OPENING
    assert kiosk.of(do.Chime) == [do.Chime(Earcon.PRESSED)], "it is answered"
    assert kiosk.of(do.SilenceAgent), "nobody wants to hear the rest of it"
    assert kiosk.of(do.CloseConversation) == [do.CloseConversation(Ending(Kind.LANGUAGE_CHANGED))]
    assert kiosk.of(do.Converse) == [do.Converse(follows=True, language="de")]
    assert languages(kiosk) == ["de"]
    assert kiosk.said == [(0.0, "disclosure_short")], "also who reads no English is told"
    assert kiosk.ended == []
    kiosk.bring(CONNECTED)
    assert kiosk.state() in (State.LISTENING, State.THINKING)


def test_it_costs_none_of_the_attempts_after_a_lost_connection() -> None:
    kiosk = in_state(State.LISTENING)
    for language in ("de", "fr", "en", "de", "fr"):
        kiosk.wait(2.0)
        key(kiosk, language)
        kiosk.bring(CONNECTED)
    assert kiosk.state() is State.LISTENING
    kiosk.conversation_ends(Kind.NETWORK_LOST)
    assert kiosk.ended == []
    assert [moment.fields["attempt"] for moment in kiosk.moments(What.LOST)] == [1]


def test_it_may_be_back_to_the_kiosks_own() -> None:
    kiosk = Kiosk()
    key(kiosk, "de")
    kiosk.bring(CONNECTED, AGENT_STARTED)
    kiosk.wait(2.0)
    key(kiosk, "en")
    assert kiosk.of(do.Converse)[-1] == do.Converse(follows=True, language=None)
    assert languages(kiosk) == ["de", None]


def test_a_turn_that_was_not_answered_goes_to_the_next_conversation() -> None:
    kiosk = in_state(State.THINKING)
    kiosk.wait(1.0)
    key(kiosk, "de")
    kiosk.bring(CONNECTED)
    assert kiosk.state() is State.THINKING


def test_a_turn_whose_answer_is_silenced_needs_no_other() -> None:
    kiosk = in_state(State.LISTENING)
    kiosk.speaks()
    kiosk.bring(AGENT_STARTED)
    kiosk.stops_speaking()
    kiosk.wait(2.0)
    key(kiosk, "de")
    kiosk.bring(CONNECTED)
    assert kiosk.state() is State.LISTENING


def test_while_it_waits_to_connect_anew_the_next_attempt_is_in_the_language() -> None:
    kiosk = in_state(State.LISTENING)
    kiosk.conversation_ends(Kind.NETWORK_LOST, chance=1.0)
    kiosk.done.clear()
    key(kiosk, "de")
    assert kiosk.of(do.Converse) == []
    kiosk.wait(2.0)
    assert kiosk.of(do.Converse) == [do.Converse(follows=True, language="de")]


def test_a_connection_that_is_lost_is_opened_anew_in_the_language_of_the_visit() -> None:
    kiosk = Kiosk()
    key(kiosk, "de")
    kiosk.bring(CONNECTED)
    kiosk.conversation_ends(Kind.NETWORK_LOST)
    kiosk.wait(2.0)
    assert kiosk.of(do.Converse)[-1] == do.Converse(follows=True, language="de")


# --- gestures -----------------------------------------------------------------------------------


def test_a_wrong_key_is_put_right_at_once() -> None:
    kiosk = Kiosk()
    key(kiosk, "fr")
    kiosk.wait(NERVOUS_S / 4)
    key(kiosk, "de")
    assert kiosk.of(do.Converse)[-1] == do.Converse(follows=True, language="de")


def test_a_second_press_of_the_same_key_is_a_nervous_hand_and_later_ends_the_visit() -> None:
    kiosk = in_state(State.LISTENING)
    kiosk.wait(2.0)
    key(kiosk, "de")
    kiosk.bring(CONNECTED)
    kiosk.wait(NERVOUS_S / 2)
    key(kiosk, "de")
    assert kiosk.state() is State.LISTENING
    kiosk.wait(NERVOUS_S)
    key(kiosk, "de")
    kiosk.wait(1.0)
    assert [kind for _, kind in kiosk.ended] == [Kind.HUNG_UP]


def test_on_a_visit_that_was_left_a_key_begins_a_new_one_in_its_language() -> None:
    kiosk = in_state(State.SPEAKING)
    kiosk.bring(DRAINED)
    kiosk.wait(LEFT_S + 0.1)
    kiosk.done.clear()
    key(kiosk, "de")
    kiosk.wait(0.1)
    assert [kind for _, kind in kiosk.ended] == [Kind.ABANDONED]
    assert kiosk.of(do.Converse) == [do.Converse(follows=False, language="de")]
    assert languages(kiosk) == ["de"]


def test_who_presses_the_button_on_a_visit_that_was_left_gets_the_kiosks_own_language() -> None:
    kiosk = Kiosk()
    key(kiosk, "de")
    kiosk.bring(CONNECTED, AGENT_STARTED, DRAINED)
    kiosk.wait(LEFT_S + 0.1)
    kiosk.press()
    kiosk.wait(0.1)
    assert kiosk.of(do.Converse)[-1] == do.Converse(follows=False, language=None)


def test_a_key_pressed_while_a_visit_closes_begins_the_next_one_in_its_language() -> None:
    kiosk = in_state(State.LISTENING, sounds=True)
    kiosk.wait(2.0)
    kiosk.press()
    assert kiosk.state() is State.CLOSING
    kiosk.wait(1.5)
    key(kiosk, "de")
    kiosk.silence()
    kiosk.wait(0.1)
    assert kiosk.of(do.Converse)[-1] == do.Converse(follows=False, language="de")


def test_a_held_key_is_talked_into_like_the_button() -> None:
    kiosk = in_state(State.LISTENING, HELD)
    kiosk.wait(1.0)
    kiosk.bring(ButtonEdge(True, kiosk.now_s, "de"))
    assert kiosk.of(do.AllowTalk)[-1] == do.AllowTalk(allowed=True)
    kiosk.bring(CONNECTED)
    kiosk.wait(1.0)
    kiosk.bring(ButtonEdge(False, kiosk.now_s, "de"))
    assert kiosk.of(do.AllowTalk)[-1] == do.AllowTalk(allowed=False)
    assert kiosk.state() is State.THINKING


# --- the agent changes --------------------------------------------------------------------------


def test_where_the_agent_changes_the_kiosks_sentences_follow() -> None:
    kiosk = in_state(State.SPEAKING)
    kiosk.bring(inputs.AgentSpeaks("de"))
    assert kiosk.state() is State.SPEAKING, "the conversation is the same"
    assert languages(kiosk) == ["de"]
    assert [moment.fields["by"] for moment in kiosk.moments(What.LANGUAGE)] == ["agent"]
    kiosk.bring(inputs.AgentSpeaks("de"))
    assert languages(kiosk) == ["de"]
    kiosk.bring(inputs.AgentSpeaks("en"))
    assert languages(kiosk) == ["de", None]


def test_the_language_of_a_visit_that_is_over_is_nobodys() -> None:
    kiosk = in_state(State.CLOSING, sounds=True)
    kiosk.bring(inputs.AgentSpeaks("de"))
    kiosk.silence()
    assert kiosk.state() is State.IDLE
    kiosk.bring(inputs.AgentSpeaks("de"))
    assert languages(kiosk) == []


def test_another_language_ends_a_turn_of_the_old_conversations_tool() -> None:
    kiosk = in_state(State.THINKING)
    kiosk.bring(inputs.AgentWorks(60.0))
    key(kiosk, "de")
    kiosk.bring(CONNECTED)
    kiosk.wait(LIMITS.answer_s + 0.1)
    assert [kind for _, kind in kiosk.ended] == [Kind.NO_ANSWER]


def test_a_conversation_that_does_not_close_does_not_hold_the_visitor_for_ever() -> None:
    kiosk = in_state(State.LISTENING)
    visit = kiosk.core.visit
    assert visit is not None
    kiosk.core.handle(ButtonEdge(True, kiosk.now_s, "de"), kiosk.now_s)  # and nothing is over
    kiosk.wait(LIMITS.connect_s + 0.1)
    assert visit.ending is not None
    assert visit.ending.kind is Kind.UNREACHABLE


@pytest.mark.parametrize("event", [Event.AGENT_STARTED, Event.DRAINED])
def test_what_the_old_conversation_still_says_changes_nothing(event: Event) -> None:
    kiosk = in_state(State.SPEAKING)
    key(kiosk, "de")
    kiosk.bring(inputs.Happened(event))
    assert kiosk.state() is State.OPENING


# --- what must not go wrong ---------------------------------------------------------------------


def test_who_tries_one_key_after_the_other_costs_no_conversation_for_each() -> None:
    kiosk = in_state(State.LISTENING)
    kiosk.wait(2.0)
    kiosk.done.clear()
    for number in range(40):
        key(kiosk, ("de", "fr")[number % 2])
        kiosk.wait(0.2)
    kiosk.wait(SETTLE_S)
    assert len(kiosk.of(do.Converse)) <= 2
    assert kiosk.of(do.Converse)[-1] == do.Converse(follows=True, language=languages(kiosk)[-1])
    kiosk.bring(CONNECTED)
    assert kiosk.state() is State.LISTENING


def test_a_second_thought_is_waited_for_and_the_first_is_not() -> None:
    kiosk = in_state(State.LISTENING)
    kiosk.wait(2.0)
    kiosk.done.clear()
    key(kiosk, "de")
    assert len(kiosk.of(do.Converse)) == 1
    kiosk.wait(1.0)
    key(kiosk, "fr")
    assert len(kiosk.of(do.Converse)) == 1
    kiosk.wait(SETTLE_S)
    assert kiosk.of(do.Converse)[1:] == [do.Converse(follows=True, language="fr")]


STALE = (
    CONNECTED, AGENT_STARTED, DRAINED, inputs.AgentSpeaks("fr"),
    inputs.Happened(Event.ENDED, Ending(Kind.AGENT_ENDED)), inputs.Happened(Event.TURN_SKIPPED),
)  # fmt: skip


@pytest.mark.parametrize("stale", STALE, ids=str)
@pytest.mark.parametrize("state", [State.OPENING, State.SPEAKING])
def test_what_the_conversation_that_was_left_still_does_changes_nothing(
    state: State, stale: inputs.Input
) -> None:
    kiosk = in_state(state)
    kiosk.wait(1.5)
    kiosk.core.handle(ButtonEdge(True, kiosk.now_s, "de"), kiosk.now_s)  # it is not over yet
    kiosk.core.handle(inputs.OwnSound(), kiosk.now_s)
    kiosk.core.handle(stale, kiosk.now_s)
    assert kiosk.state() is State.OPENING
    kiosk.conversation_ends(Kind.STOPPED)
    assert kiosk.of(do.Converse)[-1] == do.Converse(follows=True, language="de")
    kiosk.bring(CONNECTED)
    assert kiosk.state() is State.LISTENING
    assert kiosk.ended == []


def test_the_warning_is_given_again_in_words_that_are_understood() -> None:
    kiosk = in_state(State.LISTENING)
    kiosk.bring(AGENT_STARTED)
    kiosk.wait(LIMITS.max_s - LIMITS.warning_s + 1.0)
    kiosk.done.clear()
    key(kiosk, "de")
    assert languages(kiosk) == ["de"]
    assert [effect.key for _, effect in kiosk.done if isinstance(effect, do.Announce)] == [
        "warning"
    ]


def test_a_nervous_press_does_not_change_which_key_was_meant() -> None:
    kiosk = in_state(State.SPEAKING, sounds=True)
    kiosk.bring(DRAINED)
    kiosk.wait(LEFT_S + 0.1)
    key(kiosk, "de")
    kiosk.wait(NERVOUS_S / 3)
    kiosk.press()
    kiosk.silence()
    kiosk.wait(0.1)
    assert kiosk.of(do.Converse)[-1] == do.Converse(follows=False, language="de")


def test_of_two_that_are_held_the_last_one_counts() -> None:
    kiosk = in_state(State.LISTENING, HELD)
    kiosk.bring(ButtonEdge(True, kiosk.now_s))
    kiosk.bring(ButtonEdge(True, kiosk.now_s, "de"))
    kiosk.bring(ButtonEdge(False, kiosk.now_s))
    assert kiosk.of(do.AllowTalk)[-1] == do.AllowTalk(allowed=True)
    kiosk.bring(ButtonEdge(False, kiosk.now_s, "de"))
    assert kiosk.of(do.AllowTalk)[-1] == do.AllowTalk(allowed=False)


def test_after_so_many_changes_a_key_is_a_game_until_the_next_visitor_comes() -> None:
    kiosk = in_state(State.LISTENING)
    for number in range(6):
        kiosk.wait(2.0)
        key(kiosk, ("de", "fr")[number % 2])
        kiosk.wait(SETTLE_S)
        kiosk.bring(CONNECTED)
    kiosk.bring(AGENT_STARTED, DRAINED)
    kiosk.wait(2.0)
    kiosk.done.clear()
    key(kiosk, "de")
    assert kiosk.state() is State.LISTENING
    assert kiosk.of(do.CloseConversation) == []
    kiosk.wait(LEFT_S + 0.1)
    key(kiosk, "de")
    kiosk.wait(0.1)
    assert kiosk.of(do.Converse)[-1] == do.Converse(follows=False, language="de")
