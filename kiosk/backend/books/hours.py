"""Opening hours, as a sign on the door has them: wall-clock times of a week. No I/O, no clock.

A range that ends before it begins ends on the day after, and belongs to the day on which it begins:
a day that is closed takes its evening with it, and not the small hours of the evening before.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

EXAMPLE = "mon-fri 09:00-18:00; sat,sun 10:00-12:00,13:00-17:00; closed 2026-12-25"
HORIZON = timedelta(days=14)

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MIDNIGHT = 24 * 60
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """From one minute of the day up to another, or up to one of the day after."""

    begin: int
    end: int

    def __str__(self) -> str:
        return f"{_clock(self.begin)}-{_clock(self.end)}"

    def holds(self, minute: int) -> bool:
        """Whether it holds this minute of the day on which it begins."""
        return self.begin <= minute and (minute < self.end or self.end < self.begin)

    def holds_next(self, minute: int) -> bool:
        """Whether it holds this minute of the day after."""
        return self.end < self.begin and minute < self.end


Ranges = tuple[Range, ...]
_ALL_DAY: Ranges = (Range(0, _MIDNIGHT),)


@dataclass(frozen=True, slots=True)
class Hours:
    """The ranges of the seven days, Monday first, and the dates on which nothing opens."""

    week: tuple[Ranges, ...]
    closed: tuple[date, ...] = ()

    def __str__(self) -> str:
        clauses = [_word_for(self.week)]
        if self.closed:
            clauses.append("closed " + ",".join(day.isoformat() for day in self.closed))
        return "; ".join(clauses)

    def is_open(self, zone: tzinfo, now: datetime) -> bool:
        """Whether a clock on the wall there shows an hour that is open."""
        wall = now.astimezone(zone)
        today, minute = wall.date(), wall.hour * 60 + wall.minute
        return any(hours.holds(minute) for hours in self._beginning_on(today)) or any(
            hours.holds_next(minute) for hours in self._beginning_on(today - _DAY)
        )

    def opens_at(self, zone: tzinfo, now: datetime) -> datetime | None:
        """The first moment that is open, in UTC: now, if it is; None if there is none soon."""
        now = now.astimezone(UTC)
        if self.is_open(zone, now):
            return now
        moments = (
            moment
            for moment in (*self._beginnings(zone, now), *_changes(zone, now))
            if now <= moment <= now + HORIZON and self.is_open(zone, moment)
        )
        return min(moments, default=None)

    def _beginning_on(self, day: date) -> Ranges:
        return () if day in self.closed else self.week[day.weekday()]

    def _beginnings(self, zone: tzinfo, now: datetime) -> Iterator[datetime]:
        """Where ranges begin; twice, where the wall clock shows the time twice."""
        first = now.astimezone(zone).date() - _DAY  # clocks put back past midnight show it again
        for ahead in range(HORIZON.days + 3):
            day = first + ahead * _DAY
            for hours in self._beginning_on(day):
                for fold in (0, 1):
                    clock = time(*divmod(hours.begin, 60), tzinfo=zone, fold=fold)
                    yield datetime.combine(day, clock).astimezone(UTC)


def parse_hours(text: str) -> Hours:
    """Read `EXAMPLE`, `always` or `never`; raises ValueError that names the word that is wrong."""
    plain = re.sub(r"\s*([,-])\s*", r"\1", text.strip().lower())
    week: list[Ranges | None] = [None] * 7
    closed: set[date] = set()
    for clause in filter(None, (clause.strip() for clause in plain.split(";"))):
        words = clause.split()
        if words[0] == "closed":
            _expect(len(words) == 2, clause, "does not name its dates")
            closed.update(_date(word or words[1]) for word in words[1].split(","))
            continue
        days, ranges = _clause(words)
        for day in days:
            _expect(week[day] is None, clause, f"gives hours to {_DAYS[day]} once more")
            week[day] = ranges
    _expect(any(ranges is not None for ranges in week), text.strip(), "names no hours")
    return Hours(tuple(ranges or () for ranges in week), tuple(sorted(closed)))


def _clause(words: list[str]) -> tuple[list[int], Ranges]:
    """The days, all of them if none is named, and their ranges."""
    every_day = list(range(7))
    if words[0] in ("always", "never"):
        _expect(len(words) == 1, words[-1], f"cannot follow {words[0]}")
        return every_day, _ALL_DAY if words[0] == "always" else ()
    days, hours = (every_day, words) if words[0][0].isdigit() else (_days(words[0]), words[1:])
    _expect(bool(hours), words[0], "has no hours")
    _expect(len(hours) == 1, hours[-1], "is one word too many")
    return days, tuple(sorted({_range(word or hours[0]) for word in hours[0].split(",")}))


def _days(text: str) -> list[int]:
    days: list[int] = []
    for word in text.split(","):
        first, dash, last = word.partition("-")
        for name in (first, last) if dash else (first,):
            _expect(name in _DAYS, name or text, "is not a day")
        begin = _DAYS.index(first)
        length = (_DAYS.index(last) - begin) % 7 + 1 if dash else 1
        for day in ((begin + ahead) % 7 for ahead in range(length)):
            _expect(day not in days, text, f"names {_DAYS[day]} once more")
            days.append(day)
    return days


def _range(word: str) -> Range:
    first, dash, last = word.partition("-")
    _expect(bool(dash), word, "is not a range of hours")
    begin = _minute(first or word)
    end = _MIDNIGHT if last == "24:00" else _minute(last or word)
    _expect(begin != end, word, "ends as it begins (a whole day is 00:00-24:00)")
    return Range(begin, end)


def _minute(word: str) -> int:
    clock = _CLOCK.fullmatch(word)
    if clock is None:
        raise _mistake(word, "is not a time of day")
    return int(clock[1]) * 60 + int(clock[2])


def _date(word: str) -> date:
    try:
        if _DATE.fullmatch(word):
            return date.fromisoformat(word)
    except ValueError:  # the 30th of February
        pass
    raise _mistake(word, "is not a date")


def _expect(right: bool, word: str, what: str) -> None:
    if not right:
        raise _mistake(word, what)


def _mistake(word: str, what: str) -> ValueError:
    return ValueError(f"hours: {word!r} {what}; right is, for example: {EXAMPLE}")


def _changes(zone: tzinfo, now: datetime) -> Iterator[datetime]:
    """When the wall clock is put forward or back: it may jump into an hour that is open."""

    def offset(second: int) -> timedelta | None:
        return datetime.fromtimestamp(second, zone).utcoffset()

    day_s, start = int(_DAY.total_seconds()), int(now.timestamp())
    for before in range(start, start + HORIZON.days * day_s, day_s):
        low, high = before, before + day_s
        if offset(low) == offset(high):
            continue
        while high - low > 1:
            middle = (low + high) // 2
            if offset(middle) == offset(before):
                low = middle
            else:
                high = middle
        yield datetime.fromtimestamp(high, UTC)


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _word_for(week: tuple[Ranges, ...]) -> str:
    if all(ranges == _ALL_DAY for ranges in week):
        return "always"
    clauses = []
    for ranges in dict.fromkeys(week):
        if ranges:
            days = [day for day in range(7) if week[day] == ranges]
            clauses.append(f"{_names(days)} {','.join(map(str, ranges))}")
    return "; ".join(clauses) or "never"


def _names(days: list[int]) -> str:
    """Neighbours as `mon-wed`, from three on."""
    names: list[str] = []
    while days:
        length = 1
        while length < len(days) and days[length] == days[0] + length:
            length += 1
        length = length if length > 2 else 1
        run, days = days[:length], days[length:]
        names.append(_DAYS[run[0]] if length == 1 else f"{_DAYS[run[0]]}-{_DAYS[run[-1]]}")
    return ",".join(names)
