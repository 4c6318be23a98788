"""Whom the backend knows: kiosks with their tokens, and their sites. SQL, but no HTTP, no clock.

Every method is one transaction. A device token's secret enters as an argument and leaves as a
hash; statements hide their parameters from logs and errors.
"""

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from kiosk.backend.books.database import DEFAULT_TENANT, Database
from kiosk.backend.books.rules import FIRST_LIMITS, Kiosk, Scope
from kiosk.backend.books.schema import (
    enrolment_codes,
    kiosk_credentials,
    kiosks,
    limits,
    liveness,
    sites,
    tenant_roles,
    tenants,
)
from kiosk.backend.books.upsert import insert_missing, put
from kiosk.backend.tokens import DeviceToken, code_digest, new_id

CODE_LIFE = timedelta(minutes=10)
# After this a kiosk is asked to change its token.
TOKEN_LIFE = timedelta(days=30)

# `last_used_at` is for people, and heartbeats tell more: not worth a write at every request.
_TOUCH_AFTER = timedelta(hours=12)


class Registry:
    """The kiosks of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def knows_tenant(self, tenant: str) -> bool:
        """Whether there is such a tenant."""
        query = sa.select(tenants.c.name).where(tenants.c.name == tenant)
        async with self._database.reading(tenant) as db:
            return (await db.execute(query)).first() is not None

    async def tenants(self) -> list[str]:
        """Whom there is."""
        async with self._database.anywhere() as db:
            rows = (await db.execute(sa.select(tenants.c.name).order_by(tenants.c.name))).all()
        return [row.name for row in rows]

    async def try_writing(self, now: datetime) -> None:
        """Write a row and take it back, and commit that: only then does a full disk complain.
        Raises what every write would raise."""
        self._database.require_file()
        row = {"id": f"trial-{new_id()}", "tenant": DEFAULT_TENANT, "name": "", "site": ""}
        this = sa.and_(
            enrolment_codes.c.tenant == DEFAULT_TENANT, enrolment_codes.c.id == row["id"]
        )
        async with self._database.transaction(DEFAULT_TENANT) as db:
            await db.execute(sa.insert(enrolment_codes).values(**row, expires_at=now))
            await db.execute(sa.delete(enrolment_codes).where(this))

    async def add_tenant(self, tenant: str, role: str | None, now: datetime) -> bool:
        """Make a tenant, limited as the first one was; False if it was there. A PostgreSQL `role`
        sees its rows only, from now on."""
        async with self._database.transaction(tenant) as db:
            row = {"name": tenant, "created_at": now}
            added = await insert_missing(db, tenants, row)
            if added:
                await db.execute(sa.insert(sites).values(tenant=tenant, name=""))
                for line in FIRST_LIMITS:
                    await db.execute(sa.insert(limits).values(tenant=tenant, **line))
            if role is not None:
                await put(db, tenant_roles, [{"role": role, "tenant": tenant}])
        return added

    async def enroll(
        self, tenant: str, name: str, site: str, token: DeviceToken, now: datetime
    ) -> bool:
        """Let the kiosk `name` in with this token; False if a live kiosk has that name already.

        A revoked kiosk may be enrolled again: its visits stay, its old tokens are forgotten.
        """
        async with self._database.transaction(tenant) as db:
            return await _enroll(db, tenant, name, site, token, now)

    async def invite(self, tenant: str, name: str, site: str, code: str, now: datetime) -> bool:
        """Let whoever shows this one-time code in as `name`, for a while; False if a live kiosk has
        that name already."""
        this = sa.and_(kiosks.c.tenant == tenant, kiosks.c.name == name)
        live = sa.select(kiosks.c.id).where(this, kiosks.c.revoked_at.is_(None))
        async with self._database.transaction(tenant) as db:
            if (await db.execute(live)).first() is not None:
                return False
            old = sa.and_(enrolment_codes.c.tenant == tenant, enrolment_codes.c.name == name)
            await db.execute(sa.delete(enrolment_codes).where(old))
            row = {"id": code_digest(code), "tenant": tenant, "name": name, "site": site}
            expires_at = now + CODE_LIFE
            await db.execute(sa.insert(enrolment_codes).values(**row, expires_at=expires_at))
        return True

    async def redeem(self, code: str, token: DeviceToken, now: datetime) -> str | None:
        """Enrol the kiosk that this code is for, and tell its name; None if the code is good for
        nothing.

        A kiosk whose answer was lost may show it again, until its token is first used.
        """
        digest = code_digest(code)
        this = enrolment_codes.c.id == digest
        async with self._database.introduction(digest, reads=True) as db:
            shown = (await db.execute(sa.select(enrolment_codes).where(this))).first()
        if shown is None or shown.expires_at <= now:
            return None
        async with self._database.transaction(shown.tenant) as db:
            own = sa.and_(this, enrolment_codes.c.tenant == shown.tenant)
            locked = sa.select(enrolment_codes).where(own).with_for_update()
            row = (await db.execute(locked)).first()
            if row is None:
                return None
            if row.redeemed_at is not None and not await _replace_unused(db, row, token, now):
                return None
            if row.redeemed_at is None:
                if not await _enroll(db, row.tenant, row.name, row.site, token, now):
                    return None
                again = {**row._mapping, "redeemed_at": now}  # noqa: SLF001  its public name
                await db.execute(sa.insert(enrolment_codes).values(**again))
        name: str = row.name
        return name

    async def revoke(self, tenant: str, name: str, now: datetime) -> bool:
        """Shut the kiosk `name` out from now on; False if no live kiosk has that name."""
        live = sa.and_(
            kiosks.c.tenant == tenant, kiosks.c.name == name, kiosks.c.revoked_at.is_(None)
        )
        async with self._database.transaction(tenant) as db:
            await _withdraw_codes(db, tenant, name)
            done = await db.execute(sa.update(kiosks).where(live).values(revoked_at=now))
        return done.rowcount == 1

    async def rotate(
        self, kiosk: Kiosk, used: DeviceToken, new: DeviceToken, now: datetime
    ) -> None:
        """Give the kiosk a second token. The one it `used` opens until the new one is first used;
        one that was given before and never used is forgotten."""
        unused = sa.and_(
            _credentials(kiosk.tenant, kiosk.id),
            kiosk_credentials.c.id != used.credential_id,
            kiosk_credentials.c.last_used_at.is_(None),
        )
        async with self._database.transaction(kiosk.tenant) as db:
            await _lock(db, kiosk.tenant, kiosk.id)
            await db.execute(sa.delete(kiosk_credentials).where(unused))
            await _add(db, kiosk.tenant, kiosk.id, new, now)

    async def knows(self, tenant: str, scope: Scope, name: str) -> bool:
        """Whether a kiosk or a site has that name; the fleet is always known."""
        if scope is Scope.FLEET:
            return not name
        table = sites if scope is Scope.SITE else kiosks
        query = sa.select(table.c.name).where(table.c.tenant == tenant, table.c.name == name)
        async with self._database.reading(tenant) as db:
            return (await db.execute(query)).first() is not None

    async def authenticate(self, token: DeviceToken, now: datetime) -> Kiosk | None:
        """Whose token this is, None if nobody's; notes when it was last used.

        The first use of a token that replaces another ends the other.
        """
        database, credential_id = self._database, token.credential_id
        async with database.introduction(credential_id, reads=True) as db:
            shown = (await db.execute(_CREDENTIAL, {"credential_id": credential_id})).first()
            if shown is None or not token.matches(shown.sha256):
                return None
            await database.enter(db, shown.tenant)
            whose = {"tenant": shown.tenant, "kiosk_id": shown.kiosk_id}
            row = (await db.execute(_KIOSK, whose)).one()
            is_old = now - shown.created_at > TOKEN_LIFE
            revoked = row.revoked_at is not None
            kiosk = Kiosk(row.id, row.tenant, row.name, row.site, revoked, is_old)
        last = shown.last_used_at
        if not kiosk.revoked and (last is None or abs(now - last) >= _TOUCH_AFTER):
            async with database.transaction(kiosk.tenant) as db:
                await _note_use(db, kiosk, credential_id, last is None, now)
        return kiosk


async def _enroll(
    db: AsyncConnection, tenant: str, name: str, site: str, token: DeviceToken, now: datetime
) -> bool:
    this = sa.and_(kiosks.c.tenant == tenant, kiosks.c.name == name)
    found = (await db.execute(sa.select(kiosks).where(this))).first()
    if found is not None and found.revoked_at is None:
        return False
    await _withdraw_codes(db, tenant, name)
    await insert_missing(db, sites, {"tenant": tenant, "name": site})
    kiosk_id = found.id if found is not None else new_id()
    if found is None:
        row = {"id": kiosk_id, "tenant": tenant, "name": name, "site": site}
        await db.execute(sa.insert(kiosks).values(**row, created_at=now))
    else:
        old = _credentials(tenant, kiosk_id)
        await db.execute(sa.delete(kiosk_credentials).where(old))
        again = sa.update(kiosks).where(this).values(site=site, revoked_at=None)
        await db.execute(again)
        # What its last token did is not held against the new one.
        mine = sa.and_(liveness.c.tenant == tenant, liveness.c.kiosk_id == kiosk_id)
        await db.execute(sa.delete(liveness).where(mine))
    await _add(db, tenant, kiosk_id, token, now)
    return True


async def _withdraw_codes(db: AsyncConnection, tenant: str, name: str) -> None:
    """Who was let in or shut out otherwise is not let in by a code that was given before."""
    this = sa.and_(enrolment_codes.c.tenant == tenant, enrolment_codes.c.name == name)
    await db.execute(sa.delete(enrolment_codes).where(this))


async def _replace_unused(
    db: AsyncConnection, code: sa.Row[Any], token: DeviceToken, now: datetime
) -> bool:
    """Another token for a kiosk that has never used its first; False if it has."""
    this = sa.and_(kiosks.c.tenant == code.tenant, kiosks.c.name == code.name)
    kiosk = (await db.execute(sa.select(kiosks).where(this))).first()
    if kiosk is None or kiosk.revoked_at is not None:
        return False
    await _lock(db, code.tenant, kiosk.id)
    own = _credentials(code.tenant, kiosk.id)
    used = sa.select(kiosk_credentials.c.id).where(
        own, kiosk_credentials.c.last_used_at.is_not(None)
    )
    if (await db.execute(used)).first() is not None:
        return False
    await db.execute(sa.delete(kiosk_credentials).where(own))
    await _add(db, code.tenant, kiosk.id, token, now)
    return True


async def _add(
    db: AsyncConnection, tenant: str, kiosk_id: str, token: DeviceToken, now: datetime
) -> None:
    credential = {
        "id": token.credential_id,
        "tenant": tenant,
        "kiosk_id": kiosk_id,
        "sha256": token.digest(),
        "created_at": now,
    }
    await db.execute(sa.insert(kiosk_credentials).values(credential))


async def _note_use(
    db: AsyncConnection, kiosk: Kiosk, credential_id: str, first: bool, now: datetime
) -> None:
    own = _credentials(kiosk.tenant, kiosk.id)
    await _lock(db, kiosk.tenant, kiosk.id)
    this = sa.and_(own, kiosk_credentials.c.id == credential_id)
    done = await db.execute(sa.update(kiosk_credentials).where(this).values(last_used_at=now))
    # One that was replaced meanwhile ends no other.
    if first and done.rowcount == 1:
        others = sa.and_(own, kiosk_credentials.c.id != credential_id)
        await db.execute(sa.delete(kiosk_credentials).where(others))


async def _lock(db: AsyncConnection, tenant: str, kiosk_id: str) -> None:
    """Whatever else is done about this kiosk's tokens waits."""
    this = sa.and_(kiosks.c.tenant == tenant, kiosks.c.id == kiosk_id)
    await db.execute(sa.select(kiosks.c.id).where(this).with_for_update(key_share=True))


def _credentials(tenant: str, kiosk_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(kiosk_credentials.c.tenant == tenant, kiosk_credentials.c.kiosk_id == kiosk_id)


# Asked with every request, and made once: to make a statement costs more than to run it.
_CREDENTIAL = sa.select(kiosk_credentials).where(
    kiosk_credentials.c.id == sa.bindparam("credential_id")
)
_KIOSK = sa.select(kiosks).where(
    kiosks.c.tenant == sa.bindparam("tenant"), kiosks.c.id == sa.bindparam("kiosk_id")
)
