import asyncio
import socket
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kiosk.backend.provider.client import (
    SIGNED_URL_PATH,
    AgentAccess,
    AgentUnknownError,
    KeyRefusedError,
    MalformedError,
    ProviderError,
    QuotaError,
    UnreachableError,
    open_provider,
)
from kiosk.backend.web.problems import OF_PROVIDER
from kiosk.contract import Grant
from kiosk.errors import ProxyError

from .conftest import AGENT_ID, API_KEY, FakeProvider, provider_of


async def mint(answer: Response) -> Grant:
    async with provider_of(FakeProvider(answer).app()) as provider:
        return await provider.mint("r1")


def said(status: int, body: object) -> Response:
    return JSONResponse(body, status)


LIST = {"detail": [{"loc": ["query", "agent_id"], "msg": "field required", "type": "missing"}]}
PAIR = {"detail": {"status": "some_code", "message": "words"}}


@pytest.mark.parametrize(
    ("answer", "error", "code"),
    [
        (said(401, PAIR), KeyRefusedError, "some_code"),
        (said(403, {"detail": "words"}), KeyRefusedError, None),
        (said(401, {"detail": {"status": "quota_exceeded"}}), QuotaError, "quota_exceeded"),
        (said(401, {"detail": "This request exceeds your quota limit"}), QuotaError, None),
        (said(402, {}), QuotaError, None),
        (said(429, PAIR), QuotaError, "some_code"),
        (said(404, PAIR), AgentUnknownError, "some_code"),
        (said(422, LIST), AgentUnknownError, "missing"),
        (said(500, PAIR), UnreachableError, "some_code"),
        (Response("<html>bad gateway", 502), UnreachableError, None),
        (said(408, []), UnreachableError, None),
        (said(400, {"detail": []}), MalformedError, None),
        (said(400, {"detail": {"status": "a b\n", "message": 3}}), MalformedError, None),
        (said(201, {"signed_url": "wss://a.test/"}), MalformedError, None),
    ],
)
async def test_a_refusal_becomes_its_error_with_the_code_in_any_of_three_forms(
    answer: Response, error: type[ProviderError], code: str | None
) -> None:
    with pytest.raises(error) as caught:
        await mint(answer)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff",
        b'{"signed_url": 7}',
        b'{"signed_url": "https://agents.test/"}',
        b'{"token": "eyJ", "conversation_id": "conv_1"}',
        b'{"signed_url": "wss://a.test/", "expires_in": Infinity}',
        b'{"signed_url": "wss://a.test/", "expires_in": 1e300}',
        b'{"signed_url": "wss://a.test/", "expires_in": 1' + b"0" * 400 + b"}",
        b'{"signed_url": "wss://a.test/", "expires_in": 1' + b"0" * 5000 + b"}",
        b"[" * 100_000,
    ],
)
async def test_a_malformed_answer_is_one_error_whatever_is_wrong(body: bytes) -> None:
    with pytest.raises(MalformedError):
        await mint(Response(body, 200))


async def test_a_body_that_does_not_decompress_is_malformed() -> None:
    with pytest.raises(MalformedError):
        await mint(Response(b"not gzip", 200, {"Content-Encoding": "gzip"}))


async def test_a_life_the_provider_states_is_passed_on() -> None:
    assert (await mint(said(200, {"signed_url": "wss://a.test/", "expires_in": 60}))).life_s == 60
    assert (await mint(said(200, {"signed_url": "wss://a.test/", "expires_in": "x"}))).life_s == 900


@pytest.mark.parametrize(
    ("url", "conversation_id"),
    [
        ("wss://a.test/?conversation_id=conv_1", "conv_1"),
        ("wss://a.test/?x=1&conversation_id=conv_1&y=+%zz", "conv_1"),
        ("wss://a.test/?conversation_id=", None),
        ("wss://a.test/?conversation_id=a%0Ab", None),
        ("wss://[a.test/?conversation_id=conv_1", None),
    ],
)
async def test_the_conversation_id_is_read_if_it_can_be_and_the_url_never_changed(
    url: str, conversation_id: str | None
) -> None:
    grant = await mint(said(200, {"signed_url": url}))
    assert grant.signed_url == url
    assert grant.conversation_id == conversation_id
    assert grant.single_use


@given(st.binary(max_size=200))
def test_no_body_at_all_leads_to_another_error(body: bytes) -> None:
    with pytest.raises(ProviderError):
        asyncio.run(mint(Response(body, 200)))


async def never(_request: Request) -> Response:
    await asyncio.sleep(60)
    return Response()


async def test_a_silent_provider_is_unreachable_after_the_deadline() -> None:
    began_s = time.monotonic()
    app = Starlette(routes=[Route(SIGNED_URL_PATH, never)])
    async with provider_of(app, deadline_s=0.05) as provider:
        with pytest.raises(UnreachableError):
            await provider.mint("r1")
    assert time.monotonic() - began_s < 2


async def test_a_stopping_server_hurries_the_request_under_way() -> None:
    app = Starlette(routes=[Route(SIGNED_URL_PATH, never)])
    async with provider_of(app, deadline_s=60) as provider:
        asked = asyncio.create_task(provider.mint("r1"))
        await asyncio.sleep(0.01)
        provider.hurry(0.01)
        with pytest.raises(UnreachableError):
            await asyncio.wait_for(asked, 2)


async def test_a_closed_port_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    access = AgentAccess(f"http://127.0.0.1:{port}", AGENT_ID)
    async with open_provider(access, SecretStr(API_KEY)) as provider:
        with pytest.raises(UnreachableError):
            await provider.mint("r1")


async def test_nothing_that_holds_the_key_shows_it() -> None:
    fake = FakeProvider()
    async with provider_of(fake.app()) as provider:
        await provider.mint("r1")
        shown = repr(provider) + repr(vars(provider)) + repr(provider._client.headers)
    assert fake.requests[0].headers["xi-api-key"] == API_KEY
    assert API_KEY not in shown


def test_every_provider_error_has_its_problem() -> None:
    assert set(OF_PROVIDER) == set(ProviderError.__subclasses__())
    assert len({problem.slug for problem in OF_PROVIDER.values()}) == len(OF_PROVIDER)


async def test_a_proxy_that_cannot_be_used_is_told_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("https_proxy", "ftp://user:s3cret@127.0.0.1")
    with pytest.raises(ProxyError, match="https_proxy names a proxy") as caught:
        async with open_provider(AgentAccess("https://api.test", "a1"), SecretStr("k")):
            pass
    assert "s3cret" not in str(caught.value)
