"""Random visits: what must hold after every event, however visitors, cards and networks behave."""

import random
from collections import Counter
from dataclasses import replace

import pytest

from kiosk.devices.ports import ButtonEdge
from kiosk.endings import RULES, Ending, Kind
from kiosk.moments import What
from kiosk.visit import effects as do
from kiosk.visit import inputs
from kiosk.visit.core import VisitCore
from kiosk.visit.fitness import Cause
from kiosk.visit.inputs import CardUse, OwnSound
from kiosk.visit.plan import Plan
from kiosk.visit.states import HOLD, TOGGLE, TOGGLE_CUTTING, Event, State
from kiosk.visit.visit import FAREWELL_LIMIT_S, HEAR_OUT_LIMIT_S, NERVOUS_S
from tests.bare_conversation import PLAN

EVENTS = 200_000
_PLANS = [
    replace(PLAN, table=table, held_button=table is HOLD, max_s=90.0, warning_s=10.0, idle_s=8.0,
            answer_s=8.0, connect_s=15.0, queue_s=30.0, disclosure=disclosure)
    for table in (TOGGLE, TOGGLE_CUTTING, HOLD)
    for disclosure in (True, False)
]  # fmt: skip
# A visit's own limit, the agent's last words, the kiosk's.
LONGEST_S = 90.0 + HEAR_OUT_LIMIT_S + FAREWELL_LIMIT_S
_KEYS = ("en", "de", "fr")
_LIVE = frozenset(set(State) - {State.IDLE, State.CLOSING})
_POSTED = (
    Event.CONNECTED, Event.QUEUED, Event.ADMITTED, Event.AGENT_STARTED, Event.TURN_SKIPPED,
    Event.INTERRUPTED, Event.DRAINED, Event.HANG_UP,
)  # fmt: skip


class World:
    """What is around a core: a loudspeaker, a conversation, cards; each does as chance has it."""

    def __init__(self, plan: Plan, seed: int) -> None:
        self.rng = random.Random(seed)
        self.core = VisitCore(plan)
        self.now_s = 1000.0
        self.capture = False
        self.ducked = False
        self.conversations = 0
        self.hearing_out = False
        self.sound = OwnSound()
        self.lit: do.Light | None = None
        self.language: str | None = None  # of the kiosk's sentences
        self.began_s: float | None = None
        self.acted_s = float("-inf")
        self.endings: Counter[str] = Counter()
        self.done: list[do.Effect] = []
        self.bring(inputs.Wake())

    def bring(self, happened: inputs.Input) -> list[do.Effect]:
        effects = self._handle(happened)
        while self.sound != self.core.kept.own_sound:
            effects += self._handle(self.sound)
        return effects

    def goes_on(self) -> None:
        """One more thing happens, after some time."""
        until_s = self.now_s + self.rng.choice((0.0, 0.01, 0.3, 1.1, 5.0, 25.0)) * self.rng.random()
        while (at_s := self.core.wake_at_s) is not None and at_s <= until_s:
            self.now_s = max(self.now_s, at_s)
            self.bring(inputs.Wake())
        self.now_s = until_s
        happened = self._anything()
        idle = self.core.state is State.IDLE
        another = self._is_another(happened)
        effects = self.bring(happened)
        if isinstance(happened, inputs.OperatorPress) or (
            isinstance(happened, ButtonEdge) and happened.pressed
        ):
            self._pressed(effects, idle=idle, another=another)

    def _is_another(self, happened: inputs.Input) -> bool:
        """Whether it is the key of another language than the visit's."""
        visit = self.core.visit
        if visit is None or not isinstance(happened, inputs.OperatorPress | ButtonEdge):
            return False
        language = happened.language
        return language is not None and language != (visit.language or PLAN.language)

    def _anything(self) -> inputs.Input:
        rng = self.rng
        roll = rng.random()
        if roll < 0.12:
            key = rng.choice((None, None, *_KEYS))
            return rng.choice((inputs.OperatorPress(key), ButtonEdge(True, self.now_s, key)))
        if roll < 0.2:
            return ButtonEdge(False, self.now_s)
        if roll < 0.4:
            return inputs.Speech(rng.random() < 0.5, self.now_s)
        if roll < 0.75:
            return inputs.Happened(rng.choice(_POSTED))
        if roll < 0.87:
            keys = self.sound.keys[1:]
            self.sound = OwnSound(bool(keys) and rng.random() < 0.5, keys)
            return inputs.Wake()
        if roll < 0.93 and self.conversations:
            return inputs.ConversationOver(Ending(rng.choice(list(Kind))), rng.random())
        if roll < 0.95 and self.hearing_out:
            return inputs.HeardOut()
        return self._fault()

    def _fault(self) -> inputs.Input:
        rng = self.rng
        card = rng.choice(list(CardUse))
        return rng.choice((
            inputs.CardLost(card, "unplugged") if rng.random() < 0.2
            else inputs.CardOpened(card, "a card"),
            inputs.LeaseAvailability(rng.random() < 0.8, rng.random() < 0.1),
            inputs.Instructed(
                rng.choice((None, None, Cause.PAUSED, Cause.CLOSED)),
                rng.choice((None, 20.0)),
                rng.random() < 0.1,
            ),
            inputs.LimitedTo(rng.uniform(1, 100)),
            inputs.AgentWorks(rng.choice((0.0, 20.0))),
            rng.choice((
                inputs.TurnTaken(), inputs.GoneOn(), inputs.SpeechHeld(),
                inputs.AgentSpeaks(rng.choice(_KEYS)),
            )),
            inputs.Happened(Event.ENDED, Ending(rng.choice(list(Kind)))),
        ))  # fmt: skip

    # --- what is done ---------------------------------------------------------------------------

    def _handle(self, happened: inputs.Input) -> list[do.Effect]:
        if isinstance(happened, inputs.ConversationOver):
            self.conversations -= 1
        if isinstance(happened, inputs.HeardOut):
            self.hearing_out = False
        effects = self.core.handle(happened, self.now_s)
        urgencies = [effect.urgency for effect in effects]
        assert urgencies == sorted(urgencies)
        self.done += effects
        for effect in effects:
            self._do(effect)
        self._look()
        return effects

    def _do(self, effect: do.Effect) -> None:
        match effect:
            case do.Light():
                self.lit = effect
            case do.StartCapture() | do.StopCapture():
                starts = isinstance(effect, do.StartCapture)
                assert self.capture is not starts
                self.capture = starts
            case do.Duck(on):
                self.ducked = on
            case do.Converse():
                self.conversations += 1
                assert effect.language == self.language
            case do.UseLanguage(language):
                self.language = language
            case do.AbandonConversation():
                self.conversations -= 1
            case do.HearOut():
                self.hearing_out = True
            case do.Chime():
                self.sound = OwnSound(True, self.sound.keys)
            case do.Announce(key) if self.rng.random() < 0.9:  # else it could not be rendered
                self.sound = OwnSound(True, (*self.sound.keys, key))
            case do.GiveWay():
                self.sound = OwnSound(self.sound.busy)
            case do.FallSilent():
                self.sound = OwnSound()
            case do.Notify(moment):
                self._observe(moment.what, moment.fields.get("kind"))

    def _observe(self, what: What, kind: object) -> None:
        if what is What.VISIT_STARTED:
            assert self.began_s is None
            self.began_s = self.now_s
        elif what is What.VISIT_ENDED:
            assert self.began_s is not None
            assert self.now_s - self.began_s <= LONGEST_S + 1e-6
            assert Kind(str(kind)) in RULES
            self.endings[str(kind)] += 1
            self.began_s = None

    # --- what must hold -------------------------------------------------------------------------

    def _look(self) -> None:
        core = self.core
        assert self.capture == (core.state in _LIVE)
        assert self.lit is not None
        assert self.lit.state is core.state
        assert (core.visit is None) == (core.state is State.IDLE) == (self.began_s is None)
        assert self.conversations in (0, 1)
        assert core.visit is None or core.visit.language == self.language
        if core.state is State.IDLE:
            assert self.conversations == 0
            assert not self.ducked
            assert self.lit.unfit == (core.shown is not None)

    def _pressed(self, effects: list[do.Effect], *, idle: bool, another: bool) -> None:
        nervous = self.now_s - self.acted_s < NERVOUS_S and not self.core.plan.held_button
        if not nervous or another:
            self.acted_s = self.now_s
        if idle and not nervous:
            seen = {do.Light, do.Chime, do.Announce} & {type(effect) for effect in effects}
            assert seen or self.core.cause in self.sound.keys, "a press without an answer"


@pytest.mark.parametrize("number", range(len(_PLANS)))
def test_a_year_of_visits_holds_what_must_hold(number: int) -> None:
    world = World(_PLANS[number], seed=number)
    for _ in range(EVENTS // len(_PLANS)):
        world.goes_on()
    assert sum(world.endings.values()) > 300
    assert len(world.endings) > 12


def test_the_same_inputs_at_the_same_times_have_the_same_effects() -> None:
    def played() -> list[do.Effect]:
        world = World(_PLANS[0], seed=7)
        for _ in range(2000):
            world.goes_on()
        return world.done

    assert len(played()) > 1000
    assert played() == played()
