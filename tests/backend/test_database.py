import asyncio
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from kiosk.backend import migrate
from kiosk.backend.ledger import Lease
from kiosk.backend.schema import metadata
from kiosk.backend.store import open_store
from kiosk.backend.tokens import new_token
from kiosk.errors import ConfigError


def test_migrating_twice_is_migrating_once(tmp_path: Path) -> None:
    path = str(tmp_path / "50%20.db")
    assert not migrate.is_current(path)
    assert not Path(path).exists()  # asking creates nothing
    assert migrate.upgrade(path)
    assert migrate.is_current(path)
    assert not migrate.upgrade(path)


def test_the_migrations_lead_to_the_tables_the_code_uses(database: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{database}")
    with engine.connect() as db:
        context = MigrationContext.configure(db, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_an_earlier_database_keeps_its_visits(tmp_path: Path) -> None:
    path = str(tmp_path / "kiosk.db")
    migrate.upgrade(path, "0001")
    assert not migrate.is_current(path)
    at = "2026-11-21 12:00:0"
    with closing(sqlite3.connect(path)) as db:
        db.execute("insert into kiosks values ('k1', 'lobby', 'north', '2026-11-21', null)")
        # The same request, recorded twice: nothing forbade it then.
        for number, request_id in enumerate(("press-7", "press-7", "press-8")):
            row = (f"v{number}", request_id, f"{at}{number}", f"{at}9")
            db.execute("insert into visits values (?, 'k1', ?, null, ?, ?)", row)
        db.commit()
    assert migrate.upgrade(path)
    with closing(sqlite3.connect(path)) as db:
        kept = db.execute("select id, request_id, state from visits order by id").fetchall()
    assert kept == [
        ("v0", "v0", "leased"),
        ("v1", "press-7", "leased"),
        ("v2", "press-8", "leased"),
    ]


def test_a_database_of_another_version_is_refused_with_the_next_step(database: Path) -> None:
    migrate.require_current(str(database))
    with closing(sqlite3.connect(database)) as db:
        db.execute("update alembic_version set version_num = '9999'")
        db.commit()
    with pytest.raises(ConfigError, match="kiosk backend init"):
        migrate.require_current(str(database))
    with pytest.raises(ConfigError, match="written by a newer one"):
        migrate.upgrade(str(database))


def test_a_failed_migration_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "kiosk.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("create table visits (id)")  # the last of the tables is in the way
    with pytest.raises(sa.exc.OperationalError):
        migrate.upgrade(str(path))
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("select name from sqlite_master").fetchall() == [("visits",)]


async def test_connections_are_durable_strict_and_patient(database: Path) -> None:
    async with open_store(str(database)) as store, store._engine.connect() as db:
        found = {
            name: (await db.exec_driver_sql(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert found == {
        "journal_mode": "wal",
        "synchronous": 2,  # FULL
        "foreign_keys": 1,
        "busy_timeout": 5000,
    }


async def test_a_visit_of_no_kiosk_is_refused_and_no_value_stands_in_the_error(
    database: Path,
) -> None:
    now = datetime.now(UTC)
    async with open_store(str(database)) as store:
        with pytest.raises(sa.exc.IntegrityError) as caught:
            await store.ledger.lease(Lease("nobody", "press-7", None, now, now))
    assert "press-7" not in str(caught.value)


async def test_one_name_enrolled_many_times_at_once_is_enrolled_once(database: Path) -> None:
    async def enroll() -> bool:
        try:
            return await store.enroll("lobby", "", new_token(), datetime.now(UTC))
        except sa.exc.IntegrityError:
            return False

    async with open_store(str(database)) as store:
        outcomes = await asyncio.gather(*(enroll() for _ in range(8)))
    assert sum(outcomes) == 1


async def test_times_are_kept_in_utc_and_must_have_a_zone(database: Path) -> None:
    async with open_store(str(database)) as store:
        with pytest.raises(sa.exc.StatementError, match="without a zone"):
            await store.enroll("lobby", "", new_token(), datetime.now())  # noqa: DTZ005
