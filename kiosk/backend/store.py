"""Whom the backend knows, in SQLite. SQL stands here and in `ledger`; neither knows HTTP.

Every method is one transaction. A device token's secret enters as an argument and leaves as a
hash; statements hide their parameters from logs and errors.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from kiosk.backend.ledger import Ledger, Scope
from kiosk.backend.schema import kiosk_credentials, kiosks
from kiosk.backend.tokens import DeviceToken, new_id

# How long a writer waits for another before SQLite gives up.
BUSY_TIMEOUT_MS = 5000


@dataclass(frozen=True, slots=True)
class Kiosk:
    """Who a device token belongs to, known to be genuine; `revoked` ones get nothing."""

    id: str
    name: str
    revoked: bool


def prepare_sqlite(engine: sa.Engine, *, foreign_keys: bool = True) -> None:
    """Make every connection durable (WAL, synchronous=FULL), strict and patient, and every
    transaction one that nobody writes into between its reading and its writing."""

    @sa.event.listens_for(engine, "connect")
    def _connected(connection: DBAPIConnection, _record: object) -> None:
        _set_pragmas(connection, foreign_keys)
        # sqlite3 itself would begin a transaction with the first writing statement only, and commit
        # before every CREATE TABLE.
        connection.isolation_level = None

    @sa.event.listens_for(engine, "begin")
    def _begun(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _set_pragmas(connection: DBAPIConnection, foreign_keys: bool) -> None:
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={BUSY_TIMEOUT_MS}",  # first: the next may have to wait for another process
        "journal_mode=WAL",
        "synchronous=FULL",
        f"foreign_keys={'ON' if foreign_keys else 'OFF'}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


class Store:
    """The database behind one engine; see `open_store`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.ledger = Ledger(engine)
        self._engine = engine

    async def enroll(self, name: str, site: str, token: DeviceToken, now: datetime) -> bool:
        """Let the kiosk `name` in with this token; False if a live kiosk has that name already.

        A revoked kiosk may be enrolled again: its visits stay, its old tokens are forgotten.
        """
        async with self._engine.begin() as db:
            found = (await db.execute(sa.select(kiosks).where(kiosks.c.name == name))).first()
            if found is not None and found.revoked_at is None:
                return False
            kiosk_id = found.id if found is not None else new_id()
            if found is None:
                row = {"id": kiosk_id, "name": name, "site": site, "created_at": now}
                await db.execute(sa.insert(kiosks).values(row))
            else:
                old = kiosk_credentials.c.kiosk_id == kiosk_id
                await db.execute(sa.delete(kiosk_credentials).where(old))
                again = sa.update(kiosks).where(kiosks.c.id == kiosk_id)
                await db.execute(again.values(site=site, revoked_at=None))
            credential = {
                "id": token.credential_id,
                "kiosk_id": kiosk_id,
                "sha256": token.digest(),
                "created_at": now,
            }
            await db.execute(sa.insert(kiosk_credentials).values(credential))
        return True

    async def revoke(self, name: str, now: datetime) -> bool:
        """Shut the kiosk `name` out from now on; False if no live kiosk has that name."""
        live = sa.and_(kiosks.c.name == name, kiosks.c.revoked_at.is_(None))
        async with self._engine.begin() as db:
            done = await db.execute(sa.update(kiosks).where(live).values(revoked_at=now))
        return done.rowcount == 1

    async def knows(self, scope: Scope, name: str) -> bool:
        """Whether a kiosk, or a site of one, has that name; the fleet is always known."""
        if scope is Scope.FLEET:
            return True
        column = kiosks.c.site if scope is Scope.SITE else kiosks.c.name
        async with self._engine.begin() as db:
            found = await db.execute(sa.select(kiosks.c.id).where(column == name).limit(1))
        return found.first() is not None

    async def authenticate(self, token: DeviceToken, now: datetime) -> Kiosk | None:
        """Whose token this is, None if nobody's; notes when it was last used."""
        this = kiosk_credentials.c.id == token.credential_id
        columns = (kiosk_credentials.c.sha256, kiosks.c.id, kiosks.c.name, kiosks.c.revoked_at)
        query = sa.select(*columns).join_from(kiosk_credentials, kiosks).where(this)
        async with self._engine.begin() as db:
            row = (await db.execute(query)).first()
            if row is None or not token.matches(row.sha256):
                return None
            if row.revoked_at is None:
                touch = sa.update(kiosk_credentials).where(this).values(last_used_at=now)
                await db.execute(touch)
        return Kiosk(row.id, row.name, row.revoked_at is not None)


@asynccontextmanager
async def open_store(database_path: str) -> AsyncIterator[Store]:
    """The store in this SQLite file, whose tables must be there already (`migrate.is_current`)."""
    url = sa.URL.create("sqlite+aiosqlite", database=database_path)
    engine = create_async_engine(url, hide_parameters=True)
    prepare_sqlite(engine.sync_engine)
    try:
        yield Store(engine)
    finally:
        await engine.dispose()
