"""The ledger: what became of every lease. SQL, but no HTTP, no clock and no provider.

A visit's life is `leased -> admitted -> closed`, or `leased -> expired`. Every method is one
transaction. What a kiosk may ask for sees its own visits only, and may be repeated: a kiosk that
got no answer asks again, and nothing is booked twice.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from kiosk.backend.schema import kiosks, pauses, visits
from kiosk.backend.tokens import new_id
from kiosk.contract import EndVisit, StartVisit


class VisitState(StrEnum):
    """Where a visit stands."""

    LEASED = "leased"  # minted ahead; costs nothing until somebody presses
    ADMITTED = "admitted"  # somebody pressed
    CLOSED = "closed"
    EXPIRED = "expired"  # never used


_UNSPENT = (VisitState.LEASED, VisitState.EXPIRED)


class Scope(StrEnum):
    """What an operator pauses."""

    FLEET = "fleet"
    SITE = "site"
    KIOSK = "kiosk"


class Refusal(StrEnum):
    """Why a visit may not begin; the slug of a problem document."""

    UNKNOWN = "visit-unknown"
    SPENT = "visit-spent"
    EXPIRED = "lease-expired"
    PAUSED = "paused"
    BAD_KEY = "bad-idempotency-key"


# What ended a visit of which the kiosk told nothing more before it began another.
SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class Lease:
    """One minted permission, for the record: never the URL itself."""

    kiosk_id: str
    request_id: str
    conversation_id: str | None
    minted_at: datetime
    expires_at: datetime


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
    duration_s: float | None
    conversation_id: str | None
    press_id: str | None


class Ledger:
    """The visits in one database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def may_lease(self, kiosk_id: str, request_id: str) -> bool:
        """False if a lease of this request was spent already."""
        async with self._engine.begin() as db:
            found = (await db.execute(_of_request(kiosk_id, request_id))).first()
        return found is None or found.state in _UNSPENT

    async def lease(self, lease: Lease) -> str | None:
        """Keep a lease and return the visit's id, the same for the same request; None if that was
        spent meanwhile. What the kiosk never used is marked expired on the way."""
        async with self._engine.begin() as db:
            unused = sa.and_(
                visits.c.kiosk_id == lease.kiosk_id,
                visits.c.state == VisitState.LEASED,
                visits.c.expires_at < lease.minted_at,
            )
            expired = sa.update(visits).where(unused).values(state=VisitState.EXPIRED)
            await db.execute(expired)
            found = (await db.execute(_of_request(lease.kiosk_id, lease.request_id))).first()
            row = {
                "conversation_id": lease.conversation_id,
                "minted_at": lease.minted_at,
                "expires_at": lease.expires_at,
                "state": VisitState.LEASED,
            }
            if found is None:
                visit_id = new_id()
                named = {"kiosk_id": lease.kiosk_id, "request_id": lease.request_id}
                await db.execute(sa.insert(visits).values(id=visit_id, **named, **row))
                return visit_id
            if found.state not in _UNSPENT:
                return None
            await db.execute(sa.update(visits).where(visits.c.id == found.id).values(**row))
        kept: str = found.id
        return kept

    async def start(
        self, kiosk_id: str, visit_id: str, start: StartVisit, now: datetime
    ) -> Refusal | None:
        """Spend the lease on a press; None if the visit may go on.

        A kiosk holds one visit at a time: another that is open still is closed as superseded.
        """
        async with self._engine.begin() as db:
            visit = (await db.execute(_visit(kiosk_id, visit_id))).first()
            if visit is None:
                return Refusal.UNKNOWN
            if visit.state == VisitState.ADMITTED and visit.press_id == start.press_id:
                return None
            if visit.state not in _UNSPENT:
                return Refusal.SPENT
            if visit.expires_at <= now:
                return Refusal.EXPIRED
            if await _paused(db, kiosk_id):
                return Refusal.PAUSED
            open_still = sa.and_(
                visits.c.kiosk_id == kiosk_id, visits.c.state == VisitState.ADMITTED
            )
            closed = {"state": VisitState.CLOSED, "closed_at": now, "outcome": SUPERSEDED}
            await db.execute(sa.update(visits).where(open_still).values(**closed))
            admitted = {
                "state": VisitState.ADMITTED,
                "press_id": start.press_id,
                "admitted_at": now,
            }
            await db.execute(sa.update(visits).where(visits.c.id == visit_id).values(**admitted))
        return None

    async def end(
        self, kiosk_id: str, visit_id: str, end: EndVisit, now: datetime
    ) -> Refusal | None:
        """Close a visit; the first report counts, and only that of the press that began it.

        One that began while the backend was not reachable is admitted now: it took place.
        """
        async with self._engine.begin() as db:
            visit = (await db.execute(_visit(kiosk_id, visit_id))).first()
            if visit is None:
                return Refusal.UNKNOWN
            if visit.press_id not in (None, end.press_id):
                return Refusal.SPENT
            if visit.state == VisitState.CLOSED and visit.outcome != SUPERSEDED:
                return None
            closed_at = now - timedelta(seconds=end.ago_s)
            began_at = visit.admitted_at or closed_at - timedelta(seconds=end.duration_s)
            closed = {
                "state": VisitState.CLOSED,
                "press_id": visit.press_id or end.press_id,
                "admitted_at": began_at,
                "closed_at": max(closed_at, began_at),
                "outcome": end.outcome,
                "duration_s": end.duration_s,
                "conversation_id": end.conversation_id or visit.conversation_id,
            }
            await db.execute(sa.update(visits).where(visits.c.id == visit_id).values(**closed))
        return None

    async def latest(self, limit: int, kiosk: str | None = None) -> list[VisitLine]:
        """The newest visits that somebody pressed for, the newest first."""
        used = visits.c.state.in_((VisitState.ADMITTED, VisitState.CLOSED))
        query = (
            sa.select(visits, kiosks.c.name, kiosks.c.site)
            .join_from(visits, kiosks)
            .where(used if kiosk is None else sa.and_(used, kiosks.c.name == kiosk))
            .order_by(visits.c.admitted_at.desc(), visits.c.id)
            .limit(limit)
        )
        async with self._engine.begin() as db:
            rows = (await db.execute(query)).all()
        return [
            VisitLine(
                row.id,
                row.name,
                row.site,
                VisitState(row.state),
                row.minted_at,
                row.admitted_at,
                row.closed_at,
                row.outcome,
                row.duration_s,
                row.conversation_id,
                row.press_id,
            )
            for row in rows
        ]

    async def paused(self) -> list[tuple[Scope, str]]:
        """All that is paused, the widest first."""
        async with self._engine.begin() as db:
            rows = (await db.execute(sa.select(pauses).order_by(pauses.c.since))).all()
        widest = list(Scope)
        found = [(Scope(row.scope), str(row.name)) for row in rows]
        return sorted(found, key=lambda pause: widest.index(pause[0]))

    async def pause(self, scope: Scope, name: str, now: datetime) -> bool:
        """No visit begins there from now on; False if it was paused already."""
        async with self._engine.begin() as db:
            if (await db.execute(_pause(scope, name))).first() is not None:
                return False
            await db.execute(sa.insert(pauses).values(scope=scope, name=name, since=now))
        return True

    async def resume(self, scope: Scope, name: str) -> bool:
        """Undo `pause`; False if it was not paused."""
        this = sa.and_(pauses.c.scope == scope, pauses.c.name == name)
        async with self._engine.begin() as db:
            done = await db.execute(sa.delete(pauses).where(this))
        return done.rowcount == 1


def _visit(kiosk_id: str, visit_id: str) -> sa.Select[Any]:
    return sa.select(visits).where(visits.c.id == visit_id, visits.c.kiosk_id == kiosk_id)


def _of_request(kiosk_id: str, request_id: str) -> sa.Select[Any]:
    return sa.select(visits.c.id, visits.c.state).where(
        visits.c.kiosk_id == kiosk_id, visits.c.request_id == request_id
    )


def _pause(scope: Scope, name: str) -> sa.Select[Any]:
    return sa.select(pauses).where(pauses.c.scope == scope, pauses.c.name == name)


async def _paused(db: AsyncConnection, kiosk_id: str) -> bool:
    this = sa.or_(
        pauses.c.scope == Scope.FLEET,
        sa.and_(pauses.c.scope == Scope.SITE, pauses.c.name == kiosks.c.site),
        sa.and_(pauses.c.scope == Scope.KIOSK, pauses.c.name == kiosks.c.name),
    )
    query = sa.select(pauses.c.scope).join_from(kiosks, pauses, this).where(kiosks.c.id == kiosk_id)
    return (await db.execute(query)).first() is not None
