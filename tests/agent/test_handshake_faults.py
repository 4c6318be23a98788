"""What a fault script does before there is a conversation, as a client sees it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from urllib.parse import urlsplit

import pytest

from kiosk.agent.guide import Guide
from kiosk.agent.recogniser import Recogniser
from kiosk.agent.rest_faults import handshake_timeout_s
from kiosk.agent.scenario import Scenario
from kiosk.agent.server import AgentSettings, LocalAgent
from kiosk.agent.signatures import CONVERSATION_PATH

PATHS = {
    "upgrade": f"{CONVERSATION_PATH}?agent_id=agent_local",
    "request": f"{CONVERSATION_PATH}/get-signed-url?agent_id=agent_local",
}
HANDSHAKE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)

StartScripted = Callable[..., AbstractAsyncContextManager[str]]


def script(*steps: dict[str, object]) -> Scenario:
    return Scenario.model_validate({"summary": "A trial.", "ending": "hung_up", "step": steps})


@pytest.fixture
def scripted(guide: Guide, recogniser: Recogniser) -> StartScripted:
    """`async with scripted(step) as url`: an agent that plays this step."""

    @asynccontextmanager
    async def start(step: dict[str, object]) -> AsyncIterator[str]:
        settings = AgentSettings(port=0)
        agent = LocalAgent(settings, guide, recogniser, lambda _: None, script(step))
        async with agent.listening() as url:
            yield url

    return start


class Caller:
    """A bare TCP client, which sees what a library would hide."""

    async def ask(self, url: str, moment: str) -> None:
        host = urlsplit(url)
        self._reader, self._writer = await asyncio.open_connection(host.hostname, host.port)
        upgrade = HANDSHAKE if moment == "upgrade" else ""
        request = f"GET {PATHS[moment]} HTTP/1.1\r\nHost: {host.netloc}\r\n{upgrade}\r\n"
        self._writer.write(request.encode())

    async def answer(self, within_s: float = 5.0) -> bytes:
        """What came until the server cut; raises TimeoutError."""
        async with asyncio.timeout(within_s):
            try:
                return await self._reader.read(1)
            except ConnectionResetError:
                return b""

    def leave(self) -> None:
        self._writer.transport.abort()


@pytest.mark.parametrize("moment", PATHS)
async def test_a_connection_is_cut_without_an_answer_the_first_time_only(
    moment: str, scripted: StartScripted
) -> None:
    async with scripted({"on": moment, "do": "reset", "nth": 1}) as url:
        caller = Caller()
        for expected in (b"", b"H"):
            await caller.ask(url, moment)
            assert await caller.answer() == expected
            caller.leave()


@pytest.mark.parametrize("moment", PATHS)
async def test_a_server_that_vanished_neither_answers_nor_hangs_up(
    moment: str, scripted: StartScripted
) -> None:
    caller = Caller()
    async with scripted({"on": moment, "do": "vanish"}) as url:
        await caller.ask(url, moment)
        with pytest.raises(TimeoutError):
            await caller.answer(within_s=0.5)
        left_s = time.monotonic()
    # Nobody waits a minute for an agent to stop.
    assert time.monotonic() - left_s < 5
    assert await caller.answer() == b""
    caller.leave()


def test_a_handshake_may_take_as_long_as_the_script_holds_it() -> None:
    usual_s = handshake_timeout_s(())
    held = script(
        {"on": "upgrade", "do": "delay", "for_s": 600},
        {"on": "request", "do": "vanish"},
        {"on": "turn", "do": "delay", "for_s": 100},
        {"on": "turn", "do": "vanish"},
    )
    assert handshake_timeout_s(held.steps) == usual_s + 660
