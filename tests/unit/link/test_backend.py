"""The backend's client against a real HTTP server on the loopback interface."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kiosk.contract import (
    EndVisit,
    Grant,
    Heartbeat,
    Instructions,
    LiveVisit,
    Prospect,
    StartVisit,
)
from kiosk.errors import CredentialError
from kiosk.link.account import DeniedError
from kiosk.link.backend import BackendClient
from tests.proxies import UNUSABLE_PROXIES
from tests.silence import BLACK_HOLE, black_hole, resolve
from tests.unit.link.test_websocket import free_port

TOKEN = "kdk_s3cret"
HEARTBEAT = Heartbeat(boot_id="b1", sequence=1, state="idle", version="0.1.0")
PROBLEM = "Content-Type: application/problem+json\r\n"
URL = "wss://agents.test/?conversation_signature=s3cret"


@dataclass
class Answering:
    """A server that says the same to everybody, and remembers what it was asked."""

    status: int = 200
    body: bytes = json.dumps({"signed_url": URL, "expires_in": 60}).encode()
    headers: str = ""
    url: str = ""
    asked: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    async def client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                headers: dict[str, str] = {}
                while (header := (await reader.readline()).decode().strip()) != "":
                    name, _, value = header.partition(":")
                    headers[name.lower()] = value.strip()
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                self.asked.append((line.decode().strip(), headers, body))
                head = f"HTTP/1.1 {self.status} X\r\nContent-Length: {len(self.body)}\r\n"
                writer.write(f"{head}{self.headers}\r\n".encode() + self.body)
        finally:
            writer.close()


@asynccontextmanager
async def answering(server: Answering) -> AsyncIterator[Answering]:
    async with await asyncio.start_server(server.client, "127.0.0.1", 0) as listening:
        server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        yield server


async def test_a_visit_is_asked_for_with_token_and_request_id() -> None:
    async with answering(Answering()) as server, BackendClient(server.url, TOKEN) as client:
        assert await client.fetch("press-1") == Grant(60, signed_url=URL)
    [(line, headers, body)] = server.asked
    assert line == "POST /v1/visits HTTP/1.1"
    assert headers["authorization"] == f"Bearer {TOKEN}"
    assert headers["x-request-id"] == "press-1"
    assert json.loads(body) == {}


async def test_a_connection_is_kept_between_requests() -> None:
    async with answering(Answering()) as server, BackendClient(server.url, TOKEN) as client:
        await client.fetch("one")
        await client.fetch("two")
    assert [headers["x-request-id"] for _, headers, _ in server.asked] == ["one", "two"]


@pytest.mark.parametrize(
    ("given", "asked"),
    [("", "/v1/visits"), ("/", "/v1/visits"), ("/api/token?x=1", "/api/token?x=1")],
)
async def test_a_url_with_a_path_is_used_as_it_is(given: str, asked: str) -> None:
    async with answering(Answering()) as server, BackendClient(server.url + given, TOKEN) as client:
        await client.fetch("press")
    assert server.asked[0][0] == f"POST {asked} HTTP/1.1"


async def test_a_kiosk_that_is_not_accepted_is_told_how_to_mend_it() -> None:
    server = Answering(401, problem("unauthorized"))
    async with answering(server), BackendClient(server.url, TOKEN) as client:
        with pytest.raises(CredentialError, match="kiosk backend enroll") as caught:
            await client.fetch("press")
    assert not caught.value.retryable
    _assert_secrets_are_kept(caught.value)


@pytest.mark.parametrize("status", [401, 403])
async def test_anothers_token_route_refuses_the_token_in_words_of_its_own(status: int) -> None:
    server = Answering(status, b'{"detail": "s3cret"}', "Content-Type: application/json\r\n")
    async with answering(server), BackendClient(f"{server.url}/api/token", TOKEN) as client:
        with pytest.raises(CredentialError, match="a token that is good") as caught:
            await client.fetch("press")
        assert not caught.value.retryable
        _assert_secrets_are_kept(caught.value)
        server.headers = "Content-Type: text/html\r\n"
        with pytest.raises(CredentialError) as caught:
            await client.fetch("press")
        assert caught.value.retryable, "a web page is a portal's"


@pytest.mark.parametrize("status", [401, 403, 404, 407, 451])
@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.fetch("press"),
        lambda client: client.beat(HEARTBEAT),
        lambda client: client.prospect(),
        lambda client: client.rotate(),
        lambda client: client.start("v1", StartVisit(press_id="press")),
    ],
    ids=["fetch", "beat", "prospect", "rotate", "start"],
)
async def test_what_something_on_the_way_says_is_not_the_backends_word(
    ask: Callable[[BackendClient], Awaitable[object]], status: int, tmp_path: Path
) -> None:
    """A proxy's page, or a captive portal's: the kiosk is enrolled, and asks again soon."""
    server = Answering(status, b"<h1>Access denied</h1>", "Content-Type: text/html\r\n")
    async with answering(server), BackendClient(server.url, OLD, tmp_path / "token") as client:
        with pytest.raises(CredentialError, match=f"not the backend answered HTTP {status}") as it:
            await ask(client)
    assert it.value.retryable
    assert it.value.cause == "backend_unreachable"


async def test_a_page_on_the_way_never_costs_the_kiosk_a_token(tmp_path: Path) -> None:
    """What a portal says of the first token, and what it says of the next, proves nothing."""
    file = tmp_path / "device-token"
    file.write_text(f"{NEW}\n")
    server = Answering(401, b"<h1>Sign in</h1>")
    async with answering(server), BackendClient(server.url, OLD, file) as client:
        for server.status in (401, 403, 429, 404):
            with pytest.raises(CredentialError):
                await client.fetch("press")
    assert {headers["authorization"] for _, headers, _ in server.asked} == {f"Bearer {NEW}"}
    assert file.read_text() == f"{NEW}\n"


@pytest.mark.parametrize("status", [404, 409, 429, 500, 503])
async def test_other_refusals_may_pass(status: int) -> None:
    server = Answering(status, b"s3cret")
    async with answering(server), BackendClient(server.url, TOKEN) as client:
        with pytest.raises(CredentialError, match=str(status)) as caught:
            await client.fetch("press")
    assert caught.value.retryable
    _assert_secrets_are_kept(caught.value)


async def test_a_redirect_is_not_followed_with_the_token() -> None:
    elsewhere = Answering()
    async with answering(elsewhere):
        server = Answering(302, b"", f"Location: {elsewhere.url}/\r\n")
        async with answering(server), BackendClient(server.url, TOKEN) as client:
            with pytest.raises(CredentialError, match="302"):
                await client.fetch("press")
    assert elsewhere.asked == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>s3cret</html>",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"{}",
        b'{"signed_url": 7}',
        b'{"signed_url": "https://s3cret"}',
        b"[" * 100_000,
    ],
    ids=lambda body: body.decode("latin-1")[:20],
)
async def test_an_answer_that_is_no_grant_is_a_failure(body: bytes) -> None:
    server = Answering(200, body)
    async with answering(server), BackendClient(server.url, TOKEN) as client:
        with pytest.raises(CredentialError) as caught:
            await client.fetch("press")
    assert caught.value.retryable
    _assert_secrets_are_kept(caught.value)


async def test_a_backend_that_is_not_there_may_come_back() -> None:
    async with BackendClient(f"http://127.0.0.1:{free_port()}", TOKEN) as client:
        with pytest.raises(CredentialError, match="does not answer") as caught:
            await client.fetch("press")
        assert caught.value.retryable
        _assert_secrets_are_kept(caught.value)


async def test_an_address_that_swallows_everything_does_not_hold_up_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with answering(Answering()) as server:
        resolve(monkeypatch, "backend.test", BLACK_HOLE, "127.0.0.1")
        url = server.url.replace("127.0.0.1", "backend.test")
        with black_hole(int(url.rpartition(":")[2])):
            async with BackendClient(url, TOKEN) as client:
                await client.fetch("press")


@pytest.mark.parametrize("value", UNUSABLE_PROXIES)
async def test_a_proxy_that_cannot_be_used_is_told_and_mended_without_a_crash(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client is made with the first request, and not with one that fails so."""
    async with answering(Answering()) as server, BackendClient(server.url, TOKEN) as client:
        monkeypatch.setenv("http_proxy", value)
        with pytest.raises(CredentialError, match=r"http_proxy names a proxy.*http://HOST") as it:
            await client.fetch("press")
        assert it.value.retryable
        _assert_secrets_are_kept(it.value)
        monkeypatch.delenv("http_proxy")
        await client.fetch("press")


async def test_a_backend_that_hangs_up_does_not_answer() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        async with BackendClient(f"http://127.0.0.1:{port}", TOKEN) as client:
            with pytest.raises(CredentialError, match="does not answer"):
                await client.fetch("press")


def _assert_secrets_are_kept(error: BaseException) -> None:
    assert "s3cret" not in str(error)
    assert error.__cause__ is None


async def test_a_lease_is_spent_and_accounted_for_under_its_visit() -> None:
    async with (
        answering(Answering(status=204, body=b"")) as server,
        BackendClient(server.url, TOKEN) as client,
    ):
        await client.start("v/1", StartVisit(press_id="press-1"))
        await client.end("v/1", EndVisit(press_id="press-1", outcome="hung_up", duration_s=1.5))
    [(start, headers, body), (end, _, report)] = server.asked
    assert start == "POST /v1/visits/v%2F1/start HTTP/1.1"
    assert headers["authorization"] == f"Bearer {TOKEN}"
    assert headers["x-request-id"] == "press-1"
    assert json.loads(body) == {"press_id": "press-1"}
    assert end == "POST /v1/visits/v%2F1/end HTTP/1.1"
    assert json.loads(report) == {
        "press_id": "press-1",
        "outcome": "hung_up",
        "duration_s": 1.5,
    }


@pytest.mark.parametrize(
    ("link", "is_one"),
    [
        ('</v1/handouts/default~0a~17~ff>; rel="related"', True),
        ('</v1/handouts/default~0a~17~ff>; rel="next"', False),
        ('<https://elsewhere.test/v1/handouts/x>; rel="related"', False),
        ('<//elsewhere.test/v1/handouts/x>; rel="related"', False),
        ('</v1/handouts/../../x>; rel="related"', False),
        ("nonsense", False),
        ("", False),
    ],
)
async def test_what_was_made_for_the_visitor_is_at_the_backend_only(
    link: str, is_one: bool
) -> None:
    headers = f"Link: {link}\r\n" if link else ""
    async with (
        answering(Answering(status=204, body=b"", headers=headers)) as server,
        BackendClient(server.url, TOKEN) as client,
    ):
        end = EndVisit(press_id="press-1", outcome="hung_up", duration_s=1.5)
        address = await client.end("v1", end)
    assert address == (f"{server.url}/v1/handouts/default~0a~17~ff" if is_one else None)


async def test_a_lease_whose_answer_was_lost_is_asked_for_by_the_same_key() -> None:
    async with (
        answering(Answering(status=503)) as server,
        BackendClient(server.url, TOKEN) as kiosk,
    ):
        with pytest.raises(CredentialError):
            await kiosk.fetch("press-1")
        server.status = 200
        await kiosk.fetch("press-1")
        await kiosk.fetch("press-1")
    first, second, third = [headers["idempotency-key"] for _, headers, _ in server.asked]
    assert first == second
    assert second != third, "a visit that connects anew needs another lease"


@pytest.mark.parametrize(
    ("path", "visit_id"),
    [("", "v1"), ("/", "v1"), ("/api/v1/visits", "v1"), ("/api/token", None), ("/t?a=b", None)],
)
async def test_only_our_own_route_keeps_an_account(path: str, visit_id: str | None) -> None:
    body = json.dumps({"signed_url": URL, "visit_id": "v1"}).encode()
    async with (
        answering(Answering(body=body)) as server,
        BackendClient(server.url + path, TOKEN) as client,
    ):
        assert (await client.fetch("press-1")).visit_id == visit_id
        if visit_id is not None:
            with pytest.raises(CredentialError):
                await client.start(visit_id, StartVisit(press_id="press-1"))
            before = path.rstrip("/").removesuffix("/v1/visits")
            assert server.asked[-1][0] == f"POST {before}/v1/visits/v1/start HTTP/1.1"


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (403, b'{"type": "urn:kiosk:problem:paused"}', "paused"),
        (401, b'{"type": "urn:kiosk:problem:unauthorized"}', "unauthorized"),
        (429, b'{"type": "urn:kiosk:problem:too-many"}', "too-many"),
    ],
)
async def test_a_refusal_is_its_slug(status: int, body: bytes, reason: str) -> None:
    async with (
        answering(Answering(status=status, body=body)) as server,
        BackendClient(server.url, TOKEN) as client,
    ):
        with pytest.raises(DeniedError) as denied:
            await client.start("v1", StartVisit(press_id="press-1"))
    assert denied.value.reason == reason


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>Please log in</html>"),
        (302, b"[]"),
        (400, b'{"type": 7}'),
        (403, b'{"type": "urn:kiosk:problem:Said: a secret"}'),
        (404, b"not found"),
        (408, b""),
        (429, b""),
        (503, b'{"type": "urn:kiosk:problem:store-unavailable"}'),
    ],
)
async def test_a_backend_in_trouble_and_a_captive_portal_refuse_nobody(
    status: int, body: bytes
) -> None:
    async with (
        answering(Answering(status=status, body=body)) as server,
        BackendClient(server.url, TOKEN) as client,
    ):
        with pytest.raises(CredentialError, match=f"HTTP {status}"):
            await client.start("v1", StartVisit(press_id="press-1"))


# --- what is refused at the fetch ---------------------------------------------------------------


def problem(slug: str) -> bytes:
    return json.dumps({"type": f"urn:kiosk:problem:{slug}", "title": "s3cret"}).encode()


@pytest.mark.parametrize(
    ("status", "slug", "headers", "retry_after_s"),
    [
        (403, "closed", "Retry-After: 3600\r\n", 3600.0),
        (403, "no-minutes-left", "", None),
        (429, "too-many-leases", "Retry-After: 180\r\n", 180.0),
        (429, "provider-quota", "Retry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n", None),
        (403, "moon-full", "Retry-After: -1\r\n", None),
    ],
)
async def test_a_lease_is_refused_with_a_reason(
    status: int, slug: str, headers: str, retry_after_s: float | None
) -> None:
    server = Answering(status, problem(slug), headers)
    async with answering(server), BackendClient(server.url, TOKEN) as client:
        with pytest.raises(CredentialError) as caught:
            await client.fetch("press")
    assert caught.value.retryable
    assert (caught.value.reason, caught.value.retry_after_s) == (slug, retry_after_s)
    _assert_secrets_are_kept(caught.value)


@pytest.mark.parametrize(
    ("status", "slug", "retryable"),
    [(401, "unauthorized", False), (503, "store-unavailable", True), (502, "agent-unknown", True)],
)
async def test_what_is_wrong_with_token_or_backend_is_no_reason_for_a_visitor(
    status: int, slug: str, *, retryable: bool
) -> None:
    server = Answering(status, problem(slug))
    async with answering(server), BackendClient(server.url, TOKEN) as client:
        with pytest.raises(CredentialError) as caught:
            await client.fetch("press")
    assert (caught.value.reason, caught.value.retryable) == (None, retryable)


@pytest.mark.parametrize(("path", "asked"), [("", {"language": "en-us"}), ("/api/token", {})])
async def test_our_backend_is_told_the_language(path: str, asked: dict[str, str]) -> None:
    server = Answering()
    async with (
        answering(server),
        BackendClient(server.url + path, TOKEN, language="en-us") as client,
    ):
        await client.fetch("press")
    assert json.loads(server.asked[0][2]) == asked


@pytest.mark.parametrize(("path", "asked"), [("", {"transport": "webrtc"}), ("/api/token", {})])
async def test_a_lease_is_asked_for_the_kiosks_road(path: str, asked: dict[str, str]) -> None:
    both = {"signed_url": URL, "conversation_token": "jwt"}
    server = Answering(body=json.dumps(both).encode())
    async with (
        answering(server),
        BackendClient(server.url + path, TOKEN, transport="webrtc") as client,
    ):
        grant = await client.fetch("press")
    assert json.loads(server.asked[0][2]) == asked
    assert (grant.signed_url, grant.conversation_token) == (None, "jwt")


async def test_an_open_conversation_is_told_with_its_id() -> None:
    async with (
        answering(Answering(status=204, body=b"")) as server,
        BackendClient(server.url, TOKEN) as client,
    ):
        await client.live("v1", LiveVisit(press_id="press-1", conversation_id="conv_1"))
    [(line, _, body)] = server.asked
    assert line == "POST /v1/visits/v1/live HTTP/1.1"
    assert json.loads(body) == {"press_id": "press-1", "conversation_id": "conv_1"}


# --- heartbeats ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "instructions"),
    [
        (b"{}", Instructions()),
        (
            b'{"next_s": 5, "policy": "on_press", "paused": true, "new": 1}',
            Instructions(next_s=5, policy="on_press", paused=True),
        ),
    ],
)
async def test_a_heartbeat_is_answered_with_instructions(
    body: bytes, instructions: Instructions
) -> None:
    server = Answering(body=body)
    async with answering(server), BackendClient(server.url, TOKEN) as client:
        assert await client.beat(HEARTBEAT) == instructions
    assert server.asked[0][0] == "POST /v1/heartbeat HTTP/1.1"
    assert Heartbeat.model_validate_json(server.asked[0][2]) == HEARTBEAT


async def test_a_backend_without_heartbeats_is_no_trouble_and_nonsense_is() -> None:
    """An older one of ours has words of its own for a route that it does not have."""
    server = Answering(404, b'{"type": "about:blank", "status": 404}', PROBLEM)
    async with answering(server), BackendClient(server.url, TOKEN) as client:
        assert await client.beat(HEARTBEAT) is None
        for server.status, server.body in (
            (500, b""),
            (401, b""),
            (404, b""),
            (200, b"<html>"),
            (200, b'{"next_s": 0}'),
            (200, b'{"policy": "never"}'),
        ):
            server.headers = ""
            with pytest.raises(CredentialError):
                await client.beat(HEARTBEAT)


# --- tokens that replace each other -------------------------------------------------------------

OLD, NEW, NEWER = (f"kdk_{n:016x}_{n:064x}" for n in range(3))


@dataclass
class Tokens(Answering):
    """Knows some tokens; gives another when asked to rotate."""

    good: set[str] = field(default_factory=lambda: {OLD})
    newer: str = NEW

    async def client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := (await reader.readline()).decode().strip():
                headers: dict[str, str] = {}
                while (header := (await reader.readline()).decode().strip()) != "":
                    name, _, value = header.partition(":")
                    headers[name.lower()] = value.strip()
                await reader.readexactly(int(headers.get("content-length", "0")))
                token = headers["authorization"].removeprefix("Bearer ")
                self.asked.append((line, headers, b""))
                body, status = self.body, 200 if token in self.good else 401
                if status == 200 and "rotate" in line:
                    self.good = {token, self.newer}
                    body = json.dumps({"device_token": self.newer, "name": "lobby"}).encode()
                elif status == 200 and token == self.newer:
                    self.good = {token}  # its first use ends the other
                elif status == 401:
                    body = problem("unauthorized")
                head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
        finally:
            writer.close()

    @property
    def shown(self) -> list[str]:
        return [headers["authorization"].removeprefix("Bearer ") for _, headers, _ in self.asked]


async def test_a_rotated_token_is_used_from_then_on_and_after_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "device-token"
    async with answering(Tokens()) as server:
        assert isinstance(server, Tokens)
        async with BackendClient(server.url, OLD, file) as client:
            await client.fetch("one")
            assert await client.rotate()
            await client.fetch("two")
        assert server.good == {NEW}
        async with BackendClient(server.url, OLD, file) as client:
            await client.fetch("three")
    assert server.shown == [OLD, OLD, NEW, NEW]


async def test_a_token_that_is_not_known_gives_way_within_the_same_request(tmp_path: Path) -> None:
    file = tmp_path / "device-token"
    file.write_text(f"{NEWER}\n{NEW}\n")
    async with (
        answering(Tokens()) as server,
        BackendClient(server.url, OLD, file) as client,
    ):
        assert isinstance(server, Tokens)
        assert (await client.fetch("one")).signed_url == URL
        await client.fetch("two")
        assert server.shown == [NEWER, NEW, OLD, OLD]
        assert not file.exists(), "the operator has enrolled this kiosk anew"
        assert len({headers["idempotency-key"] for _, headers, _ in server.asked[:3]}) == 1
        server.good = set()
        with pytest.raises(CredentialError, match="enroll"):
            await client.fetch("three")
        server.good = {OLD}
        await client.fetch("four")


async def test_many_requests_at_once_all_find_the_token(tmp_path: Path) -> None:
    file = tmp_path / "device-token"
    file.write_text(f"{NEW}\n{OLD}\n")
    async with (
        answering(Tokens(good={OLD})) as server,
        BackendClient(server.url, NEWER, file) as client,
    ):
        grants = await asyncio.gather(*(client.fetch(str(n)) for n in range(8)))
    assert {grant.signed_url for grant in grants} == {URL}


async def test_no_token_is_asked_for_that_could_not_be_kept(tmp_path: Path) -> None:
    async with answering(Tokens()) as server:
        async with BackendClient(server.url, OLD) as client:
            assert not await client.rotate()
        assert server.asked == []
        async with BackendClient(server.url, OLD, tmp_path / "gone" / "token") as client:
            assert not await client.rotate()
            await client.fetch("press")
            assert server.asked[-1][1]["authorization"] == f"Bearer {OLD}"
        async with BackendClient(f"{server.url}/api/token", OLD, tmp_path / "token") as client:
            assert not await client.rotate(), "it is not our backend"


@pytest.mark.parametrize("body", [b"", b"[]", b'{"device_token": "s3cret"}'])
async def test_a_new_token_that_is_none_is_not_taken(body: bytes, tmp_path: Path) -> None:
    server = Answering(200, body)
    async with answering(server), BackendClient(server.url, OLD, tmp_path / "token") as client:
        with pytest.raises(CredentialError) as caught:
            await client.rotate()
        _assert_secrets_are_kept(caught.value)
    assert not (tmp_path / "token").exists()


async def test_a_prospect_is_asked_for_without_taking_anything() -> None:
    body = json.dumps({"may_begin": False, "refusal": "paused", "scope": "site"}).encode()
    async with (
        answering(Answering(body=body)) as server,
        BackendClient(server.url, TOKEN) as client,
    ):
        prospect = await client.prospect()
    assert prospect == Prospect(may_begin=False, refusal="paused", scope="site")
    [(line, _, sent)] = server.asked
    assert (line, sent) == ("GET /v1/visits/prospect HTTP/1.1", b"")


async def test_anothers_backend_is_not_asked_for_a_prospect() -> None:
    async with (
        answering(Answering()) as server,
        BackendClient(f"{server.url}/api/token", TOKEN) as client,
    ):
        assert await client.prospect() is None
    assert server.asked == []


# --- languages ----------------------------------------------------------------------------------


async def test_a_visit_is_asked_for_in_the_language_of_the_press() -> None:
    async with (
        answering(Answering()) as server,
        BackendClient(server.url, TOKEN, language="en") as client,
    ):
        await client.fetch("one")
        await client.fetch("two", "de")
    assert [json.loads(body) for _, _, body in server.asked] == [
        {"language": "en"},
        {"language": "de"},
    ]


async def test_another_backend_is_not_told_of_languages() -> None:
    async with (
        answering(Answering()) as server,
        BackendClient(f"{server.url}/token", TOKEN, language="en") as client,
    ):
        await client.fetch("one", "de")
    assert [json.loads(body) for _, _, body in server.asked] == [{}]


async def test_an_answer_that_was_lost_is_asked_for_again_in_the_same_language_only() -> None:
    server = Answering(503)
    async with answering(server), BackendClient(server.url, TOKEN) as client:
        for language in (None, "de", None, "de"):
            with pytest.raises(CredentialError):
                await client.fetch("press", language)
    keys = [headers["idempotency-key"] for _, headers, _ in server.asked]
    assert keys[:2] == keys[2:]
    assert keys[0] != keys[1]
