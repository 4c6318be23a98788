"""The transport against real servers on the loopback interface."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from kiosk.link.transport import Close, ConnectError, HandshakeRefusedError, TransportClosedError
from kiosk.link.websocket import connect
from kiosk.visit.conversation import CONNECT_TIMEOUT_S
from tests.proxies import UNUSABLE_PROXIES
from tests.silence import BLACK_HOLE, black_hole, resolve

SECRET = "conversation_signature=s3cret"
Handler = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def server(handler: Handler, status: HTTPStatus | None = None) -> AsyncIterator[str]:
    """A WebSocket server's URL; with a status it refuses every handshake with that."""

    def refuse(connection: ServerConnection, _: Request) -> Response | None:
        return None if status is None else connection.respond(status, "no")

    async with serve(handler, "127.0.0.1", 0, process_request=refuse) as listening:
        port = next(iter(listening.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/v1/convai/conversation?{SECRET}"


@asynccontextmanager
async def raw_server(answer: bytes | None) -> AsyncIterator[str]:
    """A TCP server that answers whatever it is asked with these bytes, then hangs up; None: it
    never answers."""
    gone = asyncio.Event()

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if answer is None:
            await gone.wait()
        else:
            await reader.readline()
            writer.write(answer)
        writer.close()

    listening = await asyncio.start_server(client, "127.0.0.1", 0)
    async with listening:
        yield f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}/?{SECRET}"
        gone.set()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def echo(connection: ServerConnection) -> None:
    async for frame in connection:
        await connection.send(frame)


async def test_text_goes_both_ways() -> None:
    async with server(echo) as url:
        opened = await connect(url)
        await opened.send('{"type":"pong","event_id":1}')
        assert await opened.receive() == '{"type":"pong","event_id":1}'
        await opened.close()


async def test_a_frame_of_several_megabytes_arrives() -> None:
    async def talk(connection: ServerConnection) -> None:
        await connection.send("x" * 5_000_000)
        await connection.wait_closed()

    async with server(talk) as url:
        opened = await connect(url)
        assert len(await opened.receive()) == 5_000_000
        await opened.close()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (1000, ""),
        (1002, "This request exceeds your quota limit."),
        (1008, "Invalid message received"),
        (1011, ""),
        (3000, "Request error"),
        (4300, "queue"),
    ],
)
async def test_code_and_reason_of_the_close_arrive(code: int, reason: str) -> None:
    async def hang_up(connection: ServerConnection) -> None:
        await connection.close(code, reason)

    async with server(hang_up) as url:
        opened = await connect(url)
        with pytest.raises(TransportClosedError) as caught:
            await opened.receive()
        assert caught.value.close == Close(code, reason)
        with pytest.raises(TransportClosedError) as again:
            await opened.send("late")
        assert again.value.close == Close(code, reason)


async def test_a_connection_torn_down_has_no_code() -> None:
    async def vanish(connection: ServerConnection) -> None:
        connection.transport.abort()

    async with server(vanish) as url:
        opened = await connect(url)
        with pytest.raises(TransportClosedError) as caught:
            await opened.receive()
        assert caught.value.close.code is None


async def test_our_close_is_a_normal_one() -> None:
    closed = asyncio.get_running_loop().create_future()

    async def listen(connection: ServerConnection) -> None:
        await connection.wait_closed()
        closed.set_result(connection.close_code)

    async with server(listen) as url:
        opened = await connect(url)
        await opened.close()
        assert await closed == 1000


async def test_giving_up_on_a_frame_loses_none() -> None:
    started = asyncio.Event()

    async def talk(connection: ServerConnection) -> None:
        await started.wait()
        await connection.send("first")
        await connection.wait_closed()

    async with server(talk) as url:
        opened = await connect(url)
        waiting = asyncio.create_task(opened.receive())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        started.set()
        assert await opened.receive() == "first"
        await opened.close()


async def test_nothing_is_compressed_and_no_subprotocol_is_offered() -> None:
    asked = asyncio.get_running_loop().create_future()

    async def listen(connection: ServerConnection) -> None:
        assert connection.request is not None
        asked.set_result(connection.request.headers)

    async with server(listen) as url:
        opened = await connect(url)
        headers = await asked
        assert "Sec-WebSocket-Extensions" not in headers
        assert "Sec-WebSocket-Protocol" not in headers
        await opened.close()


async def test_an_address_that_swallows_everything_does_not_hold_up_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As IPv6 that is there and broken. A visit waits ten seconds for its connection."""
    async with server(echo) as url:
        port = int(url.split(":")[2].split("/")[0])
        resolve(monkeypatch, "agent.test", BLACK_HOLE, "127.0.0.1")
        with black_hole(port):
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                opened = await connect(url.replace("127.0.0.1", "agent.test"))
                await opened.close()


# --- no connection ------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403, 404, 429, 503])
async def test_a_refused_handshake_has_its_status(status: int) -> None:
    async with server(echo, HTTPStatus(status)) as url:
        with pytest.raises(HandshakeRefusedError) as caught:
            await connect(url)
        assert (caught.value.status, caught.value.web_page) == (status, False)
        _assert_secret_is_kept(caught.value)


async def test_a_web_page_instead_of_a_websocket_is_noticed() -> None:
    page = b"HTTP/1.1 403 No\r\nContent-Type: text/html\r\nContent-Length: 3\r\n\r\n<p>"
    async with raw_server(page) as url:
        with pytest.raises(HandshakeRefusedError) as caught:
            await connect(url)
    assert (caught.value.status, caught.value.web_page) == (403, True)


async def test_nobody_listening_is_told_in_the_systems_words() -> None:
    with pytest.raises(ConnectError, match="Refused") as caught:
        await connect(f"ws://127.0.0.1:{free_port()}/?{SECRET}")
    _assert_secret_is_kept(caught.value)


@pytest.mark.parametrize("answer", [b"", b"220 mail.example ESMTP\r\n", b"HTTP/1.1 200"])
async def test_something_that_is_no_web_server_is_no_connection(answer: bytes) -> None:
    async with raw_server(answer) as url:
        with pytest.raises(ConnectError) as caught:
            await connect(url)
        _assert_secret_is_kept(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.invalid/?",
        "nonsense ",
        "ws://",
        "ws://[::1/",
        "ws://x:port/",
        "ws://x:99999/",
    ],
)
async def test_an_address_that_is_none_is_no_connection(url: str) -> None:
    with pytest.raises(ConnectError) as caught:
        await connect(url + SECRET)
    _assert_secret_is_kept(caught.value)


async def test_a_server_that_does_not_answer_can_be_given_up() -> None:
    async with raw_server(None) as url:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await connect(url)


async def test_a_connection_given_up_while_it_opens_is_closed_properly() -> None:
    closed = asyncio.get_running_loop().create_future()

    async def listen(connection: ServerConnection) -> None:
        await connection.wait_closed()
        closed.set_result(connection.close_code)

    async def slowly(connection: ServerConnection, _: Request) -> None:
        opening.cancel()
        await asyncio.sleep(0.02)

    async with serve(listen, "127.0.0.1", 0, process_request=slowly) as listening:
        port = next(iter(listening.sockets)).getsockname()[1]
        opening = asyncio.create_task(connect(f"ws://127.0.0.1:{port}/"))
        await asyncio.wait([opening])
        assert opening.cancelled()
        assert await asyncio.wait_for(closed, 2) == 1000


@pytest.mark.parametrize("value", [*UNUSABLE_PROXIES, "http://s3cret@proxy.test:1"])
async def test_a_proxy_that_cannot_be_used_is_told(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    with pytest.raises(ConnectError, match=r"HTTPS_PROXY names a proxy.*http://HOST") as caught:
        await connect(f"wss://agent.test/?{SECRET}")
    _assert_secret_is_kept(caught.value)


def _assert_secret_is_kept(error: BaseException) -> None:
    assert "s3cret" not in str(error)
    assert "s3cret" not in repr(error)
    assert error.__cause__ is None or "s3cret" not in str(error.__cause__)
