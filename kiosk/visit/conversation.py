"""One ConvAI conversation: opens the socket, pumps frames, and ends as exactly one `Ending`.

What can be expected to go wrong is an ending, never an exception. The reader answers pings before
anything else and never waits for playback.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from kiosk.audio.pcm import FORMATS
from kiosk.convai.captions import caption
from kiosk.convai.client_messages import ContextualUpdate
from kiosk.convai.conversation import (
    Admitted,
    AgentHangsUp,
    Answer,
    ClientConversation,
    Connected,
    CoreEvent,
    Queued,
    Refused,
    TurnSkipped,
)
from kiosk.convai.endings import Ending, Kind, classify_handshake
from kiosk.convai.frames import Malformed, serialize
from kiosk.convai.server_messages import (
    AgentAudio,
    AgentResponse,
    AgentResponseCorrection,
    GuardrailTriggered,
    Interruption,
    UserTranscript,
)
from kiosk.convai.server_tools import AgentToolResponse, ToolCall
from kiosk.errors import CredentialError
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
from kiosk.visit.downlink import Downlink
from kiosk.visit.plan import Plan
from kiosk.visit.states import Event
from kiosk.visit.timeline import FieldValue, Moment, Observer, What
from kiosk.visit.tools import Tools
from kiosk.visit.uplink import Uplink

CONNECT_TIMEOUT_S = 10.0
METADATA_TIMEOUT_S = 10.0
# Of the frames that make no sense so many are told of; the others are only counted.
_MALFORMED_TOLD = 5
_BESIDE_LIMIT = 32


@dataclass(frozen=True, slots=True)
class Parts:
    """What every conversation of a kiosk is made of."""

    plan: Plan
    credentials: Credentials
    tools: Tools
    uplink: Uplink
    downlink: Downlink
    observe: Observer
    post: Callable[[Event, Ending | None], None]


class Conversation:
    """One connection. `run` it once, in a task; `close` ends it from outside."""

    def __init__(self, parts: Parts, press_id: str, tasks: asyncio.TaskGroup) -> None:
        self._parts = parts
        self._press_id = press_id
        self._tasks = tasks
        self._core = ClientConversation(parts.plan.approved_mcp_tools)
        self._socket: Socket | None = None
        self._beside: set[asyncio.Task[None]] = set()  # what goes on while frames are read
        self._connected = False
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
            try:
                opening = await self._parts.credentials.take(self._press_id)
            except CredentialError as error:
                kind = Kind.BACKEND_UNREACHABLE if error.retryable else Kind.NO_CREDENTIAL
                return Ending(kind, None, str(error))
            opened = await self._open(opening)
            ending = opened if isinstance(opened, Ending) else await self._hold(opened)
            if ending.kind is Kind.REFUSED:
                self._parts.credentials.refused(opening)
            return ending
        finally:
            self._finished.set()

    async def close(self) -> None:
        """End it: an open socket closes with 1000. Returns when `run` is over."""
        self._ending = self._ending or Ending(Kind.HUNG_UP)
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

    def tell(self, text: str) -> bool:
        """Let the agent know something without a turn; False while nobody listens."""
        if self._socket is None or not self._connected or self._finished.is_set():
            return False
        self._start(self._send(self._socket, serialize(ContextualUpdate(text))), "tell")
        return True

    async def _open(self, opening: Opening) -> Socket | Ending:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                socket = await connect(opening.url)
        except HandshakeRefusedError as refused:
            return classify_handshake(refused.status)
        except ConnectError as error:
            return Ending(Kind.UNREACHABLE, None, str(error))
        except TimeoutError:
            return Ending(Kind.UNREACHABLE, None, f"no connection in {CONNECT_TIMEOUT_S:g} s")
        self._socket = socket
        return socket

    async def _hold(self, socket: Socket) -> Ending:
        metadata_due = asyncio.timeout(METADATA_TIMEOUT_S)
        try:
            await socket.send(serialize(self._parts.plan.initiation))
            async with metadata_due:
                while self._ending is None:
                    frame = await socket.receive()
                    received_at_s = time.monotonic()
                    if self._ending is not None:
                        break  # hung up while it was on its way: nobody wants to hear it
                    for event in self._core.receive(frame):
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
            for task in self._beside:
                task.cancel()
            await self._hang_up(socket)
        return self._ending

    def _classify(self, close: Close) -> Ending:
        if close.dead:
            return Ending(Kind.PEER_DEAD, None, close.reason)
        return self._core.closed(close.code, close.reason)

    async def _hang_up(self, socket: Socket) -> None:
        last_frame = self._parts.plan.compat.last_frame
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
            case UserTranscript(_, _, tentative):
                if not tentative:
                    downlink.next_turn()
            case AgentResponse():
                downlink.next_turn()
            case ToolCall() if len(self._beside) < _BESIDE_LIMIT:  # more than anybody means
                self._start(self._run_tool(event, socket), "tool")
            case Connected():
                self._start_audio(event, socket)
            case Queued():
                uplink.hold(on=True)
            case Admitted():
                downlink.stop()  # the music
                uplink.hold(on=False)
            case Refused(ending):
                self._ending = ending
        if (moment := self._moment(event, received_at_s)) is not None:
            self._parts.observe(moment)
        if (news := _NEWS.get(type(event))) is not None:
            self._parts.post(*news)

    def _moment(self, event: CoreEvent, at_s: float) -> Moment | None:
        """What observers learn of an event; the words are apart from what may be logged."""
        match event:
            case UserTranscript(text, _, False):
                return Moment(What.TRANSCRIPT, at_s, words=text)
            case AgentResponse(text):
                return Moment(What.RESPONSE, at_s, words=caption(text))
            case AgentResponseCorrection():
                return Moment(What.CORRECTION, at_s, words=caption(event.corrected))
            case AgentHangsUp():
                return Moment(What.AGENT_HANGS_UP, at_s)
            case Queued():
                return Moment(What.QUEUED, at_s)
            case Admitted():
                return Moment(What.ADMITTED, at_s)
            case AgentToolResponse():
                tool: dict[str, FieldValue] = {
                    "tool": event.tool_name[:64],
                    "failed": int(event.is_error),
                }
                return Moment(What.AGENT_TOOL, at_s, tool)
            case GuardrailTriggered(name):
                return Moment(What.GUARDRAIL, at_s, {"rule": (name or "")[:64]})
            case Malformed(why) if self._core.malformed_frames <= _MALFORMED_TOLD:
                return Moment(What.MALFORMED, at_s, {"why": why})
            case Connected():
                formats: dict[str, FieldValue] = {
                    "conversation_id": event.conversation_id,
                    "input_format": event.input_format,
                    "output_format": event.output_format,
                }
                return Moment(What.CONNECTED, at_s, formats)
        return None

    # --- beside the reader ----------------------------------------------------------------------

    def _start(self, work: Coroutine[None, None, None], name: str) -> None:
        """Do something until the conversation is over."""
        task = self._tasks.create_task(work, name=name)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    def _start_audio(self, connected: Connected, socket: Socket) -> None:
        self._connected = True
        self._parts.downlink.begin(FORMATS[connected.output_format])
        self._parts.uplink.connect()
        self._start(self._send_audio(socket, connected.input_format), "uplink")
        compat = self._parts.plan.compat
        if compat.keep_alive is not None:
            keep_alive = self._keep_alive(socket, compat.keep_alive, compat.keep_alive_s)
            self._start(keep_alive, "keep-alive")

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
        ran: dict[str, FieldValue] = {
            "tool": call.tool_name[:64],
            "error_type": result.error_type,
        }
        self._parts.observe(Moment(What.TOOL_CALLED, time.monotonic(), ran))
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
