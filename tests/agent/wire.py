"""A client that sends what a test says, as it is, and keeps what came."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from kiosk.agent.behaviour import AgentBehaviour, Manner
from kiosk.agent.signatures import CONVERSATION_PATH
from kiosk.agent.voice import AgentVoice
from kiosk.audio.pcm import samples_to_bytes
from kiosk.lab.demo.lines import VISITOR_VOICE, VISITOR_WORDS_PER_MINUTE

Frame = dict[str, Any]
# Text first, and the last chunk final: so a test knows where a turn ends.
by_guide = partial(AgentBehaviour, manner=Manner.GUIDE)


def initiation(**overrides: object) -> Frame:
    frame: Frame = {"type": "conversation_initiation_client_data"}
    return {**frame, "conversation_config_override": overrides} if overrides else frame


def user_message(text: str) -> Frame:
    return {"type": "user_message", "text": text}


def user_audio(sound: bytes) -> Frame:
    return {"user_audio_chunk": base64.b64encode(sound).decode()}


async def said(text: str) -> Frame:
    """A sentence and the silence that ends its turn, in one chunk at 16 kHz."""
    speech = await AgentVoice(VISITOR_VOICE, VISITOR_WORDS_PER_MINUTE).render(text, 16_000)
    return user_audio(samples_to_bytes(np.pad(speech, (1600, 16_000))))


def payload(frame: Frame) -> Frame:
    """What an event holds besides its type."""
    (inner,) = (value for name, value in frame.items() if name != "type")
    assert isinstance(inner, dict)
    return inner


def words(frame: Frame) -> str:
    return str(payload(frame)["agent_response"])


class Wire:
    """One connection; `came` is every frame so far."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.came: list[Frame] = []

    async def send(self, *frames: object) -> None:
        """Strings and bytes go as they are, everything else as JSON."""
        for frame in frames:
            await self.socket.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))

    async def receive(self) -> Frame:
        async with asyncio.timeout(10):
            frame: Frame = json.loads(await self.socket.recv())
        self.came.append(frame)
        return frame

    async def until(self, type_name: str) -> Frame:
        """The next frame of a type."""
        while (frame := await self.receive())["type"] != type_name:
            pass
        return frame

    async def turn(self) -> list[Frame]:
        """The next turn of an agent that keeps to the guide, from its text to its last sound."""
        frames = [await self.until("agent_response")]
        while not (frames[-1]["type"] == "audio" and payload(frames[-1]).get("is_final")):
            frames.append(await self.receive())
        return frames

    async def while_it_lasts(self, seconds: float) -> None:
        """Take what comes for so long, or until the agent closes."""
        with suppress(TimeoutError, ConnectionClosed):
            async with asyncio.timeout(seconds):
                while True:
                    self.came.append(json.loads(await self.socket.recv()))

    async def closed(self) -> tuple[int | None, str | None]:
        """Take what still comes; the agent's code and reason."""
        await self.while_it_lasts(10)
        return self.socket.close_code, self.socket.close_reason

    @property
    def types(self) -> list[str]:
        """Of everything but pings, which come when they come."""
        return [frame["type"] for frame in self.came if frame["type"] != "ping"]

    def of_type(self, type_name: str) -> list[Frame]:
        return [frame for frame in self.came if frame["type"] == type_name]


@asynccontextmanager
async def opened(
    url: str, query: str = "agent_id=agent_local", *, subprotocols: tuple[str, ...] = ()
) -> AsyncIterator[Wire]:
    """`url` as the agent gives it, or a signed one."""
    address = url.replace("http", "ws", 1)
    if CONVERSATION_PATH not in address:
        address = f"{address}{CONVERSATION_PATH}?{query}"
    offered = [Subprotocol(each) for each in subprotocols] or None
    async with connect(address, subprotocols=offered, compression=None) as socket:
        yield Wire(socket)
