"""What the backend remembers, in SQLite. The only module with SQL; it knows no HTTP.

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

from kiosk.backend.schema import kiosk_credentials, kiosks, visits
from kiosk.backend.tokens import DeviceToken, new_id

# How long a writer waits for another before SQLite gives up.
BUSY_TIMEOUT_MS = 5000


@dataclass(frozen=True, slots=True)
class Kiosk:
    """Who a device token belongs to, known to be genuine; `revoked` ones get nothing."""

    id: str
    name: str
    revoked: bool


@dataclass(frozen=True, slots=True)
class Visit:
    """One minted permission, for the record: never the URL itself."""

    kiosk_id: str
    request_id: str
    conversation_id: str | None
    minted_at: datetime
    expires_at: datetime


def set_pragmas(connection: DBAPIConnection, *, foreign_keys: bool = True) -> None:
    """Make one SQLite connection durable (WAL, synchronous=FULL), strict and patient."""
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

    async def record(self, visit: Visit) -> None:
        """Keep a visit that was granted."""
        row = {
            "id": new_id(),
            "kiosk_id": visit.kiosk_id,
            "request_id": visit.request_id,
            "conversation_id": visit.conversation_id,
            "minted_at": visit.minted_at,
            "expires_at": visit.expires_at,
        }
        async with self._engine.begin() as db:
            await db.execute(sa.insert(visits).values(row))


@asynccontextmanager
async def open_store(database_path: str) -> AsyncIterator[Store]:
    """The store in this SQLite file, whose tables must be there already (`migrate.is_current`)."""
    url = sa.URL.create("sqlite+aiosqlite", database=database_path)
    engine = create_async_engine(url, hide_parameters=True)

    @sa.event.listens_for(engine.sync_engine, "connect")
    def _connected(connection: DBAPIConnection, _record: object) -> None:
        set_pragmas(connection)

    try:
        yield Store(engine)
    finally:
        await engine.dispose()
