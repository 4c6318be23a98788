"""The local agent with a mind in its guide's place."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve

from kiosk.agent.mind_link import MindSettings
from kiosk.agent.server import DEFAULT_AGENT_ID
from kiosk.agent.signatures import CONVERSATION_PATH
from kiosk.cli import main
from kiosk.convai import speech_engine as wire
from kiosk.convai.client_messages import Initiation, UserMessage
from kiosk.convai.frames import serialize
from kiosk.errors import ConfigError
from tests.integration.conftest import StartAgent
from tests.slowness import patient_s

SECRET = "a secret of the mind's"


@asynccontextmanager
async def echoing() -> AsyncIterator[tuple[str, list[Sequence[wire.Said]]]]:
    """A speech engine that repeats the question; its address, and what it was asked."""
    asked: list[Sequence[wire.Said]] = []

    async def converse(socket: ServerConnection) -> None:
        async for frame in socket:
            message = wire.read_frame(frame)
            if isinstance(message, wire.Asked):
                asked.append(message.talk)
                for piece in ("You said: ", message.talk[-1].content):
                    await socket.send(
                        wire.write_answer(wire.Answered(message.event_id, piece, False))
                    )
                await socket.send(wire.write_answer(wire.Answered(message.event_id, "", True)))

    async with serve(converse, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/", asked


@asynccontextmanager
async def client(url: str) -> AsyncIterator[ClientConnection]:
    address = f"{url.replace('http', 'ws', 1)}{CONVERSATION_PATH}?agent_id={DEFAULT_AGENT_ID}"
    async with connect(address) as socket:
        await socket.send(serialize(Initiation()))
        yield socket


async def response(socket: ClientConnection) -> str:
    """The text of the agent's next turn."""
    async with asyncio.timeout(patient_s(20)):
        while True:
            frame = json.loads(await socket.recv())
            if frame["type"] == "agent_response":
                return str(frame["agent_response_event"]["agent_response"])


async def test_what_is_written_is_answered_by_the_mind(start_agent: StartAgent) -> None:
    async with (
        echoing() as (mind_url, asked),
        start_agent(mind=MindSettings(mind_url, SECRET)) as (url, _),
        client(url) as socket,
    ):
        greeting = await response(socket)
        for text in ("a question that no guide knows", "and another"):
            await socket.send(serialize(UserMessage(text)))
            assert await response(socket) == f"You said: {text}"
    assert [(each.role, each.content) for each in asked[-1]] == [
        ("agent", greeting),
        ("user", "a question that no guide knows"),
        ("agent", "You said: a question that no guide knows"),
        ("user", "and another"),
    ]


async def test_without_its_speech_engine_the_agent_has_its_guide(start_agent: StartAgent) -> None:
    async with (
        start_agent(mind=MindSettings("ws://127.0.0.1:1/nowhere", SECRET)) as (url, events),
        client(url) as socket,
    ):
        await response(socket)
        await socket.send(serialize(UserMessage("where is the exit")))
        assert "exit" in await response(socket)
    assert [event["event"] for event in events].count("mind_failed") == 1


async def test_a_custom_llm_that_does_not_answer_is_asked_again(start_agent: StartAgent) -> None:
    mind = MindSettings("http://127.0.0.1:1/v1/llm/chat/completions", SECRET)
    async with start_agent(mind=mind) as (url, events), client(url) as socket:
        await response(socket)
        for _ in range(2):
            await socket.send(serialize(UserMessage("where is the exit")))
            assert "say that again" in await response(socket)
    assert [event["event"] for event in events].count("mind_failed") == 2


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--mind-url", "ftp://x"), "begins with neither ws:// nor http://"),
        (("--mind-url", "http://x/v1"), "ends with neither /chat/completions nor /responses"),
        (("--mind-url", "http://x/v1/llm/responses"), "needs --mind-secret-file"),
    ],
)
def test_the_command_names_what_is_missing(
    options: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["agent", "--port", "0", *options]) == ConfigError.exit_code
    assert complaint in capsys.readouterr().err
