"""The exchange of a one-time code for a device token, against a real HTTP server."""

import asyncio
import json

import pytest

from kiosk.errors import ConfigError, UnavailableError
from kiosk.link.enrolment import exchanged
from tests.unit.link.test_backend import OLD, Answering, answering, problem

CODE = "7KXM-2QRB-9TFD-WA3H"


async def test_a_code_is_exchanged_for_a_token() -> None:
    async with answering(Answering(body=json.dumps({"device_token": OLD}).encode())) as server:
        assert await asyncio.to_thread(exchanged, server.url, CODE) == OLD


async def test_a_code_that_the_backend_does_not_take_is_asked_for_again() -> None:
    async with answering(Answering(401, problem("unauthorized"))) as server:
        with pytest.raises(ConfigError, match="ask for another"):
            await asyncio.to_thread(exchanged, server.url, CODE)


async def test_an_address_that_is_no_name_does_not_answer() -> None:
    with pytest.raises(UnavailableError, match="does not answer"):
        await asyncio.to_thread(exchanged, "https://kiosks..test", CODE)


async def test_a_proxy_that_cannot_be_used_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://user:s3cret@127.0.0.1:1080")
    with pytest.raises(UnavailableError, match="ALL_PROXY names a proxy") as caught:
        await asyncio.to_thread(exchanged, "https://kiosks.test", CODE)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("status", [200, 302, 401, 403, 404])
async def test_a_page_of_something_on_the_way_is_no_word_about_the_code(status: int) -> None:
    async with answering(Answering(status, b"<h1>Sign in</h1>")) as server:
        with pytest.raises(UnavailableError, match=f"HTTP {status}.*portal") as caught:
            await asyncio.to_thread(exchanged, server.url, CODE)
    assert CODE not in str(caught.value)
