"""Who watches is told at once, of their own tenant's, and over every replica."""

import asyncio
import gc
import json
import logging
import random
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from kiosk.backend.books.database import parse_url
from kiosk.backend.books.operators import Role
from kiosk.backend.books.store import open_store
from kiosk.backend.tokens import OperatorToken
from kiosk.backend.web.app import create_app
from kiosk.backend.web.services import Services
from kiosk.backend.web.stream import MAX_WATCHERS, Change, Hub
from tests.integration.test_ledger import served
from tests.unit.link.test_websocket import free_port

from .conftest import Backend, Place, copy, enrolled, provider_of
from .postgres import Cluster
from .test_heartbeat import BEAT
from .test_ledger import problem
from .test_limits import begin

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@asynccontextmanager
async def replica(place: Place, fake: Any) -> AsyncIterator[tuple[Services, str]]:
    """A server on a port, with everything it does beside answering."""
    port = free_port()
    async with open_store(place.url) as store, provider_of(fake.app()) as provider:
        services = Services(store, provider)
        async with asyncio.TaskGroup() as tasks:
            joined = tasks.create_task(services.hub.run(store.database))
            if store.database.has_replicas:
                await services.hub.joined.wait()
            async with served(create_app(services), port):
                yield services, f"http://127.0.0.1:{port}"
                services.hub.close()
            joined.cancel()


@asynccontextmanager
async def watching(url: str, token: str) -> AsyncIterator[AsyncIterator[tuple[str, Any]]]:
    async with (
        httpx2.AsyncClient(timeout=10) as client,
        client.stream(
            "GET", f"{url}/v1/stream", headers={"Authorization": f"Bearer {token}"}
        ) as answer,
    ):
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        lines = answer.aiter_lines()
        assert await anext(lines) == ": still here"

        async def events() -> AsyncIterator[tuple[str, Any]]:
            kind = ""
            async for line in lines:
                if line.startswith("event: "):
                    kind = line.removeprefix("event: ")
                if line.startswith("data: "):
                    yield kind, json.loads(line.removeprefix("data: "))

        yield events()


async def viewer(services: Services, tenant: str = "default") -> str:
    token = OperatorToken.new()
    name = f"viewer-{token.credential_id}"
    await services.store.operators.add(tenant, name, Role.VIEWER, token, NOW)
    return token.reveal()


async def test_a_visit_is_seen_as_it_changes(backend: Backend, place: Place, fake: Any) -> None:
    async with replica(place, fake) as (services, url):
        token = await viewer(services)
        bearer = {"Authorization": f"Bearer {backend.token.reveal()}"}
        async with watching(url, token) as events, httpx2.AsyncClient(headers=bearer) as kiosk:
            leased = (await kiosk.post(f"{url}/v1/visits")).json()["visit_id"]
            body = {"press_id": "press-1"}
            await kiosk.post(f"{url}/v1/visits/{leased}/start", json=body)
            async with asyncio.timeout(1):
                kind, visit = await anext(events)
            assert (kind, visit["id"], visit["state"]) == ("visit", leased, "admitted")
            await kiosk.post(f"{url}/v1/heartbeat", json={**BEAT, "state": "listening"})
            for tenant, kiosk_id in await services.store.liveness.flush():
                services.hub.tell(Change(tenant, "kiosk", kiosk_id))
            async with asyncio.timeout(1):
                kind, line = await anext(events)
            assert (kind, line["name"], line["state"]) == ("kiosk", "lobby", "listening")


async def test_another_replica_hears_within_a_second(postgres: Cluster, fake: Any) -> None:
    place = copy(postgres)
    async with replica(place, fake) as (here, _), replica(place, fake) as (there, url):
        await here.store.registry.add_tenant("aquarium", None, NOW)
        kiosk, other = await enrolled(here.store), await enrolled(here.store, tenant="aquarium")
        token = await viewer(there)
        async with watching(url, token) as events:
            for each in (other, kiosk):  # the other tenant's first: it must not come
                visit_id = await begin(here.store, each, "v1", NOW)
                assert isinstance(visit_id, str)
                here.hub.tell(Change(each.tenant, "visit", visit_id))
            async with asyncio.timeout(1):
                kind, visit = await anext(events)
            assert (kind, visit["id"]) == ("visit", visit_id)


async def test_who_is_behind_learns_that_there_was_more() -> None:
    hub = Hub()
    with hub.watching("default") as watcher:
        for number in range(1000):
            hub.tell(Change("default", "visit", str(number)))
            hub.tell(Change("aquarium", "visit", str(number)))
        assert await watcher.next() == Change("default", "missed", "")
        hub.tell(Change("default", "visit", "a"))
        hub.tell(Change("default", "visit", "a"))
        assert await watcher.next() == Change("default", "visit", "a")
        hub.close()
        assert await watcher.next() is None


async def test_there_are_only_so_many_watchers(backend: Backend) -> None:
    with ExitStack() as inside:
        for _ in range(MAX_WATCHERS):
            assert not backend.services.hub.is_full
            inside.enter_context(backend.services.hub.watching("default"))
        bearer = {"Authorization": f"Bearer {await viewer(backend.services)}"}
        answer = await backend.client.get("/v1/stream", headers=bearer)
        assert (answer.status_code, problem(answer)) == (503, "too-many-watchers")
    assert not backend.services.hub.is_full


async def test_who_is_shut_out_sees_nothing_more(backend: Backend, place: Place, fake: Any) -> None:
    async with replica(place, fake) as (services, url):
        token = OperatorToken.new()
        await services.store.operators.add("default", "eve", Role.VIEWER, token, NOW)
        async with watching(url, token.reveal()) as events:
            await services.store.operators.revoke("default", "eve", NOW)
            services.hub.tell(Change("default", "kiosk", backend.kiosk.id))
            async with asyncio.timeout(2):
                with pytest.raises(StopAsyncIteration):
                    await anext(events)


async def test_whatever_anybody_notifies_breaks_nothing(postgres: Cluster, fake: Any) -> None:
    place = copy(postgres)
    async with replica(place, fake) as (services, _):
        assert place.url.database is not None
        with services.hub.watching("default") as watcher:
            for payload in ("", "{}", "[1]", "null", '["x","default","evil","1"]', "x" * 7000):
                postgres.psql(place.url.database, f"select pg_notify('kiosk_changes', '{payload}')")
            told = '["x","default","visit","abc"]'
            postgres.psql(place.url.database, f"select pg_notify('kiosk_changes', '{told}')")
            async with asyncio.timeout(2):
                assert await watcher.next() == Change("default", "visit", "abc")


async def test_a_server_that_stops_lets_watchers_go(place: Place, fake: Any) -> None:
    async with replica(place, fake) as (services, url):
        token = await viewer(services)
        async with watching(url, token) as events:
            services.hub.close()
            async with asyncio.timeout(2):
                with pytest.raises(StopAsyncIteration):
                    await anext(events)


async def hang_up(url: str, token: str, change: Callable[[], None], *, rudely: bool) -> None:
    """Watch, and go in the middle of a line being read."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    asked = f"GET /v1/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    writer.write(asked.encode())
    await reader.readuntil(b": still here")
    change()
    await asyncio.sleep(random.random() * 0.01)
    if rudely:
        writer.transport.abort()
    else:
        writer.close()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def connections() -> int:
    """How many SQLite has; each is a thread of the driver's."""
    names = [thread.name for thread in threading.enumerate()]
    return sum("_connection_worker_thread" in name for name in names)


async def test_watchers_that_hang_up_leave_nothing_open(
    database: Path, fake: Any, caplog: pytest.LogCaptureFixture
) -> None:
    url = parse_url(f"sqlite:///{database}")
    async with replica(Place(url, url), fake) as (services, address):
        token, kiosk = await viewer(services), await enrolled(services.store)
        visits = 0

        def change() -> None:
            services.hub.tell(Change("default", "visit", "v1"))
            services.hub.tell(Change("default", "kiosk", kiosk.id))

        async def round_of_hang_ups() -> None:
            nonlocal visits
            visits += 1
            each = [hang_up(address, token, change, rudely=bool(n % 2)) for n in range(12)]
            await asyncio.gather(begin(services.store, kiosk, f"v{visits}", NOW), *each)

        files = open_files()
        for _ in range(30):
            await round_of_hang_ups()
        async with asyncio.timeout(20):
            # The pool keeps five, and opens ten more while all are busy.
            while services.hub.watchers or connections() > 5:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert open_files() <= files + 2 * 15 + 1
        gc.collect()  # what was left is complained of now
        with closing(sqlite3.connect(database, timeout=1)) as db:
            busy, _, _ = db.execute("pragma wal_checkpoint(truncate)").fetchone()
        assert not busy
        assert database.with_name(database.name + "-wal").stat().st_size == 0
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == []


async def test_a_database_that_fails_ends_a_stream_in_a_line_of_the_log(
    database: Path, fake: Any, caplog: pytest.LogCaptureFixture
) -> None:
    place = Place(parse_url(f"sqlite:///{database}"), parse_url(f"sqlite:///{database}"))
    async with (
        replica(place, fake) as (services, url),
        watching(url, await viewer(services)) as events,
    ):
        await place.sql("alter table operators rename to gone")
        services.hub.tell(Change("default", "kiosk", "k1"))
        async with asyncio.timeout(10):
            with pytest.raises(StopAsyncIteration):
                await anext(events)
    said = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert said == ["a stream ends: OperationalError"]
