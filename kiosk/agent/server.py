"""The local agent as a server: REST and conversations on one port.

It refuses what the real service refuses, with its close codes and texts.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from kiosk.agent.guide import Guide
from kiosk.agent.hearing import Recogniser
from kiosk.agent.rest import Rest, new_conversation_id
from kiosk.agent.signatures import SignatureError, Signer
from kiosk.agent.talk import Manner, Talk, TimelineSink
from kiosk.agent.voice import Voice
from kiosk.convai.messages import (
    ClientMessage,
    Initiation,
    Malformed,
    ServerMessage,
    Unknown,
    serialize,
)
from kiosk.convai.parsing import MAX_FRAME_BYTES, parse_client
from kiosk.errors import UnavailableError

DEFAULT_AGENT_ID = "agent_local"
DEFAULT_API_KEY = "local-agent"

_INVALID = "Invalid message received"
_INITIATION_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """Where the agent listens, and what it takes to talk with it. Port 0 takes any free one."""

    host: str = "127.0.0.1"
    port: int = 8090
    agent_id: str = DEFAULT_AGENT_ID
    api_key: str = field(default=DEFAULT_API_KEY, repr=False)
    public: bool = True  # without a signature, the agent's id is enough
    signature_life_s: float = 900.0
    # Waits this long before the metadata, as a far server does.
    connect_delay_s: float = 0.0
    manner: Manner = field(default_factory=Manner)


class LocalAgent:
    """Holds conversations with any number of clients; `listening` is its context."""

    def __init__(
        self, settings: AgentSettings, guide: Guide, recogniser: Recogniser, timeline: TimelineSink
    ) -> None:
        self._settings = settings
        self._guide = guide
        self._recogniser = recogniser
        self._timeline = timeline
        self._voice = Voice(guide.voice, guide.words_per_minute)
        self._signer = Signer(secrets.token_bytes(32), settings.signature_life_s)
        self._rest = Rest(settings.agent_id, settings.api_key, self._signer)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Serve while the context lasts; yields the base URL, `http://HOST:PORT`."""
        host, port = self._settings.host, self._settings.port
        try:
            server = await serve(
                self._converse,
                host,
                port,
                process_request=self._process_request,
                select_subprotocol=_select_subprotocol,
                max_size=MAX_FRAME_BYTES,
                ping_interval=None,
                compression=None,
                close_timeout=1,
            )
        except OSError as error:
            raise UnavailableError(
                f"cannot listen on {host}:{port}: {error.strerror}; choose another --port"
            ) from error
        async with server:
            port = next(iter(server.sockets)).getsockname()[1]
            yield f"http://{host}:{port}"

    def _process_request(self, _: ServerConnection, request: Request) -> Response | None:
        return self._rest.respond(request)

    async def _converse(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        try:
            claim = self._signer.check(connection.request.path, time.monotonic())
            if claim.agent_id != self._settings.agent_id:
                raise SignatureError("The AI agent you are trying to reach does not exist.")
            if not claim.signed and not self._settings.public:
                raise SignatureError("Could not authorize the conversation.")
        except SignatureError as refusal:
            await connection.close(3000, str(refusal))
            return
        link = _Link(connection)
        try:
            async with asyncio.timeout(_INITIATION_TIMEOUT_S):
                first = await link.receive()
        except TimeoutError:
            first = None
        if not isinstance(first, Initiation):
            await connection.close(1008, _INVALID)
            return
        await asyncio.sleep(self._settings.connect_delay_s)
        conversation_id = claim.conversation_id or new_conversation_id()
        talk = Talk(
            conversation_id,
            self._settings.manner,
            self._guide,
            self._recogniser,
            self._voice,
            link.send,
            link.hang_up,
            self._timeline,
        )
        self._tell("connected", conversation_id)
        try:
            await talk.run(link.receive)
        finally:
            self._tell("closed", conversation_id, code=connection.close_code)

    def _tell(self, event: str, conversation_id: str, **fields: object) -> None:
        entry = {"at_s": time.monotonic(), "event": event, "conversation_id": conversation_id}
        self._timeline({**entry, **fields})


class _Link:
    """Messages over one WebSocket; what is not a message closes it."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection

    async def receive(self) -> ClientMessage | None:
        """The next message; None when the connection is over."""
        try:
            frame = await self._connection.recv()
        except ConnectionClosed:
            return None
        message = parse_client(frame)
        if isinstance(message, Malformed | Unknown):
            await self._connection.close(1008, _INVALID)
            return None
        return message

    async def send(self, message: ServerMessage) -> None:
        with contextlib.suppress(ConnectionClosed):  # the reader sees the same close
            await self._connection.send(serialize(message))

    async def hang_up(self) -> None:
        await self._connection.close(1000)


def _select_subprotocol(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """`convai` when the client offers it (a browser insists), none when it offers none."""
    convai = Subprotocol("convai")
    return convai if convai in offered else None
