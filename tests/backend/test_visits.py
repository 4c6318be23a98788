import logging
from datetime import UTC, datetime

import httpx2
import pytest
from starlette.responses import JSONResponse, Response

from kiosk.backend.books.schema import metadata
from kiosk.backend.tokens import DeviceToken
from kiosk.contract import SIGNED_URL_LIFE_S, read_grant

from .conftest import AGENT_ID, API_KEY, Backend, BackendFactory


async def everything(backend: Backend) -> str:
    """All that stands in the database."""
    return repr([await backend.place.sql(f"select * from {table}") for table in metadata.tables])


def last_line(caplog: pytest.LogCaptureFixture) -> str:
    lines = [r.getMessage() for r in caplog.records if r.name == "kiosk.backend.web.requests"]
    return lines[-1]


async def test_an_enrolled_kiosk_gets_the_providers_url_untouched(backend: Backend) -> None:
    answer = await backend.ask()
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    grant = read_grant(answer.json())
    assert grant.signed_url == backend.fake.minted[0]
    assert grant.life_s == SIGNED_URL_LIFE_S
    assert grant.conversation_id == "conv_0"
    assert grant.single_use
    assert backend.fake.requests[0].query_params["agent_id"] == AGENT_ID


async def test_a_visit_is_recorded_with_its_conversation_and_its_end(backend: Backend) -> None:
    await backend.ask(X_Request_Id="press-7")
    [(name, request_id, conversation_id, minted_at, expires_at)] = await backend.place.sql(
        "select k.name, v.request_id, v.conversation_id, v.minted_at, v.expires_at "
        "from visits v join kiosks k on k.id = v.kiosk_id",
    )
    assert (name, request_id, conversation_id) == ("lobby", "press-7", "conv_0")
    [minted_at, expires_at] = [datetime.fromisoformat(str(at)) for at in (minted_at, expires_at)]
    assert (expires_at - minted_at).total_seconds() == SIGNED_URL_LIFE_S
    assert await backend.place.sql("select last_used_at is not null from kiosk_credentials") == [
        (True,)
    ]


async def test_without_conversation_ids_a_url_may_be_used_again(
    backend_with: BackendFactory,
) -> None:
    async with backend_with(include_conversation_id=False) as backend:
        grant = read_grant((await backend.ask()).json())
        assert "include_conversation_id" not in backend.fake.requests[0].query_params
        assert not grant.single_use
        assert grant.conversation_id is None
        assert await backend.place.sql("select conversation_id from visits") == [(None,)]


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer x", "Basic a2RrOmtkaw==", f"Bearer kdk_{'0' * 16}_{'0' * 64}"],
)
async def test_no_good_token_means_401_and_no_word_to_the_provider(
    backend: Backend, authorization: str
) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    answer = await backend.client.post("/v1/visits", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:kiosk:problem:unauthorized"
    assert backend.fake.requests == []


async def test_a_known_id_with_a_wrong_secret_is_refused(backend: Backend) -> None:
    answer = await backend.ask(f"kdk_{backend.token.credential_id}_{'0' * 64}")
    assert answer.status_code == 401


async def test_a_revoked_kiosk_is_refused_at_once_and_named_in_the_log(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    assert (await backend.ask()).status_code == 200
    assert await backend.store.registry.revoke("default", "lobby", datetime.now(UTC))
    assert (await backend.ask()).status_code == 401
    assert "kiosk=lobby" in last_line(caplog)
    assert "problem=unauthorized" in last_line(caplog)


async def test_a_revoked_kiosk_enrolled_again_needs_its_new_token(backend: Backend) -> None:
    now = datetime.now(UTC)
    fresh = DeviceToken.new()
    assert not await backend.store.registry.enroll("default", "lobby", "", fresh, now)  # still live
    assert await backend.store.registry.revoke("default", "lobby", now)
    assert not await backend.store.registry.revoke("default", "lobby", now)
    assert await backend.store.registry.enroll("default", "lobby", "south", fresh, now)
    assert (await backend.ask()).status_code == 401
    assert (await backend.ask(fresh.reveal())).status_code == 200


async def test_a_request_id_travels_to_provider_database_log_and_answer(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await backend.ask(X_Request_Id="press-7.a_B")
    assert answer.headers["X-Request-Id"] == "press-7.a_B"
    assert backend.fake.requests[0].headers["X-Request-Id"] == "press-7.a_B"
    line = last_line(caplog)
    assert line.startswith("method=POST route=/v1/visits status=200 duration_ms=")
    assert line.endswith("request_id=press-7.a_B kiosk=lobby")


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "a\tb", "{}"])
async def test_a_bad_request_id_is_replaced(backend: Backend, given: str) -> None:
    answer = await backend.ask(X_Request_Id=given)
    assert len(answer.headers["X-Request-Id"]) == 32
    assert int(answer.headers["X-Request-Id"], 16) >= 0


async def test_every_request_gets_exactly_one_line_and_no_path_of_its_own(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    health = await backend.client.get("/healthz?token=oops")
    missing = await backend.client.get("/kdk_oops?token=oops")
    wrong = await backend.client.get("/v1/heartbeat")
    assert (health.status_code, health.json()) == (200, {"status": "ok"})
    assert (missing.status_code, missing.json()["title"]) == (404, "Not Found")
    assert (wrong.status_code, wrong.headers["Allow"]) == (405, "POST")
    assert wrong.headers["Content-Type"] == "application/problem+json"
    lines = [r.getMessage() for r in caplog.records if r.name == "kiosk.backend.web.requests"]
    assert len(lines) == 3
    assert "route=/healthz status=200" in lines[0]
    assert "method=- route=- status=404" in lines[1]
    assert "oops" not in "".join(lines)


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
async def test_there_are_no_documentation_routes(backend: Backend, path: str) -> None:
    assert (await backend.client.get(path)).status_code == 404


async def test_no_other_origin_is_ever_let_in(backend: Backend) -> None:
    answer = await backend.ask(Origin="https://elsewhere.test")
    assert not [name for name in answer.headers if name.startswith("access-control")]


def answered(status: int, detail: object = "secret upstream text", **headers: str) -> Response:
    return JSONResponse(
        {"detail": detail}, status, {k.replace("_", "-"): v for k, v in headers.items()}
    )


@pytest.mark.parametrize(
    ("upstream", "status", "slug", "retry_after"),
    [
        (answered(401), 502, "provider-key-refused", None),
        (answered(404), 502, "agent-unknown", None),
        (answered(429), 429, "provider-quota", "30"),
        (answered(429, Retry_After="7"), 429, "provider-quota", "7"),
        (answered(500), 503, "provider-unreachable", "5"),
        (answered(302, Location="https://elsewhere.test"), 502, "provider-malformed", None),
        (Response("secret upstream text", 200), 502, "provider-malformed", None),
    ],
)
async def test_a_provider_failure_is_a_problem_without_its_words(
    backend: Backend,
    caplog: pytest.LogCaptureFixture,
    upstream: Response,
    status: int,
    slug: str,
    retry_after: str | None,
) -> None:
    backend.fake.answer = upstream
    answer = await backend.ask()
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["type"] == f"urn:kiosk:problem:{slug}"
    assert answer.json()["status"] == status
    assert answer.headers.get("Retry-After") == retry_after
    assert f"kiosk=lobby problem={slug}" in last_line(caplog)
    assert "upstream" not in answer.text + caplog.text
    assert await backend.place.sql("select count(*) from visits") == [(0,)]


async def test_the_providers_code_reaches_the_operators_log_only(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    backend.fake.answer = answered(401, {"status": "quota_exceeded", "message": "You have 0 left"})
    answer = await backend.ask()
    assert answer.status_code == 429
    assert last_line(caplog).endswith("problem=provider-quota provider_code=quota_exceeded")
    assert "quota_exceeded" not in answer.text


async def test_a_database_that_fails_is_a_503_that_may_be_tried_again(backend: Backend) -> None:
    await backend.place.sql("alter table visits rename to gone")
    answer = await backend.ask()
    assert answer.status_code == 503
    assert answer.json()["type"] == "urn:kiosk:problem:store-unavailable"
    assert answer.headers["Retry-After"] == "5"


async def test_a_bug_is_answered_and_logged_like_any_request(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    await backend.place.sql("update kiosk_credentials set sha256 = 'Ä'")  # never written by us
    answer = await backend.ask(X_Request_Id="press-7")
    assert answer.status_code == 500
    assert answer.json()["type"] == "urn:kiosk:problem:internal"
    assert answer.headers["X-Request-Id"] == "press-7"
    assert "status=500" in last_line(caplog)


async def test_no_secret_is_kept_logged_or_shown(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "httpx2")
    answers: list[httpx2.Response] = [await backend.ask(), await backend.ask("kdk_wrong")]
    backend.fake.answer = answered(401, f"the key {API_KEY} is bad")
    answers.append(await backend.ask())
    secret, signature = backend.token.secret, backend.fake.minted[0].split("=")[2]
    kept = await everything(backend)
    shown = caplog.text + "".join(repr(record.__dict__) for record in caplog.records)
    for hidden in (secret, API_KEY, signature, signature.split("&")[0]):
        assert hidden not in kept
        assert hidden not in shown
    assert API_KEY not in "".join(a.text + repr(a.headers) for a in answers)
    assert backend.token.digest() in kept


async def test_the_edition_that_a_kiosk_wants_is_the_one_that_is_asked_for(
    backend: Backend,
) -> None:
    bearer = {"Authorization": f"Bearer {backend.token.reveal()}"}
    wanted = {"branch_id": "branch_1", "version_id": "version_2", "environment": "staging"}
    answer = await backend.client.post("/v1/visits", headers=bearer, json=wanted)
    assert answer.status_code == 200
    asked = backend.fake.requests[-1].query_params
    assert {name: asked[name] for name in wanted} == wanted


async def test_a_kiosk_is_named_in_a_conversation_over_webrtc(backend: Backend) -> None:
    bearer = {"Authorization": f"Bearer {backend.token.reveal()}"}
    wanted = {"transport": "webrtc"}
    answer = await backend.client.post("/v1/visits", headers=bearer, json=wanted)
    assert answer.json()["conversation_token"] == "a-token"
    assert backend.fake.requests[-1].query_params["participant_name"] == backend.kiosk.name
