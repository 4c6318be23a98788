from kiosk.visit.states import Event, State
from kiosk.visit.turns import Turns


def test_a_turn_that_ended_while_the_line_opened_is_waited_for_once_it_is_open() -> None:
    turns = Turns()
    turns.followed(Event.SPEECH_STARTED, State.OPENING)
    assert turns.followed(Event.SPEECH_ENDED, State.OPENING) is None
    assert turns.followed(Event.CONNECTED, State.OPENING) is Event.SPEECH_ENDED
    assert turns.followed(Event.CONNECTED, State.OPENING) is None


def test_a_visitor_who_still_speaks_when_the_line_opens_is_not_waited_for() -> None:
    turns = Turns()
    turns.followed(Event.SPEECH_ENDED, State.OPENING)
    turns.followed(Event.SPEECH_STARTED, State.OPENING)
    assert turns.followed(Event.CONNECTED, State.OPENING) is None


def test_a_barge_in_that_is_confirmed_after_it_ended_is_waited_for() -> None:
    turns = Turns()
    turns.followed(Event.SPEECH_ENDED, State.SPEAKING)
    assert turns.followed(Event.INTERRUPTED, State.SPEAKING) is Event.SPEECH_ENDED


def test_a_word_the_agent_heard_and_went_on_over_is_no_turn() -> None:
    turns = Turns()
    turns.followed(Event.SPEECH_ENDED, State.SPEAKING)
    turns.followed(Event.DRAINED, State.SPEAKING)
    assert turns.followed(Event.INTERRUPTED, State.SPEAKING) is None


def test_an_agent_that_skips_the_turn_before_the_gate_closes_is_believed() -> None:
    turns = Turns()
    assert turns.followed(Event.TURN_SKIPPED, State.LISTENING) is None
    assert turns.followed(Event.SPEECH_ENDED, State.LISTENING) is Event.TURN_SKIPPED
    assert turns.followed(Event.SPEECH_ENDED, State.LISTENING) is None


def test_a_skipped_turn_says_nothing_of_the_next() -> None:
    turns = Turns()
    turns.followed(Event.TURN_SKIPPED, State.LISTENING)
    turns.followed(Event.SPEECH_STARTED, State.LISTENING)
    assert turns.followed(Event.SPEECH_ENDED, State.LISTENING) is None


def test_a_new_visit_owes_nothing_to_the_last() -> None:
    turns = Turns()
    turns.followed(Event.SPEECH_ENDED, State.OPENING)
    turns.visit_began()
    assert turns.followed(Event.CONNECTED, State.OPENING) is None
