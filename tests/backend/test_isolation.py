"""Every route, with every token that is not the right one: found in the contract, so that a route
that is new is asked too."""

import json
import re
from datetime import UTC, datetime

import httpx2
import pytest

from kiosk.backend.books.operators import Role
from kiosk.backend.tokens import DeviceToken, OperatorToken
from kiosk.backend.web.app import contract

from .conftest import Backend, enrolled
from .test_ledger import END, lease, start

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)

# What each route is sent when nothing is wrong with it.
BODIES: dict[str, object] = {
    "/v1/visits/{visit_id}/start": {"press_id": "press-2"},
    "/v1/visits/{visit_id}/live": {"press_id": "press-1"},
    "/v1/visits/{visit_id}/end": END,
    "/v1/heartbeat": {"boot_id": "b", "sequence": 1, "state": "idle", "version": "1"},
    "/v1/pauses": {"scope": "kiosk", "name": "lobby"},
    "/v1/pauses/end": {"scope": "kiosk", "name": "lobby"},
    "/v1/limits": {"scope": "kiosk", "name": "lobby", "minutes_per_day": 60},
    "/v1/enrolment-codes": {"name": "cellar"},
    "/v1/enroll": {"code": "7KXM-2QRB-9TFD-WA3H"},
}
OPEN = {"/healthz", "/readyz"}  # to everybody
ITS_OWN = {"/v1/enroll", "/v1/webhooks/elevenlabs"}  # a code, a signature

ROUTES = [
    (method.upper(), path, operation["tags"][0])
    for path, operations in contract()["paths"].items()
    for method, operation in operations.items()
]


def addressed(path: str, visit_id: str) -> str:
    return re.sub(r"\{name\}", "lobby", path.replace("{visit_id}", visit_id))


async def ask(
    backend: Backend, method: str, path: str, token: str | None, visit_id: str = "0" * 16
) -> httpx2.Response:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    body = None if method == "GET" else BODIES.get(path)
    url = addressed(path, visit_id)
    return await backend.client.request(method, url, json=body, headers=headers)


async def operator(
    backend: Backend, role: Role, tenant: str = "default", name: str | None = None
) -> str:
    token = OperatorToken.new()
    name = name or f"{tenant}-{role}"
    assert await backend.store.operators.add(tenant, name, role, token, NOW)
    return token.reveal()


def test_every_route_has_a_kind() -> None:
    assert {kind for _, _, kind in ROUTES} == {"kiosk", "operator", "provider", "health"}
    assert {path for _, path, kind in ROUTES if kind == "health"} == OPEN
    assert {path for _, path, _ in ROUTES} >= set(BODIES)
    with_body = {path for method, path, _ in ROUTES if method != "GET"}
    bodiless = {"/v1/visits", "/v1/device/rotate", "/v1/kiosks/{name}/revoke"}
    bodiless |= {"/v1/stream/tickets"}
    assert with_body - set(BODIES) == bodiless | {"/v1/webhooks/elevenlabs"}


@pytest.mark.parametrize(("method", "path", "kind"), ROUTES)
async def test_nobody_else_gets_in(backend: Backend, method: str, path: str, kind: str) -> None:
    revoked = DeviceToken.new()
    await enrolled(backend.store, "attic", token=revoked)
    await backend.store.registry.revoke("default", "attic", NOW)
    gone = await operator(backend, Role.ADMIN, name="gone")
    await backend.store.operators.revoke("default", "gone", NOW)
    wrong = {
        "no token": None,
        "an unknown one": DeviceToken.new().reveal(),
        "a revoked kiosk's": revoked.reveal(),
        "a revoked operator's": gone,
        "an unknown operator's": OperatorToken.new().reveal(),
        # The right id with the wrong secret; and each class of token where the other belongs.
        "a guess": f"kdk_{backend.token.credential_id}_{'0' * 64}",
        "an operator's" if kind == "kiosk" else "a kiosk's": (
            await operator(backend, Role.ADMIN) if kind == "kiosk" else backend.token.reveal()
        ),
    }
    for whose, token in wrong.items():
        answer = await ask(backend, method, path, token)
        expected = 200 if path in OPEN else 401
        assert answer.status_code == expected, (whose, answer.text)


DEVICE_VISITS = [(m, p) for m, p, kind in ROUTES if kind == "kiosk" and "{visit_id}" in p]


@pytest.mark.parametrize(("method", "path"), DEVICE_VISITS)
@pytest.mark.parametrize("tenant", ["default", "aquarium"])
async def test_another_kiosks_visit_does_not_exist(
    backend: Backend, method: str, path: str, tenant: str
) -> None:
    await backend.store.registry.add_tenant("aquarium", None, NOW)
    other = DeviceToken.new()
    await enrolled(backend.store, "attic", tenant=tenant, token=other)
    visit_id = await lease(backend)
    await start(backend, visit_id)
    before = await everything(backend)
    answer = await ask(backend, method, path, other.reveal(), visit_id)
    unknown = await ask(backend, method, path, other.reveal(), "f" * 16)
    assert (answer.status_code, answer.json()) == (unknown.status_code, unknown.json())
    assert answer.status_code == 404
    assert await everything(backend) == before


async def everything(backend: Backend) -> list[object]:
    return [
        await backend.place.sql(f"select * from {table} order by 1, 2")
        for table in ("visits", "conversations", "usage", "pauses", "limits", "kiosks")
    ]


READS = [(m, p) for m, p, kind in ROUTES if kind == "operator" and m == "GET" and p != "/v1/stream"]


@pytest.mark.parametrize(("method", "path"), READS)
async def test_another_tenants_operator_sees_nothing_of_it(
    backend: Backend, method: str, path: str
) -> None:
    await backend.store.registry.add_tenant("aquarium", None, NOW)
    visit_id = await lease(backend)
    await start(backend, visit_id)
    events = [{"sequence": 1, "at_s": 1, "what": "connected"}]
    bearer = {"Authorization": f"Bearer {backend.token.reveal()}"}
    report = {**END, "events": events}
    await backend.client.post(f"/v1/visits/{visit_id}/end", json=report, headers=bearer)
    own, other = (
        await operator(backend, Role.ADMIN),
        await operator(backend, Role.ADMIN, "aquarium"),
    )
    answer = await ask(backend, method, path, other, visit_id)
    assert answer.status_code == 200
    if path == "/metrics":
        assert "lobby" not in answer.text  # sums over all tenants, and nobody's name
        return
    mine = (await ask(backend, method, path, own, visit_id)).json()
    told = json.dumps(answer.json())
    for secret in ("lobby", "north", visit_id, "conv_0", "connected", "default-admin"):
        assert secret not in told
    if path in ("/v1/kiosks", "/v1/visits", "/v1/visits/{visit_id}/events", "/v1/audit"):
        assert mine, "there is something to see"


WRITES = [(m, p) for m, p, kind in ROUTES if kind == "operator" and m != "GET"]


@pytest.mark.parametrize(("method", "path"), WRITES)
async def test_another_tenants_admin_changes_nothing_of_it(
    backend: Backend, method: str, path: str
) -> None:
    await backend.store.registry.add_tenant("aquarium", None, NOW)
    before = await everything(backend)
    other = await operator(backend, Role.ADMIN, "aquarium")
    answer = await ask(backend, method, path, other)
    if path not in (
        "/v1/enrolment-codes",
        "/v1/pauses/end",
        "/v1/stream/tickets",
    ):  # of its own, or of nothing
        assert answer.status_code == 404, answer.text
    assert await everything(backend) == before


NEEDED = {
    "/v1/stream/tickets": Role.VIEWER,
    "/v1/audit": Role.ADMIN,
    "/v1/pauses": Role.OPERATOR,
    "/v1/pauses/end": Role.OPERATOR,
    "/v1/limits": Role.ADMIN,
    "/v1/enrolment-codes": Role.ADMIN,
    "/v1/kiosks/{name}/revoke": Role.ADMIN,
}


@pytest.mark.parametrize(("method", "path"), READS + WRITES)
async def test_a_role_reaches_as_far_as_it_says(backend: Backend, method: str, path: str) -> None:
    reads = method == "GET" and path != "/v1/audit"
    needed = Role.VIEWER if reads else NEEDED[path]
    for role in Role:
        answer = await ask(backend, method, path, await operator(backend, role))
        assert (answer.status_code == 403) == (not role.may(needed)), (role, answer.text)
        assert answer.status_code in (200, 204, 403)


async def test_what_an_operator_changes_is_written_down(backend: Backend) -> None:
    token = await operator(backend, Role.ADMIN, name="ada")
    for _, path in WRITES:
        assert (await ask(backend, "POST", path, token)).status_code in (200, 204)
    audit = (await ask(backend, "GET", "/v1/audit", token)).json()
    changes = [line["action"] for line in audit if line["who"] == "ada"]
    assert sorted(changes) == ["invited", "limited", "paused", "resumed", "revoked"]
    [limited] = [line for line in audit if line["action"] == "limited"]
    assert limited["subject"] == "kiosk lobby: minutes_per_day=60"


@pytest.mark.parametrize("name", ["a%00b", "a%2Fb", "%F0%9F%90%8B", "x" * 65])
async def test_a_name_that_is_none_is_no_trouble_of_the_databases(
    backend: Backend, name: str
) -> None:
    admin = {"Authorization": f"Bearer {await operator(backend, Role.ADMIN)}"}
    device = {"Authorization": f"Bearer {backend.token.reveal()}"}
    for method, url, headers, body in (
        ("GET", f"/v1/visits?kiosk={name}", admin, None),
        ("GET", f"/v1/visits/{name}/events", admin, None),
        ("POST", f"/v1/kiosks/{name}/revoke", admin, None),
        ("POST", f"/v1/visits/{name}/start", device, {"press_id": "p"}),
    ):
        answer = await backend.client.request(method, url, json=body, headers=headers)
        assert answer.status_code in (404, 422), (url, answer.text)


async def test_the_fleet_has_no_name_and_others_have(backend: Backend) -> None:
    admin = {"Authorization": f"Bearer {await operator(backend, Role.ADMIN)}"}
    for body in ({"scope": "fleet", "name": "lobby"}, {"scope": "kiosk"}):
        answer = await backend.client.post("/v1/pauses", json=body, headers=admin)
        assert answer.status_code == 422, "a kill switch that is not one must not say so"
    answer = await backend.client.post("/v1/pauses", json={"scope": "fleet"}, headers=admin)
    assert answer.status_code == 204
    assert (await backend.ask()).status_code == 403
    limit = {"scope": "fleet", "name": "lobby", "at_once": 1}
    assert (await backend.client.post("/v1/limits", json=limit, headers=admin)).status_code == 422


async def test_a_method_that_is_none_is_no_label(backend: Backend) -> None:
    for number in range(20):
        await backend.client.request(f"M{number}", "/healthz")
    page = backend.services.metrics.render(0, 0, {}, 0).decode()
    assert "M7" not in page
    assert 'method="-",route="/healthz",status="405"' in page
