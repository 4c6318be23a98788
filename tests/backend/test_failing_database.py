"""Whatever becomes of the database, whoever presses is answered in seconds, presses are good again
soon after it is, and nothing is booked twice. Real processes, in real time."""

import asyncio
import contextlib
import secrets
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from kiosk.backend.books.database import parse_url
from kiosk.backend.books.migrate import grant, upgrade
from kiosk.backend.books.store import open_store
from kiosk.backend.tokens import DeviceToken
from kiosk.errors import UnavailableError
from kiosk.lab.child_server import child_server, surroundings
from tests.integration.test_ledger import served
from tests.slowness import patient_s
from tests.unit.link.test_websocket import free_port

from .conftest import AGENT_ID, API_KEY, FakeProvider, Place, copy, enrolled
from .postgres import OWNER, SERVING, Cluster, cluster
from .test_ledger import problem
from .test_silent_database import Wire, wire

__all__ = ["wire"]  # a fixture

pytestmark = pytest.mark.wide

ANSWER_S, GOOD_AGAIN_S = 2.0, 10.0
TROUBLED_S = 6.0  # for how long each trouble lasts here
KIOSKS = 12


@dataclass
class Fleet:
    """Kiosks that press at one server, in a process of its own."""

    client: httpx2.AsyncClient
    tokens: list[DeviceToken]
    pressed: int = 0

    async def press(self, kiosk: int = 0) -> int:
        """One visit, asked for twice with one key as after an answer that was lost; the status of
        the first that is not good. Whatever it is, it comes in time."""
        self.pressed += 1
        key = f"lease-{self.pressed}-{kiosk}"
        headers = {"Authorization": f"Bearer {self.tokens[kiosk].reveal()}"}
        body = {"press_id": key, "outcome": "visitor_left", "duration_s": 1.0}
        lease = "/v1/visits"
        status = await self._ask(lease, headers | {"Idempotency-Key": key})
        if not isinstance(status, str):
            return status
        again = await self._ask(lease, headers | {"Idempotency-Key": key})
        if not isinstance(again, str):
            return again
        assert again == status  # the same visit
        for step in ("start", "end"):
            sent = body if step == "end" else {"press_id": key}
            for _ in range(2):
                done = await self._ask(f"{lease}/{status}/{step}", headers, sent)
                if done != 204:
                    assert isinstance(done, int)
                    return done
        return 200

    async def _ask(self, path: str, headers: dict[str, str], body: object = None) -> int | str:
        async with asyncio.timeout(patient_s(ANSWER_S)):
            answer = await self.client.post(path, headers=headers, json=body)
        if answer.status_code == 200:
            return str(answer.json()["visit_id"])
        if answer.status_code == 503:
            assert problem(answer) == "store-unavailable"
            assert int(answer.headers["Retry-After"]) > 0
        assert answer.status_code in (204, 429, 503), answer.text
        return answer.status_code

    async def presses(self) -> set[int]:
        """Of all of them at once."""
        return set(await asyncio.gather(*map(self.press, range(KIOSKS))))

    async def is_in_trouble(self) -> None:
        """Meanwhile all are answered, and some of them that there is no database."""
        loop = asyncio.get_running_loop()
        end_s, seen = loop.time() + TROUBLED_S, set[int]()
        while loop.time() < end_s:
            seen |= await self.presses()
        assert 503 in seen

    async def is_good_again(self) -> None:
        """Soon, and then for everybody."""
        async with asyncio.timeout(patient_s(GOOD_AGAIN_S)):
            while await self.press() != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        assert await self.presses() <= {200, 429}


@asynccontextmanager
async def fleet(url: sa.URL, home: sa.URL, fake: FakeProvider, at: Path) -> AsyncIterator[Fleet]:
    """`home`: the same database, as the fixtures get at it; at its end the books are right and the
    journal has no traceback."""
    tokens, port, key = [DeviceToken.new() for _ in range(KIOSKS)], free_port(), at / "key"
    key.write_text(API_KEY)
    async with open_store(home) as store:
        for number, token in enumerate(tokens):
            await enrolled(store, f"kiosk-{number}", token=token)
    text = url.set(drivername=url.get_backend_name()).render_as_string()
    words = ["backend", "serve", "--port", "0", "--database", text, "--agent-id", AGENT_ID]
    words += ["--provider-url", f"http://127.0.0.1:{port}"]
    journal = at / "journal"
    environment = surroundings(KIOSK_BACKEND_API_KEY_FILE=str(key))
    python = ["/bin/sh", "-c", f'exec "$@" 2>{journal}', "sh", sys.executable]
    async with (
        served(fake.app(), port),
        child_server(words, environment, python=python) as child,
        httpx2.AsyncClient(base_url=child.url, timeout=patient_s(20)) as client,
    ):
        made = Fleet(client, tokens)
        await made.is_good_again()
        yield made
    assert "Traceback" not in journal.read_text()
    await books_are_right(home)


async def books_are_right(home: sa.URL) -> None:
    """Each day's use is the sum of the visits that it is charged with."""
    engine = create_async_engine(home)
    fleet_s = "select seconds from usage where tenant = 'default' and scope = 'fleet'"
    visits_s = "select coalesce(sum(charged_s), 0) from visits where tenant = 'default'"
    twice = "select count(*) - count(distinct request_id) from visits where tenant = 'default'"
    try:
        async with engine.begin() as db:
            if not home.drivername.startswith("sqlite"):
                await db.execute(sa.text("select set_config('kiosk.tenant', 'default', true)"))
            used = sum((await db.execute(sa.text(fleet_s))).scalars())
            charged = (await db.execute(sa.text(visits_s))).scalar_one()
            assert used == pytest.approx(charged)
            assert (await db.execute(sa.text(twice))).scalar_one() == 0
    finally:
        await engine.dispose()


@pytest.mark.parametrize("new_too", [False, True], ids=["failover", "black hole"])
async def test_a_server_that_is_silent(
    postgres: Cluster, wire: Wire, fake: FakeProvider, tmp_path: Path, new_too: bool
) -> None:
    place = copy(postgres)
    async with fleet(wire.to(place), place.url, fake, tmp_path) as presses:
        wire.cut(new_too=new_too)
        if new_too:
            await presses.is_in_trouble()
            wire.mend()
        else:
            assert 503 in await presses.presses()
        await presses.is_good_again()


async def test_another_writer(place: Place, fake: FakeProvider, tmp_path: Path) -> None:
    async with fleet(place.url, place.url, fake, tmp_path) as presses:
        async with writing(place):
            await presses.is_in_trouble()
        await presses.is_good_again()


@asynccontextmanager
async def writing(place: Place) -> AsyncIterator[None]:
    """Somebody writes and does not come to an end."""
    if place.url.drivername.startswith("sqlite"):
        with closing(sqlite3.connect(str(place.url.database), isolation_level=None)) as db:
            db.execute("begin immediate")
            yield
        return
    engine = create_async_engine(place.owner)
    try:
        async with engine.begin() as db:
            await db.execute(sa.text("lock table visits, limits, buckets in exclusive mode"))
            yield
    finally:
        await engine.dispose()


@pytest.fixture
def own() -> Iterator[Cluster]:
    """A server that may be stopped, with one database."""
    with cluster() as made:
        made.psql("postgres", f"create database kiosks owner {OWNER}")
        owner = parse_url(made.url("kiosks", OWNER))
        upgrade(owner)
        grant(owner, SERVING)
        yield made


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_a_restart(own: Cluster, fake: FakeProvider, tmp_path: Path, mode: str) -> None:
    url = parse_url(own.url("kiosks"))
    async with fleet(url, url, fake, tmp_path) as presses:
        await asyncio.to_thread(own.control, "-m", mode, "stop")
        await presses.is_in_trouble()
        await asyncio.to_thread(own.start)
        await presses.is_good_again()


async def test_a_standby_that_is_promoted(own: Cluster, fake: FakeProvider, tmp_path: Path) -> None:
    """The address leads to the standby from one moment to the next, and then it is promoted."""
    url = parse_url(own.url("kiosks"))
    port = 5433
    promoted = parse_url(own.url("kiosks")).update_query_dict({"port": str(port)})
    await asyncio.to_thread(own.add_standby, port)
    try:
        async with (
            Wire(str(own.directory / ".s.PGSQL.5432")).open() as here,
            fleet(here.to(Place(url, url)), url, fake, tmp_path) as presses,
        ):
            here.move(str(own.directory / f".s.PGSQL.{port}"))
            await presses.is_in_trouble()
            await asyncio.to_thread(own.control, "promote", data="standby")
            await presses.is_good_again()
        await books_are_right(promoted)
    finally:
        await asyncio.to_thread(own.control, "-m", "immediate", "stop", data="standby")


PGBOUNCER = Path(sys.executable).parent / "pgbouncer"
POOLER = """
[databases]
* = host={socket} port=5432
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {directory}/users
pool_mode = transaction
logfile = {directory}/log
pidfile = {directory}/pid
{settings}
"""
IGNORING = (
    "ignore_startup_parameters = statement_timeout, lock_timeout, "
    "idle_in_transaction_session_timeout, tcp_keepalives_idle, tcp_keepalives_interval, "
    "tcp_keepalives_count"
)


@pytest.fixture(params=["", IGNORING], ids=["as it comes", "ignores what it does not know"])
def pooler(request: pytest.FixtureRequest, postgres: Cluster, tmp_path: Path) -> Iterator[int]:
    """The port of a pgbouncer in transaction mode."""
    directory, port = postgres.directory / secrets.token_hex(4), free_port()
    directory.mkdir()
    shutil.chown(directory, postgres.superuser)
    program = directory / "pgbouncer"
    shutil.copy(PGBOUNCER, program)  # the server's user may not look into ours
    settings = directory / "ini"
    settings.write_text(
        POOLER.format(
            socket=postgres.directory, port=port, directory=directory, settings=request.param
        )
    )
    (directory / "users").write_text(f'"{SERVING}" ""\n')
    with subprocess.Popen(
        [program, settings], user=postgres.superuser, stderr=subprocess.DEVNULL
    ) as process:
        try:
            _wait_for(lambda: socket.create_connection(("127.0.0.1", port)).close())
            yield port
        finally:
            process.terminate()


def _wait_for(connect: Callable[[], None]) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError):
            return connect()
        time.sleep(0.05)
    raise AssertionError("pgbouncer does not listen")


@pytest.mark.skipif(not PGBOUNCER.exists(), reason="make pgbouncer fetches it")
async def test_a_pooler_in_transaction_mode_is_refused_with_words(
    pooler: int, postgres: Cluster, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_text(API_KEY)
    place = copy(postgres)
    url = place.url.set(host="127.0.0.1", port=pooler, query={}, drivername="postgresql")
    words = ["backend", "serve", "--port", "0", "--database", url.render_as_string()]
    words += ["--agent-id", AGENT_ID]
    with pytest.raises(UnavailableError, match="a pooler such as pgbouncer is in between"):
        async with child_server(words, surroundings(KIOSK_BACKEND_API_KEY_FILE=str(key))):
            pass
