import itertools
from dataclasses import replace

import pytest

from kiosk.audio.earcons import Earcon
from kiosk.config import VisitTable
from kiosk.visit.feedback import DEADLINES, EARCONS, LAMPS, UNFIT_LAMP, Deadline
from kiosk.visit.fitness import Cause, Condition
from kiosk.visit.languages import load_language
from kiosk.visit.states import HOLD, TOGGLE, TOGGLE_CUTTING, Event, State


def test_every_state_has_its_lamp() -> None:
    assert set(LAMPS) == set(State)


@pytest.mark.parametrize("pattern", [*LAMPS.values(), UNFIT_LAMP])
def test_a_lamp_takes_time_over_every_step(pattern: tuple[tuple[bool, float], ...]) -> None:
    assert pattern
    assert all(seconds >= 0.05 for _, seconds in pattern)
    assert len(pattern) == 1 or len({lit for lit, _ in pattern}) == 2


def test_a_kiosk_that_cannot_hold_a_visit_does_not_look_as_if_it_could() -> None:
    assert UNFIT_LAMP not in LAMPS.values()
    # Nobody waits more than a few seconds for a sign of life.
    assert max(seconds for lit, seconds in UNFIT_LAMP if not lit) < 5


def test_states_in_which_the_visitor_should_do_something_else_look_different() -> None:
    looks = [LAMPS[state] for state in (State.LISTENING, State.THINKING, State.SPEAKING)]
    assert len(set(looks)) == 3


def test_only_what_a_table_knows_has_an_earcon() -> None:
    tables = (TOGGLE, TOGGLE_CUTTING, HOLD)
    cells = {
        (event, following)
        for table in tables
        for events in table.values()
        for event, (following, _) in events.items()
    }
    assert set(EARCONS) <= cells


def test_a_press_that_begins_or_ends_a_visit_is_heard() -> None:
    for table in (TOGGLE, HOLD):
        for events in table.values():
            if (cell := events.get(Event.PRESS)) and cell[0] in (State.OPENING, State.CLOSING):
                assert (Event.PRESS, cell[0]) in EARCONS


def test_every_earcon_is_used() -> None:
    assert {*EARCONS.values(), Earcon.READY} == set(Earcon)


def test_every_state_but_the_agents_and_the_resting_ones_has_a_deadline() -> None:
    assert set(DEADLINES) == {State.OPENING, State.QUEUED, State.LISTENING, State.THINKING}
    assert set(DEADLINES.values()) == set(Deadline)


def test_deadlines_are_settings() -> None:
    assert {deadline.value for deadline in Deadline} <= set(VisitTable.model_fields)


# --- fitness ------------------------------------------------------------------------------------


def test_a_kiosk_that_was_just_started_is_unfit() -> None:
    assert Condition().cause() is not None


def test_with_everything_in_order_it_is_fit() -> None:
    assert Condition(microphone=True, speaker=True, credential=True).cause() is None


@pytest.mark.parametrize(
    ("microphone", "speaker", "refused", "credential", "voice", "network"),
    tuple(itertools.product((False, True), repeat=6)),
)
def test_the_gravest_cause_comes_first(
    microphone: bool, speaker: bool, refused: bool, credential: bool, voice: bool, network: bool
) -> None:
    condition = Condition(microphone, speaker, refused, credential, voice, network)
    faults = {
        Cause.NO_SPEAKER: not speaker,
        Cause.NO_MICROPHONE: not microphone,
        Cause.NO_VOICE: not voice,
        Cause.OUT_OF_ORDER: refused,
        Cause.NO_NETWORK: not network,
        Cause.CANNOT_REACH: not credential,
    }
    told = [Cause.PAUSED, Cause.CLOSED, Cause.NO_MINUTES_LEFT]
    assert [*faults, *told, Cause.CLOCK_NOT_SET, Cause.NOT_ANSWERED] == list(Cause)
    assert condition.cause() == next((cause for cause in Cause if faults.get(cause)), None)


def test_every_cause_can_be_said() -> None:
    assert {cause.sentence for cause in Cause} <= set(load_language("en").sentences)


def test_a_paused_kiosk_says_so_and_yet_lets_the_backend_decide() -> None:
    condition = Condition(microphone=True, speaker=True, credential=True, told=Cause.PAUSED)
    assert condition.cause() is None
    assert condition.shown() is Cause.PAUSED
    condition = replace(condition, credential=False)
    assert condition.shown() is condition.cause() is Cause.CANNOT_REACH
