"""Talks of a mind's script: where each stands, and the handout that was made of it. SQL, but no
HTTP, no clock.

What a visitor told is in them: it is forgotten when its time is over.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from kiosk.backend.books.database import Database
from kiosk.backend.books.schema import conversations, talks, visits
from kiosk.backend.books.upsert import put
from kiosk.convai.fields import Json


@dataclass(frozen=True, slots=True)
class TalkPlace:
    """Whose talk a conversation is. `standing`: how it stood where an earlier conversation of the
    same press broke off; None: it begins here. `keep_until`: a handout was made already, and was
    promised until then."""

    tenant: str
    visit_id: str
    standing: Mapping[str, Json] | None = None
    keep_until: datetime | None = None


class Talks:
    """The talks of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def place(self, conversation_id: str, now: datetime) -> TalkPlace | None:
        """Where a conversation belongs; None if no kiosk has a credential for it."""
        this = conversations.c.id == conversation_id
        whose = sa.select(conversations.c.tenant, conversations.c.visit_id).where(this)
        async with self._database.introduction(conversation_id, reads=True) as db:
            found = (await db.execute(whose)).first()
            if found is None:
                return None
            await self._database.enter(db, found.tenant)
            earlier = (await db.execute(_earlier(found.tenant, found.visit_id, now))).scalar()
            own = sa.select(talks.c.handout, talks.c.forget_at).where(
                talks.c.tenant == found.tenant, talks.c.visit_id == found.visit_id
            )
            made = (await db.execute(own)).first()
        keep_until = made.forget_at if made is not None and made.handout is not None else None
        return TalkPlace(found.tenant, found.visit_id, earlier, keep_until)

    async def keep(
        self,
        place: TalkPlace,
        standing: Mapping[str, Json],
        handout: Mapping[str, Json] | None,
        now: datetime,
        forget_at: datetime,
    ) -> None:
        """How it stands now; a handout that was made before stays."""
        row = {
            "tenant": place.tenant, "visit_id": place.visit_id, "standing": dict(standing),
            "told_at": now, "forget_at": forget_at,
        }  # fmt: skip
        if handout is not None:
            row["handout"] = dict(handout)
        async with self._database.transaction(place.tenant) as db:
            await put(db, talks, [row])

    async def handout(
        self, tenant: str, visit_id: str, now: datetime
    ) -> tuple[Any, datetime] | None:
        """What was made for the visitor, and until when it is kept; None: nothing, or no more."""
        columns = (talks.c.handout, talks.c.forget_at)
        query = sa.select(*columns).where(
            talks.c.tenant == tenant, talks.c.visit_id == visit_id, talks.c.forget_at > now
        )
        async with self._database.reading(tenant) as db:
            found = (await db.execute(query)).first()
        return None if found is None or found.handout is None else (found.handout, found.forget_at)

    async def forget(self, tenant: str, now: datetime) -> None:
        """Those whose time is over."""
        over = sa.and_(talks.c.tenant == tenant, talks.c.forget_at <= now)
        async with self._database.transaction(tenant) as db:
            await db.execute(sa.delete(talks).where(over))


def _earlier(tenant: str, visit_id: str, now: datetime) -> sa.Select[Any]:
    """How the talk stood in the newest other visit of the same press at the same kiosk: to a
    kiosk, a conversation that it opens anew is another visit."""
    other = visits.alias("other")
    same_press = sa.and_(
        other.c.tenant == tenant,
        other.c.kiosk_id == visits.c.kiosk_id,
        other.c.press_id == visits.c.press_id,
        other.c.id != visits.c.id,
    )
    return (
        sa.select(talks.c.standing)
        .select_from(visits)
        .join(other, same_press)
        .join(talks, sa.and_(talks.c.tenant == tenant, talks.c.visit_id == other.c.id))
        .where(visits.c.tenant == tenant, visits.c.id == visit_id, talks.c.forget_at > now)
        .order_by(talks.c.told_at.desc())
        .limit(1)
    )
