"""The conversations that visits had: minted, named, and what happened in them. Runs inside the
ledger's transactions; SQL, but no HTTP, no clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from kiosk.backend.books.rules import Kiosk
from kiosk.backend.books.schema import conversation_events, conversations, visits
from kiosk.backend.books.upsert import insert_all_missing, insert_missing
from kiosk.contract import VisitEvent


@dataclass(frozen=True, slots=True)
class VisitLease:
    """One minted permission, for the record: never the URL itself."""

    request_id: str
    conversation_id: str | None
    minted_at: datetime
    expires_at: datetime


async def mint(db: AsyncConnection, kiosk: Kiosk, visit_id: str, lease: VisitLease) -> None:
    """A credential names its conversation, which anybody who has it may open."""
    if lease.conversation_id is not None:
        await _add(db, kiosk, visit_id, lease.conversation_id, lease.minted_at)


async def name(
    db: AsyncConnection, kiosk: Kiosk, visit: sa.Row[Any], conversation_id: str | None
) -> None:
    """The kiosk tells which conversation it had: the first that names it has it."""
    if conversation_id is not None:
        await _add(db, kiosk, visit.id, conversation_id, visit.minted_at)


async def add_events(
    db: AsyncConnection, kiosk: Kiosk, visit_id: str, events: Sequence[VisitEvent]
) -> None:
    """Keep what happened in a visit; what is there already stays."""
    named = {"tenant": kiosk.tenant, "visit_id": visit_id}
    rows = [{**named, **event.model_dump(mode="json")} for event in events]
    if rows:
        await insert_all_missing(db, conversation_events, rows)


async def read_events(db: AsyncConnection, tenant: str, visit_id: str) -> list[VisitEvent]:
    """The events of a visit, in order."""
    table = conversation_events
    this = sa.and_(table.c.tenant == tenant, table.c.visit_id == visit_id)
    query = sa.select(table).where(this).order_by(table.c.sequence)
    return [
        VisitEvent(sequence=row.sequence, at_s=row.at_s, what=row.what, fields=row.fields)
        for row in (await db.execute(query)).all()
    ]


async def read_reports(
    db: AsyncConnection, tenant: str, visit_id: str, after: int
) -> list[VisitEvent]:
    """The provider's word on each conversation of a visit, as events `confirmed` after that many
    others; `at_s` is when the conversation was over."""
    table = conversations
    columns = (table, visits.c.admitted_at)
    this = sa.and_(table.c.tenant == tenant, table.c.visit_id == visit_id)
    query = (
        sa.select(*columns)
        .join(visits, sa.and_(visits.c.tenant == table.c.tenant, visits.c.id == table.c.visit_id))
        .where(this, table.c.confirmed_at.is_not(None))
        .order_by(table.c.confirmed_at, table.c.id)
    )
    rows = (await db.execute(query)).all()
    return [_report(row, after + number) for number, row in enumerate(rows, 1)]


def _report(row: sa.Row[Any], sequence: int) -> VisitEvent:
    began_at = row.started_at or row.minted_at
    ended_s = (began_at - (row.admitted_at or began_at)).total_seconds() + row.duration_s
    told = {
        "by": row.confirmed_by,
        "conversation_id": row.id,
        "status": row.status,
        "duration_s": row.duration_s,
        "cost": row.cost,
    }
    fields = {name: value for name, value in told.items() if value is not None}
    # A kiosk may tell as many as the contract allows: this one is beyond.
    return VisitEvent.model_construct(
        sequence=sequence, at_s=max(0.0, ended_s), what="confirmed", fields=fields
    )


async def _add(
    db: AsyncConnection, kiosk: Kiosk, visit_id: str, conversation_id: str, minted_at: datetime
) -> None:
    row = {
        "tenant": kiosk.tenant,
        "id": conversation_id,
        "kiosk_id": kiosk.id,
        "visit_id": visit_id,
        "minted_at": minted_at,
    }
    await insert_missing(db, conversations, row)
