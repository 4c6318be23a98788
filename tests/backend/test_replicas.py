"""Two servers on one database, and one of them is shot: nothing is booked twice, nothing is lost
that somebody was promised. Real processes, a real PostgreSQL."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.requests import Request
from starlette.responses import Response

from kiosk.backend.books.operators import Role
from kiosk.backend.books.rules import Scope
from kiosk.backend.books.store import Store, open_store
from kiosk.backend.tokens import DeviceToken, OperatorToken
from kiosk.lab.child_server import ChildServer
from kiosk.lab.simulation.process import serving
from tests.integration.test_ledger import served
from tests.unit.link.test_websocket import free_port

from .conftest import AGENT_ID, API_KEY, FakeProvider, Place, copy, enrolled
from .postgres import Cluster
from .test_stream import watching

KIOSKS = 8


@dataclass
class SlowProvider(FakeProvider):
    """Answers when it is let, if it is held."""

    goes_on: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def signed_url(self, request: Request) -> Response:
        answer = await super().signed_url(request)
        self.asked.set()
        await self.goes_on.wait()
        return answer


@dataclass
class Replicas:
    """Two servers, what they have in common, and kiosks that may ask both."""

    here: ChildServer
    there: ChildServer
    store: Store
    place: Place
    provider: SlowProvider
    tokens: list[DeviceToken]
    client: httpx2.AsyncClient

    async def ask(
        self, server: ChildServer, path: str, kiosk: int = 0, **sent: object
    ) -> httpx2.Response | None:
        """The answer; None if there was none, because the server has died."""
        key, body = sent.get("key"), sent.get("body")
        headers = {"Authorization": f"Bearer {self.tokens[kiosk].reveal()}"}
        headers |= {"Idempotency-Key": str(key)} if key else {}
        with contextlib.suppress(httpx2.TransportError):
            return await self.client.post(server.url + path, json=body, headers=headers)
        return None

    async def lease(self, server: ChildServer, key: str, kiosk: int = 0) -> str:
        answer = await self.ask(server, "/v1/visits", kiosk, key=key)
        assert answer is not None
        assert answer.status_code == 200, answer.text
        return str(answer.json()["visit_id"])

    async def press(self, server: ChildServer, visit_id: str, kiosk: int) -> int | None:
        """The status of the answer to a start; the press is the same every time."""
        body = {"press_id": f"press-{kiosk}"}
        answer = await self.ask(server, f"/v1/visits/{visit_id}/start", kiosk, body=body)
        return None if answer is None else answer.status_code

    async def number(self, statement: str) -> float:
        [(value,)] = await self.place.sql(statement)
        return float(value or 0)


@pytest.fixture
async def replicas(postgres: Cluster, tmp_path: Path) -> AsyncIterator[Replicas]:
    place, provider, port = copy(postgres), SlowProvider(), free_port()
    provider.goes_on.set()
    text = place.url.set(drivername="postgresql").render_as_string()
    tokens = [DeviceToken.new() for _ in range(KIOSKS)]
    directories = [tmp_path / "here", tmp_path / "there"]
    for directory in directories:
        directory.mkdir()
    async with (
        served(provider.app(), port),
        serving(text, f"http://127.0.0.1:{port}", AGENT_ID, directories[0], key=API_KEY) as here,
        serving(text, f"http://127.0.0.1:{port}", AGENT_ID, directories[1], key=API_KEY) as there,
        open_store(place.url) as store,
        httpx2.AsyncClient(timeout=10) as client,
    ):
        for number, token in enumerate(tokens):
            await enrolled(store, f"kiosk-{number}", token=token)
        yield Replicas(here, there, store, place, provider, tokens, client)


async def shoot(server: ChildServer) -> None:
    """kill -9."""
    server.process.kill()
    await server.process.wait()


async def until(condition: str, replicas: Replicas) -> None:
    """Wait until the database says so."""
    async with asyncio.timeout(5):
        while True:
            if await replicas.number(f"select ({condition})::int"):
                return
            await asyncio.sleep(0.01)


async def test_a_server_that_dies_while_it_mints_costs_one_lease_not_two(
    replicas: Replicas,
) -> None:
    replicas.provider.goes_on.clear()
    asking = asyncio.create_task(replicas.ask(replicas.here, "/v1/visits", key="lease-1"))
    async with asyncio.timeout(5):
        await replicas.provider.asked.wait()
    await shoot(replicas.here)
    assert await asking is None
    replicas.provider.goes_on.set()
    visit_id = await replicas.lease(replicas.there, "lease-1")
    assert await replicas.lease(replicas.there, "lease-1") == visit_id
    assert await replicas.number("select count(*) from visits") == 1
    assert await replicas.press(replicas.there, visit_id, 0) == 204
    assert await replicas.number("select count(*) from visits where state = 'admitted'") == 1
    assert await replicas.number("select seconds from usage where scope = 'fleet'") == 600


@asynccontextmanager
async def nobody_is_admitted(place: Place) -> AsyncIterator[None]:
    """Hold what every admission holds."""
    engine = create_async_engine(place.owner)
    try:
        async with engine.begin() as db:
            await db.execute(sa.text("select * from limits for update"))
            yield
    finally:
        await engine.dispose()


async def contend(replicas: Replicas, leased: list[str], after_s: float | None) -> list[int | None]:
    """All press at once, half of them here and half there; what they are told when `here` dies
    after so long, or while it waits in the middle of its admissions."""
    servers = [replicas.here, replicas.there]

    async def press_all() -> list[int | None]:
        return await asyncio.gather(
            *(
                replicas.press(servers[number % 2], visit_id, number)
                for number, visit_id in enumerate(leased)
            )
        )

    if after_s is not None:
        pressing = asyncio.create_task(press_all())
        await asyncio.sleep(after_s)
        await shoot(replicas.here)
        return await pressing
    async with nobody_is_admitted(replicas.place):
        pressing = asyncio.create_task(press_all())
        waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
        await until(f"({waiting}) >= {KIOSKS}", replicas)
        await shoot(replicas.here)
    return await pressing


@pytest.mark.parametrize("after_s", [None, 0.0, 0.02, 0.05])
async def test_the_last_place_is_taken_once_whoever_dies(
    replicas: Replicas, after_s: float | None
) -> None:
    await replicas.store.rules.set_limit("default", Scope.FLEET, "", {"at_once": 1})
    leased = [await replicas.lease(replicas.here, f"lease-{n}", n) for n in range(KIOSKS)]
    first = await contend(replicas, leased, after_s)
    assert set(first) <= {204, 429, None}
    assert first.count(204) <= 1
    # Whoever heard nothing asks the other server, for which the lease is as good.
    told = [
        await replicas.press(replicas.there, leased[number], number) if status is None else status
        for number, status in enumerate(first)
    ]
    assert sorted(told, key=str) == [204] + [429] * (KIOSKS - 1)
    again = [await replicas.press(replicas.there, leased[n], n) for n in range(KIOSKS)]
    assert again == told
    assert await replicas.number("select count(*) from visits where state = 'admitted'") == 1
    charged = await replicas.number("select sum(charged_s) from visits")
    assert charged == await replicas.number("select seconds from usage where scope = 'fleet'")
    assert charged == 600


async def test_what_begins_at_one_server_is_seen_at_the_other(replicas: Replicas) -> None:
    token = OperatorToken.new()
    now = datetime.now(UTC)
    assert await replicas.store.operators.add("default", "ada", Role.VIEWER, token, now)
    await asyncio.sleep(0.3)  # both listen to each other by then
    async with watching(replicas.there.url, token.reveal()) as events:
        visit_id = await replicas.lease(replicas.here, "lease-1")
        assert await replicas.press(replicas.here, visit_id, 0) == 204
        async with asyncio.timeout(2):
            kind, visit = await anext(events)
        assert (kind, visit["id"], visit["state"]) == ("visit", visit_id, "admitted")
