"""History of the ledger, for operators to read, and when it is forgotten. SQL, but no HTTP,
no clock."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

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
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
    # What the provider says: of all conversations of the visit, in its credits and in seconds, ...
    cost: float | None
    conversation_s: float | None
    # ... and why the last one ended.
    termination_reason: str | None


@dataclass(frozen=True, slots=True)
class VisitCursor:
    """The place behind a line, for the page that follows."""

    admitted_at: datetime
    id: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError."""
        if not (shape := re.fullmatch(r"([0-9]{1,17})\.([A-Za-z0-9_-]{1,64})", text)):
            raise ValueError("no cursor of a page of visits")
        return cls(_EPOCH + timedelta(microseconds=int(shape[1])), shape[2])

    def __str__(self) -> str:
        return f"{(self.admitted_at - _EPOCH) // timedelta(microseconds=1)}.{self.id}"


@dataclass(frozen=True, slots=True)
class VisitChoice:
    """Which visits: of a kiosk, of a site, begun from `since` on and before `until`, behind a
    line."""

    kiosk: str | None = None
    site: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    after: VisitCursor | None = None

    def conditions(self) -> Iterator[sa.ColumnElement[bool]]:
        """As the database asks."""
        if self.kiosk is not None:
            yield kiosks.c.name == self.kiosk
        if self.site is not None:
            yield kiosks.c.site == self.site
        if self.since is not None:
            yield visits.c.admitted_at >= self.since
        if self.until is not None:
            yield visits.c.admitted_at < self.until
        if self.after is not None:
            at, last = self.after.admitted_at, self.after.id
            same = sa.and_(visits.c.admitted_at == at, visits.c.id > last)
            yield visits.c.admitted_at <= at
            yield sa.or_(visits.c.admitted_at < at, same)


ALL_VISITS = VisitChoice()


@dataclass(frozen=True, slots=True)
class Figures:
    """How much goes on at a tenant's."""

    visits_open: int
    minutes_today: float


class History:
    """The visits in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def latest(
        self, tenant: str, limit: int, choice: VisitChoice = ALL_VISITS
    ) -> list[VisitLine]:
        """The newest visits of the choice that somebody pressed for, the newest first."""
        query = (
            _lines()
            .where(visits.c.tenant == tenant, visits.c.state.in_(USED), *choice.conditions())
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
    had = conversations_table
    same = sa.and_(had.c.tenant == visits.c.tenant, had.c.visit_id == visits.c.id)

    def sum_of(column: sa.Column[float], name: str) -> sa.Label[float]:
        summed = sa.select(sa.func.sum(column)).where(same).correlate(visits)
        return summed.scalar_subquery().label(name)

    last = had.alias("last")
    ended = sa.and_(last.c.tenant == visits.c.tenant, last.c.id == visits.c.conversation_id)
    return (
        sa.select(
            visits,
            kiosks.c.name,
            kiosks.c.site,
            sum_of(had.c.cost, "cost"),
            sum_of(had.c.duration_s, "conversation_s"),
            last.c.termination_reason,
        )
        .join_from(visits, kiosks, visits.c.kiosk_id == kiosks.c.id)
        .outerjoin(last, ended)
    )


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
        row.cost,
        row.conversation_s,
        row.termination_reason,
    )
