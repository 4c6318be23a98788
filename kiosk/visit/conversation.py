"""One ConvAI conversation: opens the transport, pumps frames, and ends as exactly one `Ending`.

What can be expected to go wrong is an ending, never an exception. The reader answers pings before
anything else and never waits for playback.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from kiosk import moments
from kiosk.audio.pcm import FORMATS
from kiosk.base.clock import loop_now_s
from kiosk.contract import MAX_LIFE_S, EndVisit, VisitEvent, VisitVerdict, conversation_id
from kiosk.convai.captions import caption
from kiosk.convai.client_messages import ContextualUpdate, UserActivity, UserMessage
from kiosk.convai.closing import classify_handshake
from kiosk.convai.conversation import (
    Admitted,
    AgentHangsUp,
    Answer,
    ClientConversation,
    Connected,
    CoreEvent,
    FormatsChanged,
    Queued,
    Refused,
    ToolEnded,
    ToolStarted,
    TurnSkipped,
)
from kiosk.convai.fields import Json
from kiosk.convai.frames import serialize
from kiosk.convai.server_messages import (
    AgentAudio,
    AgentResponse,
    AgentResponseComplete,
    AgentResponseCorrection,
    Interruption,
    UserTranscript,
)
from kiosk.convai.server_tools import LANGUAGE_DETECTION, AgentToolResponse, ToolCall
from kiosk.endings import Ending, Kind, classify_denial
from kiosk.errors import CredentialError
from kiosk.link.account import DeniedError
from kiosk.link.credentials import Credentials, Opening
from kiosk.link.roads import connect
from kiosk.link.transport import (
    CLOSE_TIMEOUT_S,
    Close,
    ConnectError,
    HandshakeRefusedError,
    Transport,
    TransportClosedError,
)
from kiosk.moments import Observer
from kiosk.visit import inputs
from kiosk.visit.downlink import Downlink
from kiosk.visit.initiation import initiation_of, without_first_message
from kiosk.visit.language_of import language_of
from kiosk.visit.link_figures import measured_of
from kiosk.visit.moments import moment_of
from kiosk.visit.plan import Plan
from kiosk.visit.states import Event
from kiosk.visit.tools import Tools
from kiosk.visit.turn_memory import AnswerRest, TurnMemory
from kiosk.visit.uplink import Uplink

CONNECT_TIMEOUT_S = 10.0
METADATA_TIMEOUT_S = 10.0
_BESIDE_LIMIT = 32
# The server's own patience with a silent visitor is 7 s (published default).
_ACTIVITY_S = 2.0
_HEARD = (
    "Your last answer was interrupted by a noise and not by the visitor. What you had sent of it "
    "was heard to its end. Do not mention the noise."
)
# In the reason for which an agent refuses an override, where it names which.
_FIELD, _LANGUAGE = "field '", "'language'"
_SPEAK = (
    "The visitor chose a language at the kiosk, by its code {language!r}. Speak that language from "
    "now on."
)
_GO_ON = "Please go on with your last answer where it broke off."

# The verdict on the visit under way, if it ended by this kind at this time.
Judge: TypeAlias = Callable[[str, float], VisitVerdict | None]

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Learnt:
    """What conversations have learnt of the agent. `greets_always`: it does not permit the override
    of its first message; `one_language`: nor that of its language."""

    greets_always: bool = False
    one_language: bool = False


@dataclass(frozen=True, slots=True)
class Parts:
    """What every conversation of a kiosk is made of. `take_events`: those of the visit since they
    were taken last; `judge`: the verdict on it so far. `post`: for the visit's table; `put`: for
    the core. `languages`: those that the kiosk's own sentences have."""

    credentials: Credentials
    tools: Tools
    uplink: Uplink
    downlink: Downlink
    observe: Observer
    take_events: Callable[[], tuple[VisitEvent, ...]]
    judge: Judge
    post: Callable[[Event, Ending | None], None]
    put: Callable[[inputs.Input], None]
    memory: TurnMemory
    languages: Collection[str] = ()
    learnt: Learnt = field(default_factory=Learnt)


class Conversation:
    """One connection. `run` it once, in a task; `close` ends it from outside.

    `follows`: it goes on where another one of the visit was lost. Then the agent does not greet
    again, by an override of its first message where it permits that, else because its greeting is
    not played; it gets a recap of what was said, and the visitor's last turn as sound if nobody has
    answered it. `language`: that which the visitor chose. The agent is asked for it by an override,
    and told of it where it does not permit that. `variables`: dynamic variables of this visit.
    """

    def __init__(
        self,
        parts: Parts,
        plan: Plan,
        press_id: str,
        tasks: asyncio.TaskGroup,
        *,
        follows: bool = False,
        language: str | None = None,
        variables: Mapping[str, Json] = MappingProxyType({}),
    ) -> None:
        # Where nothing was said yet the agent greets, and only the visitor's sound goes again.
        self._repeats = follows
        self._follows = follows and parts.memory.has_begun
        self._language = language
        self._variables = variables
        self._parts = parts
        self._plan = plan
        self._press_id = press_id
        self._tasks = tasks
        self._core = self._new_core()
        self._transport: Transport | None = None
        self._opened_s = 0.0
        self._connecting: asyncio.Timeout | None = None
        self._beside: set[asyncio.Task[None]] = set()  # what goes on while frames are read
        self._sending: asyncio.Task[None] | None = None
        self._connected = asyncio.Event()
        self._changes_language = False  # the agent, from its next words on
        self._ending: Ending | None = None
        self._task: asyncio.Task[object] | None = None
        self._finished = asyncio.Event()
        self.question: str | None = None  # what is asked first of all, by a key

    @property
    def conversation_id(self) -> str | None:
        return self._core.conversation_id

    @property
    def malformed_frames(self) -> int:
        return self._core.malformed_frames

    @property
    def unknown_frames(self) -> int:
        return self._core.unknown_frames

    async def run(self) -> Ending:
        """Hold the conversation to its end. Raises only CancelledError."""
        self._task = asyncio.current_task()
        try:
            if self._ending is not None:
                return self._ending
            opening = await self._take()
            if isinstance(opening, Ending):
                return opening
            self._parts.observe(moments.ConversationLeased(loop_now_s()))
            ending = await self._use(opening)
            stale = opening.kept
            while self._learns(ending) or (stale and self._was_stale(ending)):
                stale = False
                self._transport, self._core = None, self._new_core()
                self._connected.clear()
                fresh = await self._take()
                if isinstance(fresh, Ending):
                    return fresh
                ending = await self._use(fresh)
            return ending
        finally:
            self._finished.set()

    def _learns(self, ending: Ending) -> bool:
        """Whether the agent refused an override that this conversation can do without. It learns
        each once."""
        learnt = self._parts.learnt
        if ending.kind is not Kind.OVERRIDE_REFUSED:
            return False
        asks, silences = self._asks_for_language, self._silences_greeting
        names_another = _FIELD in ending.detail and _LANGUAGE not in ending.detail
        if asks and not names_another:
            log.info("the agent permits no other language; it is told what the visitor chose")
            learnt.one_language = True
            return True
        if silences:
            log.info("the agent permits no other first message; its greeting is not played")
            learnt.greets_always = True
        return silences

    def _was_stale(self, ending: Ending) -> bool:
        """Whether a lease fetched ahead opened nothing any more, as after a change of the API key:
        what one that is fetched now comes to is the truth."""
        refused = ending.kind is Kind.REFUSED and not self._connected.is_set()
        if refused:
            log.info("a lease fetched ahead was refused (%s); fetching another", ending.detail)
        return refused

    @property
    def _asks_for_language(self) -> bool:
        """Whether the agent is asked for another language than its own."""
        return self._language is not None and not self._parts.learnt.one_language

    @property
    def _silences_greeting(self) -> bool:
        """Whether the agent is asked not to greet."""
        return self._follows and not self._parts.learnt.greets_always

    def _new_core(self) -> ClientConversation:
        mute = self._follows and self._parts.learnt.greets_always
        return ClientConversation(self._plan.approved_mcp_tools, without_greeting=mute)

    async def _take(self) -> Opening | Ending:
        try:
            return await self._parts.credentials.take(self._press_id, self._language)
        except CredentialError as error:
            if error.reason is not None:
                return classify_denial(error.reason)
            kind = Kind.BACKEND_UNREACHABLE if error.retryable else Kind.NO_CREDENTIAL
            return Ending(kind, None, str(error))

    async def _use(self, opening: Opening) -> Ending:
        began_s = loop_now_s()
        if opening.max_s is not None:
            self._parts.put(inputs.LimitedTo(opening.max_s))
        # In parallel: whether the visit may go on is known before anybody has said much.
        self._start(self._tell_backend(opening), "backend")
        ending = None
        try:
            opened = await self._open(opening)
            ending = opened if isinstance(opened, Ending) else await self._hold(opened, opening)
            if ending.kind in (Kind.REFUSED, Kind.LEASE_REFUSED):
                self._parts.credentials.refused(opening)
            return ending
        finally:
            self._stop_beside()
            # Cancelled while connecting it has no ending but the one it was closed with.
            outcome = ending or self._ending or Ending(Kind.STOPPED)
            if outcome.kind is not Kind.LEASE_REFUSED:
                account = EndVisit(
                    press_id=self._press_id,
                    outcome=outcome.kind,
                    duration_s=min(loop_now_s() - began_s, MAX_LIFE_S),
                    conversation_id=conversation_id(self.conversation_id),
                    events=self._parts.take_events(),
                    verdict=self._parts.judge(outcome.kind, loop_now_s()),
                )
                self._parts.credentials.account_for(opening, account)

    async def close(self, ending: Ending) -> None:
        """End it, for this reason: what is open closes with 1000. Returns when `run` is over."""
        self._ending = self._ending or ending
        if self._task is None:
            return
        if self._transport is not None:
            await self._hang_up(self._transport)
        else:
            self._task.cancel()
        await self._finished.wait()

    async def over(self) -> None:
        """Wait until `run` is over."""
        await self._finished.wait()

    def cut(self) -> None:
        """The visitor's button: the agent is silent, and the rest of what it says is dropped."""
        self._core.cut(loop_now_s())
        self._parts.downlink.stop()

    def go_on(self) -> None:
        """Let the answer go on that was cut by a noise."""
        if self._transport is not None and self._connected.is_set() and not self._finished.is_set():
            self._start(self._goes_on(self._transport, self._parts.downlink.go_on()), "going on")

    async def _goes_on(self, transport: Transport, rest: AnswerRest) -> None:
        """Keep the agent silent while the rest of its turn is heard, and let it know."""
        downlink = self._parts.downlink
        if rest.samples is not None:
            heard = asyncio.create_task(downlink.drained(), name="the rest is heard")
            try:
                while not heard.done():
                    await self._send(transport, serialize(UserActivity()))
                    await asyncio.wait({heard}, timeout=_ACTIVITY_S)
            finally:
                heard.cancel()
            if not downlink.goes_on:
                return  # somebody had something to say
            self._parts.put(inputs.GoneOn())
            await self._send(transport, serialize(ContextualUpdate(_HEARD)))
        elif rest.whole:  # all of it was heard: nothing is left to wait for
            self._parts.post(Event.TURN_SKIPPED, None)
            await self._send(transport, serialize(ContextualUpdate(_HEARD)))
        if not rest.whole:
            await self._send(transport, serialize(UserMessage(_GO_ON)))

    def tell(self, text: str) -> bool:
        """Let the agent know something without a turn; False while nobody listens."""
        if self._transport is None or not self._connected.is_set() or self._finished.is_set():
            return False
        self._start(self._send(self._transport, serialize(ContextualUpdate(text))), "tell")
        return True

    def ask(self, text: str) -> bool:
        """A turn of the visitor's in writing; False while nobody listens."""
        if self._transport is None or not self._connected.is_set() or self._finished.is_set():
            return False
        self._parts.memory.visitor_said(text)
        self._start(self._send(self._transport, serialize(UserMessage(text))), "ask")
        self._parts.observe(moments.AgentAsked(loop_now_s()))
        return True

    async def _tell_backend(self, opening: Opening) -> None:
        """Let the backend know; what it refuses ends the conversation, connected or not yet."""
        credentials = self._parts.credentials
        try:
            await credentials.spend(opening, self._press_id)
            await self._connected.wait()
            its_id = conversation_id(self.conversation_id)
            await credentials.live(opening, self._press_id, its_id)
        except DeniedError as denied:
            ending = classify_denial(denied.reason)
            if not ending.rule.retries:
                # The words come first: giving up a connection may take its second.
                self._parts.post(Event.ENDED, ending)
                return
            self._ending = self._ending or ending
            if self._transport is not None:
                await self._hang_up(self._transport)
            elif self._connecting is not None:
                self._connecting.reschedule(loop_now_s())

    async def _open(self, opening: Opening) -> Transport | Ending:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S) as self._connecting:
                transport = await connect(opening)
        except HandshakeRefusedError as refused:
            return classify_handshake(refused.status, web_page=refused.web_page)
        except ConnectError as error:
            return Ending(Kind.UNREACHABLE, None, str(error))
        except TimeoutError:
            late = Ending(Kind.UNREACHABLE, None, f"no connection in {CONNECT_TIMEOUT_S:g} s")
            return self._ending or late
        self._transport, self._opened_s = transport, loop_now_s()
        return transport

    async def _hold(self, transport: Transport, opening: Opening) -> Ending:
        metadata_due = asyncio.timeout(METADATA_TIMEOUT_S)
        try:
            language = self._language if self._asks_for_language else None
            initiation = initiation_of(self._plan.initiation, opening, self._variables, language)
            if self._silences_greeting:
                initiation = without_first_message(initiation)
            await transport.send(serialize(initiation))
            async with metadata_due:
                while self._ending is None:
                    frame = await transport.receive()
                    received_at_s = loop_now_s()
                    if self._ending is not None:
                        break  # hung up while it was on its way: nobody wants to hear it
                    for event in self._core.receive(frame, received_at_s):
                        if isinstance(event, Connected):
                            metadata_due.reschedule(None)
                            for known in self._to_know():
                                await transport.send(serialize(ContextualUpdate(known)))
                        await self._on_event(event, transport, received_at_s)
        except TransportClosedError as closed:
            return self._ending or self._classify(closed.close)
        except TimeoutError:
            late = Ending(Kind.NO_METADATA, None, f"no metadata in {METADATA_TIMEOUT_S:g} s")
            return self._core.timed_out(late)
        finally:
            self._parts.uplink.disconnect()
            self._measure(transport)
            self._stop_beside()
            await self._hang_up(transport)
        return self._ending

    def _to_know(self) -> Iterator[str]:
        """What the agent is told first."""
        if self._follows:
            yield self._parts.memory.recap()
        if self._language is not None and not self._asks_for_language:
            yield _SPEAK.format(language=self._language)

    def _classify(self, close: Close) -> Ending:
        if close.dead:
            return Ending(Kind.PEER_DEAD, None, close.reason)
        if close.left:
            return self._core.left()
        return self._core.closed(close.code, close.reason)

    def _measure(self, transport: Transport) -> None:
        measured = measured_of(transport.path, loop_now_s(), self._opened_s)
        if measured is not None:
            self._parts.observe(measured)

    async def _hang_up(self, transport: Transport) -> None:
        last_frame = self._plan.compat.last_frame
        if last_frame is not None:
            with contextlib.suppress(TransportClosedError, TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await transport.send(last_frame)
        await transport.close()

    async def _on_event(self, event: CoreEvent, transport: Transport, received_at_s: float) -> None:
        downlink, uplink = self._parts.downlink, self._parts.uplink
        match event:
            case Answer(frame):
                await transport.send(frame)
            case AgentAudio():
                if downlink.audio(event, received_at_s):
                    self._parts.put(inputs.TurnTaken())
            case Interruption():
                downlink.interrupt()
            case UserTranscript(text, tentative=tentative):
                if text.strip():
                    self._turn_taken(heard=not tentative)
                if not tentative:
                    downlink.next_turn()
                    self._parts.memory.visitor_said(text)
            case AgentResponse(text):
                self._parts.memory.agent_said(caption(text))
                self._listen_for_language(caption(text))
            case AgentResponseCorrection():
                self._parts.memory.agent_was_corrected(caption(event.corrected))
            case ToolCall() if len(self._beside) < _BESIDE_LIMIT:  # more than anybody means
                self._turn_taken(acts=True)
                self._start(self._run_tool(event, transport), "tool")
            case AgentResponseComplete(event_id):
                downlink.complete(event_id)
            case ToolStarted(for_s):
                self._turn_taken(acts=True)
                self._parts.put(inputs.AgentWorks(for_s))
            case ToolEnded() | AgentToolResponse() | TurnSkipped():
                self._parts.put(inputs.AgentWorks(0.0))
                if isinstance(event, AgentToolResponse) and event.tool_name == LANGUAGE_DETECTION:
                    self._changes_language = event.ran
            case Connected():
                self._start_audio(event, transport)
            case FormatsChanged():
                self._change_formats(event, transport)
            case Queued():
                uplink.hold(on=True)
            case Admitted():
                downlink.stop()  # the music
                uplink.hold(on=False)
            case Refused(ending):
                self._ending = ending
        if (moment := moment_of(event, received_at_s, self._core.malformed_frames)) is not None:
            self._parts.observe(moment)
        if (news := _NEWS.get(type(event))) is not None:
            self._parts.post(*news)

    def _listen_for_language(self, text: str) -> None:
        """The service says that the agent changed its language, and not to which: its words do."""
        if self._changes_language:
            language = language_of(text, self._parts.languages)
            if language is not None:
                self._changes_language = False
                self._parts.put(inputs.AgentSpeaks(language))

    def _turn_taken(self, *, heard: bool = False, acts: bool = False) -> None:
        """The agent hears the visitor, has `heard` a turn, or `acts`: nothing goes on any more."""
        if (heard or acts) and self._parts.downlink.is_resuming:
            self._parts.downlink.interrupt()
        self._parts.put(inputs.TurnTaken(heard))

    # --- beside the reader ----------------------------------------------------------------------

    def _stop_beside(self) -> None:
        for task in self._beside:
            task.cancel()

    def _start(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        """Do something until the conversation is over."""
        task = self._tasks.create_task(work, name=name)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)
        return task

    def _start_audio(self, connected: Connected, transport: Transport) -> None:
        self._connected.set()
        if self.question is not None and self.ask(self.question):
            self.question = None
        self._parts.downlink.begin(FORMATS[connected.output_format], greets=not self._follows)
        self._parts.uplink.connect(self._parts.memory.unanswered if self._repeats else ())
        self._sending = self._start(self._send_audio(transport, connected.input_format), "uplink")
        compat = self._plan.compat
        if compat.keep_alive is not None:
            keep_alive = self._keep_alive(transport, compat.keep_alive, compat.keep_alive_s)
            self._start(keep_alive, "keep-alive")

    def _change_formats(self, changed: FormatsChanged, transport: Transport) -> None:
        self._parts.downlink.begin(FORMATS[changed.output_format], greets=False)
        if self._sending is not None:
            self._sending.cancel()
        self._sending = self._start(self._send_audio(transport, changed.input_format), "uplink")

    async def _send_audio(self, transport: Transport, format_name: str) -> None:
        # Whoever writes to a closed transport leaves it to the reader to say what the close means.
        with contextlib.suppress(TransportClosedError):
            await self._parts.uplink.run(transport.send_audio, FORMATS[format_name])

    async def _keep_alive(self, transport: Transport, frame: str, every_s: float) -> None:
        with contextlib.suppress(TransportClosedError):
            while True:
                await asyncio.sleep(every_s)
                await transport.send(frame)

    async def _run_tool(self, call: ToolCall, transport: Transport) -> None:
        result = await self._parts.tools.run(call)
        ran = moments.KioskToolCalled(
            loop_now_s(), tool=call.tool_name[:64], error_type=result.error_type
        )
        self._parts.observe(ran)
        if call.expects_response:
            await self._send(transport, serialize(result))

    async def _send(self, transport: Transport, frame: str) -> None:
        with contextlib.suppress(TransportClosedError):
            await transport.send(frame)


# What the host learns of an event.
_NEWS: dict[type[CoreEvent], tuple[Event, Ending | None]] = {
    Connected: (Event.CONNECTED, None),
    Queued: (Event.QUEUED, None),
    Admitted: (Event.ADMITTED, None),
    TurnSkipped: (Event.TURN_SKIPPED, None),
    AgentHangsUp: (Event.ENDED, Ending(Kind.AGENT_ENDED)),
}
