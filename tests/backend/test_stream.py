"""Who watches is told at once, of their own tenant's, and over every replica."""

import asyncio
import gc
import json
import logging
import random
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from kiosk.backend.books.database import parse_url
from kiosk.backend.books.operators import Role
from kiosk.backend.books.store import open_store
from kiosk.backend.tokens import OperatorToken, StreamTicket
from kiosk.backend.web.app import create_app
from kiosk.backend.web.services import Services
from kiosk.backend.web.stream import MAX_OF_OPERATOR, MAX_OF_TENANT, MAX_WATCHERS, Change, Hub
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
async def watching(
    url: str, token: str | None = None, ids: list[str] | None = None, **query: str
) -> AsyncIterator[AsyncIterator[tuple[str, Any]]]:
    """The events; `ids` is filled with theirs."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if ids:
        headers["Last-Event-ID"] = ids[-1]
    async with (
        httpx2.AsyncClient(timeout=10, headers=headers) as client,
        client.stream("GET", f"{url}/v1/stream", params=query) as answer,
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
                if line.startswith("id: ") and ids is not None:
                    ids.append(line.removeprefix("id: "))
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
    with hub.watching("default", "ada") as watcher:
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
    hub = backend.services.hub
    everybody = [
        ("default", "ada", MAX_OF_OPERATOR),
        *(("default", f"viewer-{n}", 1) for n in range(MAX_OF_TENANT - MAX_OF_OPERATOR)),
        *(("aquarium", f"viewer-{n}", 1) for n in range(MAX_WATCHERS - MAX_OF_TENANT)),
    ]
    with ExitStack() as inside:
        for tenant, operator, count in everybody:
            for _ in range(count):
                assert hub.has_room(tenant, operator)
                inside.enter_context(hub.watching(tenant, operator))
            if operator == "ada":
                assert not hub.has_room(tenant, operator)
                assert hub.has_room(tenant, "eve")
                assert hub.has_room("aquarium", operator)
            if (tenant, operator) == ("aquarium", "viewer-0"):
                assert not hub.has_room("default", "eve")
        assert not hub.has_room("zoo", "eve")
        bearer = {"Authorization": f"Bearer {await viewer(backend.services)}"}
        answer = await backend.client.get("/v1/stream", headers=bearer)
        assert (answer.status_code, problem(answer)) == (503, "too-many-watchers")
    assert hub.has_room("default", "ada")


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
        with services.hub.watching("default", "ada") as watcher:
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


@pytest.mark.parametrize("rounds", [30, pytest.param(840, marks=pytest.mark.wide)])
async def test_watchers_that_hang_up_leave_nothing_open(
    database: Path, fake: Any, caplog: pytest.LogCaptureFixture, rounds: int
) -> None:
    url = parse_url(f"sqlite:///{database}")
    async with replica(Place(url, url), fake) as (services, address):
        tokens = [await viewer(services) for _ in range(12)]
        kiosk = await enrolled(services.store)
        visits = 0

        def change() -> None:
            services.hub.tell(Change("default", "visit", "v1"))
            services.hub.tell(Change("default", "kiosk", kiosk.id))

        async def round_of_hang_ups() -> None:
            nonlocal visits
            visits += 1
            each = [
                hang_up(address, token, change, rudely=bool(number % 2))
                for number, token in enumerate(tokens)
            ]
            await asyncio.gather(begin(services.store, kiosk, f"v{visits}", NOW), *each)

        files = open_files()
        for _ in range(rounds):
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


async def events_until(events: AsyncIterator[tuple[str, Any]], kind: str) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    async with asyncio.timeout(10):
        while not found or found[-1][0] != kind:
            found.append(await anext(events))
    return found


async def test_a_change_costs_the_same_however_many_watch(
    backend: Backend, place: Place, fake: Any
) -> None:
    costs = []
    for count in (1, 12):
        async with replica(place, fake) as (services, url), AsyncExitStack() as inside:
            tokens = [await viewer(services) for _ in range(count)]
            streams = [await inside.enter_async_context(watching(url, token)) for token in tokens]
            asked: list[str] = []

            def look(_c: object, _u: object, statement: str, *_: object, to: Any = asked) -> None:
                to.append(statement)

            sa.event.listen(sa.Engine, "before_cursor_execute", look)
            try:
                for _ in range(5):
                    services.hub.tell(Change("default", "kiosk", backend.kiosk.id))
                    for events in streams:
                        async with asyncio.timeout(10):
                            kind, line = await anext(events)
                        assert (kind, line["name"]) == ("kiosk", "lobby")
            finally:
                sa.event.remove(sa.Engine, "before_cursor_execute", look)
            costs.append(sum("FROM kiosks" in each or "FROM operators" in each for each in asked))
    assert costs == [10, 10]


async def test_whoever_comes_back_hears_what_came_since_and_nothing_twice(
    backend: Backend, place: Place, fake: Any
) -> None:
    async with replica(place, fake) as (services, url):
        token, ids = await viewer(services), list[str]()
        names = [f"kiosk-{number}" for number in range(3)]
        kiosks = [await enrolled(services.store, name) for name in names]
        await services.store.registry.add_tenant("aquarium", None, NOW)
        other = await enrolled(services.store, tenant="aquarium")

        def change(number: int) -> None:
            services.hub.tell(Change("default", "kiosk", kiosks[number].id))

        async with watching(url, token, ids) as events:
            change(0)
            assert (await anext(events))[1]["name"] == names[0]
        for number in (1, 2, 1):
            change(number)
            services.hub.tell(Change("aquarium", "kiosk", other.id))
        async with watching(url, token, ids) as events:
            change(0)
            heard = [(await anext(events))[1]["name"] for _ in range(3)]
        assert heard == [names[2], names[1], names[0]]
        # By the address, as a browser that makes another stream must.
        async with watching(url, token, last_event_id=ids[0]) as events:
            heard = [(await anext(events))[1]["name"] for _ in range(3)]
        assert heard == [names[2], names[1], names[0]]
        async with watching(url, token, ids) as events:  # all was heard
            change(1)
            assert (await anext(events))[1]["name"] == names[1]


@pytest.mark.parametrize("after", ["0123abcd-1", "x", "-", "0123abcd-" + "9" * 40])
async def test_whoever_comes_back_from_elsewhere_learns_that_there_was_more(
    backend: Backend, place: Place, fake: Any, after: str
) -> None:
    async with (
        replica(place, fake) as (services, url),
        watching(url, await viewer(services), last_event_id=after) as events,
    ):
        services.hub.tell(Change("default", "kiosk", backend.kiosk.id))
        assert [kind for kind, _ in await events_until(events, "kiosk")] == ["missed", "kiosk"]


async def test_whoever_was_away_for_long_learns_that_there_was_more() -> None:
    hub = Hub()
    with hub.watching("default", "ada"):
        hub.tell(Change("default", "visit", "first"))
    for number in range(2000):
        hub.tell(Change("default", "visit", f"v{number}"))
    after = hub.event_id(Change("default", "visit", "first", 1))
    with hub.watching("default", "ada", after) as watcher:
        assert await watcher.next() == Change("default", "missed", "")


async def test_a_ticket_opens_a_stream_without_a_header_for_a_minute_and_no_longer(
    backend: Backend, place: Place, fake: Any
) -> None:
    async with replica(place, fake) as (services, url), httpx2.AsyncClient() as client:
        token = OperatorToken.new()
        await services.store.operators.add("default", "eve", Role.VIEWER, token, NOW)
        bearer = {"Authorization": f"Bearer {token.reveal()}"}
        given = (await client.post(f"{url}/v1/stream/tickets", headers=bearer)).json()
        assert given["life_s"] == 60
        async with watching(url, ticket=given["ticket"]) as events:
            services.hub.tell(Change("default", "kiosk", backend.kiosk.id))
            assert (await anext(events))[1]["name"] == "lobby"
        made = StreamTicket.parse(given["ticket"])
        assert made is not None
        gone = StreamTicket.of(made.credential_id, token.digest(), int(time.time()) - 1)
        forged = StreamTicket.of(made.credential_id, "0" * 64, made.ends_at)
        longer = StreamTicket(made.credential_id, made.ends_at + 9999, made.signature)
        for bad in (gone, forged, longer):
            answer = await client.get(f"{url}/v1/stream", params={"ticket": bad.reveal()})
            assert answer.status_code == 401
        # It opens the stream and nothing else, and ends with the operator.
        answer = await client.get(f"{url}/v1/kiosks", params={"ticket": given["ticket"]})
        assert answer.status_code == 401
        await services.store.operators.revoke("default", "eve", NOW)
        answer = await client.get(f"{url}/v1/stream", params={"ticket": given["ticket"]})
        assert answer.status_code == 401
