"""Operators of the kiosks, and what they changed. SQL, but no HTTP, no clock."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from kiosk.backend.books.database import Database
from kiosk.backend.books.schema import audit_log, operators
from kiosk.backend.tokens import OperatorToken, StreamTicket, new_id

# Who changes something with a command: whoever may read the database.
COMMAND_LINE = "command line"
_SUBJECT_LENGTH = 256


class Role(StrEnum):
    """What an operator may do; each may do what those before it may."""

    VIEWER = "viewer"  # read
    OPERATOR = "operator"  # pause and resume
    ADMIN = "admin"  # let in, shut out, change limits

    def may(self, needed: "Role") -> bool:
        """Whether this role has that one's rights."""
        roles = list(Role)
        return roles.index(self) >= roles.index(needed)


@dataclass(frozen=True, slots=True)
class Operator:
    """Whose token it is."""

    id: str
    tenant: str
    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One change."""

    at: datetime
    who: str
    action: str
    subject: str


class Operators:
    """The operators of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self, tenant: str, name: str, role: Role, token: OperatorToken, now: datetime
    ) -> bool:
        """Let an operator in; False if one of that name is in already. Who was shut out comes back
        with a new token."""
        this = sa.and_(operators.c.tenant == tenant, operators.c.name == name)
        row = {
            "id": token.credential_id,
            "tenant": tenant,
            "name": name,
            "role": role,
            "sha256": token.digest(),
            "created_at": now,
        }
        async with self._database.transaction(tenant) as db:
            found = (await db.execute(sa.select(operators).where(this))).first()
            if found is not None and found.revoked_at is None:
                return False
            await db.execute(sa.delete(operators).where(this))
            await db.execute(sa.insert(operators).values(**row))
            await record(db, tenant, COMMAND_LINE, "operator_added", f"{name} {role}", now)
        return True

    async def revoke(self, tenant: str, name: str, now: datetime) -> bool:
        """Shut an operator out, at once; False if none of that name is in."""
        this = sa.and_(
            operators.c.tenant == tenant, operators.c.name == name, operators.c.revoked_at.is_(None)
        )
        async with self._database.transaction(tenant) as db:
            done = await db.execute(sa.update(operators).where(this).values(revoked_at=now))
            if done.rowcount:
                await record(db, tenant, COMMAND_LINE, "operator_revoked", name, now)
        return done.rowcount == 1

    async def authenticate(self, token: OperatorToken) -> Operator | None:
        """Whose token this is, None if nobody's or no longer."""
        row = await self._introduced(token.credential_id)
        return _operator(row) if row is not None and token.matches(row.sha256) else None

    async def ticket(self, operator: Operator, ends_at: int) -> StreamTicket | None:
        """One for the operator's stream; None if they were shut out in this moment."""
        row = await self._introduced(operator.id)
        return None if row is None else StreamTicket.of(operator.id, row.sha256, ends_at)

    async def admit(self, ticket: StreamTicket, now: datetime) -> Operator | None:
        """Whose ticket this is, None if nobody's or no longer."""
        row = await self._introduced(ticket.credential_id)
        good = row is not None and ticket.is_good(row.sha256, now.timestamp())
        return _operator(row) if row is not None and good else None

    async def knows(self, operator: Operator) -> bool:
        """Whether the operator is in still."""
        return await self._introduced(operator.id) is not None

    async def standing(self, tenant: str) -> frozenset[str]:
        """The ids of all who are in."""
        this = sa.and_(operators.c.tenant == tenant, operators.c.revoked_at.is_(None))
        async with self._database.reading(tenant) as db:
            return frozenset((await db.execute(sa.select(operators.c.id).where(this))).scalars())

    async def _introduced(self, credential_id: str) -> sa.Row[Any] | None:
        this = sa.and_(operators.c.id == credential_id, operators.c.revoked_at.is_(None))
        async with self._database.introduction(credential_id, reads=True) as db:
            return (await db.execute(sa.select(operators).where(this))).first()

    async def record(self, tenant: str, who: str, action: str, subject: str, now: datetime) -> None:
        """Note a change."""
        async with self._database.transaction(tenant) as db:
            await record(db, tenant, who, action, subject, now)

    async def audit(self, tenant: str, limit: int) -> list[AuditLine]:
        """The latest changes, the newest first."""
        query = (
            sa.select(audit_log)
            .where(audit_log.c.tenant == tenant)
            .order_by(audit_log.c.at.desc(), audit_log.c.id)
            .limit(limit)
        )
        async with self._database.reading(tenant) as db:
            rows = (await db.execute(query)).all()
        return [AuditLine(row.at, row.who, row.action, row.subject) for row in rows]


def _operator(row: sa.Row[Any]) -> Operator:
    return Operator(row.id, row.tenant, row.name, Role(row.role))


async def record(
    db: AsyncConnection, tenant: str, who: str, action: str, subject: str, now: datetime
) -> None:
    """Note a change in the transaction that makes it."""
    row = {"id": new_id(), "tenant": tenant, "at": now, "who": who, "action": action}
    await db.execute(sa.insert(audit_log).values(**row, subject=subject[:_SUBJECT_LENGTH]))
