"""Lets the kiosks of a simulation in, all at once, in a tenant of their own. SQL, but no HTTP.

Their tokens are made here and kept in memory. What an earlier simulation left is forgotten; where
anybody else's kiosks are, nothing is simulated.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from kiosk.backend.books.admission import USUAL_VISIT_S
from kiosk.backend.books.rules import Scope
from kiosk.backend.books.schema import (
    buckets,
    conversation_events,
    conversations,
    kiosk_credentials,
    kiosks,
    liveness,
    sites,
    usage,
    visits,
)
from kiosk.backend.books.store import Store
from kiosk.backend.books.upsert import put
from kiosk.backend.tokens import DeviceToken, new_id
from kiosk.errors import ConfigError

TENANT = "simulation"

_A_SITE = 20  # kiosks
# Rows of one statement: SQLite takes 32766 values.
_AT_ONCE = 1000
# High rather than none, so that everything is counted as it is for a real fleet.
_HIGH = 1_000_000
_USED_BEFORE = timedelta(hours=1)
_FORGOTTEN = (conversation_events, conversations, visits, usage, buckets, liveness)


@dataclass(frozen=True, slots=True)
class PlayedFleet:
    """One kiosk of the simulation; `visit_id` is the visit that it holds already."""

    name: str
    token: DeviceToken
    visit_id: str | None = None


async def let_in(store: Store, count: int, under_way: int, now: datetime) -> list[PlayedFleet]:
    """So many kiosks, the first of them in the middle of a visit. Raises ConfigError where other
    kiosks are."""
    await _refuse_others(store)
    await store.registry.add_tenant(TENANT, None, now)
    lifted = {"at_once": _HIGH, "presses_per_minute": _HIGH}
    await store.rules.set_limit(TENANT, Scope.FLEET, "", lifted)
    lifted = {"minutes_per_day": _HIGH, "presses_per_minute": _HIGH}
    await store.rules.set_limit(TENANT, Scope.KIOSK, "", lifted)
    async with store.database.transaction(TENANT) as db:
        for table in (*_FORGOTTEN, kiosk_credentials):
            await db.execute(sa.delete(table).where(table.c.tenant == TENANT))
        ids = await _kiosks(db, count, now)
        tokens = {name: DeviceToken.new() for name in ids}
        # Used before, or the first use of every token would be measured.
        used_at = now - _USED_BEFORE
        rows = [
            {
                "id": token.credential_id,
                "tenant": TENANT,
                "kiosk_id": ids[name],
                "sha256": token.digest(),
                "created_at": now,
                "last_used_at": used_at,
            }
            for name, token in tokens.items()
        ]
        await _insert(db, kiosk_credentials, rows)
        held = await _begin(db, dict(list(ids.items())[:under_way]), now)
    return [PlayedFleet(name, token, held.get(name)) for name, token in tokens.items()]


async def _refuse_others(store: Store) -> None:
    for tenant in await store.registry.tenants():
        query = sa.select(kiosks.c.id).where(kiosks.c.tenant == tenant).limit(1)
        async with store.database.transaction(tenant) as db:
            taken = (await db.execute(query)).first() is not None
        if taken and tenant != TENANT:
            raise ConfigError(
                f"the database has kiosks of the tenant {tenant}: simulate in a database "
                "that has none (`kiosk backend init` makes one)"
            )


def _site(number: int) -> str:
    return f"site-{number // _A_SITE:05}"


async def _kiosks(db: AsyncConnection, count: int, now: datetime) -> dict[str, str]:
    """The ids of so many kiosks by name, made unless an earlier simulation made them."""
    query = sa.select(sites.c.name).where(sites.c.tenant == TENANT)
    there = {row.name for row in (await db.execute(query)).all()}
    named = dict.fromkeys(_site(number) for number in range(count))
    missing = [{"tenant": TENANT, "name": name} for name in named if name not in there]
    await _insert(db, sites, missing)
    known = sa.select(kiosks.c.name, kiosks.c.id).where(kiosks.c.tenant == TENANT)
    ids = {row.name: row.id for row in (await db.execute(known)).all()}
    wanted = {f"kiosk-{number:05}": number for number in range(count)}
    rows = [
        {
            "id": new_id(),
            "tenant": TENANT,
            "name": name,
            "site": _site(number),
            "created_at": now,
        }
        for name, number in wanted.items()
        if name not in ids
    ]
    await _insert(db, kiosks, rows)
    ids |= {str(row["name"]): str(row["id"]) for row in rows}
    return {name: ids[name] for name in wanted}


async def _begin(db: AsyncConnection, ids: Mapping[str, str], now: datetime) -> dict[str, str]:
    """A visit that is open and charged for each of these kiosks."""
    rows = [
        {
            "id": new_id(),
            "tenant": TENANT,
            "kiosk_id": kiosk_id,
            "request_id": f"before-{name}",
            "minted_at": now,
            "expires_at": now + timedelta(minutes=15),
            "state": "live",
            "press_id": press_of(name),
            "admitted_at": now,
            "charged_s": USUAL_VISIT_S,
            "charged_on": now.date(),
        }
        for name, kiosk_id in ids.items()
    ]
    await _insert(db, visits, rows)
    charged: dict[tuple[Scope, str], float] = {}
    for number, name in enumerate(ids):
        for key in ((Scope.FLEET, ""), (Scope.SITE, _site(number)), (Scope.KIOSK, name)):
            charged[key] = charged.get(key, 0.0) + USUAL_VISIT_S
    lines = [
        {"tenant": TENANT, "scope": scope, "name": name, "day": now.date(), "seconds": seconds}
        for (scope, name), seconds in charged.items()
    ]
    for part in _parts(lines):
        await put(db, usage, part)
    return {name: str(row["id"]) for name, row in zip(ids, rows, strict=True)}


def press_of(name: str) -> str:
    """The press that began the visit which a kiosk holds before the run."""
    return f"press-before-{name}"


async def _insert(
    db: AsyncConnection, table: sa.Table, rows: Sequence[Mapping[str, object]]
) -> None:
    for part in _parts(rows):
        await db.execute(sa.insert(table), part)


def _parts(rows: Sequence[Mapping[str, object]]) -> Iterator[list[Mapping[str, object]]]:
    for at in range(0, len(rows), _AT_ONCE):
        yield list(rows[at : at + _AT_ONCE])
