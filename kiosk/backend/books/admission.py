"""Whether a visit may begin, and what a day has been charged with. Runs inside a transaction of the
ledger's, which holds the kiosk's row; SQL, but no HTTP, no clock.

One admission of a tenant's follows the other: the fleet's line of limits is locked until the
transaction ends, so that two kiosks cannot both take the last place.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from kiosk.backend.books.buckets import Bucket, Rate, give_back, take
from kiosk.backend.books.hours import parse_hours
from kiosk.backend.books.rules import Kiosk, Limit, Scope, pausing, read_limit
from kiosk.backend.books.schema import (
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

# A visit is charged with this much when it begins, and with what it took once that is known. The
# agent's own `max_duration_seconds` must not be more: `kiosk backend agent check` looks.
LONGEST_VISIT_S = 600.0
OPEN_STATES = ("admitted", "live")

# A kiosk that keeps a lease at hand asks for one every 13 minutes; what is spent on a visit does
# not count. The rest of it is for one that keeps three, or is started over and over.
LEASES = Rate(capacity=6, every_s=180.0)
# Presses come in bunches, a visit that connects anew is one more: two minutes' worth at once.
_BURST_MINUTES = 2
# How soon it is worth asking again.
_PAUSED_RETRY_S = 60.0
_BUSY_RETRY_S = 30.0


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
class Refused:
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

    def scopes(self) -> tuple[tuple[Scope, str], ...]:
        """What counts a visit here, the widest first: the order in which rows are locked."""
        return (
            (Scope.FLEET, ""),
            (Scope.SITE, self.kiosk.site),
            (Scope.KIOSK, self.kiosk.name),
        )


async def lock(db: AsyncConnection, kiosk: Kiosk) -> Place:
    """Hold the kiosk's row: whatever else is done for this kiosk waits."""
    zone = sa.func.coalesce(sites.c.time_zone, tenants.c.time_zone).label("zone")
    at_site = sa.and_(sites.c.tenant == kiosks.c.tenant, sites.c.name == kiosks.c.site)
    query = (
        sa.select(zone, sites.c.hours)
        .select_from(kiosks)
        .join(sites, at_site)
        .join(tenants, tenants.c.name == kiosks.c.tenant)
        .where(kiosks.c.tenant == kiosk.tenant, kiosks.c.id == kiosk.id)
        .with_for_update(of=kiosks, key_share=True)
    )
    row = (await db.execute(query)).one()
    return Place(kiosk, ZoneInfo(row.zone), row.hours)


async def lock_id(db: AsyncConnection, tenant: str, kiosk_id: str) -> Place:
    """The same for a kiosk that did not ask itself."""
    this = sa.and_(kiosks.c.tenant == tenant, kiosks.c.id == kiosk_id)
    row = (await db.execute(sa.select(kiosks).where(this))).one()
    return await lock(db, Kiosk(row.id, row.tenant, row.name, row.site))


async def may_lease(db: AsyncConnection, place: Place, now: datetime) -> Refused | None:
    """Take a lease from the kiosk's bucket. None is to be had where no visit may begin: what is
    minted opens a conversation whether we are told of it or not."""
    refused = await _shut(db, place, now)
    refused = refused or await _no_minutes(db, place, await _limits(db, place), now)
    if refused is not None:
        return refused
    key = (Scope.KIOSK, place.kiosk.name, "leases")
    wait_s = await _take(db, place.kiosk.tenant, {key: LEASES}, now)
    if wait_s is None:
        return None
    return Refused(Refusal.TOO_MANY_LEASES, Scope.KIOSK, wait_s[1])


async def admit(db: AsyncConnection, place: Place, now: datetime) -> Refused | None:
    """Let a visit begin and charge it with the longest it may last; or say why not, and charge
    nothing."""
    if (shut := await _shut(db, place, now)) is not None:
        return shut
    lines = await _limits(db, place)
    refused = await _too_many_at_once(db, place, lines)
    refused = refused or await _no_minutes(db, place, lines, now)
    if refused is not None:
        return refused
    rates = {
        (line.scope, name, "presses"): Rate(
            line.presses_per_minute * _BURST_MINUTES, 60.0 / line.presses_per_minute
        )
        for name, line in lines
        if line.presses_per_minute
    }
    wait = await _take(db, place.kiosk.tenant, rates, now)
    if wait is not None:
        return Refused(Refusal.TOO_MANY_PRESSES, *wait)
    await _give_back_lease(db, place)
    await charge(db, place, place.day(now), LONGEST_VISIT_S)
    return None


async def charge(db: AsyncConnection, place: Place, day: date, seconds: float) -> None:
    """Add to the day's use, or take off what turned out shorter."""
    if seconds:
        row = {"tenant": place.kiosk.tenant, "day": day, "seconds": seconds}
        rows = [{**row, "scope": scope, "name": name} for scope, name in place.scopes()]
        await put(db, usage, rows, adding=("seconds",))


async def hold(db: AsyncConnection, place: Place, day: date, seconds: float) -> None:
    """Add to the day's use of this kiosk alone, or take it off again."""
    if seconds:
        named = {"tenant": place.kiosk.tenant, "scope": Scope.KIOSK, "name": place.kiosk.name}
        await put(db, usage, [{**named, "day": day, "seconds": seconds}], adding=("seconds",))


async def _shut(db: AsyncConnection, place: Place, now: datetime) -> Refused | None:
    kiosk = place.kiosk
    query = sa.select(pauses.c.scope).where(pauses.c.tenant == kiosk.tenant, pausing(kiosk))
    found = (await db.execute(query)).first()
    if found is not None:
        return Refused(Refusal.PAUSED, Scope(found.scope), _PAUSED_RETRY_S)
    if place.hours is None:
        return None
    hours = parse_hours(place.hours)
    if hours.is_open(place.zone, now):
        return None
    opens_at = hours.opens_at(place.zone, now)
    retry_after_s = None if opens_at is None else (opens_at - now).total_seconds()
    return Refused(Refusal.CLOSED, Scope.SITE, retry_after_s)


async def _limits(db: AsyncConnection, place: Place) -> list[tuple[str, Limit]]:
    """For each scope its name and its line; locks them, and so every other admission."""
    tenant = limits.c.tenant == place.kiosk.tenant
    names = [
        sa.and_(limits.c.scope == scope, limits.c.name.in_(("", name)))
        for scope, name in place.scopes()
    ]
    query = sa.select(limits).where(tenant, sa.or_(*names)).order_by(limits.c.scope, limits.c.name)
    found = {
        (row.scope, row.name): read_limit(row)
        for row in (await db.execute(query.with_for_update())).all()
    }
    lines = []
    for scope, name in place.scopes():
        line = found.get((scope, name)) or found.get((scope, ""))
        if line is not None:
            lines.append((name, line))
    return lines


async def _too_many_at_once(
    db: AsyncConnection, place: Place, lines: Iterable[tuple[str, Limit]]
) -> Refused | None:
    # The kiosk's own visit that is open still is not counted: this one takes its place.
    others = sa.and_(
        visits.c.tenant == place.kiosk.tenant,
        visits.c.state.in_(OPEN_STATES),
        visits.c.kiosk_id != place.kiosk.id,
    )
    for name, line in lines:
        if line.at_once is None:
            continue
        query = sa.select(sa.func.count()).select_from(visits).where(others)
        if line.scope is Scope.SITE:
            at_site = sa.and_(kiosks.c.tenant == place.kiosk.tenant, kiosks.c.site == name)
            query = query.where(visits.c.kiosk_id.in_(sa.select(kiosks.c.id).where(at_site)))
        if line.scope is Scope.KIOSK:
            continue  # one at a time, whatever the line says
        if (await db.execute(query)).scalar_one() >= line.at_once:
            return Refused(Refusal.BUSY, line.scope, _BUSY_RETRY_S)
    return None


async def _no_minutes(
    db: AsyncConnection, place: Place, lines: Sequence[tuple[str, Limit]], now: datetime
) -> Refused | None:
    """A visit begins only if the longest it may last is left of the day."""
    limited = [(name, line) for name, line in lines if line.minutes_per_day is not None]
    if not limited:
        return None
    day = place.day(now)
    query = sa.select(usage.c.scope, usage.c.seconds).where(
        usage.c.tenant == place.kiosk.tenant,
        usage.c.day == day,
        sa.or_(
            *(sa.and_(usage.c.scope == line.scope, usage.c.name == name) for name, line in limited)
        ),
    )
    used_s = {row.scope: row.seconds for row in (await db.execute(query)).all()}
    for _, line in limited:
        assert line.minutes_per_day is not None
        left_s = line.minutes_per_day * 60 - used_s.get(line.scope, 0.0)
        if left_s < LONGEST_VISIT_S:
            return Refused(Refusal.NO_MINUTES, line.scope, _until_tomorrow_s(place, now))
    return None


def _until_tomorrow_s(place: Place, now: datetime) -> float:
    tomorrow = place.day(now) + timedelta(days=1)
    begins = datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=place.zone)
    return max(1.0, (begins - now).total_seconds())


async def _take(
    db: AsyncConnection, tenant: str, rates: dict[tuple[Scope, str, str], Rate], now: datetime
) -> tuple[Scope, float] | None:
    """Take one from each bucket; or from none, and whose is empty for how many seconds."""
    held = await _buckets(db, tenant, rates)
    rows = []
    for key, rate in rates.items():
        bucket, wait_s = take(held.get(key), rate, now)
        if wait_s > 0:
            return key[0], wait_s
        rows.append(_bucket_row(tenant, key, bucket))
    if rows:
        await put(db, buckets, rows)
    return None


async def _give_back_lease(db: AsyncConnection, place: Place) -> None:
    key = (Scope.KIOSK, place.kiosk.name, "leases")
    held = (await _buckets(db, place.kiosk.tenant, [key])).get(key)
    if held is not None:
        row = _bucket_row(place.kiosk.tenant, key, give_back(held, LEASES))
        await put(db, buckets, [row])


async def _buckets(
    db: AsyncConnection, tenant: str, keys: Iterable[tuple[Scope, str, str]]
) -> dict[tuple[Scope, str, str], Bucket]:
    this = [
        sa.and_(buckets.c.scope == scope, buckets.c.name == name, buckets.c.purpose == purpose)
        for scope, name, purpose in keys
    ]
    query = sa.select(buckets).where(buckets.c.tenant == tenant, sa.or_(sa.false(), *this))
    return {_key(row): Bucket(row.tokens, row.at) for row in (await db.execute(query)).all()}


def _key(row: sa.Row[Any]) -> tuple[Scope, str, str]:
    return Scope(row.scope), row.name, row.purpose


def _bucket_row(tenant: str, key: tuple[Scope, str, str], bucket: Bucket) -> dict[str, object]:
    scope, name, purpose = key
    named = {"tenant": tenant, "scope": scope, "name": name, "purpose": purpose}
    return {**named, "tokens": bucket.tokens, "at": bucket.at}
