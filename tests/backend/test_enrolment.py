"""How a kiosk gets its token, and another one: no crash and no lost answer shuts it out."""

from datetime import UTC, datetime, timedelta

import pytest

from kiosk.backend.books.registry import CODE_LIFE, TOKEN_LIFE, _note_use
from kiosk.backend.books.rules import Kiosk, Scope
from kiosk.backend.books.store import open_store
from kiosk.backend.tokens import DeviceToken, new_code

from .conftest import Backend, Place
from .test_ledger import problem

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


async def redeem(backend: Backend, code: str) -> DeviceToken | None:
    answer = await backend.client.post("/v1/enroll", json={"code": code})
    if answer.status_code == 401:
        return None
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    return DeviceToken.parse(answer.json()["device_token"])


async def invited(backend: Backend, name: str = "attic") -> str:
    code = new_code()
    registry = backend.store.registry
    assert await registry.invite("default", name, "south", code, datetime.now(UTC))
    return code


async def test_a_code_lets_one_kiosk_in(backend: Backend) -> None:
    code = await invited(backend)
    token = await redeem(backend, code.lower().replace("-", ""))  # as somebody typed it
    assert token is not None
    assert (await backend.ask(token.reveal())).status_code == 200
    assert await backend.store.registry.knows("default", Scope.KIOSK, "attic")
    assert await redeem(backend, code) is None, "it has been used"
    assert (await backend.ask(token.reveal())).status_code == 200


async def test_a_kiosk_whose_answer_was_lost_shows_its_code_again(backend: Backend) -> None:
    code = await invited(backend)
    lost, got = await redeem(backend, code), await redeem(backend, code)
    assert lost is not None
    assert got is not None
    assert (await backend.ask(lost.reveal())).status_code == 401
    assert (await backend.ask(got.reveal())).status_code == 200


async def test_a_code_is_good_for_ten_minutes_and_the_last_one_counts(place: Place) -> None:
    async with open_store(place.url) as store:
        first, second = new_code(), new_code()
        registry = store.registry
        await registry.invite("default", "attic", "", first, NOW)
        await registry.invite("default", "attic", "", second, NOW)
        late = NOW + CODE_LIFE
        assert await registry.redeem(first, DeviceToken.new(), NOW) is None
        assert await registry.redeem(second, DeviceToken.new(), late) is None
        in_time = late - timedelta(seconds=1)
        assert await registry.redeem(second, DeviceToken.new(), in_time) == "attic"
        assert not await registry.invite("default", "attic", "", new_code(), NOW)


@pytest.mark.parametrize("code", ["7KXM-2QRB-9TFD-WA3H", "x", "' or 1=1 --", ""])
async def test_a_code_that_nobody_gave_opens_nothing(backend: Backend, code: str) -> None:
    answer = await backend.client.post("/v1/enroll", json={"code": code})
    assert answer.status_code in (401, 422)


async def rotate(backend: Backend, token: DeviceToken) -> DeviceToken:
    bearer = {"Authorization": f"Bearer {token.reveal()}"}
    answer = await backend.client.post("/v1/device/rotate", headers=bearer)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    new = DeviceToken.parse(answer.json()["device_token"])
    assert new is not None
    return new


async def test_the_old_token_opens_until_the_new_one_is_used(backend: Backend) -> None:
    old = backend.token
    new = await rotate(backend, old)
    assert (await backend.ask(old.reveal())).status_code == 200, "the kiosk may not have got it"
    assert (await backend.ask(new.reveal())).status_code == 200
    answer = await backend.ask(old.reveal())
    assert (answer.status_code, problem(answer)) == (401, "unauthorized")
    assert (await backend.ask(new.reveal())).status_code == 200


async def test_a_rotation_asked_again_replaces_the_token_never_used(backend: Backend) -> None:
    lost = await rotate(backend, backend.token)
    got = await rotate(backend, backend.token)
    assert (await backend.ask(lost.reveal())).status_code == 401
    assert (await backend.ask(got.reveal())).status_code == 200
    [(count,)] = await backend.place.sql("select count(*) from kiosk_credentials")
    assert count == 1


async def test_a_token_that_is_a_month_old_is_to_be_replaced(place: Place) -> None:
    token = DeviceToken.new()
    async with open_store(place.url) as store:
        await store.registry.enroll("default", "lobby", "", token, NOW)
        for age, old in ((TOKEN_LIFE, False), (TOKEN_LIFE + timedelta(days=1), True)):
            kiosk = await store.registry.authenticate(token, NOW + age)
            assert kiosk is not None
            assert kiosk.token_is_old is old


async def test_a_code_that_somebody_redeemed_lets_nobody_into_a_new_enrolment(
    backend: Backend,
) -> None:
    code = await invited(backend)
    assert await redeem(backend, code) is not None  # a stranger, who heard it
    registry, now = backend.store.registry, datetime.now(UTC)
    assert await registry.revoke("default", "attic", now)
    mine = DeviceToken.new()
    assert await registry.enroll("default", "attic", "south", mine, now)
    assert await redeem(backend, code) is None
    assert (await backend.ask(mine.reveal())).status_code == 200


async def test_a_code_that_was_never_redeemed_ends_with_its_kiosk(backend: Backend) -> None:
    code = await invited(backend)
    await backend.store.registry.revoke("default", "attic", datetime.now(UTC))
    assert await redeem(backend, code) is None


async def test_a_token_that_was_replaced_meanwhile_ends_no_other(backend: Backend) -> None:
    registry, now = backend.store.registry, datetime.now(UTC)
    code = await invited(backend)
    first, second = DeviceToken.new(), DeviceToken.new()
    assert await registry.redeem(code, first, now) == "attic"
    kiosk_id = (await backend.place.sql("select id from kiosks where name = 'attic'"))[0][0]
    kiosk = Kiosk(kiosk_id, "default", "attic", "south")
    assert await registry.redeem(code, second, now) == "attic"  # between reading and noting its use
    async with backend.store.database.transaction("default") as db:
        await _note_use(db, kiosk, first.credential_id, True, now)
    assert (await backend.ask(second.reveal())).status_code == 200
