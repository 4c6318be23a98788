"""Costs by day, kiosk or site, and what a month will have cost. SQL, but no HTTP, no clock.

A cost is the provider's own word, in its credits; what it has not told yet is not guessed. A day is
the one that the site had when the visit began.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from kiosk.backend.books.database import PATIENT_S, Database
from kiosk.backend.books.history import VisitChoice
from kiosk.backend.books.ledger import USED
from kiosk.backend.books.schema import conversations, kiosks, visits

_LONGEST_DAYS = 366
_YEARS = 1970, 9998

_DAY = timedelta(days=1)
_LOOK_BACK = timedelta(days=28)  # four of each weekday


class CostBy(StrEnum):
    """What a line of costs stands for."""

    DAY = "day"
    KIOSK = "kiosk"
    SITE = "site"


@dataclass(frozen=True, slots=True)
class CostLine:
    """What a day, a kiosk or a site cost: `name` is a date (ISO 8601), or a name. `seconds` and
    `cost` (credits) are the provider's; of `unpriced` visits it has told no cost."""

    name: str
    visits: int
    seconds: float
    cost: float
    unpriced: int


@dataclass(frozen=True, slots=True)
class Days:
    """Days from `since` on and before `until`. Raises ValueError for none, or too many."""

    since: date
    until: date

    def __post_init__(self) -> None:
        fits = _YEARS[0] <= self.since.year and self.until.year <= _YEARS[1]
        if not fits or not 1 <= (self.until - self.since).days <= _LONGEST_DAYS:
            raise ValueError(
                f"from {self.since} until before {self.until}: "
                f"costs are told of 1 to {_LONGEST_DAYS} days"
            )

    def conditions(self) -> Iterator[sa.ColumnElement[bool]]:
        """As the database asks: exactly, and so that it finds them by its index. No zone's day
        begins more than a day apart from UTC's."""
        yield visits.c.charged_on >= self.since
        yield visits.c.charged_on < self.until
        begun = VisitChoice(since=_midnight(self.since - _DAY), until=_midnight(self.until + _DAY))
        yield from begun.conditions()


@dataclass(frozen=True, slots=True)
class Month:
    """What this month cost so far, and will have cost, in credits; no forecast before one whole day
    is known."""

    cost: float
    forecast: float | None


@dataclass(frozen=True, slots=True)
class CostReport:
    """Lines of costs, and the month they are held against; `budget` (`unit`) is a month's, None
    without one."""

    by: CostBy
    since: date
    until: date
    lines: list[CostLine]
    month: Month
    budget: int | None
    unit: str = "credits"


class Costs:
    """The costs in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def lines(self, tenant: str, by: CostBy, days: Days) -> list[CostLine]:
        """A line for each day, kiosk or site that had visits, in the order of their names."""
        query = _lines(_COLUMNS[by], visits.c.tenant == tenant, *days.conditions())
        async with self._database.reading(tenant, within_s=PATIENT_S) as db:
            rows = (await db.execute(query)).all()
        return [CostLine(str(name), *figures) for name, *figures in rows]

    async def month(self, tenant: str, today: date) -> Month:
        """The month of this day."""
        so_far = month_so_far(today)
        days = Days(min(so_far.since, today - _LOOK_BACK), so_far.until)
        lines = await self.lines(tenant, CostBy.DAY, days)
        return forecast({date.fromisoformat(line.name): line.cost for line in lines}, today)

    async def report(
        self, tenant: str, by: CostBy, days: Days, today: date, budget: int
    ) -> CostReport:
        """All of it; a budget of 0 is none."""
        lines = await self.lines(tenant, by, days)
        month = await self.month(tenant, today)
        return CostReport(by, days.since, days.until, lines, month, budget or None)


def month_so_far(today: date) -> Days:
    """Which days are told if nobody chooses; where the clock is ahead, tomorrow has begun."""
    return Days(today.replace(day=1), today + 2 * _DAY)


def forecast(cost_of: Mapping[date, float], today: date) -> Month:
    """What is reckoned with for each day that is left is the mean of its weekday in the last 28
    whole days, or since the first day in them that cost anything; of a weekday that was not in them
    yet, the mean of all. Today costs at least what it has cost already."""
    first = today.replace(day=1)
    following = (first + 31 * _DAY).replace(day=1)
    so_far = sum((cost for day, cost in cost_of.items() if first <= day < following), 0.0)
    past = [today - ago * _DAY for ago in range(_LOOK_BACK.days, 0, -1)]
    began = min((day for day in past if cost_of.get(day)), default=None)
    if began is None:
        return Month(so_far, None)
    known = [day for day in past if day >= began]

    def expected(day: date) -> float:
        same = [each for each in known if each.weekday() == day.weekday()] or known
        return sum(cost_of.get(each, 0.0) for each in same) / len(same)

    left = [today + ahead * _DAY for ahead in range((following - today).days)]
    more = sum(max(0.0, expected(day) - cost_of.get(day, 0.0)) for day in left)
    return Month(so_far, so_far + more)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


_COLUMNS: dict[CostBy, sa.Column[Any]] = {
    CostBy.DAY: visits.c.charged_on,
    CostBy.KIOSK: kiosks.c.name,
    CostBy.SITE: kiosks.c.site,
}


def _lines(column: sa.Column[Any], *chosen: sa.ColumnElement[bool]) -> sa.Select[Any]:
    had = conversations
    same = sa.and_(had.c.tenant == visits.c.tenant, had.c.visit_id == visits.c.id)
    # A visit may have several conversations, and is one all the same.
    each = (
        sa.select(
            column.label("name"),
            sa.func.sum(had.c.duration_s).label("seconds"),
            sa.func.sum(had.c.cost).label("cost"),
        )
        .join_from(visits, kiosks, visits.c.kiosk_id == kiosks.c.id)
        .outerjoin(had, same)
        .where(visits.c.state.in_(USED), *chosen)
        .group_by(visits.c.id, column)
        .subquery("each")
    )
    count = sa.func.count()
    return (
        sa.select(
            each.c.name,
            count,
            sa.func.coalesce(sa.func.sum(each.c.seconds), 0.0),
            sa.func.coalesce(sa.func.sum(each.c.cost), 0.0),
            count - sa.func.count(each.c.cost),
        )
        .group_by(each.c.name)
        .order_by(each.c.name)
    )
