"""How every end of a conversation arrives, and that nothing is waited for in vain. The kiosk's
conversation without the daemon; the server is the test's."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from kiosk.audio.pcm import Samples, samples_to_bytes
from kiosk.base.clock import loop_now_s
from kiosk.convai.client_messages import Pong, ToolResult
from kiosk.convai.frames import serialize
from kiosk.convai.server_messages import (
    AgentAudio,
    ClientError,
    ErrorReport,
    Metadata,
    Ping,
    VadScore,
)
from kiosk.convai.server_tools import ToolCall
from kiosk.endings import Ending, Kind
from kiosk.link.transport import CLOSE_TIMEOUT_S
from kiosk.link.websocket import PING_INTERVAL_S, PING_TIMEOUT_S, Socket
from kiosk.visit import conversation
from tests.bare_conversation import Bare, bare_conversation
from tests.convai_server import Connection, scripted_server
from tests.lockstep import in_lockstep
from tests.unit.convai.closes import CLOSES, ERROR_TYPES, HANDSHAKES
from tests.virtual_time import virtual_time

# A peer that is gone is noticed this soon.
DEAD_AFTER_S = PING_INTERVAL_S + PING_TIMEOUT_S
GRACE_S = 0.5

Report = ErrorReport | ClientError


async def ending_of(
    code: int | None, reason: str, *reports: Report, limit_s: float = 5.0
) -> tuple[Ending, Bare]:
    """The conversation with a server that reports, and closes as it says, after the metadata."""
    async with scripted_server() as server, bare_conversation(server.url) as kiosk:
        connection = await server.connection()
        await connection.send(*reports)
        await close(server.sockets[0], code, reason)
        async with asyncio.timeout(limit_s):
            return await kiosk.ending(), kiosk


async def close(connection: ServerConnection, code: int | None, reason: str) -> None:
    if code == 1005:  # what a close frame without a code is called
        connection.protocol.send_close()
        connection.send_data()
        await connection.wait_closed()
    elif code in (None, 1006):  # what no close frame at all is called
        await connected_through(connection)
        connection.transport.abort()
    else:
        await connection.close(code, reason)


async def connected_through(connection: ServerConnection) -> None:
    """Wait until the client has read what was sent: an abort may overtake it."""
    await (await connection.ping())


# --- what the server says -----------------------------------------------------------------------


@pytest.mark.parametrize(("code", "reason", "kind"), CLOSES)
@in_lockstep
async def test_a_close_on_the_wire_is_its_ending(code: int | None, reason: str, kind: Kind) -> None:
    ending, kiosk = await ending_of(code, reason)
    assert ending == Ending(kind, None if code == 1006 else code, reason)
    assert kiosk.conversation.conversation_id == "conv_test1"


ERRORS = [(code, *row) for code, rows in ERROR_TYPES.items() for row in rows.items()]


@pytest.mark.parametrize(("code", "error_type", "kind"), ERRORS)
@in_lockstep
async def test_an_error_event_and_its_close_are_their_ending(
    code: int, error_type: str, kind: Kind
) -> None:
    ending, _ = await ending_of(code, "", ErrorReport(code, "", error_type))
    assert ending == Ending(kind, code, error_type)


@pytest.mark.parametrize(("code", "error_type", "kind"), ERRORS)
@in_lockstep
async def test_an_error_event_explains_a_connection_that_just_breaks_off(
    code: int, error_type: str, kind: Kind
) -> None:
    ending, _ = await ending_of(None, "", ClientError(code, error_type))
    assert ending == Ending(kind, code, error_type)


@in_lockstep
async def test_a_close_in_place_of_the_metadata_is_its_ending() -> None:
    async def refuse(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.close(3000, "The AI agent you are trying to reach does not exist.")

    async with served(refuse) as url, bare_conversation(url) as kiosk:
        ending = await kiosk.ending()
    assert (ending.kind, ending.code) == (Kind.AGENT_MISSING, 3000)
    assert kiosk.posted == []


@pytest.mark.parametrize(
    ("frame", "code"),
    [(b"\x81\x02\xff\xfe", 1007), (b"\x81\x7f" + (2**25).to_bytes(8, "big"), 1009)],
    ids=["no text", "too long"],
)
@in_lockstep
async def test_a_frame_that_no_client_can_take_is_an_ending_too(frame: bytes, code: int) -> None:
    async with scripted_server() as server, bare_conversation(server.url) as kiosk:
        connection = await server.connection()
        server.sockets[0].transport.write(frame)
        ending = await kiosk.ending()
        await asyncio.wait_for(connection.closed.wait(), 5)
    assert (ending.kind, ending.code) == (Kind.PROTOCOL, code)
    assert connection.close_code == code


# --- a handshake that is none -------------------------------------------------------------------


@asynccontextmanager
async def served(
    handler: Callable[[ServerConnection], Awaitable[None]],
    refusal: Response | None = None,
    listening: socket.socket | None = None,
) -> AsyncIterator[str]:
    """A WebSocket server, or one that answers every handshake with something else."""

    def answer(_: ServerConnection, __: Request) -> Response | None:
        return refusal

    where = {"sock": listening} if listening else {"host": "127.0.0.1", "port": 0}
    async with serve(handler, process_request=answer, ping_interval=None, **where) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}"


def http_answer(status: int, **headers: str) -> Response:
    body = b"sorry"
    fields = {"Content-Length": str(len(body)), "Connection": "close", **headers}
    return Response(status, HTTPStatus(status).phrase, Headers(fields), body)


async def nobody(_: ServerConnection) -> None:
    raise AssertionError("no WebSocket was opened")


@pytest.mark.parametrize(("status", "kind"), HANDSHAKES)
@in_lockstep
async def test_an_http_answer_instead_of_a_websocket_is_its_ending(status: int, kind: Kind) -> None:
    async with served(nobody, http_answer(status)) as url, bare_conversation(url) as kiosk:
        ending = await kiosk.ending()
    assert ending == Ending(kind, status, f"HTTP {status} instead of a WebSocket")
    assert kiosk.posted == []


@in_lockstep
async def test_a_portal_that_leads_elsewhere_is_nobody_to_talk_with() -> None:
    portal = http_answer(302, Location="http://portal.invalid/?from=kiosk")
    async with served(nobody, portal) as url, bare_conversation(url) as kiosk:
        ending = await kiosk.ending()
    assert ending.kind is Kind.UNREACHABLE
    assert "portal" not in ending.detail


@in_lockstep
async def test_where_nobody_listens_nobody_is_reached() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    async with bare_conversation(f"ws://127.0.0.1:{port}") as kiosk:
        ending = await kiosk.ending()
    assert ending == Ending(Kind.UNREACHABLE, None, ending.detail)
    assert "Refused" in ending.detail


# --- what never comes ---------------------------------------------------------------------------


@in_lockstep
async def test_a_server_without_metadata_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "METADATA_TIMEOUT_S", 0.3)
    closed: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

    async def ping_only(connection: ServerConnection) -> None:
        await connection.send(serialize(Ping(1)))
        await connection.wait_closed()
        closed.set_result(connection.close_code)

    started_s = loop_now_s()
    async with served(ping_only) as url, bare_conversation(url) as kiosk:
        ending = await kiosk.ending()
        took_s = loop_now_s() - started_s
        assert await asyncio.wait_for(closed, 5) == 1000
    assert ending == Ending(Kind.NO_METADATA, None, "no metadata in 0.3 s")
    assert 0.3 <= took_s < 1.0
    assert kiosk.posted == []


@in_lockstep
async def test_the_metadata_has_no_deadline_any_more_once_it_came(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(conversation, "METADATA_TIMEOUT_S", 0.2)
    async with scripted_server() as server, bare_conversation(server.url) as kiosk:
        connection = await server.connection()
        await kiosk.connected()
        await asyncio.sleep(0.4)
        await connection.close(1000)
        assert (await kiosk.ending()).kind is Kind.AGENT_ENDED


@in_lockstep
async def test_a_peer_that_vanishes_is_noticed() -> None:
    async with scripted_server() as server, bare_conversation(server.url) as kiosk:
        connection = await server.connection()
        await kiosk.connected()
        connection.socket.transport.pause_reading()
        vanished_s = loop_now_s()
        ending = await kiosk.ending()
        took_s = loop_now_s() - vanished_s
        connection.socket.transport.abort()
    assert ending == Ending(Kind.PEER_DEAD, None, "no answer to a ping in 5 s")
    assert took_s < DEAD_AFTER_S + GRACE_S


# From right after one of the socket's pings to right before the next.
PHASES_S = [0.0, 0.5, 1.5, 2.5, 2.99, 3.01, 4.0]


@pytest.mark.parametrize("phase_s", PHASES_S)
@pytest.mark.parametrize("talking", [False, True])
def test_a_peer_that_vanishes_is_noticed_in_time_whenever_it_does(
    phase_s: float, talking: bool
) -> None:
    @virtual_time
    async def visit() -> None:
        clock = asyncio.get_running_loop().time
        async with scripted_server() as server, bare_conversation(server.url) as kiosk:
            connection = await server.connection()
            await kiosk.connected()
            speaking = asyncio.create_task(kiosk.speak(60 if talking else 0))
            await asyncio.sleep(phase_s)
            connection.socket.transport.pause_reading()
            vanished_s = clock()
            ending = await kiosk.ending()
            took_s = clock() - vanished_s
            speaking.cancel()
        assert ending == Ending(Kind.PEER_DEAD, None, "no answer to a ping in 5 s")
        assert took_s < DEAD_AFTER_S + GRACE_S

    visit()


@asynccontextmanager
async def narrow_server() -> AsyncIterator[tuple[str, "asyncio.Future[ServerConnection]"]]:
    """A server whose system takes in next to nothing that it does not read."""
    accepted: asyncio.Future[ServerConnection] = asyncio.get_running_loop().create_future()

    async def converse(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send(serialize(Metadata("conv_1")))
        accepted.set_result(connection)
        await connection.wait_closed()

    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    listening.bind(("127.0.0.1", 0))
    async with served(converse, listening=listening) as url:
        yield url, accepted


def transport_of(kiosk: Bare) -> asyncio.Transport:
    socket = kiosk.conversation._transport
    assert isinstance(socket, Socket)
    transport: asyncio.Transport = socket._connection.transport
    return transport


async def stalled(kiosk: Bare, connection: ServerConnection) -> None:
    """The server stops reading, and what the systems hold for it is little."""
    wire = transport_of(kiosk).get_extra_info("socket")
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)
    connection.transport.pause_reading()


# The later the wire is full, the later a send waits, and the socket's own ping before or behind it.
@pytest.mark.parametrize("phase_s", PHASES_S)
@pytest.mark.parametrize("silent_s", [0, 2, 4, 6])
def test_a_server_that_takes_nothing_any_more_is_noticed_in_time_whenever_that_is(
    phase_s: float, silent_s: float
) -> None:
    @virtual_time
    async def visit() -> None:
        clock = asyncio.get_running_loop().time
        async with narrow_server() as (url, accepted), bare_conversation(url) as kiosk:
            connection = await accepted
            await kiosk.connected()
            await asyncio.sleep(phase_s)
            await stalled(kiosk, connection)
            stalled_s = clock()
            ends = asyncio.create_task(kiosk.ending())
            await asyncio.sleep(silent_s)
            most_held = 0
            while not ends.done():
                await kiosk.speak(0.02)
                most_held = max(most_held, transport_of(kiosk).get_write_buffer_size())
            ending, took_s = await ends, clock() - stalled_s
            connection.transport.abort()
        assert ending == Ending(Kind.PEER_DEAD, None, "no answer to a ping in 5 s")
        assert took_s < DEAD_AFTER_S + GRACE_S
        if silent_s < 6:
            assert most_held > 2**15, "the wire was never full"

    visit()


def test_hanging_up_on_a_server_that_takes_nothing_any_more_takes_no_longer_than_else() -> None:
    @virtual_time
    async def visit() -> None:
        clock = asyncio.get_running_loop().time
        async with narrow_server() as (url, accepted), bare_conversation(url) as kiosk:
            connection = await accepted
            await kiosk.connected()
            await stalled(kiosk, connection)
            await kiosk.speak(4)
            assert transport_of(kiosk).get_write_buffer_size() > 0, "the wire is not full"
            hung_up_s = clock()
            await kiosk.conversation.close(Ending(Kind.HUNG_UP))
            took_s = clock() - hung_up_s
            connection.transport.abort()
        assert (await kiosk.ending()).kind is Kind.HUNG_UP
        assert took_s < CLOSE_TIMEOUT_S + GRACE_S

    visit()


def test_a_server_that_is_only_quiet_is_not_taken_for_dead() -> None:
    @virtual_time
    async def visit() -> None:
        async with scripted_server() as server, bare_conversation(server.url) as kiosk:
            connection = await server.connection()
            await kiosk.connected()
            await asyncio.sleep(600)
            await connection.close(1000)
            ending = await kiosk.ending()
        assert ending == Ending(Kind.AGENT_ENDED, 1000)

    visit()


# --- the wire's own pings -----------------------------------------------------------------------


@in_lockstep
async def test_a_pong_waits_neither_for_the_loudspeaker_nor_for_a_tool() -> None:
    minute: Samples = np.full(60 * 16_000, 500, dtype=np.int16)
    released = asyncio.Event()

    async def slow_tool(_: object) -> str:
        await released.wait()
        return "done"

    async with (
        scripted_server() as server,
        bare_conversation(server.url, {"slow": slow_tool}) as kiosk,
    ):
        connection = await server.connection()
        await connection.send(ToolCall("slow", "call_1"))
        asked_s = {}
        for number in range(40):
            if number < 10:  # the burst in which an agent's minute arrives
                part = minute[number * 96_000 :][:96_000]
                await connection.send(AgentAudio(samples_to_bytes(part), 1))
            asked_s[number] = loop_now_s()
            await connection.send(Ping(number))
            await asyncio.sleep(0.01)
        await pongs(connection, 40)
        assert sum(len(clip.samples) for clip in kiosk.speaker._waiting) > 50 * 16_000
        assert connection.of_type(ToolResult) == []
        released.set()
        await answered(connection, ToolResult("call_1", "done"))
    answered_s = {m.event_id: at_s for at_s, m in connection.messages if isinstance(m, Pong)}
    assert list(answered_s) == list(range(40))
    assert max(answered_s[number] - asked_s[number] for number in range(40)) < 0.05


async def pongs(connection: Connection, count: int) -> None:
    async with asyncio.timeout(5):
        while len(connection.of_type(Pong)) < count:  # noqa: ASYNC110  frames have no event
            await asyncio.sleep(0.01)


async def answered(connection: Connection, result: ToolResult) -> None:
    async with asyncio.timeout(5):
        while connection.of_type(ToolResult) != [result]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def test_a_link_so_slow_that_no_pong_gets_through_is_not_a_dead_one() -> None:
    @virtual_time
    async def visit() -> None:
        async with scripted_server() as server, bare_conversation(server.url) as kiosk:
            connection = await server.connection()
            await kiosk.connected()
            # The pings are not even read, but something still comes of what was sent before.
            connection.socket.transport.pause_reading()
            for _ in range(20):
                await asyncio.sleep(3.5)
                await connection.send(VadScore(0.0))
            ends = asyncio.create_task(kiosk.ending())
            await asyncio.sleep(0.1)
            assert not ends.done()
            assert (await ends).kind is Kind.PEER_DEAD

    visit()


@in_lockstep
async def test_an_error_before_the_metadata_explains_why_none_came(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(conversation, "METADATA_TIMEOUT_S", 0.3)

    async def converse(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send(serialize(ErrorReport(1002, "This exceeds your quota limit.")))
        await connection.wait_closed()

    async with served(converse) as url, bare_conversation(url) as kiosk:
        assert (await kiosk.ending()).kind is Kind.QUOTA
