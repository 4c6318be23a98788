"""Admission of visits, and the charges of a day. Runs inside a transaction of the
ledger's, which holds the kiosk's row; SQL, but no HTTP, no clock.

One admission of a tenant's follows the other: the fleet's line of limits is locked until the
transaction ends, so that two kiosks cannot both take the last place.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from kiosk.backend.books.buckets import Bucket, Rate, give_back, take
from kiosk.backend.books.hours import parse_hours
from kiosk.backend.books.rules import Kiosk, Limit, Scope, read_limit
from kiosk.backend.books.schema import (
    IS_OPEN,
    buckets,
    kiosks,
    limits,
    pauses,
    sites,
    tenants,
    usage,
    visits,
)
from kiosk.backend.books.upsert import put

# A visit is charged with the longest it may last when it begins, and with what it took once that is
# known. This long where no line of limits says otherwise. The agent's own `max_duration_seconds`
# must not be more: `kiosk backend agent check` looks.
USUAL_VISIT_S = 600.0

# A kiosk that keeps a lease at hand asks for one every 13 minutes; what is spent on a visit does
# not count. The rest of it is for one that keeps three, or is started over and over.
LEASES = Rate(capacity=6, every_s=180.0)
# Presses come in bunches, a visit that connects anew is one more: two minutes' worth at once.
_BURST_MINUTES = 2
# How soon it is worth asking again.
_PAUSED_RETRY_S = 60.0
_BUSY_RETRY_S = 30.0


# Whose, and for what.
_BucketKey: TypeAlias = tuple[Scope, str, str]


class Refusal(StrEnum):
    """Why a visit may not begin; the slug of a problem document."""

    UNKNOWN = "visit-unknown"
    SPENT = "visit-spent"
    EXPIRED = "lease-expired"
    PAUSED = "paused"
    CLOSED = "closed"
    BUSY = "busy"
    NO_MINUTES = "no-minutes-left"
    TOO_MANY_PRESSES = "too-many-presses"
    TOO_MANY_LEASES = "too-many-leases"


@dataclass(frozen=True, slots=True)
class VisitRefused:
    """No: why, whose limit it is, and when to ask again."""

    refusal: Refusal
    scope: Scope | None = None
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a kiosk stands, for the limits."""

    kiosk: Kiosk
    zone: ZoneInfo
    hours: str | None

    def day(self, now: datetime) -> date:
        """The day of the site's at this moment."""
        return now.astimezone(self.zone).date()

    def names(self) -> dict[str, str]:
        """As the statements want them."""
        kiosk = self.kiosk
        return {"tenant": kiosk.tenant, "site": kiosk.site, "kiosk": kiosk.name}

    @property
    def leases(self) -> _BucketKey:
        """The bucket of leases that nobody used."""
        return Scope.KIOSK, self.kiosk.name, "leases"

    def scopes(self) -> tuple[tuple[Scope, str], ...]:
        """What counts a visit here, the widest first: the order in which rows are locked."""
        return (
            (Scope.FLEET, ""),
            (Scope.SITE, self.kiosk.site),
            (Scope.KIOSK, self.kiosk.name),
        )


async def lock(db: AsyncConnection, kiosk: Kiosk) -> Place:
    """Hold the kiosk's row: whatever else is done for this kiosk waits."""
    row = (await db.execute(_LOCK, {"tenant": kiosk.tenant, "kiosk_id": kiosk.id})).one()
    return Place(kiosk, ZoneInfo(row.zone), row.hours)


async def lock_id(db: AsyncConnection, tenant: str, kiosk_id: str) -> Place:
    """The same for a kiosk that did not ask itself."""
    this = sa.and_(kiosks.c.tenant == tenant, kiosks.c.id == kiosk_id)
    row = (await db.execute(sa.select(kiosks).where(this))).one()
    return await lock(db, Kiosk(row.id, row.tenant, row.name, row.site))


async def may_lease(db: AsyncConnection, place: Place, now: datetime) -> VisitRefused | None:
    """Take a lease from the kiosk's bucket. None is to be had where no visit may begin: what is
    minted opens a conversation whether we are told of it or not."""
    refused = await _shut(db, place, now)
    lines = await _limits(db, place)
    refused = refused or await _no_minutes(db, place, lines, now, _longest_s(lines))
    if refused is not None:
        return refused
    held = await _buckets(db, place)
    key = place.leases
    held[key], wait_s = take(held.get(key), LEASES, now)
    if wait_s > 0:
        return VisitRefused(Refusal.TOO_MANY_LEASES, Scope.KIOSK, wait_s)
    await _keep(db, place, {key: held[key]})
    return None


async def shut(db: AsyncConnection, kiosk: Kiosk, now: datetime) -> VisitRefused | None:
    """Why no visit may begin there before something changes that takes its time; locks nothing."""
    row = (await db.execute(_PLACE, {"tenant": kiosk.tenant, "kiosk_id": kiosk.id})).one()
    place = Place(kiosk, ZoneInfo(row.zone), row.hours)
    if (refused := await _shut(db, place, now)) is not None:
        return refused
    lines = _lines(place, (await db.execute(_LIMITS, place.names())).all())
    return await _no_minutes(db, place, lines, now, _longest_s(lines))


async def give_back_lease(db: AsyncConnection, place: Place) -> None:
    """It was for nothing."""
    bucket = (await _buckets(db, place)).get(place.leases)
    if bucket is not None:
        await _keep(db, place, {place.leases: give_back(bucket, LEASES)})


async def longest_visit_s(db: AsyncConnection, place: Place) -> float:
    """How long a visit here may last."""
    return _longest_s(_lines(place, (await db.execute(_LIMITS, place.names())).all()))


async def admit(
    db: AsyncConnection, place: Place, now: datetime, longest_s: float
) -> VisitRefused | None:
    """Let a visit begin and charge it with the longest it may last; or say why not, and charge
    nothing."""
    taken = await _taken(db, place, now, longest_s)
    if isinstance(taken, VisitRefused):
        return taken
    await _keep(db, place, taken)
    await charge(db, place, place.day(now), longest_s)
    return None


async def prospect(db: AsyncConnection, place: Place, now: datetime) -> VisitRefused | None:
    """Why neither a lease nor a visit could be had now; nothing is taken."""
    taken = await _taken(db, place, now)
    if isinstance(taken, VisitRefused):
        return taken
    leases = (await _buckets(db, place)).get(place.leases)
    _, wait_s = take(leases, LEASES, now)
    return VisitRefused(Refusal.TOO_MANY_LEASES, Scope.KIOSK, wait_s) if wait_s > 0 else None


async def _taken(
    db: AsyncConnection, place: Place, now: datetime, longest_s: float | None = None
) -> VisitRefused | dict[_BucketKey, Bucket]:
    """The buckets as they are once a visit has begun, or why it may not; keeps nothing."""
    if (shut := await _shut(db, place, now)) is not None:
        return shut
    lines = await _limits(db, place)
    refused = await _too_many_at_once(db, place, lines)
    longest_s = _longest_s(lines) if longest_s is None else longest_s
    refused = refused or await _no_minutes(db, place, lines, now, longest_s)
    if refused is not None:
        return refused
    held = await _buckets(db, place)
    changed = {}
    for name, line in lines:
        if line.presses_per_minute is None:
            continue
        if line.presses_per_minute == 0:
            return VisitRefused(Refusal.TOO_MANY_PRESSES, line.scope)
        burst = line.presses_per_minute * _BURST_MINUTES
        key = (line.scope, name, "presses")
        rate = Rate(burst, 60.0 / line.presses_per_minute)
        changed[key], wait_s = take(held.get(key), rate, now)
        if wait_s > 0:
            return VisitRefused(Refusal.TOO_MANY_PRESSES, line.scope, wait_s)
    if place.leases in held:
        changed[place.leases] = give_back(held[place.leases], LEASES)
    return changed


async def charge(
    db: AsyncConnection, place: Place, day: date, seconds: float, held_s: float = 0.0
) -> None:
    """Add to the day's use, or take off what turned out shorter; `held_s` is the kiosk's alone."""
    row = {"tenant": place.kiosk.tenant, "day": day}
    rows = []
    for scope, name in place.scopes():
        added_s = seconds + held_s if scope is Scope.KIOSK else seconds
        if added_s:
            rows.append({**row, "scope": scope, "name": name, "seconds": added_s})
    if rows:
        await put(db, usage, rows, adding=("seconds",))


async def _shut(db: AsyncConnection, place: Place, now: datetime) -> VisitRefused | None:
    found = (await db.execute(_PAUSES, place.names())).first()
    if found is not None:
        return VisitRefused(Refusal.PAUSED, Scope(found.scope), _PAUSED_RETRY_S)
    if place.hours is None:
        return None
    hours = parse_hours(place.hours)
    if hours.is_open(place.zone, now):
        return None
    opens_at = hours.opens_at(place.zone, now)
    retry_after_s = None if opens_at is None else (opens_at - now).total_seconds()
    return VisitRefused(Refusal.CLOSED, Scope.SITE, retry_after_s)


async def _limits(db: AsyncConnection, place: Place) -> list[tuple[str, Limit]]:
    """For each scope its name and its line; locks them, and so every other admission."""
    return _lines(place, (await db.execute(_LOCK_LIMITS, place.names())).all())


def _lines(place: Place, rows: Iterable[sa.Row[Any]]) -> list[tuple[str, Limit]]:
    found = {(row.scope, row.name): read_limit(row) for row in rows}
    lines = []
    for scope, name in place.scopes():
        line = found.get((scope, name)) or found.get((scope, ""))
        if line is not None:
            lines.append((name, line))
    return lines


def _longest_s(lines: Sequence[tuple[str, Limit]]) -> float:
    """The narrowest line's that says it."""
    said = [line.minutes_per_visit for _, line in lines if line.minutes_per_visit is not None]
    return said[-1] * 60.0 if said else USUAL_VISIT_S


async def _too_many_at_once(
    db: AsyncConnection, place: Place, lines: Iterable[tuple[str, Limit]]
) -> VisitRefused | None:
    # The kiosk's own visit that is open still is not counted: this one takes its place.
    asked = {"tenant": place.kiosk.tenant, "kiosk_id": place.kiosk.id}
    for name, line in lines:
        # A kiosk has one at a time, whatever its line says.
        if line.at_once is None or line.scope is Scope.KIOSK:
            continue
        if line.scope is Scope.FLEET:
            counted = await db.execute(_OPEN_ELSEWHERE, asked)
        else:
            counted = await db.execute(_OPEN_AT_SITE, asked | {"site": name})
        if counted.scalar_one() >= line.at_once:
            return VisitRefused(Refusal.BUSY, line.scope, _BUSY_RETRY_S)
    return None


async def _no_minutes(
    db: AsyncConnection,
    place: Place,
    lines: Sequence[tuple[str, Limit]],
    now: datetime,
    longest_s: float,
) -> VisitRefused | None:
    """A visit begins only if the longest it may last is left of the day."""
    limited = [line for _, line in lines if line.minutes_per_day is not None]
    if not limited:
        return None
    rows = (await db.execute(_USED, place.names() | {"day": place.day(now)})).all()
    used_s = {row.scope: row.seconds for row in rows}
    for line in limited:
        assert line.minutes_per_day is not None
        left_s = line.minutes_per_day * 60 - used_s.get(line.scope, 0.0)
        if left_s < longest_s:
            return VisitRefused(Refusal.NO_MINUTES, line.scope, _until_tomorrow_s(place, now))
    return None


def _until_tomorrow_s(place: Place, now: datetime) -> float:
    tomorrow = place.day(now) + timedelta(days=1)
    begins = datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=place.zone)
    return max(1.0, (begins - now).total_seconds())


async def _buckets(db: AsyncConnection, place: Place) -> dict[_BucketKey, Bucket]:
    rows = (await db.execute(_BUCKETS, place.names())).all()
    return {(Scope(row.scope), row.name, row.purpose): Bucket(row.tokens, row.at) for row in rows}


async def _keep(db: AsyncConnection, place: Place, changed: Mapping[_BucketKey, Bucket]) -> None:
    if changed:
        rows = [
            {
                "tenant": place.kiosk.tenant,
                "scope": scope,
                "name": name,
                "purpose": purpose,
                "tokens": bucket.tokens,
                "at": bucket.at,
            }
            for (scope, name, purpose), bucket in changed.items()
        ]
        await put(db, buckets, rows)


# --- the statements, made once: to make one costs more than to run it ---------------------------

_TENANT: sa.BindParameter[str] = sa.bindparam("tenant")
_SITE: sa.BindParameter[str] = sa.bindparam("site")
_KIOSK: sa.BindParameter[str] = sa.bindparam("kiosk")
_KIOSK_ID: sa.BindParameter[str] = sa.bindparam("kiosk_id")


def _of_place(table: sa.Table, *, each: bool = False) -> sa.ColumnElement[bool]:
    """The rows that count a visit at this place; with `each` those too that are for any."""
    site, kiosk = table.c.name == _SITE, table.c.name == _KIOSK
    any_ = table.c.name == ""
    return sa.and_(
        table.c.tenant == _TENANT,
        sa.or_(
            sa.and_(table.c.scope == Scope.FLEET.value, any_),
            sa.and_(table.c.scope == Scope.SITE.value, sa.or_(site, any_) if each else site),
            sa.and_(table.c.scope == Scope.KIOSK.value, sa.or_(kiosk, any_) if each else kiosk),
        ),
    )


_PLACE = (
    sa.select(sa.func.coalesce(sites.c.time_zone, tenants.c.time_zone).label("zone"), sites.c.hours)
    .select_from(kiosks)
    .join(sites, sa.and_(sites.c.tenant == kiosks.c.tenant, sites.c.name == kiosks.c.site))
    .join(tenants, tenants.c.name == kiosks.c.tenant)
    .where(kiosks.c.tenant == _TENANT, kiosks.c.id == _KIOSK_ID)
)
_LOCK = _PLACE.with_for_update(of=kiosks, key_share=True)
_PAUSES = sa.select(pauses.c.scope).where(_of_place(pauses))
_LIMITS = (
    sa.select(limits).where(_of_place(limits, each=True)).order_by(limits.c.scope, limits.c.name)
)
_LOCK_LIMITS = _LIMITS.with_for_update()
_USED = sa.select(usage.c.scope, usage.c.seconds).where(
    _of_place(usage), usage.c.day == sa.bindparam("day")
)
_BUCKETS = sa.select(buckets).where(_of_place(buckets))
_OPEN_ELSEWHERE = (
    sa.select(sa.func.count())
    .select_from(visits)
    .where(
        visits.c.tenant == _TENANT,
        IS_OPEN,
        visits.c.kiosk_id != _KIOSK_ID,
    )
)
_OPEN_AT_SITE = _OPEN_ELSEWHERE.where(
    visits.c.kiosk_id.in_(
        sa.select(kiosks.c.id).where(kiosks.c.tenant == _TENANT, kiosks.c.site == _SITE)
    )
)
