"""The token of a public agent: asked for without a key, and what can go wrong."""

import contextlib
import json
from collections.abc import AsyncIterator
from http import HTTPStatus

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from kiosk.errors import CredentialError
from kiosk.link.conversation_token import fetch_token, token_url
from kiosk.link.credentials import PublicAgent, Rooms
from tests.unit.link.test_websocket import free_port


@contextlib.asynccontextmanager
async def answering(status: HTTPStatus, body: str) -> AsyncIterator[tuple[str, list[str]]]:
    """A service at this address, and the paths it was asked for."""
    asked: list[str] = []

    def answer(connection: ServerConnection, request: Request) -> Response:
        asked.append(request.path)
        return connection.respond(status, body)

    async def never(_: ServerConnection) -> None: ...

    async with serve(never, "127.0.0.1", 0, process_request=answer) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}", asked


async def test_an_opening_for_a_room_has_the_token_and_the_rooms_address() -> None:
    rooms = Rooms("wss://rooms.example")
    async with answering(HTTPStatus.OK, json.dumps({"token": "s3cret"})) as (url, asked):
        opening = await PublicAgent(url, "agent_1", rooms=rooms).take("press", "de")
    assert asked == ["/v1/convai/conversation/token?agent_id=agent_1"]
    assert (opening.url, opening.token, opening.language) == (rooms.url, "s3cret", "de")


@pytest.mark.parametrize(
    ("status", "body", "says", "retryable"),
    [
        (HTTPStatus.UNAUTHORIZED, "{}", r"agent\.id \(HTTP 401\)", False),
        (HTTPStatus.NOT_FOUND, "{}", r"agent\.id \(HTTP 404\)", False),
        (HTTPStatus.BAD_GATEWAY, "", "HTTP 502", True),
        (HTTPStatus.OK, "<html>", "without a conversation token", True),
        (HTTPStatus.OK, '{"signed_url": "wss://x"}', "without a conversation token", True),
    ],
)
async def test_what_is_no_token_says_why(
    status: HTTPStatus, body: str, says: str, retryable: bool
) -> None:
    async with answering(status, body) as (url, _):
        with pytest.raises(CredentialError, match=says) as caught:
            await fetch_token(token_url(url, "agent_1"))
    assert caught.value.retryable is retryable


async def test_nobody_there_is_said() -> None:
    with pytest.raises(CredentialError, match="does not answer"):
        await fetch_token(token_url(f"ws://127.0.0.1:{free_port()}", "agent_1"))


def test_the_token_is_had_at_the_rest_address_of_the_agents() -> None:
    assert token_url("wss://api.eu.residency.elevenlabs.io/", "a b") == (
        "https://api.eu.residency.elevenlabs.io/v1/convai/conversation/token?agent_id=a+b"
    )
