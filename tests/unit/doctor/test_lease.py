"""The lease in dry run, against real HTTP servers and a real control socket."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from kiosk.doctor import lease
from kiosk.doctor.findings import Finding, Result
from kiosk.doctor.subject import Service, Subject
from kiosk.link.backend import BackendClient
from kiosk.ops.control import serve
from tests.unit.doctor.subjects import barred, is_good_form, settings, subject
from tests.unit.link.test_backend import PROBLEM, TOKEN, Answering, answering, problem

YES = json.dumps({"may_begin": True, "provider": "ok"}).encode()


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN)
    return path


async def look(server: Answering, token_file: Path | None, path: str = "") -> Finding:
    credentials = {
        "mode": "backend",
        "backend_url": server.url + path,
        "device_token_file": token_file,
    }
    of = Subject(settings(credentials=credentials), None, Service())
    [found] = await asyncio.to_thread(lambda: list(lease.look(of)))
    assert is_good_form(found)
    assert TOKEN not in repr(found)
    return found


async def test_a_visit_that_could_begin_passes(token_file: Path) -> None:
    async with answering(Answering(body=YES)) as server:
        found = await look(server, token_file)
    assert found.result is Result.PASS
    [(line, headers, body)] = server.asked
    assert (line, body) == ("GET /v1/visits/prospect HTTP/1.1", b"")
    assert headers["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("refusal", ["paused", "closed", "busy", "no-minutes-left", "new-reason"])
async def test_a_refusal_is_a_warning_with_its_scope(token_file: Path, refusal: str) -> None:
    body = json.dumps({"may_begin": False, "refusal": refusal, "scope": "site"}).encode()
    async with answering(Answering(body=body)) as server:
        found = await look(server, token_file)
    assert (found.result, found.value) == (Result.WARN, f"not now: {refusal} (site)")


async def test_a_kiosk_that_the_backend_does_not_know_is_enrolled_again(token_file: Path) -> None:
    async with answering(Answering(401, problem("unauthorized"))) as server:
        found = await look(server, token_file)
    assert found.result is Result.FAIL
    assert found.value == "the backend does not know this kiosk"
    assert "enroll it again" in str(found.next_step)


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_page_of_something_on_the_way_is_no_reason_to_enroll_again(
    token_file: Path, status: int
) -> None:
    server = Answering(status, b"<h1>Sign in</h1>", "Content-Type: text/html\r\n")
    async with answering(server):
        found = await look(server, token_file)
    assert found.result is Result.FAIL
    assert "not the backend answered" in found.value
    assert "enroll" not in str(found.next_step)


async def test_a_proxy_that_cannot_be_used_is_told(
    token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("all_proxy", "socks5://127.0.0.1:1080")
    found = await look(Answering(url="https://kiosks.test"), token_file)
    assert found.result is Result.FAIL
    assert "all_proxy" in found.value
    assert "write http://HOST:PORT" in str(found.next_step)


async def test_a_provider_that_refuses_the_backend_fails(token_file: Path) -> None:
    body = json.dumps({"may_begin": True, "provider": "provider-key-refused"}).encode()
    async with answering(Answering(body=body)) as server:
        found = await look(server, token_file)
    assert found.result is Result.FAIL
    assert "key" in str(found.next_step)


@pytest.mark.parametrize(("status", "body"), [(500, b""), (200, b"<html>"), (302, b"")])
async def test_an_answer_that_is_none_fails(token_file: Path, status: int, body: bytes) -> None:
    async with answering(Answering(status, body)) as server:
        assert (await look(server, token_file)).result is Result.FAIL


@pytest.mark.parametrize(("status", "path"), [(404, ""), (200, "/api/signed-url")])
async def test_where_asking_would_take_a_lease_nothing_is_asked(
    token_file: Path, status: int, path: str
) -> None:
    async with answering(Answering(status, headers=PROBLEM)) as server:
        found = await look(server, token_file, path)
    assert found.result is Result.SKIP
    assert not [line for line, _, _ in server.asked if not line.startswith("GET /v1/visits/pros")]


async def test_a_shell_without_the_services_credential_says_so() -> None:
    async with answering(Answering(body=YES)) as server:
        found = await look(server, None)
    assert found.result is Result.SKIP
    assert server.asked == []


async def test_a_token_file_that_is_not_there_fails(tmp_path: Path) -> None:
    async with answering(Answering(body=YES)) as server:
        assert (await look(server, tmp_path / "none")).result is Result.FAIL


async def test_a_running_kiosk_asks_in_its_own_name(tmp_path: Path) -> None:
    async with (
        answering(Answering(body=YES)) as server,
        BackendClient(server.url, TOKEN) as client,
    ):

        async def check(_: Mapping[str, object]) -> dict[str, object]:
            return await lease.asked(client)

        socket = tmp_path / "control.sock"
        of = subject(
            {},
            control={"socket": socket},
            credentials={"mode": "backend", "backend_url": "http://x"},
        )
        async with serve(socket, {lease.COMMAND: check}):
            [found] = await asyncio.to_thread(lambda: list(lease.look(of)))
        assert found.result is Result.PASS
        async with serve(socket, {}):  # an older one knows no such command
            [found] = await asyncio.to_thread(lambda: list(lease.look(of)))
        assert found.result is Result.WARN
    assert len(server.asked) == 1


def test_who_may_not_ask_the_kiosk_asks_nothing_else() -> None:
    of = barred(credentials={"mode": "backend", "backend_url": "http://127.0.0.1:1"})
    assert [found.result for found in lease.look(of)] == [Result.SKIP]


def test_a_public_agent_needs_no_lease() -> None:
    assert [found.result for found in lease.look(subject())] == [Result.SKIP]
