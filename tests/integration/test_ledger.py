"""Kiosk and backend: a press spends a lease, a refusal is spoken, a visit is booked."""

import asyncio
import socket
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from kiosk.backend.books.database import parse_url
from kiosk.backend.books.history import VisitLine
from kiosk.backend.books.migrate import upgrade
from kiosk.backend.books.rules import Scope
from kiosk.backend.books.store import Store, open_store
from kiosk.backend.characters.character import Character
from kiosk.backend.provider.client import SIGNED_URL_PATH, AgentAccess, open_provider
from kiosk.backend.server import _Server
from kiosk.backend.tokens import DeviceToken
from kiosk.backend.web.app import create_app
from kiosk.backend.web.services import Services
from kiosk.moments import What
from kiosk.visit.states import Event, State
from tests.convai_server import scripted_server
from tests.integration.sounds import quiet_room
from tests.slowness import patient_s
from tests.unit.link.test_websocket import free_port
from tests.virtual_kiosk import VirtualKiosk, settings, virtual_kiosk


@asynccontextmanager
async def served(app: Any, port: int) -> AsyncIterator[None]:
    """An ASGI application on the loopback interface."""
    config = uvicorn.Config(app, port=port, lifespan="off", log_config=None, access_log=False)
    listening = asyncio.Event()
    server = _Server(config, listening.set)
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(patient_s(10)):
        await listening.wait()
    try:
        yield
    finally:
        server.should_exit = server.force_exit = True
        await task


class Site:
    """A kiosk's backend, to be started and stopped; its database; and the provider behind it."""

    def __init__(self, directory: Path, agent_url: str, store: Store, token: DeviceToken) -> None:
        self.port, self.provider_port = free_port(), free_port()
        self.path, self.store = directory / "backend.db", store
        self._agent_url = agent_url
        self.minted = 0
        self.exhausted = False  # the provider's quota
        self.characters: dict[str, Character] = {}
        self.token_file = directory / "device-token"
        self.token_file.write_text(token.reveal(), encoding="ascii")

    def settings(self, directory: Path, policy: str = "warm", **more: Any) -> Any:
        credentials = {
            "policy": policy,
            "mode": "backend",
            "backend_url": f"http://127.0.0.1:{self.port}",
            "device_token_file": self.token_file,
            **more,
        }
        return settings(directory, self._agent_url, credentials=credentials)

    async def _mint(self, _: Request) -> JSONResponse:
        if self.exhausted:
            return JSONResponse({"detail": {"status": "quota_exceeded"}}, 429)
        self.minted += 1
        query = f"conversation_signature=s&conversation_id=conv_{self.minted}"
        return JSONResponse({"signed_url": f"{self._agent_url}/?{query}"})

    @asynccontextmanager
    async def up(self) -> AsyncIterator[None]:
        provider = Starlette(routes=[Route(SIGNED_URL_PATH, self._mint)])
        access = AgentAccess(f"http://127.0.0.1:{self.provider_port}", "agent_lobby")
        async with (
            served(provider, self.provider_port),
            open_provider(access, SecretStr("sk_test")) as opened,
            served(create_app(Services(self.store, opened, self.characters)), self.port),
        ):
            yield

    async def visits(self, count: int, state: str) -> list[VisitLine]:
        """The booked visits, as soon as there are so many in this state."""
        async with asyncio.timeout(patient_s(10)):
            while True:
                lines = await self.store.history.latest("default", 10)
                if sum(line.state == state for line in lines) >= count:
                    return lines
                await asyncio.sleep(0.02)


@asynccontextmanager
async def deaf() -> AsyncIterator[str]:
    """The address of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield f"ws://127.0.0.1:{sock.getsockname()[1]}"


@asynccontextmanager
async def site(
    directory: Path, agent_url: str, enrolled_at: datetime | None = None
) -> AsyncIterator[Site]:
    url, token = parse_url(f"sqlite:///{directory / 'backend.db'}"), DeviceToken.new()
    await asyncio.to_thread(upgrade, url)
    async with open_store(url) as store:
        now = enrolled_at or datetime.now(UTC)
        await store.registry.enroll("default", "lobby", "north", token, now)
        yield Site(directory, agent_url, store, token)


async def ended(kiosk: VirtualKiosk, after_s: float) -> dict[str, Any]:
    moment = await kiosk.moment(What.VISIT_ENDED, after_s)
    await kiosk.state(State.IDLE)
    return {**moment.fields, "after_s": moment.at_s - after_s}


async def test_a_visit_is_booked_from_the_press_to_its_end(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        site(short_dir, server.url) as here,
        here.up(),
        virtual_kiosk(here.settings(short_dir), quiet_room()) as kiosk,
    ):
        kiosk.button.press()
        await kiosk.state(State.LISTENING)
        [visit] = await here.visits(1, "live")
        assert visit.press_id == kiosk.host.status()["press_id"]
        kiosk.host.post(Event.HANG_UP)
        [visit] = await here.visits(1, "closed")
    assert (visit.outcome, visit.kiosk) == ("ended_by_operator", "lobby")
    assert visit.conversation_id is not None
    assert visit.duration_s is not None


async def test_a_pause_is_spoken_within_a_second_although_a_lease_is_in_hand(
    short_dir: Path,
) -> None:
    async with (
        scripted_server() as server,
        site(short_dir, server.url) as here,
        here.up(),
        virtual_kiosk(here.settings(short_dir), quiet_room()) as kiosk,
    ):
        await here.store.rules.pause("default", Scope.FLEET, "", datetime.now(UTC))
        pressed_s = time.monotonic()
        kiosk.button.press()
        said = await kiosk.moment(What.SENTENCE_HEARD, pressed_s)
        assert said.at_s - pressed_s < 1.0
        assert (await ended(kiosk, pressed_s))["kind"] == "paused"
        # The conversation was open for a moment, and may cost something: that is booked.
        assert [visit.outcome for visit in await here.visits(1, "closed")] == ["paused"]
        await here.store.rules.resume("default", Scope.FLEET, "")
        await asyncio.sleep(1.0)  # sooner, the press would be a nervous second one
        kiosk.button.press()
        await kiosk.state(State.LISTENING)


async def test_a_pause_is_spoken_although_the_agent_does_not_answer(short_dir: Path) -> None:
    async with (
        deaf() as agent_url,
        site(short_dir, agent_url) as here,
        here.up(),
        virtual_kiosk(here.settings(short_dir), quiet_room()) as kiosk,
    ):
        await here.store.rules.pause("default", Scope.SITE, "north", datetime.now(UTC))
        pressed_s = time.monotonic()
        kiosk.button.press()
        said = await kiosk.moment(What.SENTENCE_HEARD, pressed_s)
        assert said.at_s - pressed_s < 1.0
        assert (await ended(kiosk, pressed_s))["kind"] == "paused"


async def test_without_the_backend_a_visit_is_held_and_booked_when_it_is_back(
    short_dir: Path,
) -> None:
    async with scripted_server() as server, site(short_dir, server.url) as here:
        up = here.up()
        await up.__aenter__()
        async with virtual_kiosk(here.settings(short_dir), quiet_room()) as kiosk:
            await up.__aexit__(None, None, None)
            pressed_s = time.monotonic()
            kiosk.button.press()
            await kiosk.state(State.LISTENING)
            press_id = kiosk.host.status()["press_id"]
            kiosk.host.post(Event.HANG_UP)
            assert (await ended(kiosk, pressed_s))["kind"] == "ended_by_operator"
            assert await here.store.history.latest("default", 10) == []
            async with here.up():
                [visit] = await here.visits(1, "closed")
    assert (visit.press_id, visit.outcome) == (press_id, "ended_by_operator")


@pytest.mark.parametrize("policy", ["warm", "on_press"])
async def test_a_visit_that_connects_anew_spends_another_lease(
    short_dir: Path, policy: str
) -> None:
    async with (
        scripted_server() as server,
        site(short_dir, server.url) as here,
        here.up(),
        virtual_kiosk(here.settings(short_dir, policy), quiet_room()) as kiosk,
    ):
        kiosk.button.press()
        connection = await server.connection()
        await kiosk.state(State.LISTENING)
        connection.socket.transport.abort()
        await kiosk.moment(What.LOST)
        await kiosk.state(State.LISTENING)
        press_id = kiosk.host.status()["press_id"]
        kiosk.host.post(Event.HANG_UP)
        visits = await here.visits(2, "closed")
    assert {visit.press_id for visit in visits} == {press_id}
    assert sorted(str(visit.outcome) for visit in visits) == ["ended_by_operator", "network_lost"]


async def test_a_daemon_that_stops_in_a_visit_books_it(short_dir: Path) -> None:
    async with scripted_server() as server, site(short_dir, server.url) as here, here.up():
        async with virtual_kiosk(here.settings(short_dir), quiet_room()) as kiosk:
            kiosk.button.press()
            await kiosk.state(State.LISTENING)
            await here.visits(1, "live")
        [visit] = await here.visits(1, "closed")
    assert visit.outcome == "stopped"


async def test_a_lease_the_backend_does_not_know_is_replaced(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        site(short_dir, server.url) as here,
        here.up(),
        virtual_kiosk(here.settings(short_dir), quiet_room()) as kiosk,
    ):
        with closing(sqlite3.connect(here.path)) as db:
            db.execute("delete from visits")
            db.commit()
        kiosk.button.press()
        [visit] = await here.visits(1, "live")
        await kiosk.state(State.LISTENING)
        assert kiosk.count(What.LOST) == 1
        assert visit.press_id == kiosk.host.status()["press_id"]
