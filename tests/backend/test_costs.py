"""What days, kiosks and sites cost, and where the month will end."""

import csv
import io
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from kiosk.backend import upkeep
from kiosk.backend.books.costs import CostBy, CostLine, Days, Month, forecast
from kiosk.backend.books.operators import Role
from kiosk.backend.books.store import open_store
from kiosk.backend.page import rendered
from kiosk.errors import ConfigError

from .conftest import Backend, BackendFactory, Place, enrolled
from .test_commands import at, command
from .test_confirmation import call, deliver
from .test_fleet_page import page, signed_in
from .test_history import visit
from .test_isolation import operator

MONDAY = date(2026, 6, 1)
DAY = timedelta(days=1)
NOVEMBER = {"since": "2026-11-01", "until": "2026-12-01"}
NOVEMBER_GIVEN = [f"--{name}={day}" for name, day in NOVEMBER.items()]
# A clock there is eleven hours behind: what UTC calls the 22nd at nine is the 21st.
BEHIND = "Pacific/Pago_Pago"
FIRST = datetime(2026, 11, 22, 9, tzinfo=UTC)


async def booked(backend: Backend) -> None:
    """Four visits, three with a cost, one of those with two conversations; at a site far west."""
    attic = await enrolled(backend.store, "attic", "south")
    await backend.store.rules.set_site("default", "south", {"time_zone": BEHIND})
    for number, kiosk in enumerate((attic, attic, backend.kiosk, backend.kiosk)):
        await visit(backend.store, kiosk, number, FIRST + number * DAY)
    for number, cost in enumerate((100, 200, 400)):
        assert (await deliver(backend, call(f"conv_{number}", cost=cost))).is_success
    await backend.place.sql(
        "insert into conversations (tenant, id, kiosk_id, visit_id, minted_at, duration_s, cost) "
        "select tenant, 'again', kiosk_id, visit_id, minted_at, 5, 11 from conversations "
        "where id = 'conv_2'"
    )


async def viewer(backend: Backend, tenant: str = "default") -> dict[str, str]:
    return {"Authorization": f"Bearer {await operator(backend, Role.VIEWER, tenant)}"}


@pytest.mark.parametrize(
    ("by", "lines"),
    [
        (CostBy.DAY, [("2026-11-21", 1, 30.0, 100.0, 0), ("2026-11-22", 1, 30.0, 200.0, 0),
                      ("2026-11-24", 1, 35.0, 411.0, 0), ("2026-11-25", 1, 0.0, 0.0, 1)]),
        (CostBy.KIOSK, [("attic", 2, 60.0, 300.0, 0), ("lobby", 2, 35.0, 411.0, 1)]),
        (CostBy.SITE, [("north", 2, 35.0, 411.0, 1), ("south", 2, 60.0, 300.0, 0)]),
    ],
)  # fmt: skip
async def test_a_line_for_each_of_what_had_visits(
    backend: Backend, by: CostBy, lines: list[tuple[str, int, float, float, int]]
) -> None:
    """Each visit once, on its site's day, with all its conversations."""
    await booked(backend)
    await backend.store.registry.add_tenant("aquarium", None, FIRST)
    days = Days(date(2026, 11, 1), date(2026, 12, 1))
    assert await backend.store.costs.lines("default", by, days) == [
        CostLine(*each) for each in lines
    ]
    assert await backend.store.costs.lines("aquarium", by, days) == []


async def test_a_range_holds_the_sites_own_days(backend: Backend) -> None:
    await booked(backend)
    day = date(2026, 11, 21)
    [line] = await backend.store.costs.lines("default", CostBy.KIOSK, Days(day, day + DAY))
    assert (line.name, line.visits, line.cost) == ("attic", 1, 100)


async def test_the_route_tells_lines_month_and_budget(backend_with: BackendFactory) -> None:
    async with backend_with(monthly_budget=5000) as backend:
        await booked(backend)
        headers = await viewer(backend)
        answer = await backend.client.get(
            "/v1/costs", params={"by": "site", **NOVEMBER}, headers=headers
        )
        told = answer.json()
        assert told["lines"][0] == {
            "name": "north", "visits": 2, "seconds": 35.0, "cost": 411.0, "unpriced": 1,
        }  # fmt: skip
        assert (told["by"], told["since"], told["until"]) == ("site", *NOVEMBER.values())
        assert (told["unit"], told["budget"]) == ("credits", 5000)
        assert set(told["month"]) == {"cost", "forecast"}
        answer = await backend.client.get(
            "/v1/costs.csv", params={"by": "kiosk", **NOVEMBER}, headers=headers
        )
        assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert list(csv.reader(io.StringIO(answer.text))) == [
            ["kiosk", "visits", "seconds", "credits", "unpriced"],
            ["attic", "2", "60.0", "300.0", "0"],
            ["lobby", "2", "35.0", "411.0", "1"],
        ]


@pytest.mark.parametrize(
    "query",
    [
        {"by": "character"},
        {"since": "yesterday"},
        {"since": "2026-11-02", "until": "2026-11-02"},
        {"since": "2025-01-01", "until": "2026-01-03"},
        {"since": "0001-01-01", "until": "0001-01-02"},
        {"since": "9999-12-30", "until": "9999-12-31"},
    ],
)
async def test_what_is_no_range_is_refused(backend: Backend, query: Mapping[str, str]) -> None:
    headers = await viewer(backend)
    for path in ("/v1/costs", "/v1/costs.csv"):
        answer = await backend.client.get(path, params=query, headers=headers)
        assert answer.status_code == 422, answer.text


async def test_page_and_metrics_tell_what_was_reckoned(
    backend_with: BackendFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    for life in ("_LEAST_LIFE_S", "_LIFE_OF_COST"):
        monkeypatch.setattr(rendered, life, 0.0)
    async with backend_with(monthly_budget=1000) as backend:
        cookie = await signed_in(backend, Role.VIEWER)
        assert "credits this month" not in await page(backend, cookie), "nobody has reckoned yet"
        await visit(backend.store, backend.kiosk, 0, datetime.now(UTC))
        assert (await deliver(backend, call("conv_0", cost=850))).is_success
        await upkeep.reckon(backend.services)
        text = await page(backend, cookie)
        assert "<dt>credits this month</dt><dd>850 of 1000</dd>" in text
        assert "credits by its end" not in text, "no whole day is known"
        backend.services.months["default"] = Month(850.2, 2345.6)
        assert "<dd>about 2346</dd>" in await page(backend, cookie)
        metrics = backend.services.metrics.render(0, 0, {}, 0).decode()
        assert "kiosk_backend_month_cost_credits 850.0" in metrics
        assert "kiosk_backend_month_forecast_credits 850.0" in metrics
        assert "kiosk_backend_budget_used_ratio 0.85" in metrics


async def test_the_share_is_the_tenants_that_used_most(backend_with: BackendFactory) -> None:
    async with backend_with(monthly_budget=1000) as backend:
        await backend.store.registry.add_tenant("aquarium", None, FIRST)
        whale = await enrolled(backend.store, "whale", "sea", "aquarium")
        for number, (kiosk, cost) in enumerate(((backend.kiosk, 200), (whale, 500))):
            await visit(backend.store, kiosk, number, datetime.now(UTC))
            assert (await deliver(backend, call(f"conv_{number}", cost=cost))).is_success
        await upkeep.reckon(backend.services)
        metrics = backend.services.metrics.render(0, 0, {}, 0).decode()
        assert "kiosk_backend_month_cost_credits 700.0" in metrics
        assert "kiosk_backend_budget_used_ratio 0.5" in metrics


async def test_a_month_reaches_28_days_back(place: Place) -> None:
    """The first of a month knows the days before."""
    async with open_store(place.url) as store:
        kiosk = await enrolled(store)
        for number, day in enumerate((date(2026, 10, 31), date(2026, 11, 1))):
            began = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
            await visit(store, kiosk, number, began)
        await place.sql("update conversations set cost = 10, duration_s = 60")
        assert await store.costs.month("default", date(2026, 11, 1)) == Month(10.0, 10.0 * 30)
        assert await store.costs.month("default", date(2026, 12, 15)) == Month(0.0, None)


# --- the forecast -------------------------------------------------------------------------------


def test_each_day_that_is_left_costs_what_its_weekday_did() -> None:
    """Closed on Mondays, twice as much on Sundays; June 2026 begins on a Monday."""
    usual = {0: 0.0, 6: 20.0}
    cost_of = {day: usual.get(day.weekday(), 10.0) for day in (MONDAY + n * DAY for n in range(29))}
    whole = sum(usual.get((MONDAY + n * DAY).weekday(), 10.0) for n in range(30))
    today = date(2026, 6, 29)
    assert forecast(cost_of, today) == Month(whole - 10.0, whole)
    # The day that began already counts for what it will be, or is by now.
    assert forecast(cost_of | {today: 7.0}, today) == Month(whole - 3.0, whole + 7.0)
    tuesday = date(2026, 6, 30)
    assert forecast(cost_of | {tuesday: 4.0}, tuesday) == Month(whole - 6.0, whole)
    # A steady fleet's forecast is the month, whatever the day.
    for day in (MONDAY + n * DAY for n in range(30)):
        known = {MONDAY + n * DAY: 5.0 for n in range(-28, (day - MONDAY).days)}
        assert forecast(known, day).forecast == pytest.approx(150)


def test_a_young_fleet_is_reckoned_from_its_first_day() -> None:
    assert forecast({}, MONDAY) == Month(0.0, None)
    assert forecast({MONDAY: 3.0}, MONDAY) == Month(3.0, None)
    # Tuesday is known, and stands for the weekdays that are not yet.
    assert forecast({MONDAY + DAY: 10.0}, MONDAY + 2 * DAY) == Month(10.0, 290.0)
    # Tuesday and Wednesday cost nothing; sixteen days are of weekdays that are not known yet.
    assert forecast({MONDAY: 30.0}, MONDAY + 3 * DAY) == Month(30.0, 30.0 + 4 * 30 + 16 * 10)


def test_december_ends_where_january_begins() -> None:
    known = {date(2026, 12, 3) + n * DAY: 1.0 for n in range(28)}
    assert forecast(known, date(2026, 12, 31)) == Month(28.0, 29.0)
    known = {date(2027, 12, 31): 50.0, date(2028, 2, 1): 1.0}
    assert forecast(known, date(2028, 2, 2)).cost == 1.0, "January is another month"


# --- the command --------------------------------------------------------------------------------


def test_the_command_tells_a_table_json_and_csv(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIOSK_BACKEND_MONTHLY_BUDGET", "400")
    head, total, month = command("costs", at(database))
    assert head.split() == ["day", "visits", "seconds", "credits", "unpriced"]
    assert total.split() == ["all", "0", "0", "0", "0"]
    assert month == "this month: 0 credits so far, of 400"
    [said] = command("costs", "--by=kiosk", "--json", *NOVEMBER_GIVEN, at(database))
    told = json.loads(said)
    assert (told["by"], told["lines"], told["since"]) == ("kiosk", [], "2026-11-01")
    assert command("costs", "--by=site", "--csv", at(database)) == [
        "site,visits,seconds,credits,unpriced"
    ]
    with pytest.raises(ConfigError, match="of 1 to 366 days: change --since or --until"):
        command("costs", "--since=2020-01-01", at(database))
