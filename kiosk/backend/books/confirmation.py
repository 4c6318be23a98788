"""Confirmations: the provider's word on a conversation, by webhook or when it is asked, which is
the last word on what a visit took. SQL, but no HTTP, no clock.

Hearing it twice changes nothing: a confirmed conversation stays as it was confirmed. Whoever tells
last adds what is missing still, and nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from kiosk.backend.books import admission
from kiosk.backend.books.admission import Place
from kiosk.backend.books.database import PATIENT_S, Database
from kiosk.backend.books.ledger import UNADMITTED, UNREPORTED, VisitState, change, recharge
from kiosk.backend.books.rules import Kiosk
from kiosk.backend.books.schema import conversations, transcripts, visits
from kiosk.backend.books.upsert import insert_missing
from kiosk.backend.tokens import new_id
from kiosk.convai.agent_settings import LONGEST_S

_STATUS_LENGTH, _REASON_LENGTH = 32, 256


class ConfirmationSource(StrEnum):
    """Who brought the word."""

    WEBHOOK = "webhook"
    RECONCILED = "reconciled"  # we asked for the list
    FETCHED = "fetched"  # we asked for this one


class Confirmation(StrEnum):
    """What came of it."""

    CONFIRMED = "confirmed"
    KNOWN = "known"  # heard before
    SKETCHED = "sketched"  # heard before, by the list only, which does not hold everything
    UNKNOWN = "unknown"  # no conversation of ours


@dataclass(frozen=True, slots=True)
class ProviderReport:
    """How a conversation went, by the provider's word. `started_at` None: it never began."""

    conversation_id: str
    status: str
    duration_s: float
    started_at: datetime | None = None
    cost: float | None = None
    termination_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Whose:
    """The visit that a report was about."""

    tenant: str
    visit_id: str


class Confirmations:
    """The conversations of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def confirm(
        self,
        report: ProviderReport,
        source: ConfirmationSource,
        now: datetime,
        turns: Sequence[tuple[str, str]] | None = None,
    ) -> tuple[Confirmation, Whose | None]:
        """Book what the provider says, and whose visit it was. `turns`, role and text, are kept if
        they are given."""
        this = conversations.c.id == report.conversation_id
        query = sa.select(conversations).where(this)
        async with self._database.introduction(
            report.conversation_id, reads=True, within_s=PATIENT_S
        ) as db:
            whose = (await db.execute(query)).first()
        if whose is None:
            return Confirmation.UNKNOWN, None
        if not _is_news(whose, report, source):
            return _heard(whose, source), None
        async with self._database.transaction(whose.tenant, within_s=PATIENT_S) as db:
            place = await admission.lock_id(db, whose.tenant, whose.kiosk_id)
            own = sa.and_(this, conversations.c.tenant == whose.tenant)
            conversation = (await db.execute(sa.select(conversations).where(own))).one()
            if not _is_news(conversation, report, source):
                return _heard(conversation, source), None
            known = conversation.confirmed_by is not None
            said = _lacking(conversation, report) if known else _said(report, now)
            tells_more = _tells_more(conversation, source)
            if tells_more:
                said |= {"confirmed_by": source}
            await db.execute(sa.update(conversations).where(own).values(**said))
            if turns is not None and tells_more:
                row = {"conversation_id": report.conversation_id, "stored_at": now}
                kept = [{"role": role, "text": text} for role, text in turns]
                row |= {"tenant": whose.tenant, "turns": kept}
                await insert_missing(db, transcripts, row)
            if known:
                return _heard(conversation, source), None
            visit_id = await _book(db, place, conversation, report, now)
        return Confirmation.CONFIRMED, Whose(whose.tenant, visit_id)

    async def purge(
        self, tenant: str, *, before: datetime | None = None, conversation_id: str | None = None
    ) -> int:
        """Forget what was said before then, or in that conversation; how many transcripts."""
        this = [transcripts.c.tenant == tenant]
        if before is not None:
            this.append(transcripts.c.stored_at < before)
        if conversation_id is not None:
            this.append(transcripts.c.conversation_id == conversation_id)
        async with self._database.transaction(tenant, within_s=PATIENT_S) as db:
            return (await db.execute(sa.delete(transcripts).where(*this))).rowcount


# How much each holds. What is told with all it holds is told once, or what was purged would come
# back.
_HOLDS = {
    None: 0,
    ConfirmationSource.RECONCILED: 1,
    ConfirmationSource.FETCHED: 2,
    ConfirmationSource.WEBHOOK: 2,
}


def _tells_more(conversation: sa.Row[Any], source: ConfirmationSource) -> bool:
    return _HOLDS[source] > _HOLDS[conversation.confirmed_by]


def _is_news(conversation: sa.Row[Any], report: ProviderReport, source: ConfirmationSource) -> bool:
    return _tells_more(conversation, source) or bool(_lacking(conversation, report))


def _heard(conversation: sa.Row[Any], source: ConfirmationSource) -> Confirmation:
    both_lists = conversation.confirmed_by == source == ConfirmationSource.RECONCILED
    return Confirmation.SKETCHED if both_lists else Confirmation.KNOWN


def _said(report: ProviderReport, now: datetime) -> dict[str, Any]:
    return {
        "confirmed_at": now,
        "status": report.status[:_STATUS_LENGTH],
        "started_at": report.started_at,
        "duration_s": report.duration_s,
        "cost": report.cost,
        "termination_reason": _clean(report.termination_reason),
    }


def _lacking(conversation: sa.Row[Any], report: ProviderReport) -> dict[str, Any]:
    told = {
        "started_at": report.started_at,
        "cost": report.cost,
        "termination_reason": _clean(report.termination_reason),
    }
    return {
        name: value
        for name, value in told.items()
        if value is not None and getattr(conversation, name) is None
    }


def _clean(text: str | None) -> str | None:
    """PostgreSQL keeps no NUL, and the column so much."""
    return None if text is None else text.replace("\0", "")[:_REASON_LENGTH]


async def _book(
    db: AsyncConnection,
    place: Place,
    conversation: sa.Row[Any],
    report: ProviderReport,
    now: datetime,
) -> str:
    kiosk = place.kiosk
    this = sa.and_(visits.c.tenant == kiosk.tenant, visits.c.id == conversation.visit_id)
    visit = (await db.execute(sa.select(visits).where(this))).one()
    if visit.conversation_id != conversation.id:
        # Minted for the same request, and another was used: this one was opened by nobody we know.
        if not report.duration_s:
            return str(visit.id)
        visit = await _strangers_visit(db, kiosk, conversation)
    took_s = min(report.duration_s, float(LONGEST_S))  # no conversation is longer
    began_at = visit.admitted_at or report.started_at or conversation.minted_at
    if visit.admitted_at is None and not report.duration_s:
        return str(visit.id)  # the credential was never used
    outcome = UNADMITTED if visit.admitted_at is None else UNREPORTED
    confirmed = {
        "state": VisitState.CONFIRMED,
        "admitted_at": began_at,
        "closed_at": visit.closed_at or min(now, began_at + timedelta(seconds=took_s)),
        "outcome": visit.outcome or outcome,
    }
    charge = await recharge(db, place, visit, took_s, place.day(began_at))
    await change(db, kiosk, visit.id, confirmed | charge)
    return str(visit.id)


async def _strangers_visit(
    db: AsyncConnection, kiosk: Kiosk, conversation: sa.Row[Any]
) -> sa.Row[Any]:
    visit_id = new_id()
    row = {
        "id": visit_id,
        "tenant": kiosk.tenant,
        "kiosk_id": kiosk.id,
        "request_id": f"unadmitted-{visit_id}",
        "conversation_id": conversation.id,
        "minted_at": conversation.minted_at,
        "expires_at": conversation.minted_at,
    }
    await db.execute(sa.insert(visits).values(**row))
    this = sa.and_(visits.c.tenant == kiosk.tenant, visits.c.id == visit_id)
    return (await db.execute(sa.select(visits).where(this))).one()
