"""What the lamp says before anybody presses: network, clock, and an agent that failed."""

from dataclasses import replace

import pytest

from kiosk.endings import Kind
from kiosk.moments import What
from kiosk.visit import effects as do
from kiosk.visit import inputs
from kiosk.visit.fitness import Cause
from kiosk.visit.states import State
from tests.unit.visit.test_core import AGENT_STARTED, CONNECTED, DRAINED, LIMITS, Kiosk, in_state

TRIED = replace(LIMITS, trial_calls=True)
WELL = inputs.Surroundings(network=True, clock=True)


def lamp(kiosk: Kiosk) -> do.Light:
    lights = [effect for _, effect in kiosk.done if isinstance(effect, do.Light)]
    return lights[-1]


# --- network and clock --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("without", "cause"),
    [
        (inputs.Surroundings(network=False, clock=True), Cause.NO_NETWORK),
        (inputs.Surroundings(network=True, clock=False), Cause.CLOCK_NOT_SET),
        (inputs.Surroundings(network=False, clock=False), Cause.NO_NETWORK),
    ],
)
def test_the_lamp_says_so_before_anybody_presses_and_when_it_is_over(
    without: inputs.Surroundings, cause: Cause
) -> None:
    kiosk = Kiosk()
    kiosk.bring(without)
    assert lamp(kiosk) == do.Light(State.IDLE, unfit=True)
    assert kiosk.core.shown is cause
    kiosk.bring(WELL)
    assert lamp(kiosk) == do.Light(State.IDLE, unfit=False)
    assert [m.fields["cause"] for m in kiosk.moments(What.FITNESS)] == [cause, "fit"]


def test_without_a_network_a_press_is_answered_at_once() -> None:
    kiosk = Kiosk()
    kiosk.bring(inputs.Surroundings(network=False, clock=True))
    kiosk.press()
    assert kiosk.state() is State.IDLE
    assert [key for _, key in kiosk.said] == ["cannot_reach"]


def test_without_a_clock_a_press_is_the_trial() -> None:
    kiosk = Kiosk()
    kiosk.bring(inputs.Surroundings(network=True, clock=False))
    kiosk.press()
    assert kiosk.state() is State.OPENING


def test_a_network_that_goes_in_a_visit_is_the_conversations_matter() -> None:
    kiosk = in_state(State.LISTENING)
    kiosk.bring(inputs.Surroundings(network=False, clock=True))
    assert kiosk.state() is State.LISTENING


# --- an agent that failed -----------------------------------------------------------------------


def failing(kiosk: Kiosk, visits: int = 2) -> Kiosk:
    """So many visits, none of which the agent answers."""
    for _ in range(visits):
        kiosk.wait(2.0)
        kiosk.press()
        kiosk.conversation_ends(Kind.QUOTA)
    assert kiosk.state() is State.IDLE
    kiosk.done.clear()
    return kiosk


def test_it_is_not_tried_where_that_is_not_allowed() -> None:
    kiosk = failing(Kiosk())
    kiosk.wait(899.0)
    assert kiosk.of(do.TryAgent) == []
    assert kiosk.core.shown is Cause.NOT_ANSWERED
    kiosk.wait(2.0)
    assert kiosk.core.shown is None, "whatever it was may be over"


def test_it_is_tried_after_one_minute_five_and_fifteen_and_then_every_fifteen() -> None:
    kiosk = failing(Kiosk(TRIED))
    began_s = kiosk.now_s
    tried_s: list[int] = []
    for _ in range(4):
        before = len(kiosk.of(do.TryAgent))
        for _ in range(2000):
            if len(kiosk.of(do.TryAgent)) > before:
                break
            kiosk.wait(1.0)
        tried_s.append(round(kiosk.now_s - began_s))
        assert kiosk.core.shown is Cause.NOT_ANSWERED
        kiosk.bring(inputs.AgentTried(well=False))
    assert tried_s == [60, 360, 1260, 2160]
    assert kiosk.core.shown is Cause.NOT_ANSWERED


def test_a_trial_that_goes_well_heals() -> None:
    kiosk = failing(Kiosk(TRIED))
    kiosk.wait(61.0)
    kiosk.bring(inputs.AgentTried(well=True))
    assert kiosk.core.shown is None
    assert lamp(kiosk) == do.Light(State.IDLE, unfit=False)
    kiosk.wait(3600.0)
    assert len(kiosk.of(do.TryAgent)) == 1
    failing(kiosk, 1)
    assert kiosk.core.shown is None, "it takes two again"


def test_a_visitor_may_be_faster() -> None:
    kiosk = failing(Kiosk(TRIED))
    kiosk.wait(2.0)
    kiosk.press()
    kiosk.bring(CONNECTED, AGENT_STARTED, DRAINED)
    kiosk.wait(2.0)
    kiosk.press()
    kiosk.wait(1.0)
    assert kiosk.core.shown is None
    kiosk.bring(inputs.AgentTried(well=False))
    assert kiosk.core.shown is None, "what was tried before him says nothing any more"
    kiosk.wait(3600.0)
    assert kiosk.of(do.TryAgent) == []


# --- who answers for the AI -----------------------------------------------------------------------


def spoken_over() -> Kiosk:
    """A visitor speaks at the press, over the disclosure."""
    kiosk = Kiosk(replace(LIMITS, disclosure=True), sounds=True)
    kiosk.press()
    kiosk.wait(0.3)
    kiosk.speaks()
    kiosk.silence()
    kiosk.bring(CONNECTED)
    kiosk.wait(1.0)
    kiosk.stops_speaking()
    kiosk.done.clear()
    return kiosk


def said(kiosk: Kiosk) -> list[str]:
    return [key for _, key in kiosk.said]


def test_who_spoke_over_the_disclosure_hears_the_institution_after_the_first_answer() -> None:
    kiosk = spoken_over()
    assert said(kiosk) == []
    kiosk.bring(AGENT_STARTED, DRAINED)
    assert said(kiosk) == ["disclosure_later"]
    kiosk.silence()
    kiosk.speaks()
    kiosk.stops_speaking()
    kiosk.bring(AGENT_STARTED, DRAINED)
    assert said(kiosk) == ["disclosure_later"], "once"


def test_not_over_a_visitor_who_speaks() -> None:
    kiosk = spoken_over()
    kiosk.bring(AGENT_STARTED)
    kiosk.speaks()
    kiosk.bring(DRAINED)
    assert said(kiosk) == []
    kiosk.stops_speaking()
    kiosk.bring(AGENT_STARTED, DRAINED)
    assert said(kiosk) == ["disclosure_later"]


def test_who_heard_the_disclosure_hears_nothing_of_it_again() -> None:
    kiosk = Kiosk(replace(LIMITS, disclosure=True))
    kiosk.press()
    kiosk.bring(CONNECTED)
    kiosk.speaks()
    kiosk.stops_speaking()
    kiosk.bring(AGENT_STARTED, DRAINED)
    assert said(kiosk) == ["disclosure"]


# --- trials that wait -----------------------------------------------------------------------------


def test_nobody_is_disturbed_by_a_trial() -> None:
    kiosk = failing(Kiosk(TRIED))
    kiosk.wait(51.0)
    kiosk.press()
    kiosk.bring(CONNECTED, AGENT_STARTED)
    kiosk.wait(30.0)
    assert kiosk.state() is State.SPEAKING
    assert kiosk.of(do.TryAgent) == []


def test_a_trial_waits_for_what_else_is_in_the_way() -> None:
    kiosk = failing(Kiosk(TRIED))
    kiosk.bring(inputs.Surroundings(network=False, clock=True))
    kiosk.wait(600.0)
    assert kiosk.of(do.TryAgent) == []
    kiosk.bring(WELL)
    kiosk.wait(61.0)
    assert len(kiosk.of(do.TryAgent)) == 1


def test_what_could_not_be_tried_says_nothing_of_the_agent() -> None:
    kiosk = failing(Kiosk(TRIED))
    for _ in range(5):
        kiosk.wait(61.0)
        kiosk.bring(inputs.AgentTried(well=None))
    assert len(kiosk.of(do.TryAgent)) == 5
    kiosk.wait(700.0)
    assert kiosk.core.shown is None, "it lapses as it would have"


def test_settings_that_are_read_again_may_forbid_it() -> None:
    kiosk = failing(Kiosk(TRIED))
    kiosk.core.plan = LIMITS
    kiosk.wait(3600.0)
    assert kiosk.of(do.TryAgent) == []
