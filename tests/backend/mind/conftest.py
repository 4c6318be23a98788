"""A backend's doors to a mind, over a real socket."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, AsyncIterator

import uvicorn

from kiosk.backend.mind.port import MindTurn
from kiosk.backend.server import server_config
from kiosk.backend.web.app import create_app
from tests.backend.conftest import Backend


class SlowMind:
    """Says words a second apart, and notes what was asked and which answers were ended. One that
    `hangs` says its first at once and never another."""

    def __init__(self, words: int = 5, *, hangs: bool = False) -> None:
        self._words = words
        self._hangs = hangs
        self.asked: list[str] = []
        self.ended: list[str] = []
        self.begun = asyncio.Event()
        self.endings: asyncio.Queue[str] = asyncio.Queue()  # to wait for

    async def answer(self, turn: MindTurn) -> AsyncGenerator[str, None]:
        question = turn.talk[-1].content
        self.asked.append(question)
        self.begun.set()
        try:
            for number in range(self._words):
                if self._hangs:
                    yield f"{question} {number}. "
                    await asyncio.Event().wait()
                await asyncio.sleep(1)
                yield f"{question} {number}. "
        finally:
            self.ended.append(question)
            self.endings.put_nowait(question)


@contextlib.asynccontextmanager
async def served(backend: Backend) -> AsyncIterator[str]:
    """HOST:PORT of the backend, as its server serves it."""
    server = uvicorn.Server(server_config(create_app(backend.services), websockets=True))
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listening:
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving
