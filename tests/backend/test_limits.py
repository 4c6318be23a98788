"""What may not begin: told in a word, with the time to wait, and charged to nobody."""

import asyncio
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from starlette.responses import Response

from kiosk.backend.books.admission import Refusal, VisitRefused
from kiosk.backend.books.confirmation import ConfirmationSource, ProviderReport
from kiosk.backend.books.conversations import VisitLease
from kiosk.backend.books.ledger import UNREPORTED
from kiosk.backend.books.rules import Kiosk, Scope
from kiosk.backend.books.store import Store, open_store
from kiosk.contract import EndVisit, StartVisit

from .conftest import Backend, Place, enrolled
from .test_ledger import END, lease, problem, start, tell

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)  # a Saturday


async def begin(store: Store, kiosk: Kiosk, name: str, now: datetime) -> VisitRefused | str:
    """A visit from its lease to its start."""
    expires_at = now + timedelta(seconds=900)
    leased = await store.ledger.lease(kiosk, VisitLease(name, f"conv-{name}", now, expires_at))
    assert leased is not None
    visit_id = leased.visit_id
    refused = await store.ledger.start(kiosk, visit_id, StartVisit(press_id=name), now)
    return refused or visit_id


async def used_s(place: Place, scope: str) -> float:
    rows = await place.sql("select seconds from usage where scope = :scope", scope=scope)
    return float(rows[0][0]) if rows else 0.0


async def test_a_refusal_is_a_problem_that_names_scope_and_time(backend: Backend) -> None:
    rules = backend.store.rules
    await rules.set_limit("default", Scope.SITE, "north", {"minutes_per_day": 10})
    first, second = await lease(backend), await lease(backend, "lease-2")
    assert (await start(backend, first)).status_code == 204
    answer = await start(backend, second, "press-2")
    assert (answer.status_code, problem(answer)) == (403, "no-minutes-left")
    assert answer.json()["scope"] == "site"
    assert 1 <= int(answer.headers["Retry-After"]) <= 86_400


async def test_the_days_minutes_are_those_of_the_visits(place: Place) -> None:
    async with open_store(place.url) as store:
        kiosk = await enrolled(store)
        await store.rules.set_limit("default", Scope.KIOSK, "", {"minutes_per_day": 25})
        for number in range(8):  # two minutes each, and the longest one fits every time
            now = NOON + timedelta(minutes=5 * number)
            visit_id = await begin(store, kiosk, f"v{number}", now)
            assert isinstance(visit_id, str), number
            report = EndVisit(press_id=f"v{number}", outcome="hung_up", duration_s=120)
            await store.ledger.end(kiosk, visit_id, report, now)
            told = ProviderReport(f"conv-v{number}", "done", 120)
            await store.confirmations.confirm(told, ConfirmationSource.WEBHOOK, now)
        refused = await begin(store, kiosk, "v8", NOON + timedelta(hours=1))
        assert isinstance(refused, VisitRefused)
        assert refused.refusal is Refusal.NO_MINUTES
        assert refused.retry_after_s == 11 * 3600
        assert await used_s(place, "kiosk") == 8 * 120
        tomorrow = await begin(store, kiosk, "v9", NOON + timedelta(hours=12))
        assert isinstance(tomorrow, str)


async def test_a_day_begins_at_the_sites_midnight(place: Place) -> None:
    async with open_store(place.url) as store:
        kiosk = await enrolled(store)
        await store.rules.set_site("default", "north", {"time_zone": "Europe/Berlin"})
        await store.rules.set_limit("default", Scope.KIOSK, "", {"minutes_per_day": 10})
        before = datetime(2026, 11, 21, 22, 30, tzinfo=UTC)
        assert isinstance(await begin(store, kiosk, "v1", before), str)
        refused = await begin(store, kiosk, "v2", before)
        assert isinstance(refused, VisitRefused)
        assert refused.retry_after_s == 1800
        assert isinstance(await begin(store, kiosk, "v2", before + timedelta(minutes=30)), str)


async def test_a_visit_that_nobody_reports_is_charged_in_full(place: Place) -> None:
    async with open_store(place.url) as store:
        kiosk = await enrolled(store)
        visit_id = await begin(store, kiosk, "v1", NOON)
        assert isinstance(visit_id, str)
        assert await store.ledger.sweep("default", NOON + timedelta(seconds=700)) == 0
        later = NOON + timedelta(seconds=800)
        assert await store.ledger.sweep("default", later) == 1
        [line] = await store.history.latest("default", 10)
        assert (line.state, line.outcome) == ("closed", UNREPORTED)
        assert await used_s(place, "fleet") == 600
        # The kiosk was only cut off from its backend: it knows better.
        report = EndVisit(press_id="v1", outcome="hung_up", duration_s=42, ago_s=60)
        assert await store.ledger.end(kiosk, visit_id, report, later) is True
        assert [await used_s(place, scope) for scope in Scope] == [42, 42, 600]
        # The provider tells nothing, as one may who keeps no account: then the kiosk's word counts.
        await store.ledger.sweep("default", later + timedelta(minutes=28))
        assert await used_s(place, "kiosk") == 600
        await store.ledger.sweep("default", later + timedelta(minutes=30))
        assert [await used_s(place, scope) for scope in Scope] == [42, 42, 42]


@pytest.mark.parametrize(
    ("lines", "longest_min"),
    [
        ({}, 10),
        ({Scope.FLEET: 5}, 5),
        ({Scope.FLEET: 5, Scope.SITE: 30}, 30),
        ({Scope.SITE: 30, Scope.KIOSK: 20}, 20),
    ],
    ids=["nothing said", "fleet", "site", "kiosk"],
)
async def test_the_narrowest_line_says_how_long_a_visit_may_last(
    place: Place, lines: dict[Scope, int], longest_min: int
) -> None:
    names = {Scope.FLEET: "", Scope.SITE: "north", Scope.KIOSK: ""}
    async with open_store(place.url) as store:
        kiosk = await enrolled(store)
        for scope, minutes in lines.items():
            line = {"minutes_per_visit": minutes}
            await store.rules.set_limit("default", scope, names[scope], line)
        expires_at = NOON + timedelta(seconds=900)
        leased = await store.ledger.lease(kiosk, VisitLease("v1", None, NOON, expires_at))
        assert leased is not None
        assert leased.longest_s == longest_min * 60


async def test_a_visit_of_half_an_hour_is_charged_and_waited_for_as_one(place: Place) -> None:
    async with open_store(place.url) as store:
        kiosk = await enrolled(store)
        rules = store.rules
        await rules.set_limit("default", Scope.SITE, "north", {"minutes_per_visit": 30})
        await rules.set_limit("default", Scope.KIOSK, "", {"minutes_per_day": 59})
        visit_id = await begin(store, kiosk, "v1", NOON)
        assert isinstance(visit_id, str)
        assert await used_s(place, "kiosk") == 1800
        refused = await begin(store, kiosk, "v2", NOON)
        assert isinstance(refused, VisitRefused)
        assert refused.refusal is Refusal.NO_MINUTES
        # What its lease told the kiosk counts, whatever is set meanwhile.
        await rules.set_limit("default", Scope.SITE, "north", {"minutes_per_visit": 10})
        ended = NOON + timedelta(minutes=29)
        assert await store.ledger.sweep("default", ended) == 1, "the lease that was refused"
        report = EndVisit(press_id="v1", outcome="agent_ended", duration_s=1700)
        assert await store.ledger.end(kiosk, visit_id, report, ended) is True
        assert [await used_s(place, scope) for scope in Scope] == [1700, 1700, 1800]
        await store.ledger.sweep("default", ended + timedelta(minutes=49))
        assert await used_s(place, "kiosk") == 1800
        await store.ledger.sweep("default", ended + timedelta(minutes=51))
        assert await used_s(place, "kiosk") == 1700


async def test_a_lease_tells_the_kiosk_how_long_its_visit_may_last(backend: Backend) -> None:
    line = {"minutes_per_visit": 30}
    await backend.store.rules.set_limit("default", Scope.SITE, "north", line)
    answer = await backend.ask()
    assert answer.json()["max_s"] == 1800


async def test_a_site_is_closed_at_night_and_says_until_when(place: Place) -> None:
    async with open_store(place.url) as store:
        kiosk = await enrolled(store)
        hours = {"time_zone": "Europe/Berlin", "hours": "mon-sat 09:00-18:00"}
        await store.rules.set_site("default", "north", hours)
        for now, opens_in in (
            (NOON, None),
            (NOON.replace(hour=17), timedelta(days=1, hours=15)),  # Saturday evening, until Monday
        ):
            said = await begin(store, kiosk, f"at-{now.hour}", now)
            if opens_in is None:
                assert isinstance(said, str)
            else:
                wait_s = opens_in.total_seconds()
                assert said == VisitRefused(Refusal.CLOSED, Scope.SITE, wait_s)


async def test_the_last_place_is_taken_once(place: Place) -> None:
    async with open_store(place.url) as store:
        names = [f"kiosk-{number}" for number in range(6)]
        everybody = [await enrolled(store, name, "north") for name in names]
        await store.rules.set_limit("default", Scope.FLEET, "", {"at_once": 3})
        said = await asyncio.gather(
            *(begin(store, kiosk, f"v-{kiosk.name}", NOON) for kiosk in everybody)
        )
        refused = [each for each in said if isinstance(each, VisitRefused)]
        assert len(refused) == 3
        assert {each.refusal for each in refused} == {Refusal.BUSY}
        assert {each.scope for each in refused} == {Scope.FLEET}


async def test_a_sites_places_are_its_own(place: Place) -> None:
    async with open_store(place.url) as store:
        north, other = await enrolled(store), await enrolled(store, "attic")
        south = await enrolled(store, "cellar", "south")
        await store.rules.set_limit("default", Scope.SITE, "", {"at_once": 1})
        assert isinstance(await begin(store, north, "v1", NOON), str)
        assert isinstance(await begin(store, south, "v2", NOON), str)
        refused = await begin(store, other, "v3", NOON)
        assert isinstance(refused, VisitRefused)
        assert (refused.refusal, refused.scope) == (Refusal.BUSY, Scope.SITE)


async def test_presses_come_in_a_bunch_and_not_for_ever(place: Place) -> None:
    async with open_store(place.url) as store:
        kiosk = await enrolled(store)
        await store.rules.set_limit("default", Scope.KIOSK, "", {"minutes_per_day": None})
        for number in range(8):  # two minutes' worth of 4
            assert isinstance(await begin(store, kiosk, f"v{number}", NOON), str)
        refused = await begin(store, kiosk, "v8", NOON)
        assert refused == VisitRefused(Refusal.TOO_MANY_PRESSES, Scope.KIOSK, 15.0)
        before = await used_s(place, "kiosk")
        assert isinstance(await begin(store, kiosk, "v8", NOON + timedelta(seconds=15)), str)
        # The one before is over, after 15 s by the kiosk's word, which is not all that counts yet.
        assert await used_s(place, "kiosk") == before + 600
        assert await used_s(place, "fleet") == 600 + 15


async def test_leases_that_nobody_uses_run_out(backend: Backend) -> None:
    for number in range(6):
        await lease(backend, f"lease-{number}")
    minted = len(backend.fake.minted)
    answer = await backend.ask(Idempotency_Key="lease-6")
    assert (answer.status_code, problem(answer)) == (429, "too-many-leases")
    assert 0 < int(answer.headers["Retry-After"]) <= 180
    assert len(backend.fake.minted) == minted, "and nothing is minted"


@pytest.mark.parametrize("why", ["paused", "closed", "no-minutes-left"])
async def test_nothing_is_minted_where_no_visit_may_begin(backend: Backend, why: str) -> None:
    rules = backend.store.rules
    if why == "paused":
        await rules.pause("default", Scope.SITE, "north", NOON)
    elif why == "closed":
        await rules.set_site("default", "north", {"hours": "never"})
    else:
        await rules.set_limit("default", Scope.FLEET, "", {"minutes_per_day": 0})
    answer = await backend.ask()
    assert (answer.status_code, problem(answer)) == (403, why)
    assert backend.fake.minted == []


@pytest.mark.parametrize("how", ["ends them", "begins another", "says it was yesterday"])
async def test_a_kiosk_that_lies_about_its_visits_is_charged_in_full(
    place: Place, how: str
) -> None:
    async with open_store(place.url) as store:
        kiosk = await enrolled(store)
        await store.rules.set_limit("default", Scope.KIOSK, "", {"minutes_per_day": 35})
        begun = 0
        for number in range(20):
            now = NOON + timedelta(seconds=30 * number)
            if how == "says it was yesterday":
                if await store.ledger.may_lease(kiosk, f"v{number}", now) is not None:
                    continue
                held = VisitLease(f"v{number}", f"c{number}", now, now + timedelta(seconds=900))
                leased = await store.ledger.lease(kiosk, held)
                visit_id: object = leased and leased.visit_id
            else:
                visit_id = await begin(store, kiosk, f"v{number}", now)
            if isinstance(visit_id, str):
                begun += 1
                if how != "begins another":
                    ago_s = 86_400 if how == "says it was yesterday" else 0
                    lie = EndVisit(
                        press_id=f"v{number}", outcome="hung_up", duration_s=0, ago_s=ago_s
                    )
                    await store.ledger.end(kiosk, visit_id, lie, now)
        assert begun == 3, "35 minutes are three visits of ten"


async def test_a_kiosk_cannot_use_up_what_is_the_fleets(place: Place) -> None:
    async with open_store(place.url) as store:
        kiosk = await enrolled(store)
        leased = await store.ledger.lease(kiosk, VisitLease("v1", None, NOON, NOON))
        assert leased is not None
        lie = EndVisit(press_id="v1", outcome="hung_up", duration_s=86_400)
        await store.ledger.end(kiosk, leased.visit_id, lie, NOON)
        assert await used_s(place, "fleet") == 600


async def test_leases_that_are_used_do_not_count(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    lifted = {"presses_per_minute": 60, "minutes_per_day": None}
    await backend.store.rules.set_limit("default", Scope.KIOSK, "", lifted)
    for number in range(15):
        visit_id = await lease(backend, f"lease-{number}")
        press = f"press-{number}"
        assert (await start(backend, visit_id, press)).status_code == 204
        await tell(backend, visit_id, "end", {**END, "press_id": press})


@pytest.mark.parametrize("name", ["", "lobby"])
async def test_a_limit_can_be_lifted(place: Place, name: str) -> None:
    async with open_store(place.url) as store:
        kiosk = await enrolled(store)
        changes = {"minutes_per_day": None, "presses_per_minute": None}
        await store.rules.set_limit("default", Scope.KIOSK, name, changes)
        for number in range(30):
            assert isinstance(await begin(store, kiosk, f"v{number}", NOON), str)


async def test_a_line_of_ones_own_starts_from_everybodys(place: Place) -> None:
    async with open_store(place.url) as store:
        line = await store.rules.set_limit("default", Scope.KIOSK, "lobby", {"minutes_per_day": 60})
        assert (line.minutes_per_day, line.presses_per_minute) == (60, 4)
        listed = await store.rules.limits("default")
        assert [(each.scope, each.name) for each in listed] == [
            (Scope.FLEET, ""),
            (Scope.KIOSK, ""),
            (Scope.KIOSK, "lobby"),
        ]


async def test_a_provider_that_was_away_leaves_no_kiosk_waiting(backend: Backend) -> None:
    # Fewer at a time than after which the provider is asked less.
    for outage in range(3):
        backend.fake.answer = Response(status_code=500)
        for number in range(4):
            key = f"lease-{outage}-{number}"
            assert (await backend.ask(Idempotency_Key=key)).status_code == 503
        backend.fake.answer = None
        assert (await backend.ask()).status_code == 200


async def test_no_press_and_no_sweep_reads_the_whole_history(place: Place) -> None:
    if place.url.get_backend_name() == "postgresql":
        return  # its planner goes by the size of the tables
    async with open_store(place.url) as store:
        kiosk = await enrolled(store)
        asked: list[str] = []

        def look(_c: object, _cursor: object, statement: str, *_: object) -> None:
            if " visits" in statement and not statement.startswith("INSERT"):
                asked.append(statement)

        sa.event.listen(sa.Engine, "before_cursor_execute", look)
        await begin(store, kiosk, "v1", NOON)
        await store.ledger.sweep("default", NOON + timedelta(hours=2))
        await store.history.forget("default", NOON, NOON)
        sa.event.remove(sa.Engine, "before_cursor_execute", look)
    plans = []
    for statement in asked:
        with closing(sqlite3.connect(str(place.url.database))) as db:
            values = [""] * statement.count("?")
            rows = db.execute(f"explain query plan {statement}", values).fetchall()
            plans += [row[3] for row in rows if "visits" in row[3]]
    assert len(plans) > 8
    for plan in plans:
        assert "ix_visits_latest" not in plan, plan
        assert "SCAN" not in plan or "INDEX" in plan, plan
