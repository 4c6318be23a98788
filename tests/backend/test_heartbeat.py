"""How a kiosk is, by its own word only; and what it is told."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from kiosk.backend.books import rules
from kiosk.backend.books.liveness import Presence
from kiosk.backend.books.rules import Scope, pace
from kiosk.backend.books.store import open_store
from kiosk.contract import Heartbeat, Instructions

from .conftest import Backend, Place, enrolled

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
BEAT = {"boot_id": "boot-1", "sequence": 1, "state": "idle", "version": "0.1.0"}


@pytest.fixture(autouse=True)
def _orders_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "_ORDERS_LIVE", timedelta(0))


async def beat(backend: Backend, **fields: Any) -> httpx2.Response:
    bearer = {"Authorization": f"Bearer {backend.token.reveal()}"}
    return await backend.client.post("/v1/heartbeat", json={**BEAT, **fields}, headers=bearer)


async def test_a_kiosk_is_told_what_its_fleet_is_told(backend: Backend) -> None:
    answer = await beat(backend)
    assert answer.status_code == 200
    assert answer.json() == {
        "next_s": 15.0,
        "policy": None,
        "paused": False,
        "cause": None,
        "until": None,
        "end_visit": False,
        "rotate": False,
        "ring": False,
        "say": None,
        "target_version": None,
    }
    fleet = {"lease_policy": "open_hours", "target_version": "1.2.0"}
    await backend.store.rules.set_fleet("default", fleet)
    await backend.store.rules.pause("default", Scope.SITE, "north", NOW)
    told = (await beat(backend)).json()
    assert (told["policy"], told["target_version"], told["paused"]) == ("open_hours", "1.2.0", True)
    assert not told["end_visit"]
    now = {"ends_visits": True}
    assert await backend.store.rules.pause("default", Scope.SITE, "north", NOW, **now)
    assert not await backend.store.rules.pause("default", Scope.SITE, "north", NOW, **now)
    assert (await beat(backend)).json()["end_visit"] is True
    await backend.place.sql("update kiosk_credentials set created_at = '2020-01-01'")
    assert (await beat(backend)).json()["rotate"] is True


async def test_a_kiosk_is_told_before_anybody_presses_that_its_site_is_closed(
    backend: Backend,
) -> None:
    rules = backend.store.rules
    opens_at = datetime.now(UTC) + timedelta(hours=2)
    hours = f"{opens_at:%a %H:%M}-{opens_at + timedelta(minutes=1):%H:%M}".lower()
    await rules.set_site("default", "north", {"time_zone": "UTC", "hours": hours})
    told = Instructions.model_validate((await beat(backend)).json())
    assert (told.cause, told.paused) == ("closed", False)
    assert told.until is not None
    assert abs(told.until - opens_at.replace(second=0, microsecond=0)) < timedelta(seconds=1)
    always = "mon-sun 00:00-24:00"
    await rules.set_site("default", "north", {"hours": always})
    assert (await beat(backend)).json()["cause"] is None


async def test_a_kiosk_is_told_that_no_visit_fits_into_the_day_any_more(backend: Backend) -> None:
    await backend.store.rules.set_limit("default", Scope.KIOSK, "", {"minutes_per_day": 5})
    told = (await beat(backend)).json()
    assert told["cause"] == "no_minutes_left"
    assert told["until"] is not None
    await backend.store.rules.set_limit("default", Scope.KIOSK, "", {"minutes_per_day": 60})
    assert (await beat(backend)).json()["cause"] is None


async def test_a_pause_is_told_as_a_cause_too(backend: Backend) -> None:
    await backend.store.rules.pause("default", Scope.FLEET, "", NOW)
    assert (await beat(backend)).json()["cause"] == "paused"


async def test_heartbeats_wait_and_are_written_together(backend: Backend) -> None:
    liveness = backend.store.liveness
    now = datetime.now(UTC)
    for sequence in (1, 2, 3):
        await beat(backend, sequence=sequence, counters={"visits": sequence})
    [line] = await liveness.kiosks("default", now)
    assert line.presence is Presence.NEVER_SEEN
    assert await liveness.flush() == [("default", backend.kiosk.id)]
    [line] = await liveness.kiosks("default", now)
    assert (line.presence, line.state, line.version) == (Presence.ONLINE, "idle", "0.1.0")
    assert line.counters == {"visits": 3}
    assert await liveness.flush() == []
    await beat(backend, sequence=4)
    assert await liveness.flush() == [], "nothing that anybody watches is another"
    await beat(backend, sequence=5, state="listening")
    assert await liveness.flush() == [("default", backend.kiosk.id)]


async def test_a_kiosk_that_is_silent_is_stale_and_then_offline(place: Place) -> None:
    async with open_store(place.url) as store:
        kiosk = await enrolled(store)
        store.liveness.beat(kiosk, Heartbeat(**BEAT), NOW)  # type: ignore[arg-type]
        await store.liveness.flush()
        seen = []
        for seconds in (40, 60, 130):
            [line] = await store.liveness.kiosks("default", NOW + timedelta(seconds=seconds))
            seen.append(line.presence)
            counted = await store.liveness.presences("default", NOW + timedelta(seconds=seconds))
            assert counted == {each: int(each is line.presence) for each in Presence}
        assert seen == [Presence.ONLINE, Presence.STALE, Presence.OFFLINE]
        await enrolled(store, "attic")
        counted = await store.liveness.presences("default", NOW)
        assert counted == {
            Presence.NEVER_SEEN: 1,
            Presence.ONLINE: 1,
            Presence.STALE: 0,
            Presence.OFFLINE: 0,
            Presence.REVOKED: 0,
        }
        await store.registry.revoke("default", "attic", NOW)
        assert (await store.liveness.presences("default", NOW))[Presence.REVOKED] == 1
        await store.registry.revoke("default", "lobby", NOW)
        [_, line] = await store.liveness.kiosks("default", NOW)
        assert line.presence is Presence.REVOKED


async def test_two_kiosks_with_one_token_give_themselves_away(place: Place) -> None:
    async with open_store(place.url) as store:
        kiosk = await enrolled(store)

        async def boots(boot_id: str) -> bool:
            heartbeat = Heartbeat.model_validate({**BEAT, "boot_id": boot_id})
            store.liveness.beat(kiosk, heartbeat, NOW)
            await store.liveness.flush()
            [line] = await store.liveness.kiosks("default", NOW)
            return line.cloned_at is not None

        assert not await boots("a")
        assert not await boots("b"), "it was started again"
        assert not await boots("c")
        assert await boots("b"), "a start that is over does not come back"
        assert await boots("b"), "and that is not forgotten"


async def test_what_cannot_be_written_waits_on(backend: Backend) -> None:
    await beat(backend)
    await backend.place.sql("alter table liveness rename to gone")
    with pytest.raises(Exception, match="liveness"):
        await backend.store.liveness.flush()
    await backend.place.sql("alter table gone rename to liveness")
    assert await backend.store.liveness.flush() == [("default", backend.kiosk.id)]


def test_a_large_fleet_beats_slowly() -> None:
    assert [pace(kiosks).total_seconds() for kiosks in (0, 200, 2100, 20_000, 10**6)] == [
        15,
        15,
        60,
        300,
        300,
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"state": "Hello visitor, how are you"},
        {"sequence": 0},
        {"counters": {"visits": -1}},
        {"counters": {"what was said": 1}},
        {"counters": {f"c{n}": 1 for n in range(17)}},
        {"version": "1 2"},
    ],
)
async def test_a_heartbeat_holds_names_and_numbers(
    backend: Backend, fields: dict[str, object]
) -> None:
    assert (await beat(backend, **fields)).status_code == 422
