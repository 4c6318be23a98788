"""History of the ledger, for operators to read, and when it is forgotten. SQL, but no HTTP,
no clock."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from kiosk.backend.books import conversations
from kiosk.backend.books.database import PATIENT_S, Database
from kiosk.backend.books.ledger import USED, VisitState
from kiosk.backend.books.rules import Scope
from kiosk.backend.books.schema import (
    IS_OPEN,
    IS_UNSPENT,
    conversation_events,
    kiosks,
    talks,
    usage,
    visits,
)
from kiosk.backend.books.schema import conversations as conversations_table
from kiosk.contract import VisitEvent

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class VisitLine:
    """One visit, as an operator reads it."""

    id: str
    kiosk: str
    site: str
    state: VisitState
    minted_at: datetime
    admitted_at: datetime | None
    closed_at: datetime | None
    outcome: str | None
    verdict: str | None
    spoilt_by: str | None
    duration_s: float | None
    conversation_id: str | None
    press_id: str | None


@dataclass(frozen=True, slots=True)
class Figures:
    """How much goes on at a tenant's."""

    visits_open: int
    minutes_today: float


class History:
    """The visits in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def latest(self, tenant: str, limit: int, kiosk: str | None = None) -> list[VisitLine]:
        """The newest visits that somebody pressed for, the newest first."""
        used = sa.and_(visits.c.tenant == tenant, visits.c.state.in_(USED))
        query = (
            _lines()
            .where(used if kiosk is None else sa.and_(used, kiosks.c.name == kiosk))
            .order_by(visits.c.admitted_at.desc(), visits.c.id)
            .limit(limit)
        )
        async with self._database.reading(tenant, within_s=PATIENT_S) as db:
            return [_line(row) for row in (await db.execute(query)).all()]

    async def line(self, tenant: str, visit_id: str) -> VisitLine | None:
        """One visit; None if the tenant has no such."""
        this = sa.and_(visits.c.tenant == tenant, visits.c.id == visit_id)
        async with self._database.reading(tenant) as db:
            row = (await db.execute(_lines().where(this))).first()
        return None if row is None else _line(row)

    async def events(self, tenant: str, visit_id: str) -> list[VisitEvent]:
        """What the kiosk told of a visit, in order, and then what the provider did."""
        async with self._database.reading(tenant) as db:
            told = await conversations.read_events(db, tenant, visit_id)
            return told + await conversations.read_reports(db, tenant, visit_id, len(told))

    async def figures(self, tenant: str, now: datetime) -> Figures:
        """How much is going on."""
        under_way = sa.and_(visits.c.tenant == tenant, IS_OPEN)
        counted = sa.select(sa.func.count()).select_from(visits).where(under_way)
        # The fleet's day is each site's own: the later one, while both go on.
        this = sa.and_(usage.c.tenant == tenant, usage.c.scope == Scope.FLEET)
        today = sa.select(usage.c.seconds).where(this, usage.c.day <= now.date())
        latest = today.order_by(usage.c.day.desc()).limit(1)
        async with self._database.reading(tenant, within_s=PATIENT_S) as db:
            count = (await db.execute(counted)).scalar_one()
            seconds = (await db.execute(latest)).scalar_one_or_none()
        return Figures(count, (seconds or 0.0) / 60)

    async def forget(self, tenant: str, visits_before: datetime, leases_before: datetime) -> int:
        """Forget visits that were minted before then with all that belongs to them, and leases that
        nobody used; how many, a batch at a time."""
        async with self._database.transaction(tenant, within_s=PATIENT_S) as db:
            old = await _old(db, tenant, visits_before, leases_before)
            for table in (conversation_events, conversations_table, talks):
                this = sa.and_(table.c.tenant == tenant, table.c.visit_id.in_(old))
                await db.execute(sa.delete(table).where(this))
            this = sa.and_(visits.c.tenant == tenant, visits.c.id.in_(old))
            await db.execute(sa.delete(visits).where(this))
            past = sa.and_(usage.c.tenant == tenant, usage.c.day < visits_before.date())
            await db.execute(sa.delete(usage).where(past))
        return len(old)


async def _old(
    db: AsyncConnection, tenant: str, visits_before: datetime, leases_before: datetime
) -> list[str]:
    found: list[str] = []
    for old in (
        visits.c.minted_at < visits_before,
        sa.and_(IS_UNSPENT, visits.c.minted_at < leases_before),
    ):
        query = sa.select(visits.c.id).where(visits.c.tenant == tenant, old).limit(_AT_ONCE)
        found += [row.id for row in (await db.execute(query)).all()]
    return found


def _lines() -> sa.Select[Any]:
    query = sa.select(visits, kiosks.c.name, kiosks.c.site)
    return query.join_from(visits, kiosks, visits.c.kiosk_id == kiosks.c.id)


def _line(row: sa.Row[Any]) -> VisitLine:
    return VisitLine(
        row.id,
        row.name,
        row.site,
        VisitState(row.state),
        row.minted_at,
        row.admitted_at,
        row.closed_at,
        row.outcome,
        row.verdict,
        row.spoilt_by,
        row.duration_s,
        row.conversation_id,
        row.press_id,
    )
