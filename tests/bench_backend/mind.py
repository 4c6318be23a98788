"""Load on a mind: conversations that are open, turns that are asked, and a model behind it.

Three processes: the backend, a server that speaks the model's wire at a model's speed, and this
one, which asks as the provider's speech engine does.
"""

import asyncio
import itertools
import json
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from websockets.asyncio.client import ClientConnection, connect

from kiosk.contract import SPEECH_ENGINE_PATH
from kiosk.convai import speech_engine as wire
from kiosk.convai.speech_engine import Said
from kiosk.lab.child_server import ChildServer, child_server, run_child, surroundings
from tests.backend.mind.messages_api import KEY, MessagesApi
from tests.bench.figures import AT_MOST, Figure, percentile

NAME = "a mind, 1000 conversations"
_CONVERSATIONS = 1000
_TURNS_PER_S = 50
_DELTAS = 30
# When the model's first word comes, and how far apart the others.
_FIRST_S = 0.2
_APART_S = 0.02
_API_KEY = "sk_0123456789abcdef"
_FIRST_TEXT_P99_MS = AT_MOST(50)
_GROWTH_MB = AT_MOST(10)
_NONE = AT_MOST(0)


@dataclass
class Model(MessagesApi):
    """The model's server, at a model's speed."""

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
        writer.write(b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
        await asyncio.sleep(_FIRST_S)
        for event in self._stream().split(b"\n\n")[:-1]:
            self._write(writer, event + b"\n\n")
            await writer.drain()
            if b"text_delta" in event:
                await asyncio.sleep(_APART_S)
        self._write(writer, b"")
        self.asked.clear()
        self.headers.clear()


def _serve_model(told: Connection) -> None:
    async def serve() -> None:
        model = Model(texts=[f"word{number} " for number in range(_DELTAS)])
        async with await asyncio.start_server(
            model.serve_one, "127.0.0.1", 0, backlog=1000
        ) as server:
            told.send(server.sockets[0].getsockname()[1])
            await server.serve_forever()

    asyncio.run(serve())


@contextmanager
def _model_server() -> Iterator[str]:
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("spawn").Process(
        target=_serve_model, args=(theirs,), daemon=True
    )
    child.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        child.terminate()
        child.join()


@dataclass
class _Asking:
    """Who asks, and what came of it."""

    waits_s: list[float] = field(default_factory=list)
    whole: int = 0
    wrong: int = 0

    async def converse(self, socket: ClientConnection, number: int) -> None:
        """One turn, to its end."""
        talk = [Said("agent", "Welcome."), Said("user", "where are the whales")]
        asked_s = time.perf_counter()
        await socket.send(wire.write_asked(number, talk))
        text = ""
        async with asyncio.timeout(30):
            while True:
                answer = wire.read_answer(await socket.recv())
                assert answer is not None
                if not text and answer.content.strip(". "):
                    self.waits_s.append(time.perf_counter() - asked_s)
                text += answer.content
                if answer.is_final:
                    break
        if text.split() == [f"word{number}" for number in range(_DELTAS)]:
            self.whole += 1
        else:
            self.wrong += 1


def figures(seconds: float) -> list[Figure]:
    """The rows; it takes so many seconds, and some to begin."""
    with tempfile.TemporaryDirectory(prefix="kiosk-bench-") as name, _model_server() as model_url:
        return asyncio.run(_measure(Path(name), model_url, seconds))


async def _measure(directory: Path, model_url: str, seconds: float) -> list[Figure]:
    (directory / "key").write_text(_API_KEY, "ascii")
    (directory / "model-key").write_text(KEY, "ascii")
    persona = {"name": "Lotte", "biography": "A guide.", "knowledge": "Whales."}
    lines = [f"{key} = {json.dumps(value)}" for key, value in persona.items()]
    lines += ["[model]", f"base_url = {json.dumps(model_url)}"]
    (directory / "guide.toml").write_text("\n".join(lines), "utf-8")
    environment = surroundings(
        KIOSK_BACKEND_DATABASE=f"sqlite:///{directory / 'backend.db'}",
        KIOSK_BACKEND_API_KEY_FILE=str(directory / "key"),
        KIOSK_BACKEND_MODEL_KEY_FILE=str(directory / "model-key"),
        KIOSK_BACKEND_MIND=str(directory / "guide.toml"),
        KIOSK_BACKEND_AGENT_ID="agent",
    )
    await run_child(["backend", "init"], environment)
    async with (
        child_server(["backend", "serve", "--port", "0"], environment) as backend,
        AsyncExitStack() as stack,
    ):
        shown = {wire.AUTHORIZATION: wire.sign(_API_KEY, time.time())}
        url = backend.url.replace("http", "ws", 1) + SPEECH_ENGINE_PATH
        sockets = [
            await stack.enter_async_context(
                connect(url, additional_headers=shown, compression=None, ping_interval=None)
            )
            for _ in range(_CONVERSATIONS)
        ]
        return await _load(backend, sockets, seconds)


async def _load(
    backend: ChildServer, sockets: list[ClientConnection], seconds: float
) -> list[Figure]:
    asking, late_s = _Asking(), []
    turns = round(seconds * _TURNS_PER_S)
    before = middle = backend.cost()
    began_s = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number, socket in zip(range(turns), itertools.cycle(sockets), strict=False):
            due_s = began_s + number / _TURNS_PER_S
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            late_s.append(time.perf_counter() - due_s)
            tasks.create_task(asking.converse(socket, number))
            if number == turns // 2:
                middle = backend.cost()
    took_s = time.perf_counter() - began_s
    after = backend.cost()
    assert before is not None
    assert middle is not None
    assert after is not None
    beyond_ms = [1000 * (wait_s - _FIRST_S) for wait_s in asking.waits_s]
    return [
        Figure(f"{NAME}: first text beyond the model's, p50", "ms", percentile(beyond_ms, 50)),
        Figure(
            f"{NAME}: first text beyond the model's, p99", "ms", percentile(beyond_ms, 99),
            _FIRST_TEXT_P99_MS,
        ),
        Figure(f"{NAME}: asked late, p99", "ms", percentile([1000 * s for s in late_s], 99)),
        Figure(f"{NAME}: whole answers", "/s", asking.whole / took_s),
        Figure(f"{NAME}: other answers", "", asking.wrong, _NONE),
        Figure(f"{NAME}: processor", "% of a core", 100 * (after.cpu_s - before.cpu_s) / took_s),
        Figure(f"{NAME}: memory at most", "MB", after.memory_mb),
        Figure(f"{NAME}: memory more", "MB", after.memory_mb - middle.memory_mb, _GROWTH_MB),
    ]  # fmt: skip
