"""A visit's life in the ledger, through the routes."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from kiosk.backend.books.history import VisitLine
from kiosk.backend.books.rules import Scope
from kiosk.backend.tokens import DeviceToken

from .conftest import Backend, enrolled

END = {"press_id": "press-1", "outcome": "hung_up", "duration_s": 12.5}


async def lease(backend: Backend, key: str = "lease-1", token: str | None = None) -> str:
    answer = await backend.ask(token, Idempotency_Key=key)
    assert answer.status_code == 200, answer.text
    visit_id: str = answer.json()["visit_id"]
    return visit_id


async def tell(
    backend: Backend, visit_id: str, what: str, body: object, token: str | None = None
) -> httpx2.Response:
    bearer = {"Authorization": f"Bearer {token or backend.token.reveal()}"}
    return await backend.client.post(f"/v1/visits/{visit_id}/{what}", json=body, headers=bearer)


async def start(backend: Backend, visit_id: str, press_id: str = "press-1") -> httpx2.Response:
    return await tell(backend, visit_id, "start", {"press_id": press_id})


def problem(answer: httpx2.Response) -> str:
    assert answer.headers["Content-Type"] == "application/problem+json"
    kind: str = answer.json()["type"]
    return kind.removeprefix("urn:kiosk:problem:")


async def latest(backend: Backend) -> list[VisitLine]:
    return await backend.store.history.latest("default", 10)


async def test_a_visit_is_leased_admitted_and_closed(backend: Backend) -> None:
    visit_id = await lease(backend)
    assert await latest(backend) == [], "a lease that nobody used is no visit"
    assert (await start(backend, visit_id)).status_code == 204
    [visit] = await latest(backend)
    assert (visit.kiosk, visit.site, visit.state) == ("lobby", "north", "admitted")
    assert (await tell(backend, visit_id, "end", END)).status_code == 204
    [visit] = await latest(backend)
    assert (visit.state, visit.outcome, visit.duration_s) == ("closed", "hung_up", 12.5)
    assert (visit.conversation_id, visit.press_id) == ("conv_0", "press-1")
    assert (visit.verdict, visit.spoilt_by) == (None, None), "as older kiosks tell it"


async def test_a_visits_verdict_is_kept_and_counted(backend: Backend) -> None:
    visit_id = await lease(backend)
    await start(backend, visit_id)
    verdict = {"worth": "spoilt", "cause": "slow_agent"}
    for _ in range(2):  # it may be sent again
        answer = await tell(backend, visit_id, "end", {**END, "verdict": verdict})
        assert answer.status_code == 204
    [visit] = await latest(backend)
    assert (visit.verdict, visit.spoilt_by) == ("spoilt", "slow_agent")
    counted = b'visits_ended_total{outcome="hung_up",verdict="spoilt"} 1.0'
    assert counted in backend.services.metrics.render(0, 0.0, {}, 0)


async def test_a_kiosk_that_makes_up_outcomes_makes_no_series_of_them(backend: Backend) -> None:
    for number in range(200):
        backend.services.metrics.ended(f"made_up_{number}", "good")
    page = backend.services.metrics.render(0, 0.0, {}, 0)
    assert page.count(b"visits_ended_total{") == 1
    assert b'visits_ended_total{outcome="other",verdict="good"} 200.0' in page


async def test_whoever_got_no_answer_may_ask_again(backend: Backend) -> None:
    visit_id = await lease(backend)
    assert await lease(backend) == visit_id
    for _ in range(2):
        assert (await start(backend, visit_id)).status_code == 204
    for _ in range(2):
        assert (await tell(backend, visit_id, "end", END)).status_code == 204
    assert len(await latest(backend)) == 1
    late = await tell(backend, visit_id, "end", {**END, "outcome": "abandoned"})
    assert late.status_code == 204
    assert (await latest(backend))[0].outcome == "hung_up", "the first report counts"


async def test_a_lease_is_spent_once(backend: Backend) -> None:
    visit_id = await lease(backend)
    await start(backend, visit_id)
    minted = len(backend.fake.minted)
    again = await start(backend, visit_id, "press-2")
    assert (again.status_code, problem(again)) == (409, "visit-spent")
    asked = await backend.ask(Idempotency_Key="lease-1")
    assert (asked.status_code, problem(asked)) == (409, "visit-spent")
    assert len(backend.fake.minted) == minted, "and nothing is minted for it"


async def test_two_presses_at_once_spend_it_once(backend: Backend) -> None:
    visit_id = await lease(backend)
    answers = await asyncio.gather(*(start(backend, visit_id, f"press-{n}") for n in range(8)))
    assert sorted(answer.status_code for answer in answers) == [204] + 7 * [409]


async def test_an_expired_lease_admits_nobody_and_is_never_a_visit(backend: Backend) -> None:
    visit_id = await lease(backend)
    past = datetime.now(UTC) - timedelta(seconds=1)
    await backend.place.sql(f"update visits set expires_at = '{past.replace(tzinfo=None)}'")
    answer = await start(backend, visit_id)
    assert (answer.status_code, problem(answer)) == (409, "lease-expired")
    other = await lease(backend, "lease-2")  # marks it on the way
    states = dict(await backend.place.sql("select id, state from visits"))
    assert states == {visit_id: "expired", other: "leased"}
    assert await lease(backend) == visit_id, "asked for again, it is leased again"
    assert (await start(backend, visit_id)).status_code == 204


async def test_a_visit_without_the_backend_is_booked_when_it_is_back(backend: Backend) -> None:
    visit_id = await lease(backend)
    report = {**END, "conversation_id": "conv_really"}
    assert (await tell(backend, visit_id, "end", report)).status_code == 204
    [visit] = await latest(backend)
    assert (visit.state, visit.press_id) == ("closed", "press-1")
    assert visit.conversation_id == "conv_really"
    assert visit.admitted_at is not None
    assert visit.closed_at is not None
    assert visit.closed_at - visit.admitted_at == timedelta(seconds=12.5)


async def test_a_late_report_is_booked_when_it_was(backend: Backend) -> None:
    now = datetime.now(UTC)
    started, missed = await lease(backend), await lease(backend, "lease-2")
    await start(backend, started)
    await tell(backend, missed, "end", {**END, "ago_s": 3600})
    visit = (await latest(backend))[1]
    assert visit.id == missed
    assert visit.closed_at is not None
    assert (now - visit.closed_at).total_seconds() == pytest.approx(3600, abs=10)
    await tell(backend, started, "end", {**END, "ago_s": 7200})  # before it began: a clock is wrong
    visit = (await latest(backend))[0]
    assert visit.closed_at == visit.admitted_at


async def test_only_the_press_that_began_a_visit_ends_it(backend: Backend) -> None:
    visit_id = await lease(backend)
    await start(backend, visit_id)
    answer = await tell(backend, visit_id, "end", {**END, "press_id": "press-2"})
    assert (answer.status_code, problem(answer)) == (409, "visit-spent")
    assert (await latest(backend))[0].state == "admitted"


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_long_is_not_read(backend: Backend, chunked: bool) -> None:
    given = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal given
        for _ in range(1000):
            given += 4096
            yield b" " * 4096

    content = pieces() if chunked else b" " * 100_000
    answer = await backend.client.post("/v1/visits/x/start", content=content)
    assert answer.status_code == 413
    assert given < 1_000_000


async def test_a_kiosk_holds_one_visit_at_a_time(backend: Backend) -> None:
    first, second = await lease(backend, "lease-1"), await lease(backend, "lease-2")
    await start(backend, first)
    assert (await start(backend, second, "press-2")).status_code == 204
    by_id = {visit.id: visit for visit in await latest(backend)}
    assert (by_id[first].state, by_id[first].outcome) == ("closed", "superseded")
    assert by_id[second].state == "admitted"
    # The first one's report was only late: it knows better.
    await tell(backend, first, "end", END)
    assert {visit.outcome for visit in await latest(backend)} == {"hung_up", None}


@pytest.mark.parametrize(
    ("scope", "name"), [(Scope.FLEET, ""), (Scope.SITE, "north"), (Scope.KIOSK, "lobby")]
)
async def test_what_is_paused_begins_no_visit_and_keeps_its_lease(
    backend: Backend, scope: Scope, name: str
) -> None:
    visit_id = await lease(backend)
    assert await backend.store.rules.pause("default", scope, name, datetime.now(UTC))
    assert not await backend.store.rules.pause("default", scope, name, datetime.now(UTC))
    answer = await start(backend, visit_id)
    assert (answer.status_code, problem(answer)) == (403, "paused")
    assert answer.headers["Retry-After"] == "60"
    assert await backend.store.rules.resume("default", scope, name)
    assert not await backend.store.rules.resume("default", scope, name)
    assert (await start(backend, visit_id)).status_code == 204


@pytest.mark.parametrize(("scope", "name"), [(Scope.SITE, "south"), (Scope.KIOSK, "attic")])
async def test_others_are_not_paused(backend: Backend, scope: Scope, name: str) -> None:
    await backend.store.rules.pause("default", scope, name, datetime.now(UTC))
    assert (await start(backend, await lease(backend))).status_code == 204


async def test_another_kiosks_visit_does_not_exist(backend: Backend) -> None:
    other = DeviceToken.new()
    await enrolled(backend.store, "attic", "south", token=other)
    visit_id = await lease(backend)
    for what, body in (("start", {"press_id": "press-1"}), ("end", END)):
        answer = await tell(backend, visit_id, what, body, other.reveal())
        assert (answer.status_code, problem(answer)) == (404, "visit-unknown")
        no_token = await backend.client.post(f"/v1/visits/{visit_id}/{what}", json=body)
        assert no_token.status_code == 401
    assert await latest(backend) == []
    assert await lease(backend, "lease-1", other.reveal()) != visit_id, "the key is the kiosk's own"


@pytest.mark.parametrize(
    ("what", "body", "name"),
    [
        ("start", {}, "press_id"),
        ("start", {"press_id": "x" * 65}, "press_id"),
        ("start", {"press_id": 7}, "press_id"),
        ("start", [], "the body"),
        ("end", {**END, "outcome": "Said: my secret"}, "outcome"),
        ("end", {**END, "verdict": {"worth": "dear"}}, "verdict"),
        ("end", {**END, "verdict": {"worth": "lost", "cause": "He said: no"}}, "verdict"),
        ("end", {**END, "duration_s": -1}, "duration_s"),
        ("end", {**END, "duration_s": 1e9}, "duration_s"),
        ("end", {**END, "conversation_id": "a b"}, "conversation_id"),
    ],
)
async def test_a_bad_report_is_told_where_and_never_quoted(
    backend: Backend, what: str, body: object, name: str
) -> None:
    answer = await tell(backend, await lease(backend), what, body)
    assert (answer.status_code, problem(answer)) == (422, "invalid")
    assert answer.json()["title"].endswith(f": {name}")
    assert "secret" not in answer.text


@pytest.mark.parametrize("key", ["", "a b", "x" * 65])
async def test_a_bad_idempotency_key_is_refused(backend: Backend, key: str) -> None:
    answer = await backend.ask(Idempotency_Key=key)
    assert (answer.status_code, problem(answer)) == (400, "bad-idempotency-key")
    assert backend.fake.minted == []
