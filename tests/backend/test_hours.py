"""The sign on the door, on ordinary days and on those when the clocks change."""

import re
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kiosk.backend.books.hours import EXAMPLE, HORIZON, Hours, Range, parse_hours

BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")
KOLKATA = ZoneInfo("Asia/Kolkata")
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def at(zone: ZoneInfo, text: str, fold: int = 0) -> datetime:
    """The moment at which the wall clock there shows this."""
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).astimezone(UTC)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("mon-fri 09:00-18:00; sat,sun 10:00-17:00; closed 2026-12-25", None),
        (EXAMPLE, None),
        ("always", None),
        ("never", None),
        ("always; closed 2026-12-25", None),
        ("thu-sat 20:00-02:00", None),
        ("mon 00:00-24:00", None),
        ("mon,wed-fri,sun 09:00-12:00", None),
        ("09:00-12:00,13:00-17:00", "mon-sun 09:00-12:00,13:00-17:00"),
        ("mon-sun 00:00-24:00", "always"),
        ("closed 2026-12-26,2026-12-25,2026-12-25; always", "always; closed 2026-12-25,2026-12-26"),
        ("sat-mon 13:00-17:00 , 09:00 - 12:00;", "mon,sat,sun 09:00-12:00,13:00-17:00"),
        ("  MON - Tue 09:00-18:00 ", "mon,tue 09:00-18:00"),
        ("sun 09:00-10:00; mon 09:00-10:00", "mon,sun 09:00-10:00"),
    ],
)
def test_hours_are_read_and_written(text: str, written: str | None) -> None:
    hours = parse_hours(text)
    assert str(hours) == (written or text)
    assert parse_hours(str(hours)) == hours


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "''"),
        (" ; ", "';'"),
        ("closed 2026-12-25", "'closed 2026-12-25'"),
        ("monday 09:00-18:00", "'monday'"),
        ("mon-,tue 09:00-18:00", "'mon-,tue'"),
        ("mon-fri-sat 09:00-18:00", "'fri-sat'"),
        ("mon,,tue 09:00-18:00", "'mon,,tue'"),
        ("mon,mon 09:00-18:00", "'mon,mon'"),
        ("mon-fri,wed 09:00-18:00", "'mon-fri,wed'"),
        ("mon-fri", "'mon-fri'"),
        ("mon 9:00-18:00", "'9:00'"),
        ("mon 09:00", "'09:00'"),
        ("mon 09:00-", "'09:00-'"),
        ("mon 09:00-12:00,", "'12:00,'"),
        ("always; closed 2026-12-25,", "'2026-12-25,'"),
        ("mon 09:00-18:60", "'18:60'"),
        ("mon 24:00-02:00", "'24:00'"),
        ("mon 09:00-25:00", "'25:00'"),
        ("mon 09:00-09:00", "'09:00-09:00'"),
        ("mon ٠٩:00-18:00", "'٠٩:00'"),
        ("mon 09:00-18:00 20:00-22:00", "'20:00-22:00'"),
        ("mon 09:00-12:00; mon-fri 13:00-17:00", "'mon-fri 13:00-17:00'"),
        ("always; mon 09:00-12:00", "'mon 09:00-12:00'"),
        ("always never", "'never'"),
        ("closed; always", "'closed'"),
        ("always; closed 25.12.2026", "'25.12.2026'"),
        ("always; closed 20261225", "'20261225'"),
        ("always; closed 2026-02-30", "'2026-02-30'"),
        ("always; closed 2026-12-25 2026-12-26", "'closed 2026-12-25 2026-12-26'"),
    ],
)
def test_the_wrong_word_is_named_and_a_right_one_shown(text: str, word: str) -> None:
    with pytest.raises(ValueError, match=f"^hours: {re.escape(word)} ") as caught:
        parse_hours(text)
    assert str(caught.value).endswith(EXAMPLE)


@given(st.text(alphabet="mon-fritue,; 0123456789:always", max_size=30) | st.text(max_size=30))
def test_junk_is_no_hours_and_no_other_error(text: str) -> None:
    try:
        hours = parse_hours(text)
    except ValueError:
        return
    assert parse_hours(str(hours)) == hours


def test_an_ordinary_week() -> None:
    hours = parse_hours(EXAMPLE)
    # Monday, the 23rd of November.
    assert not hours.is_open(BERLIN, at(BERLIN, "2026-11-23T08:59:59"))
    assert hours.is_open(BERLIN, at(BERLIN, "2026-11-23T09:00"))
    assert hours.is_open(BERLIN, at(BERLIN, "2026-11-23T17:59:59"))
    assert not hours.is_open(BERLIN, at(BERLIN, "2026-11-23T18:00"))
    assert not hours.is_open(BERLIN, at(BERLIN, "2026-11-28T12:30"))
    friday_evening = at(BERLIN, "2026-11-27T18:00")
    assert hours.opens_at(BERLIN, friday_evening) == at(BERLIN, "2026-11-28T10:00")
    # It is open in one zone and closed in another.
    noon = utc("2026-11-23T12:00")
    assert (hours.is_open(BERLIN, noon), hours.is_open(NEW_YORK, noon)) == (True, False)
    assert hours.opens_at(NEW_YORK, noon) == utc("2026-11-23T14:00")
    assert hours.opens_at(KOLKATA, utc("2026-11-23T12:31")) == utc("2026-11-24T03:30")


def test_what_is_open_opens_now() -> None:
    noon = at(BERLIN, "2026-11-23T12:00:01")
    assert parse_hours(EXAMPLE).opens_at(BERLIN, noon) == noon
    assert parse_hours("always").opens_at(BERLIN, noon) == noon
    opened = parse_hours("always").opens_at(BERLIN, noon.astimezone(NEW_YORK))
    assert opened is not None
    assert opened.tzinfo is UTC


def test_a_closed_day_takes_its_evening_and_not_the_one_before() -> None:
    hours = parse_hours("20:00-02:00; closed 2026-12-25")
    assert hours.is_open(BERLIN, at(BERLIN, "2026-12-25T01:59"))
    assert not hours.is_open(BERLIN, at(BERLIN, "2026-12-25T02:00"))
    assert not hours.is_open(BERLIN, at(BERLIN, "2026-12-25T21:00"))
    assert not hours.is_open(BERLIN, at(BERLIN, "2026-12-26T01:00"))
    shut = at(BERLIN, "2026-12-25T02:00")
    assert hours.opens_at(BERLIN, shut) == at(BERLIN, "2026-12-26T20:00")


def test_a_closed_day_is_one_there() -> None:
    hours = parse_hours("always; closed 2026-12-25")
    assert hours.opens_at(KOLKATA, utc("2026-12-24T18:30")) == utc("2026-12-25T18:30")
    assert hours.is_open(NEW_YORK, utc("2026-12-25T04:59"))
    assert not hours.is_open(NEW_YORK, utc("2026-12-25T05:00"))


def test_overnight_from_sunday_to_monday() -> None:
    hours = parse_hours("sun 22:00-00:00; mon 20:00-04:00")
    assert hours.is_open(BERLIN, at(BERLIN, "2026-11-22T23:59"))
    assert not hours.is_open(BERLIN, at(BERLIN, "2026-11-23T00:00"))
    assert hours.is_open(BERLIN, at(BERLIN, "2026-11-24T03:59"))
    assert not hours.is_open(BERLIN, at(BERLIN, "2026-11-25T03:59"))


def test_nothing_within_two_weeks() -> None:
    now = at(BERLIN, "2026-11-23T12:00")
    assert parse_hours("never").opens_at(BERLIN, now) is None
    mondays = parse_hours("mon 09:00-10:00; closed 2026-11-30,2026-12-07")
    assert mondays.opens_at(BERLIN, now) is None
    # Two weeks to the minute.
    assert mondays.opens_at(BERLIN, at(BERLIN, "2026-11-30T08:59")) is None
    assert mondays.opens_at(BERLIN, at(BERLIN, "2026-11-30T09:00")) == at(
        BERLIN, "2026-12-14T09:00"
    )


@pytest.mark.parametrize(
    ("zone", "day", "jump"),
    [
        (BERLIN, "2026-03-29", "2026-03-29T01:00"),
        (NEW_YORK, "2026-03-08", "2026-03-08T07:00"),
    ],
)
def test_the_clocks_go_forward(zone: ZoneInfo, day: str, jump: str) -> None:
    gap = utc(jump)  # 02:00 becomes 03:00
    before = gap - timedelta(hours=3)
    inside = parse_hours("02:30-05:00")
    assert inside.opens_at(zone, before) == gap
    assert not inside.is_open(zone, gap - MINUTE)
    assert inside.is_open(zone, gap)
    # Nobody saw these hours that night.
    swallowed = parse_hours("02:15-02:45")
    next_day = date.fromisoformat(day) + DAY
    assert swallowed.opens_at(zone, before) == at(zone, f"{next_day}T02:15")
    # Five hours on the wall, four in truth.
    across = parse_hours("00:00-05:00")
    grid = [before - timedelta(hours=1) + minute * MINUTE for minute in range(600)]
    assert sum(across.is_open(zone, moment) for moment in grid if moment >= at(zone, day)) == 240


@pytest.mark.parametrize(
    ("zone", "day", "jump"),
    [
        (BERLIN, "2026-10-25", "2026-10-25T01:00"),  # 03:00 becomes 02:00
        (NEW_YORK, "2026-11-01", "2026-11-01T06:00"),  # 02:00 becomes 01:00
    ],
)
def test_the_clocks_go_back(zone: ZoneInfo, day: str, jump: str) -> None:
    fold = utc(jump)
    hour = fold.astimezone(zone).hour
    twice = parse_hours(f"{hour:02}:15-{hour:02}:45")
    first, second = (at(zone, f"{day}T{hour:02}:15", again) for again in (0, 1))
    assert second - first == timedelta(hours=1)
    assert twice.opens_at(zone, fold - timedelta(hours=3)) == first
    assert not twice.is_open(zone, fold)
    assert twice.opens_at(zone, fold - 15 * MINUTE) == second
    # Closed for a quarter of an hour: the wall clock jumps back into the hours.
    into = parse_hours(f"{hour - 1:02}:00-{hour:02}:45")
    assert into.opens_at(zone, fold - 10 * MINUTE) == fold


def test_the_clocks_go_back_past_midnight() -> None:
    """In Newfoundland, until 2011: 00:01 became 23:01 of the day before."""
    zone = ZoneInfo("America/St_Johns")
    hours = parse_hours("sat 23:30-23:40")
    assert hours.opens_at(zone, at(zone, "2010-11-07T00:00:30")) == at(
        zone, "2010-11-06T23:30", fold=1
    )


def test_kolkata_has_no_such_days() -> None:
    hours = parse_hours("02:30-02:45")
    opens = [hours.opens_at(KOLKATA, utc("2026-03-20T00:00") + ahead * DAY) for ahead in range(250)]
    assert {moment.time() for moment in opens if moment is not None} == {time(21)}
    assert len(set(opens)) == 250


def test_a_date_that_was_left_out() -> None:
    """Samoa went from Thursday the 29th to Saturday the 31st, in 2011."""
    apia = ZoneInfo("Pacific/Apia")
    friday = parse_hours("fri 09:00-17:00")
    assert friday.opens_at(apia, utc("2011-12-29T12:00")) == at(apia, "2012-01-06T09:00")
    night = parse_hours("fri 20:00-02:00")  # its small hours came all the same
    assert night.opens_at(apia, utc("2011-12-30T09:00")) == utc("2011-12-30T10:00")


ranges = st.builds(Range, st.integers(0, 1439), st.integers(0, 1440)).filter(
    lambda hours: hours.begin != hours.end
)
days = st.lists(ranges, max_size=2).map(lambda found: tuple(sorted(set(found))))
# Where the clocks change: forward and back, by an hour and by half of one, and at midnight.
MOMENTS = [
    (BERLIN, utc("2026-03-29T01:00")),
    (BERLIN, utc("2026-10-25T01:00")),
    (NEW_YORK, utc("2026-03-08T07:00")),
    (NEW_YORK, utc("2026-11-01T06:00")),
    (KOLKATA, utc("2026-11-21T12:00")),
    (ZoneInfo("Australia/Lord_Howe"), utc("2026-04-04T15:00")),
    (ZoneInfo("America/Havana"), utc("2026-03-08T05:00")),
    (ZoneInfo("Africa/Casablanca"), utc("2026-02-15T02:00")),
    (ZoneInfo("Pacific/Apia"), utc("2011-12-30T10:00")),
]


@st.composite
def doors(draw: st.DrawFn) -> tuple[Hours, ZoneInfo, datetime]:
    zone, change = draw(st.sampled_from(MOMENTS))
    now = change + timedelta(seconds=draw(st.integers(-2 * 86_400, 86_400)))
    closed = {now.date() + draw(st.integers(-1, 14)) * DAY for _ in range(draw(st.integers(0, 3)))}
    week = draw(st.lists(days, min_size=7, max_size=7))
    return Hours(tuple(week), tuple(sorted(closed))), zone, now


def model_is_open(hours: Hours, zone: ZoneInfo, moment: datetime) -> bool:
    """With whole spans of wall-clock time, instead of minutes of a day."""
    wall = moment.astimezone(zone).replace(tzinfo=None)
    for day in (wall.date() - DAY, wall.date()):
        if day in hours.closed:
            continue
        for span in hours.week[day.weekday()]:
            begin = datetime.combine(day, time()) + span.begin * MINUTE
            end = datetime.combine(day, time()) + span.end * MINUTE
            if begin <= wall < (end if end > begin else end + DAY):
                return True
    return False


@settings(max_examples=60, deadline=None)
@given(doors())
@example((parse_hours("always"), BERLIN, utc("2026-03-29T01:00")))
@example((parse_hours("never"), BERLIN, utc("2026-03-29T01:00")))
def test_the_next_opening_is_the_one_that_a_look_at_every_minute_finds(
    door: tuple[Hours, ZoneInfo, datetime],
) -> None:
    hours, zone, now = door
    assert parse_hours(str(hours)) == hours
    opens = hours.opens_at(zone, now)
    grid = [now, *_full_minutes(now)]
    seen = next((moment for moment in grid if model_is_open(hours, zone, moment)), None)
    assert opens == seen
    if opens is not None:
        assert hours.is_open(zone, opens)


@settings(deadline=None)
@given(doors())
def test_is_open_is_what_the_wall_clock_says(door: tuple[Hours, ZoneInfo, datetime]) -> None:
    hours, zone, now = door
    for moment in (now + quarter * timedelta(minutes=15) for quarter in range(200)):
        assert hours.is_open(zone, moment) == model_is_open(hours, zone, moment)


def _full_minutes(now: datetime) -> list[datetime]:
    first = now.replace(second=0, microsecond=0) + MINUTE
    count = (now + HORIZON - first) // MINUTE + 1
    return [first + ahead * MINUTE for ahead in range(count)]
