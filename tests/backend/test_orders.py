"""Orders to single kiosks: given by an operator, taken by a heartbeat, once."""

from datetime import UTC, datetime, timedelta

import pytest

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


@pytest.mark.parametrize("what", [OrderKind.END_VISIT, OrderKind.ROTATE])
async def test_a_visit_is_ended_and_a_token_replaced(backend: Backend, what: OrderKind) -> None:
    await give(backend, what, at=datetime.now(UTC))
    assert (await beat(backend))[what.value] is True


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
