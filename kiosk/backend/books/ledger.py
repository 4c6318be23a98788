"""The ledger: what became of every lease. SQL, but no HTTP, no clock and no provider.

A visit's life is `leased -> admitted -> live -> closed -> confirmed`, or `leased -> expired`. Every
method is one transaction that holds the kiosk's row. What a kiosk may ask for sees its own visits
only, and may be repeated: a kiosk that got no answer asks again, and nothing is booked twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from kiosk.backend.books import admission, conversations
from kiosk.backend.books.admission import Place, Refusal, VisitRefused
from kiosk.backend.books.conversations import VisitLease
from kiosk.backend.books.database import PATIENT_S, Database
from kiosk.backend.books.rules import Kiosk
from kiosk.backend.books.schema import IS_HELD, IS_LEASED, IS_OPEN, visits
from kiosk.backend.tokens import new_id
from kiosk.contract import EndVisit, LiveVisit, StartVisit


class VisitState(StrEnum):
    """Where a visit stands."""

    LEASED = "leased"  # minted ahead; costs nothing until somebody presses
    ADMITTED = "admitted"  # somebody pressed
    LIVE = "live"  # and the conversation is open
    CLOSED = "closed"  # by the kiosk's word
    CONFIRMED = "confirmed"  # and by the provider's
    EXPIRED = "expired"  # never used


_UNSPENT = (VisitState.LEASED, VisitState.EXPIRED)
OPEN = (VisitState.ADMITTED, VisitState.LIVE)
_OVER = (VisitState.CLOSED, VisitState.CONFIRMED)
USED = (*OPEN, *_OVER)

# What ended a visit of which the kiosk told nothing more: it began another, ...
SUPERSEDED = "superseded"
# ... it did not, and the longest time that a visit may last has passed, ...
UNREPORTED = "unreported"
# ... or the provider knows of a conversation that no press was told of.
UNADMITTED = "unadmitted"
_GUESSES = (SUPERSEDED, UNREPORTED, UNADMITTED)
# A kiosk ends its visits before the agent does, and tells at once unless there is an outage: after
# the longest time that the visit could last, ...
_REPORT_WITHIN = timedelta(minutes=2)
# ... and after that and this the provider has told of a conversation, by webhook or when it was
# asked: a stolen lease opens one for 15 minutes.
TOLD_WITHIN = timedelta(minutes=20)
# Of a large fleet whose provider tells nothing; the rest has its turn with the next sweep.
_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Leased:
    """A visit that may begin, and how long it may last."""

    visit_id: str
    longest_s: float


class Ledger:
    """The visits in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def may_lease(self, kiosk: Kiosk, request_id: str, now: datetime) -> VisitRefused | None:
        """Whether to mint: the request's lease was not spent, and there were not too many."""
        async with self._database.transaction(kiosk.tenant) as db:
            place = await admission.lock(db, kiosk)
            found = await _of_request(db, kiosk, request_id)
            if found is not None and found.state not in _UNSPENT:
                return VisitRefused(Refusal.SPENT)
            return await admission.may_lease(db, place, now)

    async def prospect(self, kiosk: Kiosk, now: datetime) -> VisitRefused | None:
        """Why no visit could begin now, None if one could; nothing is changed."""
        async with self._database.transaction(kiosk.tenant) as db:
            return await admission.prospect(db, await admission.lock(db, kiosk), now)

    async def shut(self, kiosk: Kiosk, now: datetime) -> VisitRefused | None:
        """Why no visit may begin here for some time; nothing is locked or changed."""
        async with self._database.reading(kiosk.tenant) as db:
            return await admission.shut(db, kiosk, now)

    async def give_back(self, kiosk: Kiosk) -> None:
        """Nothing was minted after all."""
        async with self._database.transaction(kiosk.tenant) as db:
            await admission.give_back_lease(db, await admission.lock(db, kiosk))

    async def lease(self, kiosk: Kiosk, lease: VisitLease) -> Leased | None:
        """Keep a lease and return its visit, the same for the same request; None if that was
        spent meanwhile. What the kiosk never used is marked expired on the way."""
        async with self._database.transaction(kiosk.tenant) as db:
            place = await admission.lock(db, kiosk)
            longest_s = await admission.longest_visit_s(db, place)
            await db.execute(_EXPIRE, _mine(kiosk) | {"by": lease.minted_at})
            found = await _of_request(db, kiosk, lease.request_id)
            row = {
                "conversation_id": lease.conversation_id,
                "minted_at": lease.minted_at,
                "expires_at": lease.expires_at,
                "state": VisitState.LEASED,
                "longest_s": longest_s,
            }
            if found is None:
                visit_id = new_id()
                named = {"id": visit_id, "tenant": kiosk.tenant, "kiosk_id": kiosk.id}
                await db.execute(_INSERT, {**named, **row, "request_id": lease.request_id})
            elif found.state in _UNSPENT:
                visit_id = found.id
                await change(db, kiosk, visit_id, row)
            else:
                return None
            await conversations.mint(db, kiosk, visit_id, lease)
        return Leased(visit_id, longest_s)

    async def start(
        self, kiosk: Kiosk, visit_id: str, start: StartVisit, now: datetime
    ) -> VisitRefused | None:
        """Spend the lease on a press; None if the visit may go on.

        A kiosk holds one visit at a time: another that is open still is closed as superseded.
        """
        async with self._database.transaction(kiosk.tenant) as db:
            place = await admission.lock(db, kiosk)
            visit = (await db.execute(_VISIT, _mine(kiosk) | {"visit_id": visit_id})).first()
            if visit is None:
                return VisitRefused(Refusal.UNKNOWN)
            if visit.state in OPEN and visit.press_id == start.press_id:
                return None
            if visit.state not in _UNSPENT:
                return VisitRefused(Refusal.SPENT)
            if visit.expires_at <= now:
                return VisitRefused(Refusal.EXPIRED)
            refused = await admission.admit(db, place, now, visit.longest_s)
            if refused is not None:
                return refused
            for other in (await db.execute(_OPEN_VISITS, _mine(kiosk))).all():
                await _guess(db, place, other, SUPERSEDED, now)
            admitted = {
                "state": VisitState.ADMITTED,
                "press_id": start.press_id,
                "admitted_at": now,
                "charged_s": visit.longest_s,
                "charged_on": place.day(now),
            }
            await change(db, kiosk, visit_id, admitted)
        return None

    async def live(self, kiosk: Kiosk, visit_id: str, live: LiveVisit) -> VisitRefused | None:
        """The conversation is open; nothing changes if the visit is over by now."""
        async with self._database.transaction(kiosk.tenant) as db:
            await admission.lock(db, kiosk)
            visit = (await db.execute(_VISIT, _mine(kiosk) | {"visit_id": visit_id})).first()
            if visit is None:
                return VisitRefused(Refusal.UNKNOWN)
            if visit.press_id != live.press_id:
                return VisitRefused(Refusal.SPENT)
            if visit.state == VisitState.ADMITTED:
                known = live.conversation_id or visit.conversation_id
                row = {"state": VisitState.LIVE, "conversation_id": known}
                await change(db, kiosk, visit_id, row)
                await conversations.name(db, kiosk, visit, known)
        return None

    async def end(
        self, kiosk: Kiosk, visit_id: str, end: EndVisit, now: datetime
    ) -> VisitRefused | bool:
        """Close a visit; the first report counts, and only that of the press that began it: False
        for any other.

        One that began while the backend was not reachable is admitted now: it took place.
        """
        async with self._database.transaction(kiosk.tenant) as db:
            place = await admission.lock(db, kiosk)
            visit = (await db.execute(_VISIT, _mine(kiosk) | {"visit_id": visit_id})).first()
            if visit is None:
                return VisitRefused(Refusal.UNKNOWN)
            if visit.press_id not in (None, end.press_id):
                return VisitRefused(Refusal.SPENT)
            if visit.state in _OVER and visit.outcome not in _GUESSES:
                return False
            closed_at = now - timedelta(seconds=end.ago_s)
            began_at = visit.admitted_at or closed_at - timedelta(seconds=end.duration_s)
            closed: dict[str, object] = {
                "state": VisitState.CLOSED,
                "press_id": visit.press_id or end.press_id,
                "admitted_at": began_at,
                "closed_at": max(closed_at, began_at),
                "outcome": end.outcome,
                "verdict": None if end.verdict is None else end.verdict.worth,
                "spoilt_by": None if end.verdict is None else end.verdict.cause,
                "duration_s": end.duration_s,
                "conversation_id": end.conversation_id or visit.conversation_id,
            }
            if visit.state == VisitState.CONFIRMED:  # the provider knows what it took
                closed["state"] = VisitState.CONFIRMED
            else:
                lasted_s = min(end.duration_s, visit.longest_s)
                # Whatever it says, it did not begin before there was a lease.
                day = place.day(max(began_at, visit.minted_at))
                closed |= await _claim(db, place, visit, lasted_s, day)
                await conversations.name(db, kiosk, visit, end.conversation_id)
            await change(db, kiosk, visit_id, closed)
            await conversations.add_events(db, kiosk, visit_id, end.events)
        return True

    async def sweep(self, tenant: str, now: datetime) -> int:
        """Close what no kiosk reports any more, and expire what nobody used; how many."""
        unused = sa.and_(
            visits.c.tenant == tenant,
            IS_LEASED,
            visits.c.expires_at < now,
        )
        async with self._database.transaction(tenant, within_s=PATIENT_S) as db:
            closed = {
                "state": VisitState.CLOSED,
                "closed_at": now,
                "outcome": UNREPORTED,
            }
            opened = sa.and_(visits.c.tenant == tenant, IS_OPEN)
            lost = await _overdue(db, opened, visits.c.admitted_at, _REPORT_WITHIN, now)
            these = sa.and_(opened, visits.c.id.in_([visit.id for visit in lost]))
            ended = await db.execute(sa.update(visits).where(these).values(**closed))
            expired = sa.update(visits).where(unused).values(state=VisitState.EXPIRED)
            count = ended.rowcount + (await db.execute(expired)).rowcount
        await self._release(tenant, now)
        return count

    async def _release(self, tenant: str, now: datetime) -> None:
        """The provider did not tell: then the kiosk's word counts."""
        held = sa.and_(visits.c.tenant == tenant, IS_HELD, visits.c.state == VisitState.CLOSED)
        async with self._database.reading(tenant, within_s=PATIENT_S) as db:
            found = await _overdue(db, held, visits.c.closed_at, TOLD_WITHIN, now)
        for each in found:
            async with self._database.transaction(tenant) as db:
                place = await admission.lock_id(db, tenant, each.kiosk_id)
                still = sa.select(visits).where(held, visits.c.id == each.id)
                visit = (await db.execute(still)).first()
                if visit is not None:
                    day, seconds = visit.charged_on, visit.charged_s
                    await change(
                        db, place.kiosk, visit.id, await recharge(db, place, visit, seconds, day)
                    )


async def _overdue(
    db: AsyncConnection,
    kind: sa.ColumnElement[bool],
    since: sa.Column[Any],
    within: timedelta,
    now: datetime,
) -> Sequence[Any]:
    """The rows of visits of this kind whose longest time, and `within` more, has passed."""
    lengths = (await db.execute(sa.select(visits.c.longest_s).where(kind).distinct())).scalars()
    over = sa.or_(
        sa.false(),
        *(
            sa.and_(visits.c.longest_s == length, since < now - within - timedelta(seconds=length))
            for length in lengths
        ),
    )
    found = sa.select(visits.c.id, visits.c.kiosk_id).where(kind, over).limit(_AT_ONCE)
    rows: Sequence[Any] = (await db.execute(found)).all()
    return rows


async def _guess(
    db: AsyncConnection, place: Place, visit: sa.Row[Any], outcome: str, now: datetime
) -> None:
    """Close a visit that the kiosk says nothing about. It cannot have lasted longer than this."""
    lasted_s = min((now - visit.admitted_at).total_seconds(), visit.longest_s)
    charge = await _claim(db, place, visit, max(0.0, lasted_s), visit.charged_on)
    closed = {"state": VisitState.CLOSED, "closed_at": now, "outcome": outcome}
    await change(db, place.kiosk, visit.id, closed | charge)


async def _claim(
    db: AsyncConnection, place: Place, visit: sa.Row[Any], lasted_s: float, day: date
) -> dict[str, object]:
    """Charge what the kiosk says. A token that was stolen could be used to lie: the kiosk's own day
    is charged in full until the provider has told."""
    return await recharge(db, place, visit, lasted_s, day, visit.longest_s - lasted_s)


async def recharge(
    db: AsyncConnection,
    place: Place,
    visit: sa.Row[Any],
    seconds: float,
    day: date,
    held_s: float = 0.0,
) -> dict[str, object]:
    """Charge a visit with what it took, instead of what it was charged with before, and the kiosk
    alone with `held_s` more."""
    day = visit.charged_on or day
    more_s, more_held_s = seconds - visit.charged_s, held_s - visit.held_s
    await admission.charge(db, place, day, more_s, more_held_s)
    return {"charged_s": seconds, "charged_on": day, "held_s": held_s}


async def change(
    db: AsyncConnection, kiosk: Kiosk, visit_id: str, row: Mapping[str, object]
) -> None:
    """Change a kiosk's visit."""
    await db.execute(_CHANGE, {"its_tenant": kiosk.tenant, "its_id": visit_id, **row})


async def _of_request(
    db: AsyncConnection, kiosk: Kiosk, request_id: str
) -> sa.Row[Any, Any] | None:
    return (await db.execute(_OF_REQUEST, _mine(kiosk) | {"request_id": request_id})).first()


def _mine(kiosk: Kiosk) -> dict[str, object]:
    return {"its_tenant": kiosk.tenant, "its_kiosk": kiosk.id}


# --- the statements, made once: to make one costs more than to run it ---------------------------

# Not by the columns' names: those of an update are the columns that it sets.
_TENANT = visits.c.tenant == sa.bindparam("its_tenant")
_OWN = sa.and_(_TENANT, visits.c.kiosk_id == sa.bindparam("its_kiosk"))
_VISIT = sa.select(visits).where(_OWN, visits.c.id == sa.bindparam("visit_id"))
_OPEN_VISITS = sa.select(visits).where(_OWN, IS_OPEN)
_OF_REQUEST = sa.select(visits.c.id, visits.c.state).where(
    _OWN, visits.c.request_id == sa.bindparam("request_id")
)
_INSERT = sa.insert(visits)
_CHANGE = sa.update(visits).where(_TENANT, visits.c.id == sa.bindparam("its_id"))
_EXPIRE = (
    sa.update(visits)
    .where(_OWN, IS_LEASED, visits.c.expires_at < sa.bindparam("by"))
    .values(state=VisitState.EXPIRED.value)
)
