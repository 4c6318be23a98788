"""The host: the one task that owns the state of the visit and follows its table.

Everybody else posts events; the host looks each up, changes the state and does the actions. What a
state shows and how long it may last comes from the tables in `feedback`.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from kiosk.audio.capture import CapturedChunk
from kiosk.audio.gate import Edge
from kiosk.base.clock import loop_now_s
from kiosk.convai.endings import Ending, Farewell, Kind
from kiosk.devices.ports import (
    ButtonEdge,
    Indicator,
    Lost,
    Microphone,
    MicrophoneEvent,
    Opened,
    Overloaded,
    Running,
    Speaker,
    SpeakerEvent,
)
from kiosk.link.credentials import Credentials
from kiosk.visit.afterwards import Afterwards
from kiosk.visit.announcer import Announcer
from kiosk.visit.barge_in import BargeIn
from kiosk.visit.bulletin import Bulletin
from kiosk.visit.chronicle import Chronicle
from kiosk.visit.clocks import Clocks
from kiosk.visit.conversation import Conversation, Parts
from kiosk.visit.downlink import Downlink
from kiosk.visit.feedback import EARCONS, LAMPS, POLITE, UNFIT_LAMP
from kiosk.visit.fitness import Cause
from kiosk.visit.health import Health
from kiosk.visit.plan import Plan
from kiosk.visit.record import Visit
from kiosk.visit.speech import Voice
from kiosk.visit.states import Action, Event, State, step
from kiosk.visit.timeline import FieldValue, Measures, Moment, Observer, What
from kiosk.visit.timers import Timers, at_most
from kiosk.visit.tools import Tools
from kiosk.visit.turns import Turns
from kiosk.visit.uplink import Uplink

log = logging.getLogger(__name__)

# A press this soon after the one that did something is a nervous second press.
NERVOUS_S = 1.0
FAREWELL_LIMIT_S = 60.0
_FIRST_BACKOFF_S = 1.0
_INBOX_LIMIT = 1000
# At most a few of each in a visit, and without them it would not end.
_NEVER_DROPPED = frozenset({Event.ENDED, Event.LOST, Event.CLOSED, Event.HANG_UP, Event.TIME_UP})

_EDGES: dict[Edge, tuple[Event, What]] = {
    Edge.SPEECH_STARTED: (Event.SPEECH_STARTED, What.SPEECH_STARTED),
    Edge.SPEECH_ENDED: (Event.SPEECH_ENDED, What.SPEECH_ENDED),
}
# The endings that events mean which carry none.
_ENDINGS: dict[Event, Kind] = {
    Event.PRESS: Kind.HUNG_UP,
    Event.HANG_UP: Kind.HUNG_UP,
    Event.TIME_UP: Kind.TIME_UP,
    Event.ABANDONED: Kind.ABANDONED,
    Event.NO_ANSWER: Kind.NO_ANSWER,
}


class Host:
    """Holds one visit at a time. `run` is its task; the `on_` methods are called in the loop."""

    def __init__(
        self,
        plan: Plan,
        microphone: Microphone,
        speaker: Speaker,
        indicator: Indicator,
        voice: Voice,
        credentials: Credentials,
        tools: Tools,
        observe: Observer,
        report: Callable[[], Awaitable[str]],
        chance: Callable[[], float] = random.random,
    ) -> None:
        chronicle = Chronicle(Afterwards(observe).observe)
        self._observe = observe = chronicle.observe
        self.state = State.IDLE
        self.health = Health(self.post, observe, self._show)
        self.visits = 0
        self.measures = Measures()
        self._plan = plan
        self._microphone = microphone
        self._indicator = indicator
        self._credentials = credentials
        self._uplink = Uplink(plan.preroll_ms, self.measures.mic_to_wire)
        self._downlink = Downlink(speaker, self.post, self.measures, observe)
        self._announcer = Announcer(speaker, voice, observe)
        self._say = self._announcer.say
        self._barge_in = BargeIn(speaker, self._announcer, plan.duck_s, observe)
        self._bulletin = Bulletin(
            plan, self._announcer, voice, report, lambda: self.post(Event.HANG_UP)
        )
        self._inbox: asyncio.Queue[tuple[Event, Ending | None]] = asyncio.Queue()
        self._timers = Timers()
        self._clocks = Clocks(plan, self._timers, self.post, self._say)
        self._parts = Parts(
            plan, credentials, tools, self._uplink, self._downlink, chronicle, self.post,
            self._clocks.limit,
        )  # fmt: skip
        self._chance = chance
        self._turns = Turns()
        self._visit: Visit | None = None
        self._acted_s = float("-inf")
        self._press_remembered = False
        self._actions: dict[Action, Callable[[Ending | None], None]] = {
            Action.START_CAPTURE: self._start_capture,
            Action.OPEN: self._open,
            Action.REOPEN: self._reopen,
            Action.SAY_CAUSE: self._say_cause,
            Action.SAY_QUEUED: lambda _: self._say("queued"),
            Action.CUT_TURN: self._cut_turn,
            Action.OPEN_TALK: lambda _: self._uplink.allow_talk(allowed=True),
            Action.CLOSE_TALK: lambda _: self._uplink.allow_talk(allowed=False),
            Action.CLOSE: self._close,
            Action.REMEMBER_PRESS: lambda _: self._remember_press(remember=True),
            Action.FORGET_PRESS: lambda _: self._remember_press(remember=False),
        }

    # --- events in ------------------------------------------------------------------------------

    def post(self, event: Event, ending: Ending | None = None) -> None:
        """Tell the host; it acts in its own task."""
        if self._inbox.qsize() < _INBOX_LIMIT or event in _NEVER_DROPPED:
            self._inbox.put_nowait((event, ending))
        else:
            log.debug("the host does not keep up; %s is dropped", event)

    def on_button(self, edge: ButtonEdge) -> None:
        self._bulletin.on_button(pressed=edge.pressed)
        if edge.pressed:
            self.press(edge.at_s)
        elif self._plan.held_button:
            self.post(Event.RELEASE)

    def press(self, at_s: float) -> None:
        """The button, or an operator in its place."""
        if not self._plan.held_button:
            if at_s - self._acted_s < NERVOUS_S:
                return
            self._acted_s = at_s
        self._pressed(at_s)

    def _pressed(self, at_s: float) -> None:
        self._bulletin.pressed()
        unfit = self.state is State.IDLE and self.health.cause is not None
        self.post(Event.PRESS_UNFIT if unfit else Event.PRESS)
        self._observe(Moment(What.PRESSED, at_s))

    def on_microphone(self, event: MicrophoneEvent) -> None:
        match event:
            case CapturedChunk():
                self._on_chunk(event)
            case Running(running):
                self._indicator.recording(on=running)
                self._observe(Moment(What.MICROPHONE, loop_now_s(), {"running": int(running)}))
            case Overloaded():
                self.health.overloaded(event)
            case Opened() | Lost():
                self.health.microphone(event)

    def on_speaker(self, event: SpeakerEvent) -> None:
        match event:
            case Opened() | Lost():
                self.health.speaker(event)
            case _:
                self._downlink.on_speaker(event)
                self._announcer.on_speaker(event)

    def status(self) -> dict[str, FieldValue]:
        """For operators: where it stands, without anything a visitor said."""
        conversation = self._visit.conversation if self._visit else None
        return {
            "state": self.state,
            "unfit": self.health.shown,
            "visits": self.visits,
            "press_id": self._visit.press_id if self._visit else None,
            "conversation_id": conversation.conversation_id if conversation else None,
        }

    def tell(self, text: str) -> bool:
        """Let the agent know something; False while there is no conversation."""
        conversation = self._visit.conversation if self._visit else None
        return conversation is not None and conversation.tell(text)

    async def say(self, text: str) -> str | None:
        """Say a text in the kiosk's own voice, between visits: why not, None if it is said."""
        if self.health.cause is Cause.NO_SPEAKER:
            return "there is no loudspeaker"
        return await self._bulletin.say(text)

    # --- the task -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Follow the table until cancelled."""
        self.health.look()
        self._show()
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                tasks.create_task(self._bulletin.run(), name="bulletin")
                while True:
                    self._handle(*await self._inbox.get())
        finally:
            self._timers.clear()

    def _handle(self, event: Event, ending: Ending | None) -> None:
        before = self.state
        if before is State.IDLE and event in (Event.PRESS, Event.PRESS_UNFIT):
            if self.health.cause is not None and self._announcer.saying(self.health.cause):
                return  # this press is being answered
            self._announcer.fall_silent()  # what is left of an apology
        self.state, actions = step(self._plan.table, before, event)
        if self.state is not before:
            self._show()
        if self.state is not before or event is Event.PRESS_UNFIT:
            self._chime(event, self.state)
        if ending is None and event in _ENDINGS:
            ending = Ending(_ENDINGS[event])
        for action in actions:
            self._actions[action](ending)
        self._clocks.followed(event, before, self.state)
        if self.state is not before:
            self._entered()
        if (following := self._turns.followed(event, before)) is not None:
            self._handle(following, None)

    def _entered(self) -> None:
        """What follows from the new state alone."""
        self._observe(Moment(What.STATE, loop_now_s(), {"state": self.state}))
        self._barge_in.entered(self.state)
        if self.state is State.IDLE:
            answered = self._visit is not None and self._visit.ended_with(self.health.cause)
            remembered, self._press_remembered = self._press_remembered, False
            self._visit = None
            if remembered and not answered:
                self._pressed(loop_now_s())
        self._bulletin.entered(self.state)

    # --- actions --------------------------------------------------------------------------------

    def _start_capture(self, _: Ending | None) -> None:
        self._uplink.reset()
        self._microphone.start()

    def _open(self, _: Ending | None) -> None:
        self.visits += 1
        self._visit = Visit(self._credentials.next_press_id())
        self._observe(self._visit.started())
        if self._plan.disclosure:
            self._say("disclosure")
        self._clocks.visit_began()
        self._turns.visit_began()
        self._converse()

    def _reopen(self, ending: Ending | None) -> None:
        assert self._visit is not None
        assert ending is not None
        self._downlink.stop()
        # Full jitter, so that a room full of kiosks does not come back at once.
        delay_s = self._chance() * _FIRST_BACKOFF_S * 2**self._visit.reconnected
        self._visit.reconnected += 1
        self._observe(self._visit.lost(ending, delay_s))
        self._timers.set("reopen", delay_s, self._converse)

    def _converse(self) -> None:
        assert self._visit is not None
        visit = self._visit
        visit.conversation = Conversation(self._parts, visit.press_id, self._tasks)
        self._tasks.create_task(self._hold(visit, visit.conversation), name="conversation")

    async def _hold(self, visit: Visit, conversation: Conversation) -> None:
        ending = await conversation.run()
        visit.count(conversation)
        if visit.ending is not None:
            return  # the kiosk ended it
        again = visit.reconnected < min(ending.rule.retries, self._plan.reconnects)
        self.post(Event.LOST if again else Event.ENDED, ending)

    def _cut_turn(self, _: Ending | None) -> None:
        if self._visit is not None and self._visit.conversation is not None:
            self._visit.conversation.cut()

    def _say_cause(self, _: Ending | None) -> None:
        cause = self.health.cause
        self._credentials.hurry()
        if cause is not None:
            self._say(cause)

    def _remember_press(self, *, remember: bool) -> None:
        self._press_remembered = remember

    def _close(self, ending: Ending | None) -> None:
        assert self._visit is not None
        assert ending is not None
        self._visit.ending = ending
        self._timers.clear()
        self._microphone.stop()
        self._uplink.disconnect()
        self._tasks.create_task(self._take_leave(self._visit, ending), name="closing")

    async def _take_leave(self, visit: Visit, ending: Ending) -> None:
        """What the ending leaves to be heard, then the goodbye, while the socket closes."""
        rule, conversation = ending.rule, visit.conversation
        if rule.farewell is Farewell.FINISH and conversation is not None:
            await at_most(FAREWELL_LIMIT_S, self._downlink.heard_out(conversation.over))
        self._downlink.stop()
        if rule.sentence is not None:
            self._say(rule.sentence)
        if conversation is not None:
            await conversation.close(ending)
        await at_most(FAREWELL_LIMIT_S, self._announcer.finished())
        self._observe(visit.ended(ending))
        self.post(Event.CLOSED)

    def _chime(self, event: Event, state: State) -> None:
        earcon = EARCONS.get((event, state))
        if earcon is not None and not (self._announcer.busy and (event, state) in POLITE):
            self._announcer.earcon(earcon)

    def _show(self) -> None:
        """Light the lamp for what is now."""
        unfit = self.state is State.IDLE and self.health.shown is not None
        self._indicator.show(UNFIT_LAMP if unfit else LAMPS[self.state])

    def _on_chunk(self, chunk: CapturedChunk) -> None:
        if self._visit is None or self._visit.ending is not None:
            return
        self._uplink.push(chunk)
        if chunk.verdict.edge is not None and self._uplink.talk_open:
            event, what = _EDGES[chunk.verdict.edge]
            self._observe(Moment(what, chunk.captured_at_s))
            self._bulletin.heard(event)
            self.post(event)
            self._barge_in.heard(event, agent_speaks=self.state is State.SPEAKING)
