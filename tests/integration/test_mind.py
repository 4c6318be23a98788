"""Whole visits through a mind: kiosk, backend and local agent, by each of the mind's doors."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest
from pydantic import SecretStr

from kiosk.agent.mind_link import MindSettings
from kiosk.agent.server import DEFAULT_AGENT_ID, DEFAULT_API_KEY
from kiosk.backend.books.database import parse_url
from kiosk.backend.books.migrate import upgrade
from kiosk.backend.books.store import open_store
from kiosk.backend.mind.access import MindAccess
from kiosk.backend.mind.files import load_flow
from kiosk.backend.mind.flow import Flow, Handout
from kiosk.backend.mind.memory import BookMemory
from kiosk.backend.mind.scripted import ScriptedMind
from kiosk.backend.provider.client import AgentAccess, open_provider
from kiosk.backend.server import _Server, server_config
from kiosk.backend.tokens import DeviceToken
from kiosk.backend.web.app import create_app
from kiosk.backend.web.services import Services
from kiosk.contract import CHAT_COMPLETIONS_PATH, RESPONSES_PATH, SPEECH_ENGINE_PATH
from kiosk.moments import What
from kiosk.visit.states import Event, State
from tests.integration.conftest import StartAgent
from tests.integration.sounds import quiet_room
from tests.slowness import patient_s
from tests.unit.link.test_websocket import free_port
from tests.virtual_kiosk import VirtualKiosk, settings, virtual_kiosk

SECRET = "a secret of the custom LLM's"
MUSEUM = load_flow("museum")
FLOW = MUSEUM.model_copy(
    update={"handout": Handout(title="{time}, {who}", text="You like {interest} best.")}
)
ANSWERS = ("yes please", "one hour", "with children", "the whales")


@asynccontextmanager
async def backend_of(
    directory: Path, port: int, agent_url: str, flow: Flow = FLOW
) -> AsyncIterator[Path]:
    """A backend with this flow, at this port; the file with its kiosk's token."""
    url, token = parse_url(f"sqlite:///{directory / 'backend.db'}"), DeviceToken.new()
    await asyncio.to_thread(upgrade, url)
    key = SecretStr(DEFAULT_API_KEY)
    async with (
        open_store(url) as store,
        open_provider(AgentAccess(agent_url, DEFAULT_AGENT_ID), key) as provider,
    ):
        assert flow.handout is not None
        mind = MindAccess(
            ScriptedMind(flow, BookMemory(store.talks, flow.handout.hours)),
            key,
            [SecretStr(SECRET)],
            greeting=flow.greeting,
            makes_handouts=True,
        )
        config = server_config(create_app(Services(store, provider, mind=mind)), websockets=True)
        config.port = port
        listening = asyncio.Event()
        server = _Server(config, listening.set)
        serving = asyncio.create_task(server.serve())
        async with asyncio.timeout(patient_s(10)):
            await listening.wait()
        assert await store.registry.enroll("default", "lobby", "north", token, datetime.now(UTC))
        (directory / "token").write_text(token.reveal(), encoding="ascii")
        try:
            yield directory / "token"
        finally:
            server.should_exit = server.force_exit = True
            await serving


class Heard:
    """What a visitor hears of the agent, as its text."""

    def __init__(self, kiosk: VirtualKiosk) -> None:
        self._kiosk = kiosk

    async def after(self, answer: str) -> str:
        """What is said to this answer."""
        asked_s = time.monotonic()
        assert self._kiosk.host.ask(answer)
        said = await self._kiosk.moment(What.RESPONSE, asked_s, timeout_s=30.0)
        await self._kiosk.moment(What.DRAINED, said.at_s, timeout_s=60.0)
        assert said.words is not None
        return said.words


@pytest.mark.parametrize("door", [SPEECH_ENGINE_PATH, CHAT_COMPLETIONS_PATH, RESPONSES_PATH])
async def test_a_visit_goes_through_its_topics_to_the_summary(
    short_dir: Path, start_agent: StartAgent, door: str
) -> None:
    port = free_port()
    scheme = "ws" if door == SPEECH_ENGINE_PATH else "http"
    mind = MindSettings(
        f"{scheme}://127.0.0.1:{port}{door}",
        DEFAULT_API_KEY if door == SPEECH_ENGINE_PATH else SECRET,
    )
    allowed = frozenset({"agent.first_message"})
    async with (
        start_agent(mind=mind, allowed_overrides=allowed) as (agent_url, _),
        backend_of(short_dir, port, agent_url) as token_file,
    ):
        credentials = {
            "mode": "backend",
            "backend_url": f"http://127.0.0.1:{port}",
            "device_token_file": token_file,
        }
        its = settings(
            short_dir,
            agent_url.replace("http", "ws", 1),
            credentials=credentials,
            control={"captions": True},
        )
        async with virtual_kiosk(its, quiet_room()) as kiosk:
            events = kiosk.daemon._stream.subscribe(["handout"])
            assert events is not None
            pressed_s = time.monotonic()
            kiosk.button.press()
            greeting = await kiosk.moment(What.RESPONSE, pressed_s, timeout_s=30.0)
            assert greeting.words == FLOW.greeting
            await kiosk.moment(What.DRAINED, greeting.at_s, timeout_s=60.0)
            heard = Heard(kiosk)
            for number, answer in enumerate(ANSWERS[:-1], start=1):
                assert await heard.after(answer) == FLOW.topic[number].ask
            said = await heard.after(ANSWERS[-1])
            assert "you have one hour, you come with children, and you like the whales" in said
            kiosk.host.post(Event.HANG_UP)
            await kiosk.state(State.IDLE)
            if door != SPEECH_ENGINE_PATH:  # which conversation it is, only that one is told
                return
            async with asyncio.timeout(patient_s(20)):
                event = await anext(aiter(events))
        async with httpx2.AsyncClient() as telephone:
            page = await telephone.get(str(event["address"]))
        assert "<h1>one hour, with children</h1>" in page.text
        assert "You like the whales best." in page.text
