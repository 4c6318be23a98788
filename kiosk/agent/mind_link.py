"""Link to a mind: the agent asks a server what it answers, as the service does for a speech engine,
or for an agent with a custom LLM (`llm_link`)."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from kiosk.agent.llm_link import ANSWERS_WITHIN_S, LlmLink, llm_client
from kiosk.convai import speech_engine as wire
from kiosk.convai.frames import MAX_FRAME_BYTES
from kiosk.errors import UnavailableError

_OPENS_WITHIN_S = 10.0
_MOST_WAITING = 1000


@dataclass(frozen=True, slots=True)
class MindSettings:
    """Where the mind is: `ws://` a speech engine, `http://` a custom LLM, whose address ends with
    `/chat/completions` or `/responses`; and what it is shown: the API key to sign with, or a
    secret."""

    url: str
    shown: str = field(repr=False)


class MindLink(Protocol):
    """A conversation's link."""

    async def answer(self, talk: Sequence[wire.Said]) -> str:
        """The whole answer to the talk's last turn; raises UnavailableError if there is none."""
        ...


@contextlib.asynccontextmanager
async def mind_link(
    settings: MindSettings, conversation_id: str, user_id: str = ""
) -> AsyncIterator[MindLink]:
    """A conversation's own link while the block lasts; raises UnavailableError."""
    if settings.url.startswith("http"):
        async with llm_client() as client:
            yield LlmLink(client, settings.url, settings.shown, user_id)
    else:
        async with _engine_link(settings.url, settings.shown, conversation_id) as link:
            yield link


class EngineLink:
    """A speech engine's. `answer` is asked one at a time; whoever is cancelled is not answered."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._event_id = 0
        self._pieces: asyncio.Queue[wire.Answered | None] = asyncio.Queue(_MOST_WAITING)

    async def answer(self, talk: Sequence[wire.Said]) -> str:
        """The whole answer to the talk's last turn; raises UnavailableError if there is none."""
        self._event_id += 1
        text = ""
        try:
            async with asyncio.timeout(ANSWERS_WITHIN_S):
                await self._socket.send(wire.write_asked(self._event_id, talk))
                while (piece := await self._pieces.get()) is not None:
                    if piece.event_id == self._event_id:  # else of a turn that was cut
                        text += piece.content
                        if piece.is_final:
                            return text.strip()
        except (TimeoutError, ConnectionClosed) as error:
            raise UnavailableError("the mind does not answer") from error
        raise UnavailableError("the mind has hung up")

    async def read(self) -> None:
        """Take what comes, until the mind hangs up."""
        try:
            async for frame in self._socket:
                with contextlib.suppress(wire.FrameError):
                    if (piece := wire.read_answer(frame)) is not None:
                        await self._pieces.put(piece)
        except ConnectionClosed:
            pass
        await self._pieces.put(None)


@contextlib.asynccontextmanager
async def _engine_link(url: str, api_key: str, conversation_id: str) -> AsyncIterator[EngineLink]:
    shown = {wire.AUTHORIZATION: wire.sign(api_key, time.time())}
    try:
        socket = await connect(
            url, additional_headers=shown, open_timeout=_OPENS_WITHIN_S, compression=None,
            max_size=MAX_FRAME_BYTES, close_timeout=1,
        )  # fmt: skip
    except (OSError, TimeoutError, WebSocketException, ValueError) as error:
        raise UnavailableError(f"the mind at {url} refuses: {error}") from error
    async with socket:
        link = EngineLink(socket)
        reading = asyncio.create_task(link.read(), name="mind")
        try:
            await socket.send(wire.write_begun(conversation_id))
            yield link
            with contextlib.suppress(ConnectionClosed):
                await socket.send(wire.write_ended())
        finally:
            reading.cancel()
            await asyncio.wait((reading,))
