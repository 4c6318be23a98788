"""A PostgreSQL that goes away without a word: a failover behind a virtual address, or a firewall
that forgot the connections. Old ones stay open and swallow everything; new ones work, or not."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from kiosk.backend.books.database import DatabaseDownError
from kiosk.backend.books.store import open_store
from kiosk.backend.tokens import DeviceToken
from kiosk.backend.web.app import create_app
from kiosk.backend.web.services import Services
from kiosk.backend.web.stream import Change, Hub
from kiosk.lab.simulation.process import serving
from tests.integration.test_ledger import served
from tests.unit.link.test_websocket import free_port

from .conftest import AGENT_ID, API_KEY, FakeProvider, Place, copy, enrolled, provider_of
from .postgres import Cluster
from .test_ledger import problem

# It takes ten seconds; systemd and compose give fifteen, and a busy machine some more.
STOP_S = 30.0
SHORT_S = 1.0


class Wire:
    """Carries bytes between TCP and PostgreSQL's socket."""

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self._silent = asyncio.Event()  # of the connections that there are
        self._new_too = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Wire"]:
        server = await asyncio.start_server(self._joined, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self, *, new_too: bool = False) -> None:
        """From now on the connections that there are swallow everything."""
        self._silent.set()
        self._silent, self._new_too = asyncio.Event(), new_too

    def move(self, socket: str) -> None:
        """The address is another server's; connections that there are break."""
        self._socket = socket
        for task in self._tasks:
            task.cancel()

    def mend(self) -> None:
        """New connections work; those that swallowed stay as they are."""
        self._silent, self._new_too = asyncio.Event(), False

    async def _joined(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        silent = self._silent
        if self._new_too:
            silent.set()
        there, back = await asyncio.open_unix_connection(self._socket)
        for source, target in ((reader, back), (there, writer)):
            task = asyncio.create_task(self._carry(source, target, silent))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, silent: asyncio.Event
    ) -> None:
        try:
            with contextlib.suppress(ConnectionError):
                while data := await source.read(65536):
                    if not silent.is_set():
                        target.write(data)
                        await target.drain()
            if silent.is_set():
                await asyncio.Event().wait()  # the end is swallowed too
        finally:
            target.close()

    def to(self, place: Place) -> sa.URL:
        """The database at the other end."""
        return place.url.set(host="127.0.0.1", port=self.port, query={})


@pytest.fixture
async def wire(postgres: Cluster) -> AsyncIterator[Wire]:
    async with Wire(str(postgres.directory / ".s.PGSQL.5432")).open() as opened:
        yield opened


async def test_presses_are_good_again_after_a_failover_without_a_restart(
    postgres: Cluster, wire: Wire, fake: FakeProvider, caplog: pytest.LogCaptureFixture
) -> None:
    place, token = copy(postgres), DeviceToken.new()
    async with (
        open_store(wire.to(place), usual_s=SHORT_S) as store,
        provider_of(fake.app()) as provider,
    ):
        app = create_app(Services(store, provider))
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        headers = {"Authorization": f"Bearer {token.reveal()}"}
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://backend.test", headers=headers
        ) as client:
            await enrolled(store, token=token)

            async def press(count: int) -> list[httpx2.Response]:
                asked = [client.post("/v1/visits") for _ in range(count)]
                return await asyncio.gather(*asked)

            await press(20)  # the pool is full
            wire.cut()
            async with asyncio.timeout(40):
                for answer in await press(20):
                    assert answer.status_code in (200, 429, 503), answer.text
                    if answer.status_code == 503:
                        assert problem(answer) == "store-unavailable"
                        assert answer.headers["Retry-After"] == "5"
                while (await client.post("/v1/visits")).status_code == 503:
                    pass
            assert {answer.status_code for answer in await press(20)} <= {200, 429}
    assert [record for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize("last", ["select 1", "update tenants set time_zone = 'UTC'", "commit"])
async def test_a_transaction_that_is_cut_off_is_a_database_that_is_down(
    postgres: Cluster, wire: Wire, last: str
) -> None:
    async with open_store(wire.to(copy(postgres)), usual_s=SHORT_S) as store:

        async def work() -> None:
            async with store.database.transaction("default") as db:
                await db.execute(sa.text("select 1"))
                wire.cut()
                if last != "commit":  # as every transaction ends
                    await db.execute(sa.text(last))

        async with asyncio.timeout(20):
            with pytest.raises(DatabaseDownError):
                await work()
            assert await store.registry.knows_tenant("default")


@asynccontextmanager
async def joined(url: sa.URL, fake: FakeProvider) -> AsyncIterator[Hub]:
    async with open_store(url, usual_s=SHORT_S) as store:
        hub = Hub(proof_s=0.2)
        task = asyncio.create_task(hub.run(store.database))
        await hub.joined.wait()
        try:
            yield hub
        finally:
            task.cancel()
            async with asyncio.timeout(STOP_S):
                await asyncio.gather(task, return_exceptions=True)


async def test_other_replicas_are_heard_again(
    postgres: Cluster, wire: Wire, fake: FakeProvider
) -> None:
    place = copy(postgres)
    async with joined(wire.to(place), fake) as here, joined(place.url, fake) as there:
        with here.watching("default", "ada") as watcher:
            wire.cut()
            heard = asyncio.create_task(watcher.next())
            async with asyncio.timeout(40):
                while not heard.done():
                    there.tell(Change("default", "visit", "v1"))
                    await asyncio.sleep(0.1)
            assert await heard == Change("default", "visit", "v1")


@pytest.mark.wide  # 12 s of real time
@pytest.mark.parametrize("new_too", [False, True])
async def test_a_stop_ends_whatever_the_database_swallows(
    postgres: Cluster, wire: Wire, fake: FakeProvider, tmp_path: Path, new_too: bool
) -> None:
    place, token, port = copy(postgres), DeviceToken.new(), free_port()
    async with open_store(place.url) as store:
        await enrolled(store, token=token)
    text = wire.to(place).set(drivername="postgresql").render_as_string()
    async with (
        served(fake.app(), port),
        serving(text, f"http://127.0.0.1:{port}", AGENT_ID, tmp_path, key=API_KEY) as server,
        httpx2.AsyncClient(
            timeout=60, headers={"Authorization": f"Bearer {token.reveal()}"}
        ) as client,
    ):

        async def ask() -> Any:
            with contextlib.suppress(httpx2.TransportError):
                return await client.post(server.url + "/v1/visits")

        answers = await asyncio.gather(*(ask() for _ in range(6)))
        assert 200 in {answer.status_code for answer in answers}
        beat = {"boot_id": "b1", "sequence": 1, "state": "idle", "version": "1.0"}
        assert (await client.post(server.url + "/v1/heartbeat", json=beat)).status_code == 200
        wire.cut(new_too=new_too)
        asking = [asyncio.create_task(ask()) for _ in range(3)]
        await asyncio.sleep(0.2)  # they wait for the database
        server.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(STOP_S):
            assert await server.process.wait() == 0
        await asyncio.gather(*asking)
