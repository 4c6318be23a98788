"""Liveness of the kiosks: their last heartbeats. SQL, but no HTTP, no clock.

Only a kiosk's own heartbeat moves its line. Heartbeats are gathered and written together every few
seconds; one that is lost with the process is told again by the next.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from kiosk.backend.books.database import PATIENT_S, Database
from kiosk.backend.books.rules import Kiosk, pace
from kiosk.backend.books.schema import kiosks, liveness, tenants
from kiosk.backend.books.upsert import put
from kiosk.contract import Heartbeat

# How many heartbeats may be missed: they are late by a fifth of their time, and one may be lost.
_STALE_AFTER, _OFFLINE_AFTER = 3, 8
# Rows of one statement: SQLite takes 32766 values.
_AT_ONCE = 500


class Presence(StrEnum):
    """Whether a kiosk is there."""

    NEVER_SEEN = "never_seen"
    ONLINE = "online"
    STALE = "stale"
    OFFLINE = "offline"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class KioskLine:
    """One kiosk, as an operator sees it."""

    name: str
    site: str
    presence: Presence
    character: str | None
    seen_at: datetime | None = None
    state: str | None = None
    cause: str | None = None
    version: str | None = None
    counters: Mapping[str, float] | None = None
    cloned_at: datetime | None = None
    target_version: str | None = None  # what the fleet should run, if an operator has said so

    @property
    def differs(self) -> bool:
        """Whether it runs another version than it should, by the last that was heard of it."""
        known = None not in (self.version, self.target_version)
        return known and self.version != self.target_version and self.presence != Presence.REVOKED


class Liveness:
    """The kiosks of one database; heartbeats wait in memory for `flush`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[tuple[str, str], tuple[Heartbeat, datetime]] = {}

    def beat(self, kiosk: Kiosk, heartbeat: Heartbeat, now: datetime) -> None:
        """Take a heartbeat."""
        self._waiting[kiosk.tenant, kiosk.id] = heartbeat, now

    async def flush(self) -> list[tuple[str, str]]:
        """Write what waits; tenant and id of the kiosks that are not as they were. What cannot be
        written waits on."""
        waiting, self._waiting = self._waiting, {}
        changed = []
        try:
            for tenant in sorted({tenant for tenant, _ in waiting}):
                beats = {kiosk: beat for (of, kiosk), beat in waiting.items() if of == tenant}
                names = sorted(beats)  # one order for every process: no two wait for each other
                for at in range(0, len(names), _AT_ONCE):
                    part = {name: beats[name] for name in names[at : at + _AT_ONCE]}
                    async with self._database.transaction(tenant, within_s=PATIENT_S) as db:
                        changed += [(tenant, name) for name in await _write(db, tenant, part)]
                    for name in part:
                        del waiting[tenant, name]
        finally:
            self._waiting = waiting | self._waiting
        return changed

    async def kiosks(self, tenant: str, now: datetime) -> list[KioskLine]:
        """Every kiosk by name, those that wait for `flush` as they were before."""
        query = _lines().where(kiosks.c.tenant == tenant).order_by(kiosks.c.name)
        async with self._database.reading(tenant, within_s=PATIENT_S) as db:
            rows = (await db.execute(query)).all()
        every = pace(sum(row.revoked_at is None for row in rows))
        return [_line(row, now, every) for row in rows]

    async def presences(self, tenant: str, now: datetime) -> dict[Presence, int]:
        """How many are there, stale, offline and so on: counted by the database, for a fleet's
        lines are many."""
        at = sa.and_(liveness.c.tenant == kiosks.c.tenant, liveness.c.kiosk_id == kiosks.c.id)
        here = sa.select(sa.func.count()).select_from(kiosks).where(kiosks.c.tenant == tenant)
        live = here.where(kiosks.c.revoked_at.is_(None))
        seen = live.join(liveness, at)
        async with self._database.reading(tenant, within_s=PATIENT_S) as db:
            total = (await db.execute(here)).scalar_one()
            admitted = (await db.execute(live)).scalar_one()
            every = pace(admitted)
            since = [
                (await db.execute(seen.where(liveness.c.seen_at >= moment))).scalar_one()
                for moment in (now - _STALE_AFTER * every, now - _OFFLINE_AFTER * every)
            ]
            ever = (await db.execute(seen)).scalar_one()
        return {
            Presence.NEVER_SEEN: admitted - ever,
            Presence.ONLINE: since[0],
            Presence.STALE: since[1] - since[0],
            Presence.OFFLINE: ever - since[1],
            Presence.REVOKED: total - admitted,
        }

    async def last_sign(self, tenant: str) -> datetime | None:
        """When any kiosk was heard of last; None if none ever was."""
        query = sa.select(sa.func.max(liveness.c.seen_at)).where(liveness.c.tenant == tenant)
        async with self._database.reading(tenant, within_s=PATIENT_S) as db:
            found: datetime | None = (await db.execute(query)).scalar_one()
        return found

    async def kiosk(self, tenant: str, kiosk_id: str, now: datetime) -> KioskLine | None:
        """One kiosk; None if the tenant has no such."""
        query = _lines().where(kiosks.c.tenant == tenant, kiosks.c.id == kiosk_id)
        async with self._database.reading(tenant) as db:
            row = (await db.execute(query)).first()
        # Somebody watches it change: it has just been heard of.
        return None if row is None else _line(row, now, pace(0))


def _lines() -> sa.Select[Any]:
    at = sa.and_(liveness.c.tenant == kiosks.c.tenant, liveness.c.kiosk_id == kiosks.c.id)
    columns = (kiosks.c.name, kiosks.c.site, kiosks.c.revoked_at, kiosks.c.character)
    query = sa.select(*columns, tenants.c.target_version, liveness).select_from(kiosks)
    return query.join(tenants, tenants.c.name == kiosks.c.tenant).outerjoin(liveness, at)


def _line(row: sa.Row[Any], now: datetime, every: timedelta) -> KioskLine:
    return KioskLine(
        row.name,
        row.site,
        _presence(row.revoked_at is not None, row.seen_at, now, every),
        row.character,
        row.seen_at,
        row.state,
        row.cause,
        row.version,
        row.counters,
        row.cloned_at,
        row.target_version,
    )


def _presence(revoked: bool, seen_at: datetime | None, now: datetime, every: timedelta) -> Presence:
    if revoked:
        return Presence.REVOKED
    if seen_at is None:
        return Presence.NEVER_SEEN
    missed = (now - seen_at) / every
    if missed > _OFFLINE_AFTER:
        return Presence.OFFLINE
    return Presence.STALE if missed > _STALE_AFTER else Presence.ONLINE


async def _write(
    db: AsyncConnection, tenant: str, beats: Mapping[str, tuple[Heartbeat, datetime]]
) -> list[str]:
    """Which kiosks are not as they were."""
    mine = sa.and_(liveness.c.tenant == tenant, liveness.c.kiosk_id.in_(beats))
    query = sa.select(liveness).where(mine).order_by(liveness.c.kiosk_id).with_for_update()
    before = {row.kiosk_id: row for row in (await db.execute(query)).all()}
    rows, changed = [], []
    for kiosk_id, (beat, now) in beats.items():
        known = before.get(kiosk_id)
        earlier, cloned_at = None, None
        if known is not None:
            earlier, cloned_at = known.earlier_boot_id, known.cloned_at
            if known.boot_id != beat.boot_id:
                # A boot that comes back after another one was seen: they take turns.
                cloned_at = now if earlier == beat.boot_id else cloned_at
                earlier = known.boot_id
        if known is None or (known.state, known.cause) != (beat.state, beat.cause):
            changed.append(kiosk_id)
        rows.append(
            {
                "tenant": tenant,
                "kiosk_id": kiosk_id,
                "seen_at": now,
                "boot_id": beat.boot_id,
                "earlier_boot_id": earlier,
                "sequence": beat.sequence,
                "state": beat.state,
                "cause": beat.cause,
                "version": beat.version,
                "counters": beat.counters,
                "cloned_at": cloned_at,
            }
        )
    await put(db, liveness, rows)
    return changed
