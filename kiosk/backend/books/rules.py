"""The rules that operators set: pauses, limits, opening hours. SQL, but no HTTP and no clock."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from kiosk.backend.books.database import Database
from kiosk.backend.books.schema import kiosk_orders, kiosks, limits, pauses, sites, tenants
from kiosk.backend.books.upsert import insert_missing, put
from kiosk.contract import Instructions, LeasePolicy


class Scope(StrEnum):
    """What a rule is about."""

    FLEET = "fleet"
    SITE = "site"
    KIOSK = "kiosk"


# What a fleet begins with, so that one that nobody has thought about is limited too.
FIRST_LIMITS: tuple[dict[str, object], ...] = (
    {"scope": "fleet", "name": "", "at_once": 20, "presses_per_minute": 300},
    {"scope": "kiosk", "name": "", "minutes_per_day": 240, "presses_per_minute": 4},
)


_QUICKEST_S, _SLOWEST_S = 15.0, 300.0
_RECOUNT_AFTER = timedelta(seconds=60)
_ORDERS_LIVE = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Limit:
    """One line of limits; None: this line sets none. The name "" means the fleet, or any site or
    kiosk that has no line of its own. Every line's limits count; of `minutes_per_visit` the
    narrowest line's."""

    scope: Scope
    name: str
    minutes_per_day: int | None = None
    at_once: int | None = None
    presses_per_minute: int | None = None
    minutes_per_visit: int | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """Where kiosks stand. None: the tenant's time zone; always open."""

    name: str
    time_zone: str | None
    hours: str | None


@dataclass(frozen=True, slots=True)
class Kiosk:
    """Who a device token belongs to, known to be genuine; `revoked` ones get nothing."""

    id: str
    tenant: str
    name: str
    site: str
    revoked: bool = False
    token_is_old: bool = False


@dataclass(frozen=True, slots=True)
class Assigned:
    """Whom visitors talk with, if anybody chose, and by which clock."""

    character: str | None
    zone: ZoneInfo


@dataclass(frozen=True, slots=True)
class _Orders:
    """What a tenant's kiosks are told, as it was `at` that moment. `paused`: what is, and whether
    visits under way end too."""

    at: datetime
    policy: LeasePolicy | None
    target_version: str | None
    paused: Mapping[tuple[Scope, str], bool]
    kiosks: int
    counted_at: datetime
    waited_for: frozenset[str]  # the kiosks by id that are to do something


def pace(kiosks: int) -> timedelta:
    """How often a kiosk of so many tells how it is: 35 a second together, which a small machine
    answers on the side."""
    return timedelta(seconds=min(max(_QUICKEST_S, kiosks / 35), _SLOWEST_S))


class Rules:
    """The rules of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._orders: dict[str, _Orders] = {}

    async def paused(self, tenant: str) -> list[tuple[Scope, str]]:
        """All that is paused, the widest first."""
        query = sa.select(pauses).where(pauses.c.tenant == tenant).order_by(pauses.c.since)
        async with self._database.reading(tenant) as db:
            rows = (await db.execute(query)).all()
        found = [(Scope(row.scope), str(row.name)) for row in rows]
        return sorted(found, key=lambda pause: _width(pause[0]))

    async def pause(
        self, tenant: str, scope: Scope, name: str, now: datetime, *, ends_visits: bool = False
    ) -> bool:
        """No visit begins there from now on, and with `ends_visits` none goes on; False if it was
        paused so already."""
        row = {"tenant": tenant, "scope": scope, "name": name, "since": now}
        async with self._database.transaction(tenant) as db:
            added = await insert_missing(db, pauses, {**row, "ends_visits": ends_visits})
            if added or not ends_visits:
                return added
            this = sa.and_(_line(pauses, tenant, scope, name), pauses.c.ends_visits.is_(False))
            done = await db.execute(sa.update(pauses).where(this).values(ends_visits=True))
        return done.rowcount == 1

    async def resume(self, tenant: str, scope: Scope, name: str) -> bool:
        """Undo `pause`; False if it was not paused."""
        async with self._database.transaction(tenant) as db:
            done = await db.execute(sa.delete(pauses).where(_line(pauses, tenant, scope, name)))
        return done.rowcount == 1

    async def limits(self, tenant: str) -> list[Limit]:
        """All lines, the widest first, those for everybody before those with a name."""
        query = sa.select(limits).where(limits.c.tenant == tenant).order_by(limits.c.name)
        async with self._database.reading(tenant) as db:
            rows = (await db.execute(query)).all()
        return sorted((read_limit(row) for row in rows), key=lambda line: _width(line.scope))

    async def set_limit(
        self, tenant: str, scope: Scope, name: str, changes: Mapping[str, int | None]
    ) -> Limit:
        """Change some of a line's limits; a new line has the others as they are for everybody."""
        async with self._database.transaction(tenant) as db:
            for each in (name, ""):
                this = _line(limits, tenant, scope, each)
                found = (await db.execute(sa.select(limits).where(this).with_for_update())).first()
                if found is not None:
                    break
            row = {} if found is None else dict(found._mapping)  # noqa: SLF001  its public name
            row |= {"tenant": tenant, "scope": scope, "name": name, **changes}
            await put(db, limits, [row])
            this = _line(limits, tenant, scope, name)
            return read_limit((await db.execute(sa.select(limits).where(this))).one())

    async def sites(self, tenant: str) -> list[Site]:
        """All sites by name."""
        query = sa.select(sites).where(sites.c.tenant == tenant).order_by(sites.c.name)
        async with self._database.reading(tenant) as db:
            rows = (await db.execute(query)).all()
        return [Site(row.name, row.time_zone, row.hours) for row in rows]

    async def set_site(self, tenant: str, name: str, changes: Mapping[str, str | None]) -> None:
        """Make a site, or change some of it."""
        async with self._database.transaction(tenant) as db:
            await insert_missing(db, sites, {"tenant": tenant, "name": name})
            if changes:
                this = sa.and_(sites.c.tenant == tenant, sites.c.name == name)
                await db.execute(sa.update(sites).where(this).values(**changes))

    async def set_fleet(self, tenant: str, changes: Mapping[str, str | None]) -> None:
        """Change what all kiosks are told, or the time zone of sites that have none."""
        async with self._database.transaction(tenant) as db:
            this = tenants.c.name == tenant
            await db.execute(sa.update(tenants).where(this).values(**changes))

    async def instructions(self, kiosk: Kiosk, now: datetime) -> Instructions:
        """What this kiosk is told with every heartbeat: as it was a second ago, at most, for a
        fleet asks all the time."""
        orders = self._orders.get(kiosk.tenant)
        if orders is None or abs(now - orders.at) >= _ORDERS_LIVE:
            orders = self._orders[kiosk.tenant] = await self._read_orders(kiosk.tenant, now, orders)
        mine = ((Scope.FLEET, ""), (Scope.SITE, kiosk.site), (Scope.KIOSK, kiosk.name))
        under = [orders.paused[scope] for scope in mine if scope in orders.paused]
        return Instructions(
            next_s=pace(orders.kiosks).total_seconds(),
            policy=orders.policy,
            target_version=orders.target_version,
            paused=bool(under),
            cause="paused" if under else None,
            end_visit=any(under),
        )

    def waits_for(self, kiosk: Kiosk) -> bool:
        """Whether an order waits for this kiosk, as `instructions` read it."""
        orders = self._orders.get(kiosk.tenant)
        return orders is not None and kiosk.id in orders.waited_for

    async def _read_orders(self, tenant: str, now: datetime, before: _Orders | None) -> _Orders:
        columns = (tenants.c.lease_policy, tenants.c.target_version)
        fleet = sa.select(*columns).where(tenants.c.name == tenant)
        paused = sa.select(pauses).where(pauses.c.tenant == tenant)
        counted = sa.select(sa.func.count()).select_from(kiosks)
        counted = counted.where(kiosks.c.tenant == tenant, kiosks.c.revoked_at.is_(None))
        waiting = sa.select(kiosk_orders.c.kiosk_id).where(kiosk_orders.c.tenant == tenant)
        async with self._database.reading(tenant) as db:
            row = (await db.execute(fleet)).one()
            lines = (await db.execute(paused)).all()
            waited_for = frozenset((await db.execute(waiting)).scalars())
            count, counted_at = (0, None) if before is None else (before.kiosks, before.counted_at)
            if counted_at is None or abs(now - counted_at) > _RECOUNT_AFTER:
                count, counted_at = (await db.execute(counted)).scalar_one(), now
        stopped = {(Scope(line.scope), line.name): line.ends_visits for line in lines}
        orders = (row.lease_policy, row.target_version, stopped, count, counted_at, waited_for)
        return _Orders(now, *orders)

    async def assign(self, tenant: str, scope: Scope, name: str, character: str | None) -> None:
        """Whom visitors talk with there; None: as if nobody had chosen."""
        table = sites if scope is Scope.SITE else kiosks
        this = sa.and_(table.c.tenant == tenant, table.c.name == name)
        async with self._database.transaction(tenant) as db:
            await db.execute(sa.update(table).where(this).values(character=character))

    async def assigned(self, kiosk: Kiosk) -> Assigned:
        """The character of this kiosk, or of its site, and the time zone there."""
        zone = sa.func.coalesce(sites.c.time_zone, tenants.c.time_zone).label("zone")
        character = sa.func.coalesce(kiosks.c.character, sites.c.character).label("character")
        at_site = sa.and_(sites.c.tenant == kiosks.c.tenant, sites.c.name == kiosks.c.site)
        query = (
            sa.select(zone, character)
            .select_from(kiosks)
            .join(sites, at_site)
            .join(tenants, tenants.c.name == kiosks.c.tenant)
            .where(kiosks.c.tenant == kiosk.tenant, kiosks.c.id == kiosk.id)
        )
        async with self._database.reading(kiosk.tenant) as db:
            row = (await db.execute(query)).one()
        return Assigned(row.character, ZoneInfo(row.zone))


def read_limit(row: sa.Row[Any]) -> Limit:
    """A line of the table."""
    numbers = (row.minutes_per_day, row.at_once, row.presses_per_minute, row.minutes_per_visit)
    return Limit(Scope(row.scope), row.name, *numbers)


def _line(table: sa.Table, tenant: str, scope: Scope, name: str) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.tenant == tenant, table.c.scope == scope, table.c.name == name)


def _width(scope: Scope) -> int:
    return list(Scope).index(scope)
