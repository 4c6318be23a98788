"""The host: the shell around the visit's core. It brings the core every input in order, has the
effects done, and holds the one timer. What a visit is and how it goes stands in `core`.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from kiosk.audio.ambience import Ear
from kiosk.audio.capture import CapturedChunk
from kiosk.audio.earcons import Earcon
from kiosk.audio.gate import Edge
from kiosk.audio.levels import rms_dbfs
from kiosk.base.clock import loop_now_s
from kiosk.causes import fault
from kiosk.contract import VisitEvent
from kiosk.convai.fields import Json
from kiosk.devices.ports import (
    ButtonEdge,
    Indicator,
    KeyPressed,
    Lost,
    Microphone,
    MicrophoneEvent,
    Opened,
    Overloaded,
    Running,
    SilentError,
    Speaker,
    SpeakerEvent,
)
from kiosk.endings import Ending, Kind
from kiosk.errors import ConfigError
from kiosk.link.credentials import Availability, Credentials
from kiosk.measures import Measures
from kiosk.moments import (
    FieldValue,
    LoopStalled,
    MicrophoneRan,
    Observer,
    SoundOverloaded,
    VisitEnded,
    VisitStarted,
)
from kiosk.visit import effects as do
from kiosk.visit import inputs
from kiosk.visit.afterwards import Afterwards
from kiosk.visit.announcer import Announcer
from kiosk.visit.between_visits import BetweenVisits
from kiosk.visit.conversation import Conversation, Judge, Parts
from kiosk.visit.core import VisitCore
from kiosk.visit.downlink import Downlink
from kiosk.visit.feedback import LAMPS, UNFIT_LAMP
from kiosk.visit.fitness import Cause
from kiosk.visit.muting import Muting
from kiosk.visit.plan import Plan
from kiosk.visit.states import Event, State
from kiosk.visit.tools import Tools
from kiosk.visit.traces import Traces
from kiosk.visit.trial import Trial, try_agent
from kiosk.visit.turn_memory import TurnMemory
from kiosk.visit.uplink import Uplink
from kiosk.visit.voices import Voices

log = logging.getLogger(__name__)

_INBOX_LIMIT = 1000
# Softer than this a voice is not understood.
SOFTEST_DB = -30.0
# What a visitor notices. Of the microphone's way to here 20 ms is the chunk itself.
STALL_S = 0.3
_RENDER_AGAIN_S = 300.0
# At most a few of each in a visit, and without them it would not end.
_NEVER_DROPPED = frozenset({Event.ENDED, Event.HANG_UP})


class Host:
    """Holds one visit at a time. `run` is its task; the `on_` methods are called in the loop."""

    def __init__(
        self,
        plan: Plan,
        microphone: Microphone,
        speaker: Speaker,
        indicator: Indicator,
        voices: Voices,
        credentials: Credentials,
        tools: Tools,
        observe: Observer,
        report: Callable[[], Awaitable[str]],
        chance: Callable[[], float] = random.random,
        take_events: Callable[[], tuple[VisitEvent, ...]] = tuple,
        judge: Judge = lambda *_: None,
        *,
        ear: Ear,
    ) -> None:
        self._afterwards = Afterwards(observe)
        self._observe = observe = self._afterwards.observe
        self._take_events = take_events
        self.visits = 0
        self.measures = Measures()
        self.traces = Traces()
        self._core = VisitCore(plan)
        self._microphone = microphone
        self._speaker = speaker
        self._indicator = indicator
        self._voices = voices
        self._credentials = credentials
        self._chance = chance
        self.memory = TurnMemory()
        self._uplink = Uplink(plan.preroll_ms, self.measures.mic_to_wire, self.memory)
        self._downlink = Downlink(speaker, self.post, self.measures, observe, self.memory, ear)
        self._announcer = Announcer(speaker, voices, observe)
        self._between_visits = BetweenVisits(
            self._announcer, voices.own, report, lambda: self.state is State.IDLE
        )
        self._parts = Parts(
            credentials, tools, self._uplink, self._downlink, observe, self._events, judge,
            self.post, self._put, self.memory, self.languages,
        )  # fmt: skip
        self._inbox: asyncio.Queue[inputs.Input] = asyncio.Queue()
        self._timer: asyncio.TimerHandle | None = None
        self._press_id = ""
        self._variables: Mapping[str, Json] = {}  # of the visit under way
        self._coming_variables: Mapping[str, Json] = {}
        self._coming_question: str | None = None  # of the visit that a key begins
        self._level_db = 0.0
        self._held = self._stalled = False
        self._muting = Muting()
        self._newest: CapturedChunk | None = None
        self._conversation: Conversation | None = None
        self._holding: asyncio.Task[None] | None = None
        self._malformed_frames = self._unknown_frames = 0
        self._doers = self._effects_and_doers()

    # --- what happens ---------------------------------------------------------------------------

    def post(self, event: Event, ending: Ending | None = None) -> None:
        """An event of the visit's table: from the conversation, the downlink or an operator."""
        if self._inbox.qsize() < _INBOX_LIMIT or event in _NEVER_DROPPED:
            self._put(inputs.Happened(event, ending))
        else:
            log.debug("the host does not keep up; %s is dropped", event)

    def on_button(self, edge: ButtonEdge | KeyPressed) -> None:
        if isinstance(edge, ButtonEdge):
            self._put(edge)
        elif edge.ask is None:
            self.set_level(self._level_db + edge.step_db)
        else:
            self._ask_by_key(edge.ask)

    def _ask_by_key(self, question: str) -> None:
        """In the conversation, or as the first thing in it; without a visit, in one that begins."""
        if self.ask(question):
            return
        if self.state is State.IDLE:
            self._coming_question = question
            self.press()
        elif self._conversation is not None:
            self._conversation.question = question

    def press(self, language: str | None = None) -> None:
        """An operator presses in a visitor's place: the button, or the key of a language."""
        self._put(inputs.OperatorPress(language))

    async def what_a_press_did(self) -> str:
        """What the last press was, by its event in the visit's table, once everything that
        happened so far was looked at; `nothing` for one that was not meant."""
        await self._inbox.join()
        return self._core.kept.meant or "nothing"

    def bring_variables(self, variables: Mapping[str, Json]) -> None:
        """Dynamic variables of the visit that the next press begins; if it begins none, of none."""
        self._coming_variables = variables

    def on_leases(self, standing: Availability) -> None:
        """Whether a lease is at hand changed."""
        self._put(inputs.LeaseAvailability(standing.ready, standing.refused))

    def on_instructions(
        self, causes: Collection[str], for_s: float | None, end_visit: bool
    ) -> None:
        """The backend's word: why no visit may begin, for how long if that is known, and whether
        the one under way ends. Of the causes the first that is known counts."""
        known = next((each for word in causes for each in Cause if each == word), None)
        self._put(inputs.Instructed(known, for_s, end_visit))

    def on_surroundings(self, network: bool, clock: bool) -> None:
        """Whether this machine has a network, and a clock that was set."""
        self._put(inputs.Surroundings(network, clock))

    def on_microphone(self, event: MicrophoneEvent) -> None:
        match event:
            case CapturedChunk():
                self._on_chunk(event)
            case Running(running):
                self._indicator.recording(on=running)
                self._observe(MicrophoneRan(loop_now_s(), running=int(running)))
            case Overloaded():
                self._observe(_overloaded(event))
            case Opened() | Lost():
                self._put(_card(inputs.CardUse.MICROPHONE, event))

    def on_speaker(self, event: SpeakerEvent) -> None:
        match event:
            case Opened() | Lost():
                self._put(_card(inputs.CardUse.SPEAKER, event))
            case _:
                self._downlink.on_speaker(event)
                self._announcer.on_speaker(event)
                if self._announcer.sound != self._core.kept.own_sound:
                    self._put(inputs.Wake())  # what sounds then is what counts

    def _on_chunk(self, chunk: CapturedChunk) -> None:
        visit = self._core.visit
        if visit is None or visit.ending is not None:
            return
        self._look_for_stall(chunk.captured_at_s)
        chunk = self._muting.heard(chunk)
        self._uplink.push(chunk)
        self._newest = chunk
        if chunk.verdict.edge is not None:
            began = chunk.verdict.edge is Edge.SPEECH_STARTED
            self._put(inputs.Speech(began, chunk.captured_at_s))
        if chunk.verdict.held and not self._held:
            self._put(inputs.SpeechHeld())
        self._held = chunk.verdict.held

    def _look_for_stall(self, captured_at_s: float) -> None:
        """The first of the chunks that waited for the loop has waited the longest."""
        now_s = loop_now_s()
        stalled = now_s - captured_at_s >= STALL_S
        if stalled and not self._stalled:
            self._observe(LoopStalled(now_s, stall_ms=round((now_s - captured_at_s) * 1000)))
        self._stalled = stalled

    # --- how it stands --------------------------------------------------------------------------

    @property
    def state(self) -> State:
        return self._core.state

    @property
    def at_rest(self) -> bool:
        """Whether there is no visit, and nothing of the kiosk's own sounds: no farewell, and no
        answer to a press while it cannot hold a visit."""
        return self.state is State.IDLE and not self._announcer.busy

    @property
    def cause(self) -> Cause | None:
        """Why a visit cannot be held now; None means fit."""
        return self._core.cause

    @property
    def shown(self) -> Cause | None:
        """The cause that operators are shown: also a pause, which a press asks about."""
        return self._core.shown

    @property
    def languages(self) -> tuple[str, ...]:
        """Those that a visit can be in."""
        return (self._core.plan.language, *self._voices.others)

    @property
    def language(self) -> str:
        """That of the visit under way, else the kiosk's own."""
        visit = self._core.visit
        return (None if visit is None else visit.language) or self._core.plan.language

    def _events(self) -> tuple[VisitEvent, ...]:
        self._afterwards.deliver_all()
        return self._take_events()

    def losses(self) -> dict[str, int]:
        """How many chunks of a visitor's sound were never sent, since the kiosk was started."""
        return {"uplink_dropped_chunks": self._uplink.dropped_chunks}

    def follow(self, plan: Plan) -> None:
        """Hold the next visits by this plan."""
        self._core.plan = plan
        self._put(self._own_voice())

    def status(self) -> dict[str, FieldValue]:
        """For operators: where it stands, without anything a visitor said."""
        in_visit = self._core.visit is not None
        conversation = self._conversation if in_visit else None
        return {
            "state": self.state,
            "cause": self.shown,
            "unfit": self.shown,  # as it was called before 0.2
            "visits": self.visits,
            "language": self.language,
            "left_s": self._left_s(),
            "muted": int(self._muting.on),
            "press_id": self._press_id if in_visit else None,
            "conversation_id": conversation.conversation_id if conversation else None,
        }

    def _left_s(self) -> int | None:
        """How long the visit under way may last yet."""
        visit = self._core.visit
        if visit is None or visit.ending is not None or visit.ends_at_s == float("inf"):
            return None
        return max(0, round(visit.ends_at_s - loop_now_s()))

    def level_dbfs(self) -> float | None:
        """The microphone's level now; None between visits."""
        if self._core.visit is None or self._newest is None:
            return None
        return rms_dbfs(self._newest.samples)

    def text_of(self, key: str) -> str | None:
        """The text of a sentence of the kiosk's, in the language that it speaks now."""
        return self._voices.text(key)

    def ring(self) -> None:
        """Sound a chime: which kiosk is it?"""
        self._announcer.earcon(Earcon.READY)

    def mute(self, *, on: bool) -> None:
        """Let the visit hear nothing, or all again; it ends with the visit."""
        self._muting.on = on

    def set_level(self, level_db: float) -> None:
        """Play all sounds by so much softer, from 0 to SOFTEST_DB; it ends with the visit."""
        self._level_db = min(0.0, max(SOFTEST_DB, level_db))
        self._speaker.set_level(self._level_db)

    def ask(self, text: str) -> bool:
        """Ask the agent something in writing, as a turn of the visitor's; False while there is no
        conversation."""
        return self._conversation is not None and self._conversation.ask(text)

    def tell(self, text: str) -> bool:
        """Let the agent know something; False while there is no conversation."""
        return self._conversation is not None and self._conversation.tell(text)

    async def call(self) -> Trial:
        """Open a conversation and close it, between visits: a visitor's turn comes first."""
        if self._core.visit is not None:
            return Trial(None, "a visit is under way")
        return await self._tried()

    async def say(self, text: str) -> str | None:
        """Say a text in the kiosk's own voice, between visits: why not, None if it is said."""
        if self.cause is Cause.NO_SPEAKER:
            return "there is no loudspeaker"
        return await self._between_visits.say(text)

    # --- the task -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Bring the core what happens, until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                tasks.create_task(self._between_visits.run(), name="between visits")
                self._bring(self._own_voice())
                tasks.create_task(self._find_voice(), name="voice")
                tasks.create_task(self._voices.prepare_others(), name="other languages")
                while True:
                    self._bring(await self._inbox.get())
                    self._inbox.task_done()
        finally:
            self._disarm()

    async def _find_voice(self) -> None:
        """Try again what could not be rendered: the machine may have been busy at its start."""
        while self._voices.own.sentence("disclosure") is None:
            await asyncio.sleep(_RENDER_AGAIN_S)
            try:
                await self._voices.own.prepare(("disclosure", "disclosure_short"))
            except ConfigError as error:  # a recording that was changed since the start
                log.warning("the kiosk's sentences: %s", error, extra=fault("sentence_missing"))
            self._put(self._own_voice())

    def _own_voice(self) -> inputs.OwnVoice:
        return inputs.OwnVoice(self._voices.own.sentence("disclosure") is not None)

    def _put(self, happened: inputs.Input) -> None:
        self._inbox.put_nowait(happened)

    def _bring(self, happened: inputs.Input) -> None:
        """Let the core know, and do what it wants done."""
        self._listen()
        self._handle(happened)
        if isinstance(happened, ButtonEdge | inputs.OperatorPress):
            self._coming_variables, self._coming_question = {}, None
        self._listen()
        self._arm()

    def _listen(self) -> None:
        """Let the core know what sounds, until that changes nothing any more."""
        while self._announcer.sound != self._core.kept.own_sound:
            self._handle(self._announcer.sound)

    def _handle(self, happened: inputs.Input) -> None:
        now_s = loop_now_s()
        self.traces.before(self._core, happened, now_s)
        for effect in self._core.handle(happened, now_s):
            self._doers[type(effect)](effect)
        self.traces.after(self._core, self._press_id)

    def _arm(self) -> None:
        at_s = self._core.wake_at_s
        if self._timer is None or self._timer.when() != at_s:
            self._disarm()
            if at_s is not None:
                self._timer = asyncio.get_running_loop().call_at(at_s, self._wake)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self) -> None:
        self._timer = None
        self._put(inputs.Wake())

    # --- effects --------------------------------------------------------------------------------

    def _effects_and_doers(self) -> dict[type[do.Effect], Callable[[Any], None]]:
        return {
            do.Light: self._light,
            do.StartCapture: self._start_capture,
            do.StopCapture: self._stop_capture,
            do.Chime: self._chime,
            do.Announce: lambda sentence: self._announcer.say(sentence.key),
            do.UseLanguage: lambda use: self._voices.use(use.language),
            do.GiveWay: lambda _: self._announcer.give_way(),
            do.SayOwed: lambda _: self._announcer.resume(),
            do.Hush: lambda said: self._announcer.hush(said.key),
            do.Forget: lambda owed: self._announcer.forget(owed.key),
            do.FallSilent: lambda _: self._announcer.fall_silent(),
            do.Duck: lambda duck: self._speaker.duck(on=duck.on),
            do.AllowTalk: lambda talk: self._uplink.allow_talk(allowed=talk.allowed),
            do.BeginVisit: self._begin_visit,
            do.Converse: self._converse,
            do.CutTurn: self._cut_turn,
            do.GoOn: self._go_on,
            do.SilenceAgent: lambda _: self._downlink.stop(),
            do.HearOut: self._hear_out,
            do.CloseConversation: self._close_conversation,
            do.AbandonConversation: self._abandon_conversation,
            do.HurryLease: lambda _: self._credentials.hurry(),
            do.TryAgent: self._try_agent,
            do.ComposeReport: lambda _: self._between_visits.report(),
            do.DropReport: lambda _: self._between_visits.drop(),
            do.PlaybackStuck: self._playback_stuck,
            do.Notify: self._notify,
        }

    def _light(self, light: do.Light) -> None:
        self._indicator.show(UNFIT_LAMP if light.unfit else LAMPS[light.state])

    def _chime(self, chime: do.Chime) -> None:
        if not (chime.polite and self._downlink.has_sound):
            self._announcer.earcon(chime.earcon)

    def _start_capture(self, _: do.StartCapture) -> None:
        self._uplink.reset()
        self._microphone.start()

    def _stop_capture(self, _: do.StopCapture) -> None:
        self._microphone.stop()
        self._uplink.disconnect()

    def _begin_visit(self, _: do.BeginVisit) -> None:
        self.visits += 1
        visit = self._core.visit
        self._press_id = self._credentials.next_press_id(None if visit is None else visit.language)
        self._conversation = self._holding = None
        self._variables = self._coming_variables
        self._malformed_frames = self._unknown_frames = 0

    def _converse(self, wanted: do.Converse) -> None:
        visit = self._core.visit
        assert visit is not None
        conversation = Conversation(
            self._parts,
            visit.plan,
            self._press_id,
            self._tasks,
            follows=wanted.follows,
            language=wanted.language,
            variables=self._variables,
        )
        # One that broke before it could ask hands its question on.
        unasked = None if self._conversation is None else self._conversation.question
        conversation.question = unasked or self._coming_question
        self._conversation = conversation
        self._holding = self._tasks.create_task(self._hold(conversation), name="conversation")

    async def _hold(self, conversation: Conversation) -> None:
        ending = Ending(Kind.STOPPED)
        try:
            ending = await conversation.run()
        finally:  # closed while it connects, it is cancelled
            if conversation is self._conversation:
                self._malformed_frames += conversation.malformed_frames
                self._unknown_frames += conversation.unknown_frames
                self._put(inputs.ConversationOver(ending, self._chance()))

    def _cut_turn(self, _: do.CutTurn) -> None:
        if self._conversation is not None:
            self._conversation.cut()

    def _go_on(self, _: do.GoOn) -> None:
        if self._conversation is not None:
            self._conversation.go_on()

    def _hear_out(self, _: do.HearOut) -> None:
        self._tasks.create_task(self._heard_out(), name="last words")

    async def _heard_out(self) -> None:
        if self._conversation is not None:
            await self._downlink.heard_out(self._conversation.over)
        self._put(inputs.HeardOut())

    def _close_conversation(self, close: do.CloseConversation) -> None:
        if self._conversation is not None:
            self._tasks.create_task(self._conversation.close(close.ending), name="closing")

    def _abandon_conversation(self, _: do.AbandonConversation) -> None:
        log.info("a conversation that does not close is given up")
        if self._holding is not None:
            self._holding.cancel()
        self._conversation = self._holding = None

    def _try_agent(self, _: do.TryAgent) -> None:
        self._tasks.create_task(self._agent_tried(), name="trial")

    async def _agent_tried(self) -> None:
        trial = await self._tried()
        self._put(inputs.AgentTried(trial.well))

    async def _tried(self) -> Trial:
        press_id = self._credentials.next_press_id()
        return await try_agent(self._credentials, self._core.plan.initiation, press_id)

    def _playback_stuck(self, _: do.PlaybackStuck) -> None:
        log.warning(
            "the sound of a visit's end did not end in its time; going on",
            extra=fault("playback_stuck"),
        )

    def _notify(self, notice: do.Notify) -> None:
        moment = notice.moment
        match moment:  # what only the shell knows
            case VisitStarted():
                moment = replace(moment, press_id=self._press_id)
            case VisitEnded():
                # What was said in a visit is gone with it.
                self.memory.forget()
                self._downlink.forget()
                self._uplink.reset()
                self._muting.on = False
                self.set_level(0.0)
                self._newest = None
                self._variables = {}
                moment = replace(
                    moment,
                    malformed_frames=self._malformed_frames,
                    unknown_frames=self._unknown_frames,
                )
        self._observe(moment)


def _card(use: inputs.CardUse, event: Opened | Lost) -> inputs.Input:
    if isinstance(event, Opened):
        return inputs.CardOpened(use, event.description)
    cause = event.error.why if isinstance(event.error, SilentError) else None
    return inputs.CardLost(use, str(event.error), cause)


def _overloaded(event: Overloaded) -> SoundOverloaded:
    """The machine is too slow for full duplex."""
    return SoundOverloaded(
        loop_now_s(),
        percent=round(100 * event.share),
        consequence="half duplex from now on" if event.half_duplex else "sound may be lost",
    )
