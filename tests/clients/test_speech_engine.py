"""The official SDK's own speech engine as the peer: its server, and its word on our signature."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from elevenlabs.speech_engine.resource import verify_speech_engine_jwt
from elevenlabs.speech_engine.server import SpeechEngineServer

from kiosk.agent.mind_link import MindSettings, mind_link
from kiosk.convai.speech_engine import NotTheServiceError, Said, sign, verify
from kiosk.errors import UnavailableError
from tests.slowness import patient_s

KEY = "sk_0123456789abcdef"


@pytest.mark.parametrize("key", [KEY, f"{KEY}_residency_in", f" {KEY}\n"])
def test_the_official_server_takes_our_signature(key: str) -> None:
    assert verify_speech_engine_jwt(f"Bearer {sign(KEY, time.time())}", key)["exp"]
    verify(sign(key, time.time()), KEY, time.time())


def test_the_official_server_refuses_what_we_refuse() -> None:
    now_s = time.time()
    tokens = (sign("another", now_s), sign(KEY, now_s - 3600), sign(KEY, now_s + 3600), "a.b.c")
    for token in tokens:
        with pytest.raises(ValueError, match=r"JWT|decode"):
            verify_speech_engine_jwt(token, KEY)
        with pytest.raises(NotTheServiceError):
            verify(token, KEY, now_s)


@contextlib.asynccontextmanager
async def official(**handlers: Any) -> AsyncIterator[str]:
    """The SDK's server, with what it is told to do."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = SpeechEngineServer(port=port, api_key=KEY, **handlers)
    serving = asyncio.create_task(server.serve())
    for _ in range(100):
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            break
        await asyncio.sleep(0.05)
    yield f"ws://127.0.0.1:{port}/"
    await server.stop()
    await serving


async def words(count: int) -> AsyncIterator[str]:
    for number in range(count):
        yield f"word {number} "
        await asyncio.sleep(0.01)


async def test_the_agent_is_answered_by_the_official_server() -> None:
    began, talks = [], []

    async def on_init(conversation_id: str, _: object) -> None:
        began.append(conversation_id)

    async def on_transcript(talk: list[object], session: object) -> None:
        talks.append([(each.role, each.content) for each in talk])  # type: ignore[attr-defined]
        await session.send_response(words(3))  # type: ignore[attr-defined]

    async with (
        official(on_init=on_init, on_transcript=on_transcript) as url,
        mind_link(MindSettings(url, KEY), "conv_1") as mind,
    ):
        talk = [Said("agent", "Welcome."), Said("user", "where is the exit")]
        assert await mind.answer(talk) == "word 0 word 1 word 2"
    assert began == ["conv_1"]
    assert talks == [[("agent", "Welcome."), ("user", "where is the exit")]]


async def test_a_turn_that_is_cut_is_not_heard_in_the_next() -> None:
    began = asyncio.Event()

    async def on_transcript(talk: list[object], session: object) -> None:
        slow = talk[-1].content == "slow"  # type: ignore[attr-defined]
        if slow:
            began.set()
        await session.send_response(words(500 if slow else 1))  # type: ignore[attr-defined]

    async with (
        official(on_transcript=on_transcript) as url,
        mind_link(MindSettings(url, KEY), "c") as mind,
    ):
        asking = asyncio.create_task(mind.answer([Said("user", "slow")]))
        async with asyncio.timeout(patient_s(10)):
            await began.wait()
        await asyncio.sleep(0.3)
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking
        assert await mind.answer([Said("user", "quick")]) == "word 0"


async def test_an_agent_with_another_key_is_refused_by_the_official_server() -> None:
    async with official() as url:
        with pytest.raises(UnavailableError, match="refuses"):
            async with mind_link(MindSettings(url, "another key"), "c"):
                pass
