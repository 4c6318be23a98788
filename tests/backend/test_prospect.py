"""A lease in dry run: says whether a visit could begin now, and leaves nothing behind."""

from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from starlette.responses import JSONResponse

from kiosk.backend.books.rules import Scope
from kiosk.backend.books.schema import metadata

from .conftest import Backend, enrolled
from .test_ledger import lease, start


async def asked(backend: Backend, token: str | None = None) -> httpx2.Response:
    bearer = {"Authorization": f"Bearer {token or backend.token.reveal()}"}
    return await backend.client.get("/v1/visits/prospect", headers=bearer)


async def rows(backend: Backend) -> str:
    """All that stands in the books but when a token was last shown."""
    tables = [name for name in metadata.tables if name != "kiosk_credentials"]
    return repr([await backend.place.sql(f"select * from {name}") for name in tables])


async def test_a_prospect_mints_nothing_and_leaves_the_books_as_they_are(backend: Backend) -> None:
    await backend.store.rules.set_limit("default", Scope.KIOSK, "lobby", {"presses_per_minute": 1})
    before = await rows(backend)
    for _ in range(20):
        answer = await asked(backend)
        assert answer.status_code == 200
        assert answer.json()["may_begin"] is True
    assert backend.fake.requests == []
    assert await rows(backend) == before
    assert (await start(backend, await lease(backend))).status_code == 204


async def test_a_prospect_tells_what_came_of_asking_the_provider_last(backend: Backend) -> None:
    assert (await asked(backend)).json()["provider"] == "not asked yet"
    await lease(backend)
    assert (await asked(backend)).json()["provider"] == "ok"
    backend.fake.answer = JSONResponse({"detail": {"status": "invalid_api_key"}}, 401)
    await backend.ask()
    assert (await asked(backend)).json()["provider"] == "provider-key-refused"


async def test_who_is_not_known_gets_no_prospect(backend: Backend) -> None:
    assert (await asked(backend, "kdk_0000000000000000_" + 64 * "0")).status_code == 401
    await backend.store.registry.revoke("default", "lobby", datetime.now(UTC))
    assert (await asked(backend)).status_code == 401


async def test_a_paused_kiosk_has_none_and_is_told_whose_pause_it_is(backend: Backend) -> None:
    await backend.store.rules.pause("default", Scope.SITE, "north", datetime.now(UTC))
    told = (await asked(backend)).json()
    assert (told["may_begin"], told["refusal"], told["scope"]) == (False, "paused", "site")
    assert told["retry_after_s"] > 0


async def test_a_closed_site_has_none(backend: Backend) -> None:
    days = [datetime.now(UTC) + timedelta(days=day) for day in (-1, 0, 1)]
    closed = ",".join(f"{day:%Y-%m-%d}" for day in days)
    hours = f"mon-sun 00:00-24:00; closed {closed}"
    await backend.store.rules.set_site("default", "north", {"hours": hours})
    told = (await asked(backend)).json()
    assert (told["may_begin"], told["refusal"]) == (False, "closed")


@pytest.mark.parametrize(
    ("limit", "refusal"),
    [
        ({"minutes_per_day": 5}, "no-minutes-left"),
        ({"at_once": 0}, "busy"),
        ({"presses_per_minute": 0}, "too-many-presses"),
    ],
)
async def test_a_limit_that_would_refuse_a_visit_is_told(
    backend: Backend, limit: dict[str, int], refusal: str
) -> None:
    await backend.store.rules.set_limit("default", Scope.FLEET, "", limit)
    told = (await asked(backend)).json()
    assert (told["may_begin"], told["refusal"], told["scope"]) == (False, refusal, "fleet")


async def test_leases_that_nobody_used_are_told(backend: Backend) -> None:
    for number in range(6):
        await lease(backend, f"lease-{number}")
    told = (await asked(backend)).json()
    assert (told["may_begin"], told["refusal"]) == (False, "too-many-leases")


async def test_a_visit_under_way_elsewhere_counts_and_ones_own_does_not(backend: Backend) -> None:
    other = await enrolled(backend.store, "hall")
    await backend.store.rules.set_limit("default", Scope.SITE, "north", {"at_once": 1})
    assert (await start(backend, await lease(backend))).status_code == 204
    assert (await asked(backend)).json()["may_begin"] is True
    refused = await backend.store.ledger.prospect(other, datetime.now(UTC))
    assert refused is not None
    assert refused.refusal == "busy"
