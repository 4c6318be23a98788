import asyncio
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy.ext.asyncio import create_async_engine

from kiosk.backend.books import migrate
from kiosk.backend.books.conversations import VisitLease
from kiosk.backend.books.database import parse_url
from kiosk.backend.books.rules import Kiosk
from kiosk.backend.books.schema import metadata
from kiosk.backend.books.store import open_store
from kiosk.backend.tokens import DeviceToken
from kiosk.errors import ConfigError
from tests.backend.postgres import OWNER, Cluster

from .conftest import Place

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008")


def sqlite(path: Path) -> sa.URL:
    return parse_url(f"sqlite:///{path}")


def test_migrating_twice_is_migrating_once(tmp_path: Path) -> None:
    path = tmp_path / "50%20.db"
    url = sa.URL.create("sqlite+aiosqlite", database=str(path))
    assert not migrate.is_current(url)
    assert not path.exists()  # asking creates nothing
    assert migrate.upgrade(url)
    assert migrate.is_current(url)
    assert not migrate.upgrade(url)


async def test_the_migrations_lead_to_the_tables_the_code_uses(place: Place) -> None:
    def differences(db: sa.Connection) -> list[object]:
        options = {"compare_type": True, "compare_server_default": True}
        return list(compare_metadata(MigrationContext.configure(db, opts=options), metadata))

    engine = create_async_engine(place.owner)
    async with engine.connect() as db:
        assert await db.run_sync(differences) == []
    await engine.dispose()


def test_there_is_a_migration_from_every_earlier_schema() -> None:
    assert migrate.head() == REVISIONS[-1]


@pytest.mark.parametrize("revision", REVISIONS)
def test_an_earlier_postgresql_is_brought_to_head(postgres: Cluster, revision: str) -> None:
    name = f"from_{revision}"
    postgres.psql("postgres", f"create database {name} owner {OWNER}")
    url = parse_url(postgres.url(name, OWNER))
    migrate.upgrade(url, revision)
    old = "insert into kiosks (id, name, site, created_at) values ('k1', 'lobby', 'north', now())"
    if revision in ("0001", "0002"):
        postgres.psql(name, old)
    assert migrate.upgrade(url) == (revision != REVISIONS[-1])
    if revision in ("0001", "0002"):
        assert postgres.psql(name, "select tenant, site from kiosks") == "default|north"


def test_an_earlier_database_keeps_its_visits(tmp_path: Path) -> None:
    path = tmp_path / "kiosk.db"
    migrate.upgrade(sqlite(path), "0001")
    assert not migrate.is_current(sqlite(path))
    at = "2026-11-21 12:00:0"
    with closing(sqlite3.connect(path)) as db:
        db.execute("insert into kiosks values ('k1', 'lobby', 'north', '2026-11-21', null)")
        # The same request, recorded twice: nothing forbade it then.
        for number, request_id in enumerate(("press-7", "press-7", "press-8")):
            row = (f"v{number}", request_id, f"{at}{number}", f"{at}9")
            db.execute("insert into visits values (?, 'k1', ?, null, ?, ?)", row)
        db.commit()
    assert migrate.upgrade(sqlite(path))
    with closing(sqlite3.connect(path)) as db:
        kept = db.execute("select id, request_id, state from visits order by id").fetchall()
        names = db.execute("select tenant, name from sites order by name").fetchall()
    assert kept == [
        ("v0", "v0", "leased"),
        ("v1", "press-7", "leased"),
        ("v2", "press-8", "leased"),
    ]
    assert names == [("default", ""), ("default", "north")]


def test_a_pause_outlives_the_migration(tmp_path: Path) -> None:
    path = tmp_path / "kiosk.db"
    migrate.upgrade(sqlite(path), "0002")
    with closing(sqlite3.connect(path)) as db:
        db.execute("insert into pauses values ('fleet', '', '2026-11-21')")
        db.commit()
    migrate.upgrade(sqlite(path))
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("select tenant, scope from pauses").fetchall() == [("default", "fleet")]


def test_a_database_of_another_version_is_refused_with_the_next_step(database: Path) -> None:
    migrate.require_current(sqlite(database))
    with closing(sqlite3.connect(database)) as db:
        db.execute("update alembic_version set version_num = '9999'")
        db.commit()
    with pytest.raises(ConfigError, match="kiosk backend init"):
        migrate.require_current(sqlite(database))
    with pytest.raises(ConfigError, match="written by a newer one"):
        migrate.upgrade(sqlite(database))


def test_a_failed_migration_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "kiosk.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("create table visits (id)")  # the last of the tables is in the way
    with pytest.raises(sa.exc.DBAPIError):
        migrate.upgrade(sqlite(path))
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("select name from sqlite_master").fetchall() == [("visits",)]


async def test_connections_are_durable_strict_and_patient(database: Path) -> None:
    async with open_store(sqlite(database)) as store, store.database.anywhere() as db:
        found = {
            name: (await db.exec_driver_sql(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert found == {
        "journal_mode": "wal",
        "synchronous": 2,  # FULL
        "foreign_keys": 1,
        "busy_timeout": 3300,
    }


async def test_a_visit_of_no_kiosk_is_refused_and_no_value_stands_in_the_error(
    place: Place,
) -> None:
    now = datetime.now(UTC)
    async with open_store(place.url) as store:
        nobody = Kiosk("nobody", "default", "lobby", "")
        with pytest.raises(sa.exc.NoResultFound) as caught:
            await store.ledger.lease(nobody, VisitLease("press-7", None, now, now))
    assert "press-7" not in str(caught.value)


async def test_one_name_enrolled_many_times_at_once_is_enrolled_once(place: Place) -> None:
    async def enroll() -> bool:
        try:
            now = datetime.now(UTC)
            return await store.registry.enroll("default", "lobby", "", DeviceToken.new(), now)
        except sa.exc.IntegrityError:
            return False

    async with open_store(place.url) as store:
        outcomes = await asyncio.gather(*(enroll() for _ in range(8)))
    assert sum(outcomes) == 1


async def test_times_are_kept_in_utc_and_must_have_a_zone(database: Path) -> None:
    async with open_store(sqlite(database)) as store:
        naive = datetime.now()  # noqa: DTZ005
        with pytest.raises(sa.exc.StatementError, match="without a zone"):
            await store.registry.enroll("default", "lobby", "", DeviceToken.new(), naive)
