"""Door of the speech engine: the service opens a WebSocket to us for each conversation.

It is asked who it is before the upgrade. A new transcript cancels the answer under way, of which
nothing is sent any more; one whose id is being answered already is skipped.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from kiosk.backend.mind.access import MindAccess
from kiosk.backend.mind.pacing import Pace, Told, paced
from kiosk.backend.mind.port import Mind, MindTurn
from kiosk.contract import SPEECH_ENGINE_PATH
from kiosk.convai import speech_engine as wire

log = logging.getLogger(__name__)

routes = APIRouter()

Send = Callable[[str], Awaitable[None]]


class EngineSession:
    """One conversation. `send` takes a frame; WebSocketDisconnect: the service is gone."""

    def __init__(self, mind: Mind, send: Send, pace: Pace, told: Told) -> None:
        self._mind = mind
        self._send = send
        self._pace = pace
        self._told = told
        self._conversation_id = ""
        self._answering: asyncio.Task[None] | None = None
        self._event_id: int | None = None

    async def receive(self, frame: str | bytes) -> bool:
        """Deal with a frame of the service's; False when the conversation is over."""
        try:
            message = wire.read_frame(frame)
        except wire.FrameError as error:
            log.warning("a frame of the service's makes no sense: %s", error)
            return True
        match message:
            case wire.Begun(conversation_id):
                self._conversation_id = conversation_id
            case wire.Asked(event_id) if self._answers(event_id):
                pass  # it is asked again, and answered already
            case wire.Asked():
                await self.close()
                self._event_id = message.event_id
                self._answering = asyncio.create_task(self._answer(message), name="answer")
            case wire.Pinged():
                await self._send(wire.write_pong())
            case wire.Complained():
                log.warning("the service complains of conversation %s", self._conversation_id)
            case wire.Ended():
                return False
        return True

    async def close(self) -> None:
        """Cancel the answer under way: when this returns, nothing of it is sent any more."""
        answering, self._answering = self._answering, None
        if answering is not None:
            answering.cancel()
            await asyncio.wait((answering,))

    def _answers(self, event_id: int | None) -> bool:
        under_way = self._answering is not None and not self._answering.done()
        return under_way and event_id is not None and event_id == self._event_id

    async def _answer(self, asked: wire.Asked) -> None:
        turn = MindTurn(asked.talk, self._conversation_id)
        with contextlib.suppress(WebSocketDisconnect):  # whoever reads the frames learns it too
            async with contextlib.aclosing(
                paced(self._mind, turn, self._pace, self._told)
            ) as pieces:
                async for piece in pieces:
                    await self._send(wire.write_answer(wire.Answered(asked.event_id, piece, False)))
            await self._send(wire.write_answer(wire.Answered(asked.event_id, "", True)))


async def _hold(session: EngineSession, socket: WebSocket) -> None:
    """Deal with what comes until the service ends the conversation; WebSocketDisconnect: it has
    gone."""
    more = True
    while more:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect
        more = await session.receive(message.get("text") or message.get("bytes") or "")


@routes.websocket(SPEECH_ENGINE_PATH)
async def converse(socket: WebSocket) -> None:
    """A conversation of the provider's, or nobody's."""
    access: MindAccess | None = socket.app.state.services.mind
    told: Told = socket.app.state.services.metrics.mind
    refused = "there is no mind here"
    if access is not None:
        refused = access.refuses_engine(socket.headers.get(wire.AUTHORIZATION, ""))
    if access is None or refused:
        log.warning("a speech engine is refused: %s", refused)
        await socket.close()  # before the upgrade: it is answered with 403
        return
    await socket.accept()
    session = EngineSession(access.mind, socket.send_text, access.pace, told)
    with access.counted():
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(access.longest_s):
                    await _hold(session, socket)
            await socket.close()
        except WebSocketDisconnect:
            pass
        finally:
            await session.close()
