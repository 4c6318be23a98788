"""The official JavaScript client, in a real browser, talks over WebRTC with the local agent.

Its microphone is a recording: silence while the agent greets, then a question.
"""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import numpy as np
import pytest

from kiosk.agent.guide import Guide
from kiosk.agent.server import DEFAULT_AGENT_ID
from kiosk.agent.voice import AgentVoice
from kiosk.audio.pcm import silence
from kiosk.audio.wav import write_wav
from kiosk.backend.provider.client import TOKEN_PATH
from tests import own_network
from tests.integration.cards import wait_for_event
from tests.integration.conftest import StartAgent
from tests.slowness import patient_s

pytest.importorskip("playwright", reason="make browser fetches it")
from tests.browser import CHROMIUM, browser_page

_CLIENT = Path(__file__).parent / "javascript/node_modules/@elevenlabs/client/dist/lib.iife.js"
_QUESTION = "where are the dinosaurs please"
_RATE_HZ = 48_000
_GREETING_S = 8.0
_FLAGS = (
    "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
)  # fmt: skip
_TALK = """
async (session) => {
    window.happened = [];
    const note = (event) => (what) => window.happened.push({event, ...what});
    window.conversation = await ElevenLabsClient.Conversation.startSession({
        ...session,
        connectionType: "webrtc",
        onConnect: note("connected"),
        onMessage: ({message, source}) => note("message")({message, source}),
        onModeChange: note("mode"),
        onError: (message) => note("error")({message: String(message)}),
        onDisconnect: ({reason}) => note("over")({reason}),
    });
}
"""
_HAS_SAID = "(text) => window.happened.some((each) => each.message === text)"

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="make browser installs Chromium"),
    pytest.mark.skipif(not _CLIENT.is_file(), reason="make javascript-client fetches it"),
    pytest.mark.usefixtures("network"),
]


@pytest.fixture
def network() -> Iterator[None]:
    with own_network.own_network():
        yield


async def _recording(directory: Path) -> Path:
    question = await AgentVoice("en-us+f2").render(_QUESTION, _RATE_HZ)
    before, after = silence(round(_GREETING_S * _RATE_HZ)), silence(60 * _RATE_HZ)
    path = directory / "microphone.wav"
    path.write_bytes(write_wav(np.concatenate((before, question, after)), _RATE_HZ))
    return path


async def _page(servers: AsyncExitStack) -> int:
    """The port of an empty page: only one that comes from this machine may talk with it."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await servers.enter_async_context(await asyncio.start_server(answer, "127.0.0.1", 0))
    port: int = server.sockets[0].getsockname()[1]
    return port


async def test_the_official_client_asks_aloud_in_a_browser_and_reads_the_answer(
    tmp_path: Path, start_agent: StartAgent, guide: Guide
) -> None:
    microphone = f"--use-file-for-fake-audio-capture={await _recording(tmp_path)}%noloop"
    entry = guide.entry_for(_QUESTION)
    assert entry is not None
    async with (
        start_agent() as (url, events),
        httpx2.AsyncClient() as client,
        AsyncExitStack() as servers,
    ):
        asked = {"agent_id": DEFAULT_AGENT_ID}
        token = (await client.get(url + TOKEN_PATH, params=asked)).json()["token"]
        session = {"conversationToken": token, "livekitUrl": url.replace("http", "ws", 1)}
        async with browser_page(*_FLAGS, microphone, permissions=["microphone"]) as page:
            await page.goto(f"http://127.0.0.1:{await _page(servers)}/")
            await page.add_script_tag(path=_CLIENT)
            await page.evaluate(_TALK, session)

            await page.wait_for_function(_HAS_SAID, arg=entry.say, timeout=patient_s(30) * 1000)
            await page.evaluate("window.conversation.endSession()")
            await wait_for_event(events, "closed", 1)
            happened = await page.evaluate("window.happened")
    assert [event["text"] for event in events if event["event"] == "heard"] == [_QUESTION]
    assert not [each for each in happened if each["event"] == "error"]
    modes = [each["mode"] for each in happened if each["event"] == "mode"]
    assert "speaking" in modes, "its loudspeaker got the voice"
