"""Ready is who can write: not on a full disk, nor where the database only reads, nor into a file
that is gone."""

import asyncio
import os
import resource
import shutil
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from kiosk.backend.books.database import parse_url
from kiosk.backend.books.store import open_store
from kiosk.backend.tokens import DeviceToken
from kiosk.lab.simulation.process import serving
from tests.integration.test_ledger import served
from tests.unit.link.test_websocket import free_port

from .conftest import AGENT_ID, API_KEY, Backend, FakeProvider, enrolled
from .postgres import Cluster
from .test_ledger import problem

on_sqlite = pytest.mark.parametrize("place", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("place", ["postgresql"], indirect=True)


async def becomes(client: httpx2.AsyncClient, status: int) -> dict[str, Any]:
    """What is said once it is this status: it is tried anew every second."""
    async with asyncio.timeout(20):
        while (answer := await client.get("/readyz")).status_code != status:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return dict(answer.json())


async def test_ready_is_tried_by_writing_and_leaves_nothing_behind(backend: Backend) -> None:
    for answer in await asyncio.gather(*(backend.client.get("/readyz") for _ in range(20))):
        assert (answer.status_code, answer.json()["database"]) == (200, "ok")
    assert await backend.place.sql("select count(*) from enrolment_codes") == [(0,)]


@on_postgresql
async def test_a_postgresql_that_only_reads_is_not_ready(
    backend: Backend, postgres: Cluster
) -> None:
    await becomes(backend.client, 200)
    name = backend.place.url.database
    ended = f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"
    # As after a failover to a standby, and its promotion.
    for mode, status, said in (("on", 503, "unavailable"), ("off", 200, "ok")):
        alter = f"alter database {name} set default_transaction_read_only = {mode}"
        postgres.psql("postgres", alter)
        postgres.psql("postgres", ended)
        assert (await becomes(backend.client, status))["database"] == said


@on_sqlite
async def test_a_sqlite_that_only_reads_is_not_ready(backend: Backend) -> None:
    await becomes(backend.client, 200)

    def read_only(connection: Any, _record: object, _proxy: object) -> None:
        connection.cursor().execute("pragma query_only = on")

    sa.event.listen(backend.store.database._engine.sync_engine, "checkout", read_only)
    assert (await becomes(backend.client, 503))["database"] == "unavailable"


@on_sqlite
async def test_a_file_that_was_deleted_or_replaced_is_not_ready(backend: Backend) -> None:
    await becomes(backend.client, 200)
    path = str(backend.place.url.database)
    os.rename(path, path + ".aside")  # noqa: PTH104
    await becomes(backend.client, 503)
    shutil.copy(path + ".aside", path)
    await asyncio.sleep(1.1)  # it is tried again
    assert (await backend.client.get("/readyz")).status_code == 503
    os.replace(path + ".aside", path)  # noqa: PTH105
    await becomes(backend.client, 200)


async def test_a_full_disk_is_not_ready(
    database: Path, fake: FakeProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    token, port = DeviceToken.new(), free_port()
    async with open_store(parse_url(f"sqlite:///{database}")) as store:
        await enrolled(store, token=token)
    headers = {"Authorization": f"Bearer {token.reveal()}"}
    async with (
        served(fake.app(), port),
        serving(
            f"sqlite:///{database}", f"http://127.0.0.1:{port}", AGENT_ID, tmp_path, key=API_KEY
        ) as server,
        httpx2.AsyncClient(base_url=server.url, headers=headers, timeout=20) as client,
    ):
        await becomes(client, 200)
        _, most = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
        # No file of its grows any more, whatever there is room for in those that it has.
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (4096, most))
        assert (await becomes(client, 503))["database"] == "unavailable"
        assert problem(await client.post("/v1/visits")) == "store-unavailable"
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (most, most))
        await becomes(client, 200)
        assert (await client.post("/v1/visits")).status_code == 200


@on_sqlite
async def test_ready_is_answered_in_seconds_while_another_holds_the_database(
    backend: Backend,
) -> None:
    await becomes(backend.client, 200)
    async with backend.store.database.transaction("default"):
        said = await becomes(backend.client, 503)
        assert said["database"] == "unavailable"
    await becomes(backend.client, 200)
