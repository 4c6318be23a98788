"""The fleet's page: who sees it, what it shows, and what may be done on it."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from kiosk.backend.books.operators import Role
from kiosk.backend.books.orders import OrderKind
from kiosk.backend.books.rules import Scope
from kiosk.backend.page import rendered, session
from kiosk.backend.page.view import _minutes, ago
from kiosk.backend.tokens import OperatorToken
from kiosk.contract import Heartbeat
from tests.backend.conftest import Backend, enrolled

UNKNOWN = f"kop_{'0' * 16}_{'0' * 64}"
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(autouse=True)
def _drawn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was changed beside the page is looked for at once."""
    monkeypatch.setattr(rendered, "_LEAST_LIFE_S", 0.0)
    monkeypatch.setattr(rendered, "_LIFE_OF_COST", 0.0)


async def signed_in(backend: Backend, role: Role = Role.ADMIN, tenant: str = "default") -> str:
    """An operator's cookie; the form's key is in the page."""
    token, now = OperatorToken.new(), datetime.now(UTC)
    assert await backend.store.operators.add(tenant, f"{tenant}-{role}", role, token, now)
    answer = await post(backend, "/fleet/sign-in", token=f"  {token.reveal()}\n")
    assert (answer.status_code, answer.headers["location"]) == (303, "/fleet")
    cookie = answer.headers["set-cookie"]
    assert all(each in cookie for each in ("HttpOnly", "SameSite=strict", "Path=/fleet"))
    return cookie.partition(";")[0]


async def post(
    backend: Backend,
    path: str,
    cookie: str = "",
    headers: Mapping[str, str] | None = None,
    **form: str,
) -> httpx2.Response:
    sent = {**({"Cookie": cookie} if cookie else {}), **(headers or {})}
    return await backend.client.post(path, data=form, headers=sent)


async def page(backend: Backend, cookie: str, path: str = "/fleet") -> str:
    answer = await backend.client.get(path, headers={"Cookie": cookie})
    assert answer.status_code == 200
    return answer.text


def key(text: str) -> str:
    found = re.search(r'name="key" value="([0-9a-f]{64})"', text)
    assert found is not None
    return found[1]


async def done(
    backend: Backend,
    cookie: str,
    action: str,
    name: str = "lobby",
    *,
    scope: str = "",
    text: str = "",
) -> httpx2.Response:
    its = key(await page(backend, cookie))
    do = f"{action} {scope} {name}"
    return await post(backend, "/fleet/do", cookie, None, key=its, do=do, text=text)


async def beats(backend: Backend, state: str = "idle", cause: str = "fit") -> None:
    heartbeat = Heartbeat(boot_id="b", sequence=1, state=state, cause=cause, version="0.1.0")
    backend.store.liveness.beat(backend.kiosk, heartbeat, datetime.now(UTC))
    await backend.store.liveness.flush()


def kiosk_of(text: str, name: str = "lobby") -> str:
    """Its part of the page, without what is between the words."""
    found = re.search(rf'<li class="kiosk \w+" id="kiosk-{name}">.*?</li>', text, re.DOTALL)
    assert found is not None
    return " ".join(re.sub(r"<[^>]+>", " ", found[0]).split())


# --- who sees it --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cookie", ["", "kiosk_fleet=kop_x", f"kiosk_fleet=kop_{'0' * 16}_{'0' * 64}"]
)
async def test_nobody_else_sees_more_than_the_door(backend: Backend, cookie: str) -> None:
    text = await page(backend, cookie)
    assert "Operator's token" in text
    assert "lobby" not in text
    for path, status in (("/fleet/part", 401), ("/fleet/stream", 204)):
        answer = await backend.client.get(path, headers={"Cookie": cookie})
        assert (answer.status_code, answer.text) == (status, "")
    answer = await post(backend, "/fleet/do", cookie, do="pause fleet ")
    assert answer.status_code == 303
    assert await backend.store.rules.paused("default") == []


@pytest.mark.parametrize("token", ["", "x", UNKNOWN, HOSTILE])
async def test_a_wrong_token_is_told_so(backend: Backend, token: str) -> None:
    answer = await post(backend, "/fleet/sign-in", token=token)
    assert answer.status_code == 401
    assert "not known" in answer.text
    assert "set-cookie" not in answer.headers
    assert HOSTILE not in answer.text


async def test_who_is_shut_out_sees_nothing_more(backend: Backend) -> None:
    cookie = await signed_in(backend)
    assert "lobby" in await page(backend, cookie)
    await backend.store.operators.revoke("default", "default-admin", datetime.now(UTC))
    assert "lobby" not in await page(backend, cookie)


async def test_a_tenant_sees_its_own_kiosks(backend: Backend) -> None:
    await backend.store.registry.add_tenant("other", None, datetime.now(UTC))
    await enrolled(backend.store, "elsewhere", "south", "other")
    assert "elsewhere" not in await page(backend, await signed_in(backend))
    theirs = await page(backend, await signed_in(backend, tenant="other"))
    assert "elsewhere" in theirs
    assert "lobby" not in theirs


async def test_the_page_says_what_a_browser_may_do_with_it(backend: Backend) -> None:
    answer = await backend.client.get("/fleet", headers={"Cookie": await signed_in(backend)})
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-store"
    assert "://" not in re.sub(r"<code>.*?</code>", "", answer.text), "nothing from elsewhere"
    for name, kind in (("fleet.css", "text/css"), ("fleet.js", "text/javascript")):
        asset = await backend.client.get(f"/fleet/assets/{name}")
        assert (asset.status_code, asset.headers["content-type"].partition(";")[0]) == (200, kind)
    assert (await backend.client.get("/fleet/assets/routes.py")).status_code == 404


@pytest.mark.parametrize(("proto", "secure"), [("https", True), ("http", False)])
async def test_a_cookie_over_tls_stays_there(backend: Backend, proto: str, secure: bool) -> None:
    token, now = OperatorToken.new(), datetime.now(UTC)
    await backend.store.operators.add("default", "ada", Role.VIEWER, token, now)
    forwarded = {"X-Forwarded-Proto": proto}
    answer = await post(backend, "/fleet/sign-in", headers=forwarded, token=token.reveal())
    assert ("Secure" in answer.headers["set-cookie"]) == secure


# --- what it shows ------------------------------------------------------------------------------


async def test_a_kiosk_is_shown_as_its_lamp_with_what_to_do(backend: Backend) -> None:
    cookie = await signed_in(backend, Role.VIEWER)
    assert kiosk_of(await page(backend, cookie)) == "? lobby never seen"
    await beats(backend)
    assert kiosk_of(await page(backend, cookie)) == ("● lobby ready heard of now, version 0.1.0")
    await beats(backend, cause="no_microphone")
    text = kiosk_of(await page(backend, cookie))
    assert text.startswith("▲ lobby holds no visits: no microphone see the entry of the device")
    await beats(backend, state="listening")
    assert kiosk_of(await page(backend, cookie)).startswith("◆ lobby in a visit")


async def test_what_a_kiosk_says_of_itself_is_text(backend: Backend) -> None:
    cookie = await signed_in(backend)
    now = datetime.now(UTC)
    await backend.store.orders.give("default", "lobby", OrderKind.SAY, HOSTILE, HOSTILE, now)
    text = await page(backend, cookie)
    assert "&lt;script&gt;alert(1)" in text
    assert HOSTILE not in text


async def test_the_last_visits_have_their_verdict(backend: Backend) -> None:
    cookie = await signed_in(backend, Role.VIEWER)
    visit_id = (await backend.ask()).json()["visit_id"]
    bearer = {"Authorization": f"Bearer {backend.token.reveal()}"}
    start, end = (f"/v1/visits/{visit_id}/{what}" for what in ("start", "end"))
    await backend.client.post(start, headers=bearer, json={"press_id": "p1"})
    await beats(backend)  # which is older than the visit
    assert kiosk_of(await page(backend, cookie)).startswith("◆ lobby in a visit")
    report = {
        "press_id": "p1", "outcome": "hung_up", "duration_s": 83,
        "verdict": {"worth": "spoilt", "cause": "lossy_link"},
    }  # fmt: skip
    await backend.client.post(end, headers=bearer, json=report)
    text = " ".join(re.sub(r"<[^>]+>", " ", await page(backend, cookie)).split())
    assert re.search(r"lobby 1:23 hung up spoilt lossy link p1$", text)


# --- what may be done ---------------------------------------------------------------------------


async def test_a_kiosk_is_paused_and_resumed_and_that_is_written_down(backend: Backend) -> None:
    cookie = await signed_in(backend, Role.OPERATOR)
    await beats(backend)
    assert (await done(backend, cookie, "pause", scope="kiosk")).status_code == 303
    assert await backend.store.rules.paused("default") == [(Scope.KIOSK, "lobby")]
    text = await page(backend, cookie)
    assert kiosk_of(text).startswith("❙❙ lobby paused")
    await done(backend, cookie, "resume", scope="kiosk")
    assert await backend.store.rules.paused("default") == []
    audit = await backend.store.operators.audit("default", 2)
    assert [(line.who, line.action, line.subject) for line in audit] == [
        ("default-operator", "resumed", "kiosk lobby"),
        ("default-operator", "paused", "kiosk lobby"),
    ]


async def test_what_is_ordered_waits_on_the_page_until_it_is_taken(backend: Backend) -> None:
    cookie = await signed_in(backend, Role.OPERATOR)
    await done(backend, cookie, "ring")
    await done(backend, cookie, "say", text=" The café\n closes. ")
    text = kiosk_of(await page(backend, cookie))
    assert "waits for the next heartbeat: ring" in text
    assert "waits for the next heartbeat: say: The café closes." in text
    await backend.store.orders.take(backend.kiosk, datetime.now(UTC))
    assert "waits" not in kiosk_of(await page(backend, cookie))


@pytest.mark.parametrize("text", ["  ", "\0", ""])
async def test_nothing_is_said_that_has_no_words(backend: Backend, text: str) -> None:
    cookie = await signed_in(backend)
    await done(backend, cookie, "say", text=text)
    assert await backend.store.orders.waiting("default", datetime.now(UTC)) == []


async def test_what_is_not_taken_is_told(backend: Backend) -> None:
    cookie = await signed_in(backend, Role.OPERATOR)
    for _ in range(5):
        assert (await done(backend, cookie, "ring")).headers["location"] == "/fleet"
    for action in ("ring", "end_visit", "resume"):
        answer = await done(backend, cookie, action, scope="kiosk")
        assert answer.headers["location"] == "/fleet?refused"
    assert "That was not taken" in await page(backend, cookie, "/fleet?refused")


@pytest.mark.parametrize("name", ["a\0b", "lobby\0", "\x1b", "é" * 300])
async def test_a_name_that_nobody_types_is_no_fault_of_the_database(
    backend: Backend, name: str
) -> None:
    cookie = await signed_in(backend)
    for action in ("pause", "ring", "say", "revoke"):
        answer = await done(backend, cookie, action, name, scope="kiosk", text="x\0y")
        assert answer.status_code == 303


async def test_a_kiosk_is_revoked(backend: Backend) -> None:
    cookie = await signed_in(backend)
    await done(backend, cookie, "revoke")
    assert kiosk_of(await page(backend, cookie)) == "✕ lobby revoked"


@pytest.mark.parametrize(
    ("role", "action", "allowed"),
    [
        (Role.VIEWER, "pause", False),
        (Role.VIEWER, "ring", False),
        (Role.OPERATOR, "end_visit", True),
        (Role.OPERATOR, "revoke", False),
        (Role.OPERATOR, "rotate", False),
        (Role.ADMIN, "rotate", True),
        (Role.ADMIN, "fly", False),
    ],
)
async def test_each_role_does_what_it_may(
    backend: Backend, role: Role, action: str, allowed: bool
) -> None:
    token, now = OperatorToken.new(), datetime.now(UTC)
    await backend.store.operators.add("default", "ada", role, token, now)
    cookie = f"{session.COOKIE}={token.reveal()}"
    answer = await post(
        backend, "/fleet/do", cookie, key=session.form_key(token), do=f"{action} kiosk lobby"
    )
    assert answer.status_code == (303 if allowed else 403)
    assert bool(await backend.store.operators.audit("default", 1)) >= allowed


@pytest.mark.parametrize(
    ("form_key", "headers"),
    [
        ("", {}),
        ("0" * 64, {}),
        ("é", {}),
        (None, {"Origin": "http://evil.example"}),
        (None, {"Origin": "null"}),
        (None, {"Sec-Fetch-Site": "cross-site"}),
        (None, {"Sec-Fetch-Site": "same-site"}),
    ],
)
async def test_another_sites_page_does_nothing(
    backend: Backend, form_key: str | None, headers: dict[str, str]
) -> None:
    cookie = await signed_in(backend)
    its = key(await page(backend, cookie)) if form_key is None else form_key
    form = {"key": its, "do": "pause fleet "}
    answer = await post(backend, "/fleet/do", cookie, headers, **form)
    assert answer.status_code == 403
    assert await backend.store.rules.paused("default") == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://backend.test"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "null"},
        {"Origin": "http://backend.test"},
        {},
    ],
)
async def test_our_own_page_does_what_it_is_for(
    backend: Backend, headers: Mapping[str, str]
) -> None:
    cookie = await signed_in(backend)
    form = {"key": key(await page(backend, cookie)), "do": "pause fleet "}
    answer = await post(backend, "/fleet/do", cookie, headers, **form)
    assert answer.status_code == 303
    assert await backend.store.rules.paused("default") == [(Scope.FLEET, "")]


async def test_what_there_is_not_is_left_alone(backend: Backend) -> None:
    cookie = await signed_in(backend)
    for scope, name in (("kiosk", "nowhere"), ("site", "x"), ("planet", ""), ("fleet", "lobby")):
        await done(backend, cookie, "pause", name, scope=scope)
    assert await backend.store.rules.paused("default") == []


async def test_a_form_that_is_too_long_is_not_read(backend: Backend) -> None:
    answer = await post(backend, "/fleet/sign-in", token="x" * 20_000)
    assert answer.status_code == 413
    many = "&".join(f"a{n}=1" for n in range(500))
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await backend.client.post("/fleet/sign-in", content=many, headers=form)
    assert answer.status_code == 401


def test_how_long_ago_is_said_in_a_word() -> None:
    assert [_minutes(s) for s in (None, 0, 59.4, 59.7, 119.6)] == [
        "",
        "0:00",
        "0:59",
        "1:00",
        "2:00",
    ]
    told = [ago(timedelta(seconds=s)) for s in (-3, 4, 59, 60, 3600, 86_400 * 3)]
    assert told == ["now", "now", "59 s ago", "1 min ago", "1 h ago", "3 d ago"]
