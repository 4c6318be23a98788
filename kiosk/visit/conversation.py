"""One ConvAI conversation: opens the socket, pumps frames, and ends as exactly one `Ending`.

What can be expected to go wrong is an ending, never an exception. The reader answers pings before
anything else and never waits for playback.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from kiosk.audio.pcm import FORMATS
from kiosk.convai.conversation import (
    AgentHangsUp,
    Answer,
    ClientConversation,
    Connected,
    CoreEvent,
    Refused,
)
from kiosk.convai.endings import Ending, Kind, classify_handshake
from kiosk.convai.messages import (
    AgentAudio,
    AgentResponse,
    AgentResponseCorrection,
    Initiation,
    Interruption,
    Malformed,
    UserTranscript,
    serialize,
)
from kiosk.errors import CredentialError
from kiosk.link.credentials import Credentials, Opening
from kiosk.link.websocket import (
    ConnectError,
    HandshakeRefusedError,
    Socket,
    SocketClosedError,
    connect,
)
from kiosk.visit.downlink import Downlink
from kiosk.visit.states import Event
from kiosk.visit.timeline import Moment, Observer, What
from kiosk.visit.uplink import Uplink

CONNECT_TIMEOUT_S = 10.0
METADATA_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What every conversation of a kiosk is made of."""

    credentials: Credentials
    initiation: Initiation
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
        self._core = ClientConversation()
        self._socket: Socket | None = None
        self._sender: asyncio.Task[None] | None = None
        self._ending: Ending | None = None
        self._task: asyncio.Task[object] | None = None
        self._finished = asyncio.Event()

    @property
    def conversation_id(self) -> str | None:
        return self._core.conversation_id

    async def run(self) -> Ending:
        """Hold the conversation to its end. Raises only CancelledError."""
        self._task = asyncio.current_task()
        try:
            if self._ending is not None:
                return self._ending
            try:
                opening = await self._parts.credentials.take(self._press_id)
            except CredentialError as error:
                return Ending(Kind.NO_CREDENTIAL, None, str(error))
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
            await self._socket.close()
        else:
            self._task.cancel()
        await self._finished.wait()

    async def over(self) -> None:
        """Wait until `run` is over."""
        await self._finished.wait()

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
            await socket.send(serialize(self._parts.initiation))
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
            return self._ending or self._core.closed(closed.close.code, closed.close.reason)
        except TimeoutError:
            return Ending(Kind.UNREACHABLE, None, f"no metadata in {METADATA_TIMEOUT_S:g} s")
        finally:
            self._parts.uplink.disconnect()
            if self._sender is not None:
                self._sender.cancel()
            await socket.close()
        return self._ending

    async def _on_event(self, event: CoreEvent, socket: Socket, received_at_s: float) -> None:
        downlink, observe = self._parts.downlink, self._parts.observe
        match event:
            case Answer(frame):
                await socket.send(frame)
            case AgentAudio():
                downlink.audio(event, received_at_s)
            case Interruption():
                downlink.interrupt()
            case UserTranscript(text, _, tentative):
                if not tentative:
                    downlink.next_turn()
                    observe(Moment(What.TRANSCRIPT, received_at_s, words=text))
            case AgentResponse(text):
                downlink.next_turn()
                observe(Moment(What.RESPONSE, received_at_s, words=text))
            case AgentResponseCorrection():
                observe(Moment(What.CORRECTION, received_at_s, words=event.corrected))
            case Connected():
                self._start_audio(event, socket, received_at_s)
            case AgentHangsUp():
                observe(Moment(What.AGENT_HANGS_UP, received_at_s))
                self._parts.post(Event.ENDED, Ending(Kind.AGENT_ENDED))
            case Malformed(why):
                observe(Moment(What.MALFORMED, received_at_s, {"why": why}))
            case Refused(ending):
                self._ending = ending

    def _start_audio(self, connected: Connected, socket: Socket, at_s: float) -> None:
        self._parts.downlink.begin(FORMATS[connected.output_format])
        self._parts.uplink.connect()
        self._sender = self._tasks.create_task(
            self._send_audio(socket, connected.input_format), name="uplink"
        )
        details = {
            "conversation_id": connected.conversation_id,
            "input_format": connected.input_format,
            "output_format": connected.output_format,
        }
        self._parts.observe(Moment(What.CONNECTED, at_s, details))
        self._parts.post(Event.CONNECTED, None)

    async def _send_audio(self, socket: Socket, format_name: str) -> None:
        try:
            await self._parts.uplink.run(socket.send, FORMATS[format_name])
        except SocketClosedError:
            return  # the reader sees the same close and says what it means
