"""Orders to single kiosks, which wait for the next heartbeat of theirs. SQL, but no HTTP, no clock.

An order is given once: it is gone when a heartbeat took it, or when it is too old to be meant.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from kiosk.backend.books.database import Database
from kiosk.backend.books.operators import record
from kiosk.backend.books.rules import Kiosk
from kiosk.backend.books.schema import IS_OPEN, kiosk_orders, kiosks, visits
from kiosk.backend.tokens import new_id

MEANT_FOR = timedelta(minutes=10)
LONGEST_TEXT = 200
# Of one kiosk's; more nobody means.
_MOST = 5


class OrderKind(StrEnum):
    """What a kiosk can be told to do."""

    RING = "ring"
    SAY = "say"
    END_VISIT = "end_visit"
    ROTATE = "rotate"


@dataclass(frozen=True, slots=True)
class Order:
    """One that waits. `text` is what is to be said, or the press of the visit that is to end."""

    kiosk: str
    what: OrderKind
    text: str
    ordered_by: str
    ordered_at: datetime


class Orders:
    """The orders of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def give(
        self, tenant: str, name: str, what: OrderKind, text: str, who: str, now: datetime
    ) -> bool:
        """Let a kiosk do something, and note who wants it; False if the tenant has no such kiosk,
        too much waits for it, or there is no visit to be ended."""
        this = sa.and_(
            kiosks.c.tenant == tenant, kiosks.c.name == name, kiosks.c.revoked_at.is_(None)
        )
        async with self._database.transaction(tenant) as db:
            kiosk_id = (await db.execute(sa.select(kiosks.c.id).where(this))).scalar_one_or_none()
            if kiosk_id is None:
                return False
            mine = sa.and_(kiosk_orders.c.tenant == tenant, kiosk_orders.c.kiosk_id == kiosk_id)
            old = sa.and_(mine, kiosk_orders.c.ordered_at < now - MEANT_FOR)
            await db.execute(sa.delete(kiosk_orders).where(old))
            if what is OrderKind.END_VISIT:
                text = await _visit_under_way(db, tenant, kiosk_id) or ""
                if not text:
                    return False
            counted = sa.select(sa.func.count()).select_from(kiosk_orders).where(mine)
            if (await db.execute(counted)).scalar_one() >= _MOST:
                return False
            row = {"id": new_id(), "tenant": tenant, "kiosk_id": kiosk_id, "what": what}
            told = {"text": text[:LONGEST_TEXT], "ordered_by": who, "ordered_at": now}
            await db.execute(sa.insert(kiosk_orders).values(**row, **told))
            await record(db, tenant, who, f"ordered_{what.value}", f"{name} {text}".strip(), now)
        return True

    async def take(self, kiosk: Kiosk, now: datetime) -> list[Order]:
        """What this kiosk is to do, the oldest first; it waits no longer."""
        mine = sa.and_(kiosk_orders.c.tenant == kiosk.tenant, kiosk_orders.c.kiosk_id == kiosk.id)
        query = sa.select(kiosk_orders).where(mine).order_by(kiosk_orders.c.ordered_at)
        async with self._database.transaction(kiosk.tenant) as db:
            rows = (await db.execute(query.with_for_update())).all()
            taken = sa.and_(mine, kiosk_orders.c.id.in_([row.id for row in rows]))
            await db.execute(sa.delete(kiosk_orders).where(taken))
            under_way = await _visit_under_way(db, kiosk.tenant, kiosk.id)
        return [
            Order(kiosk.name, OrderKind(row.what), row.text, row.ordered_by, row.ordered_at)
            for row in rows
            if row.ordered_at >= now - MEANT_FOR
            # The visitor who was meant may be gone, and another one there.
            and (row.what != OrderKind.END_VISIT or row.text == under_way)
        ]

    async def forget(self, tenant: str, now: datetime) -> None:
        """Forget what nobody took and nobody means any more."""
        old = sa.and_(kiosk_orders.c.tenant == tenant, kiosk_orders.c.ordered_at < now - MEANT_FOR)
        async with self._database.transaction(tenant) as db:
            await db.execute(sa.delete(kiosk_orders).where(old))

    async def waiting(self, tenant: str, now: datetime) -> list[Order]:
        """All that waits at a tenant's, the oldest first."""
        query = (
            sa.select(kiosk_orders, kiosks.c.name)
            .join(kiosks, kiosks.c.id == kiosk_orders.c.kiosk_id)
            .where(kiosk_orders.c.tenant == tenant, kiosk_orders.c.ordered_at >= now - MEANT_FOR)
            .order_by(kiosk_orders.c.ordered_at)
        )
        async with self._database.reading(tenant) as db:
            rows = (await db.execute(query)).all()
        return [
            Order(row.name, OrderKind(row.what), row.text, row.ordered_by, row.ordered_at)
            for row in rows
        ]


async def _visit_under_way(db: AsyncConnection, tenant: str, kiosk_id: str) -> str | None:
    """The press of the kiosk's visit that goes on now."""
    this = sa.and_(visits.c.tenant == tenant, visits.c.kiosk_id == kiosk_id, IS_OPEN)
    newest = sa.select(visits.c.press_id).where(this).order_by(visits.c.admitted_at.desc()).limit(1)
    return (await db.execute(newest)).scalar_one_or_none()
