"""What one client does costs no other its answer: bodies that do not come, too many at once,
connections on which nothing is said."""

import asyncio
import contextlib
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from kiosk.backend.books.database import parse_url
from kiosk.backend.books.store import open_store
from kiosk.backend.connections import HEAD_S
from kiosk.backend.tokens import DeviceToken
from kiosk.backend.web.problems import answer_busy
from kiosk.backend.web.requests import MOST_UNDER_WAY, BodyLimit, RequestLog
from kiosk.lab.child_server import surroundings
from kiosk.lab.simulation.process import serving
from tests.integration.test_ledger import served
from tests.slowness import patient_s
from tests.unit.link.test_websocket import free_port

from .conftest import AGENT_ID, API_KEY, FakeProvider, enrolled


async def wait_for_ever(_scope: Scope, _receive: Receive, _send: Send) -> None:
    await asyncio.Event().wait()


async def read(scope: Scope, receive: Receive, send: Send) -> None:
    body = await Request(scope, receive).body()
    await PlainTextResponse(str(len(body)))(scope, receive, send)


def log_of(app: object, **limits: BodyLimit) -> RequestLog:
    paths = {f"/{name}": limit for name, limit in limits.items()}
    return RequestLog(app, lambda *_: None, answer_busy, paths)  # type: ignore[arg-type]


class Asking:
    """One request, whose body comes as it is told to."""

    def __init__(self, log: RequestLog, path: str = "/") -> None:
        self.parts: asyncio.Queue[Message] = asyncio.Queue()
        self.answer: list[Message] = []
        scope = {"type": "http", "method": "POST", "path": path, "headers": []}
        self.task = asyncio.create_task(log(scope, self.parts.get, self._take))

    async def _take(self, message: Message) -> None:
        self.answer.append(message)

    @property
    def status(self) -> int | None:
        return self.answer[0]["status"] if self.answer else None

    def say(self, body: bytes, *, more: bool = False) -> None:
        self.parts.put_nowait({"type": "http.request", "body": body, "more_body": more})


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def together(log: RequestLog, count: int) -> AsyncIterator[list[Asking]]:
    asking = [Asking(log) for _ in range(count)]
    await settle()
    try:
        yield asking
    finally:
        for each in asking:
            each.task.cancel()
        await asyncio.gather(*(each.task for each in asking), return_exceptions=True)


async def test_more_requests_at_once_than_can_be_served_are_refused_at_once() -> None:
    log = log_of(wait_for_ever)
    async with together(log, MOST_UNDER_WAY):
        refused = Asking(log)
        await refused.task
        assert refused.status == 503
        headers = dict(refused.answer[0]["headers"])
        assert headers[b"retry-after"] == b"2"
    async with together(log, 1) as asking:  # the places are free again
        assert asking[0].status is None


async def test_a_request_whose_body_is_waited_for_costs_nobody_a_place() -> None:
    log = log_of(read)
    async with together(log, 2 * MOST_UNDER_WAY) as asking:
        assert {each.status for each in asking} == {None}
        for each in asking:
            each.say(b"ab", more=True)
        for each in asking:
            each.say(b"c")
        await asyncio.gather(*(each.task for each in asking))
        assert {each.status for each in asking} == {200}


async def test_a_body_that_does_not_come_is_given_up() -> None:
    app = FakeProvider().app()  # answers exceptions of HTTP as FastAPI does
    app.add_route("/slow", length, methods=["POST"])
    asking = Asking(log_of(app, slow=BodyLimit(within_s=0.05)), "/slow")
    asking.say(b"a", more=True)
    await asking.task
    assert asking.status == 408
    # Or it would be waited for until it ends.
    assert dict(asking.answer[0]["headers"])[b"connection"] == b"close"


async def length(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


@contextlib.asynccontextmanager
async def server(
    database: Path, fake: FakeProvider, directory: Path
) -> AsyncIterator[tuple[httpx2.AsyncClient, int, int]]:
    """One in a process of its own: a kiosk that may press, its port, its process."""
    token, port = DeviceToken.new(), free_port()
    async with open_store(parse_url(f"sqlite:///{database}")) as store:
        await enrolled(store, token=token)
    headers = {"Authorization": f"Bearer {token.reveal()}"}
    async with (
        served(fake.app(), port),
        serving(
            f"sqlite:///{database}", f"http://127.0.0.1:{port}", AGENT_ID, directory, key=API_KEY
        ) as child,
        httpx2.AsyncClient(base_url=child.url, headers=headers, timeout=patient_s(20)) as client,
    ):
        yield client, int(child.url.rpartition(":")[2]), child.process.pid


@contextlib.asynccontextmanager
async def sockets(
    port: int, count: int, said: bytes = b""
) -> AsyncIterator[list[asyncio.Task[bytes]]]:
    """So many connections that say this and no more; what each hears until it is closed."""
    opened = []
    for _ in range(count):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(said)
        opened.append((asyncio.create_task(reader.read()), writer))
    try:
        yield [task for task, _ in opened]
    finally:
        for task, writer in opened:
            writer.close()
            task.cancel()
        await asyncio.gather(*(task for task, _ in opened), return_exceptions=True)


async def press(client: httpx2.AsyncClient) -> None:
    """A new connection, as a kiosk that has just started has: a lease, and somebody presses."""
    client = httpx2.AsyncClient(base_url=client.base_url, headers=client.headers, timeout=20)
    async with client, asyncio.timeout(patient_s(2)):
        leased = await client.post("/v1/visits")
        assert leased.status_code == 200, leased.text
        path = f"/v1/visits/{leased.json()['visit_id']}"
        started = await client.post(f"{path}/start", json={"press_id": "p"})
        assert started.status_code == 204, started.text
        ended = {"press_id": "p", "outcome": "visitor_left", "duration_s": 1}
        assert (await client.post(f"{path}/end", json=ended)).status_code == 204


@pytest.mark.wide
async def test_idle_and_slow_connections_change_nothing_for_a_press(
    database: Path, fake: FakeProvider, tmp_path: Path
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard), hard))
    half = b"POST /v1/visits HTTP/1.1\r\nHost: x\r\nAuth"
    body = b"POST /v1/heartbeat HTTP/1.1\r\nHost: x\r\nContent-Length: 200\r\n\r\n{"
    try:
        async with server(database, fake, tmp_path) as (client, port, process):
            # What systemd gives a service; the server took more, where it may.
            resource.prlimit(process, resource.RLIMIT_NOFILE, (1024, 1024))
            async with (
                sockets(port, 1100),
                sockets(port, 50, half) as heads,
                sockets(port, 50, body) as bodies,
            ):
                for _ in range(3):
                    await press(client)
                async with asyncio.timeout(patient_s(3 * HEAD_S)):
                    assert set(await asyncio.gather(*heads)) == {b""}
                    for answer in await asyncio.gather(*bodies):
                        assert answer.startswith(b"HTTP/1.1 408 ")
                await press(client)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.wide
async def test_a_byte_now_and_then_keeps_no_connection(
    database: Path, fake: FakeProvider, tmp_path: Path
) -> None:
    async with server(database, fake, tmp_path) as (_, port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        # A whole request first: the connection is kept, and then begins another that does not end.
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200 ")
        closed = asyncio.create_task(reader.read())
        async with asyncio.timeout(patient_s(3 * HEAD_S)):
            for byte in b"GET /healthz HTTP/1.1\r\nHost: " + b"x" * 1000:
                writer.write(bytes([byte]))
                await asyncio.sleep(1)
                if closed.done():
                    break
        assert await closed == b""
        writer.close()


_HANGS = """
import asyncio, threading, time
from pathlib import Path
from pydantic import SecretStr
from kiosk.backend.server import Secrets, serve
from kiosk.backend.settings import BackendSettings
settings = BackendSettings(database={database!r}, agent_id="a", port=0)
def listening(url):
    threading.Thread(target=time.sleep, args=(300,)).start()
    print(url, flush=True)
asyncio.run(serve(settings, Secrets(SecretStr("k")), {{}}, listening))
"""


@pytest.mark.wide
async def test_a_stop_ends_within_seconds_whatever_hangs(database: Path) -> None:
    code = _HANGS.format(database=f"sqlite:///{database}")
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, env=surroundings(), stdout=-1, stderr=-1
    )
    assert child.stdout is not None
    assert child.stderr is not None
    try:
        assert await child.stdout.readline()
        child.send_signal(signal.SIGTERM)
        async with asyncio.timeout(patient_s(10)):
            assert await child.wait() == 0
        assert b"stopped without waiting" in await child.stderr.read()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGKILL)
