"""One ConvAI conversation: opens the socket, pumps frames, and ends as exactly one `Ending`.

What can be expected to go wrong is an ending, never an exception. The reader answers pings before
anything else and never waits for playback.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from kiosk import moments
from kiosk.audio.pcm import FORMATS
from kiosk.base.clock import loop_now_s
from kiosk.contract import MAX_LIFE_S, EndVisit, VisitEvent, conversation_id
from kiosk.convai.client_messages import ContextualUpdate
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
from kiosk.convai.frames import serialize
from kiosk.convai.server_messages import (
    AgentAudio,
    AgentResponseComplete,
    Interruption,
    UserTranscript,
)
from kiosk.convai.server_tools import AgentToolResponse, ToolCall
from kiosk.endings import Ending, Kind, classify_denial
from kiosk.errors import CredentialError
from kiosk.link.account import DeniedError
from kiosk.link.credentials import Credentials, Opening
from kiosk.link.websocket import (
    CLOSE_TIMEOUT_S,
    Close,
    ConnectError,
    HandshakeRefusedError,
    Socket,
    SocketClosedError,
    connect,
)
from kiosk.moments import Observer
from kiosk.visit.downlink import Downlink
from kiosk.visit.initiation import initiation_of
from kiosk.visit.moments import moment_of
from kiosk.visit.plan import Plan
from kiosk.visit.states import Event
from kiosk.visit.tools import Tools
from kiosk.visit.uplink import Uplink

CONNECT_TIMEOUT_S = 10.0
METADATA_TIMEOUT_S = 10.0
_BESIDE_LIMIT = 32

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What every conversation of a kiosk is made of. `take_events`: those of the visit since they
    were taken last. `limit(seconds)` caps the visit's remaining time. `agent_works(seconds)`: a
    tool runs that may take so long; 0: it has run."""

    credentials: Credentials
    tools: Tools
    uplink: Uplink
    downlink: Downlink
    observe: Observer
    take_events: Callable[[], tuple[VisitEvent, ...]]
    post: Callable[[Event, Ending | None], None]
    limit: Callable[[float], None]
    agent_works: Callable[[float], None]


class Conversation:
    """One connection. `run` it once, in a task; `close` ends it from outside."""

    def __init__(self, parts: Parts, plan: Plan, press_id: str, tasks: asyncio.TaskGroup) -> None:
        self._parts = parts
        self._plan = plan
        self._press_id = press_id
        self._tasks = tasks
        self._core = ClientConversation(plan.approved_mcp_tools)
        self._socket: Socket | None = None
        self._connecting: asyncio.Timeout | None = None
        self._beside: set[asyncio.Task[None]] = set()  # what goes on while frames are read
        self._sending: asyncio.Task[None] | None = None
        self._connected = asyncio.Event()
        self._ending: Ending | None = None
        self._task: asyncio.Task[object] | None = None
        self._finished = asyncio.Event()

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
            if ending.kind is not Kind.REFUSED or not opening.kept or self._connected.is_set():
                return ending
            # Perhaps it opened nothing any more, as after a change of the API key: what one that is
            # fetched now comes to is the truth.
            log.info("a lease fetched ahead was refused (%s); fetching another", ending.detail)
            self._socket, self._core = None, ClientConversation(self._plan.approved_mcp_tools)
            fresh = await self._take()
            if isinstance(fresh, Ending):
                return fresh
            return await self._use(fresh)
        finally:
            self._finished.set()

    async def _take(self) -> Opening | Ending:
        try:
            return await self._parts.credentials.take(self._press_id)
        except CredentialError as error:
            if error.reason is not None:
                return classify_denial(error.reason)
            kind = Kind.BACKEND_UNREACHABLE if error.retryable else Kind.NO_CREDENTIAL
            return Ending(kind, None, str(error))

    async def _use(self, opening: Opening) -> Ending:
        began_s = loop_now_s()
        if opening.max_s is not None:
            self._parts.limit(opening.max_s)
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
                )
                self._parts.credentials.account_for(opening, account)

    async def close(self, ending: Ending) -> None:
        """End it, for this reason: an open socket closes with 1000. Returns when `run` is over."""
        self._ending = self._ending or ending
        if self._task is None:
            return
        if self._socket is not None:
            await self._hang_up(self._socket)
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

    def tell(self, text: str) -> bool:
        """Let the agent know something without a turn; False while nobody listens."""
        if self._socket is None or not self._connected.is_set() or self._finished.is_set():
            return False
        self._start(self._send(self._socket, serialize(ContextualUpdate(text))), "tell")
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
            if self._socket is not None:
                await self._hang_up(self._socket)
            elif self._connecting is not None:
                self._connecting.reschedule(loop_now_s())

    async def _open(self, opening: Opening) -> Socket | Ending:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S) as self._connecting:
                socket = await connect(opening.url)
        except HandshakeRefusedError as refused:
            return classify_handshake(refused.status, web_page=refused.web_page)
        except ConnectError as error:
            return Ending(Kind.UNREACHABLE, None, str(error))
        except TimeoutError:
            late = Ending(Kind.UNREACHABLE, None, f"no connection in {CONNECT_TIMEOUT_S:g} s")
            return self._ending or late
        self._socket = socket
        return socket

    async def _hold(self, socket: Socket, opening: Opening) -> Ending:
        metadata_due = asyncio.timeout(METADATA_TIMEOUT_S)
        try:
            await socket.send(serialize(initiation_of(self._plan.initiation, opening)))
            async with metadata_due:
                while self._ending is None:
                    frame = await socket.receive()
                    received_at_s = loop_now_s()
                    if self._ending is not None:
                        break  # hung up while it was on its way: nobody wants to hear it
                    for event in self._core.receive(frame, received_at_s):
                        if isinstance(event, Connected):
                            metadata_due.reschedule(None)
                        await self._on_event(event, socket, received_at_s)
        except SocketClosedError as closed:
            return self._ending or self._classify(closed.close)
        except TimeoutError:
            late = Ending(Kind.NO_METADATA, None, f"no metadata in {METADATA_TIMEOUT_S:g} s")
            return self._core.timed_out(late)
        finally:
            self._parts.uplink.disconnect()
            self._stop_beside()
            await self._hang_up(socket)
        return self._ending

    def _classify(self, close: Close) -> Ending:
        if close.dead:
            return Ending(Kind.PEER_DEAD, None, close.reason)
        return self._core.closed(close.code, close.reason)

    async def _hang_up(self, socket: Socket) -> None:
        last_frame = self._plan.compat.last_frame
        if last_frame is not None:
            with contextlib.suppress(SocketClosedError, TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await socket.send(last_frame)
        await socket.close()

    async def _on_event(self, event: CoreEvent, socket: Socket, received_at_s: float) -> None:
        downlink, uplink = self._parts.downlink, self._parts.uplink
        match event:
            case Answer(frame):
                await socket.send(frame)
            case AgentAudio():
                downlink.audio(event, received_at_s)
            case Interruption():
                downlink.interrupt()
            case UserTranscript(tentative=False):
                downlink.next_turn()
            case ToolCall() if len(self._beside) < _BESIDE_LIMIT:  # more than anybody means
                self._start(self._run_tool(event, socket), "tool")
            case AgentResponseComplete(event_id):
                downlink.complete(event_id)
            case ToolStarted(for_s):
                self._parts.agent_works(for_s)
            case ToolEnded() | AgentToolResponse() | TurnSkipped():
                self._parts.agent_works(0.0)
            case Connected():
                self._start_audio(event, socket)
            case FormatsChanged():
                self._change_formats(event, socket)
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

    def _start_audio(self, connected: Connected, socket: Socket) -> None:
        self._connected.set()
        self._parts.downlink.begin(FORMATS[connected.output_format])
        self._parts.uplink.connect()
        self._sending = self._start(self._send_audio(socket, connected.input_format), "uplink")
        compat = self._plan.compat
        if compat.keep_alive is not None:
            keep_alive = self._keep_alive(socket, compat.keep_alive, compat.keep_alive_s)
            self._start(keep_alive, "keep-alive")

    def _change_formats(self, changed: FormatsChanged, socket: Socket) -> None:
        self._parts.downlink.begin(FORMATS[changed.output_format])
        if self._sending is not None:
            self._sending.cancel()
        self._sending = self._start(self._send_audio(socket, changed.input_format), "uplink")

    async def _send_audio(self, socket: Socket, format_name: str) -> None:
        # Whoever writes to a closed socket leaves it to the reader to say what the close means.
        with contextlib.suppress(SocketClosedError):
            await self._parts.uplink.run(socket.send, FORMATS[format_name])

    async def _keep_alive(self, socket: Socket, frame: str, every_s: float) -> None:
        with contextlib.suppress(SocketClosedError):
            while True:
                await asyncio.sleep(every_s)
                await socket.send(frame)

    async def _run_tool(self, call: ToolCall, socket: Socket) -> None:
        result = await self._parts.tools.run(call)
        ran = moments.KioskToolCalled(
            loop_now_s(), tool=call.tool_name[:64], error_type=result.error_type
        )
        self._parts.observe(ran)
        if call.expects_response:
            await self._send(socket, serialize(result))

    async def _send(self, socket: Socket, frame: str) -> None:
        with contextlib.suppress(SocketClosedError):
            await socket.send(frame)


# What the host learns of an event.
_NEWS: dict[type[CoreEvent], tuple[Event, Ending | None]] = {
    Connected: (Event.CONNECTED, None),
    Queued: (Event.QUEUED, None),
    Admitted: (Event.ADMITTED, None),
    TurnSkipped: (Event.TURN_SKIPPED, None),
    AgentHangsUp: (Event.ENDED, Ending(Kind.AGENT_ENDED)),
}
