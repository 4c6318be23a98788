"""Orders to single kiosks: given by an operator, taken by a heartbeat, once."""

from datetime import UTC, datetime, timedelta

from kiosk.backend.books.orders import MEANT_FOR, Order, OrderKind
from tests.backend.conftest import Backend, enrolled

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
BEAT = {"boot_id": "b", "sequence": 1, "state": "idle", "version": "0.1.0"}


async def give(
    backend: Backend, what: OrderKind, text: str = "", *, name: str = "lobby", at: datetime = NOW
) -> bool:
    return await backend.store.orders.give("default", name, what, text, "ada", at)


async def beat(backend: Backend) -> dict[str, object]:
    bearer = {"Authorization": f"Bearer {backend.token.reveal()}"}
    answer = await backend.client.post("/v1/heartbeat", headers=bearer, json=BEAT)
    assert answer.status_code == 200
    told: dict[str, object] = answer.json()
    return told


async def test_a_heartbeat_takes_what_waits_and_the_next_finds_nothing(backend: Backend) -> None:
    now = datetime.now(UTC)
    for what, text in ((OrderKind.RING, ""), (OrderKind.SAY, "No."), (OrderKind.SAY, "Yes.")):
        assert await give(backend, what, text, at=now)
    told = await beat(backend)
    assert (told["ring"], told["say"], told["end_visit"], told["rotate"]) == (
        True, "Yes.", False, False,
    )  # fmt: skip
    assert await backend.store.orders.waiting("default", now) == []
    told = await beat(backend)
    assert (told["ring"], told["say"]) == (False, None)


async def test_a_token_is_replaced(backend: Backend) -> None:
    await give(backend, OrderKind.ROTATE, at=datetime.now(UTC))
    assert (await beat(backend))["rotate"] is True


async def pressed(backend: Backend, press_id: str) -> str:
    """A visit that goes on."""
    visit_id = str((await backend.ask(idempotency_key=press_id)).json()["visit_id"])
    bearer = {"Authorization": f"Bearer {backend.token.reveal()}"}
    start = f"/v1/visits/{visit_id}/start"
    answer = await backend.client.post(start, headers=bearer, json={"press_id": press_id})
    assert answer.status_code == 204
    return visit_id


async def test_the_visit_that_was_meant_is_ended_and_no_other(backend: Backend) -> None:
    now = datetime.now(UTC)
    assert not await give(backend, OrderKind.END_VISIT, at=now), "there is none"
    visit_id = await pressed(backend, "p1")
    assert await give(backend, OrderKind.END_VISIT, at=now)
    assert (await beat(backend))["end_visit"] is True
    assert await give(backend, OrderKind.END_VISIT, at=now)
    end = {"press_id": "p1", "outcome": "hung_up", "duration_s": 3}
    bearer = {"Authorization": f"Bearer {backend.token.reveal()}"}
    await backend.client.post(f"/v1/visits/{visit_id}/end", headers=bearer, json=end)
    await pressed(backend, "p2")
    assert (await beat(backend))["end_visit"] is False


async def test_what_nobody_took_is_forgotten(backend: Backend) -> None:
    await give(backend, OrderKind.SAY, "We close.")
    await backend.store.orders.forget("default", NOW + MEANT_FOR)
    assert len(await backend.store.orders.waiting("default", NOW)) == 1
    await backend.store.orders.forget("default", NOW + MEANT_FOR + timedelta(seconds=1))
    assert await backend.store.orders.waiting("default", NOW) == []


async def test_who_wanted_it_is_written_down(backend: Backend) -> None:
    await give(backend, OrderKind.SAY, "We close.")
    [line] = await backend.store.operators.audit("default", 1)
    assert (line.who, line.action, line.subject) == ("ada", "ordered_say", "lobby We close.")


async def test_what_nobody_means_any_more_is_not_done(backend: Backend) -> None:
    await give(backend, OrderKind.RING)
    later = NOW + MEANT_FOR + timedelta(seconds=1)
    assert await backend.store.orders.waiting("default", later) == []
    assert await backend.store.orders.take(backend.kiosk, later) == []


async def test_each_kiosk_has_its_own(backend: Backend) -> None:
    other = await enrolled(backend.store, "shop", "south")
    await give(backend, OrderKind.RING, name="shop")
    assert await backend.store.orders.take(backend.kiosk, NOW) == []
    assert await backend.store.orders.take(other, NOW) == [
        Order("shop", OrderKind.RING, "", "ada", NOW)
    ]


async def test_so_much_waits_and_no_more(backend: Backend) -> None:
    given = [await give(backend, OrderKind.RING) for _ in range(7)]
    assert given == [True] * 5 + [False] * 2
    assert await give(backend, OrderKind.RING, at=NOW + MEANT_FOR + timedelta(seconds=1))


async def test_there_is_no_such_kiosk(backend: Backend) -> None:
    assert not await give(backend, OrderKind.RING, name="nowhere")
    await backend.store.registry.revoke("default", "lobby", NOW)
    assert not await give(backend, OrderKind.RING)
