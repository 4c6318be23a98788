"""All that the provider is asked, over a real socket: its answers are bytes that a test wrote."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from kiosk.backend.provider.answers import ProviderAnswer, read_conversation, read_token
from kiosk.backend.provider.client import (
    MAX_BODY_BYTES,
    AgentAccess,
    AgentUnknownError,
    KeyRefusedError,
    MalformedError,
    Provider,
    ProviderConversation,
    ProviderError,
    QuotaError,
    UnreachableError,
    open_provider,
)
from kiosk.convai.fields import Json

from .conftest import AGENT_ID, API_KEY

CONVERSATION = f"conv_{'a1' * 12}"


def answer(status: int, body: object = None, *headers: str) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [f"HTTP/1.1 {status} Word", f"Content-Length: {len(content)}", *headers]
    return "\r\n".join([*head, "", ""]).encode() + content


@dataclass
class Scripted:
    """A server that says what it was given, whatever is asked, and keeps what was asked."""

    says: bytes
    byte_s: float = 0.0  # what comes after the head is dripped
    hangs: bool = False
    asked: list[str] = field(default_factory=list)
    sent: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = [line for line in head.lower().split("\r\n") if line.startswith("content-length:")]
        body = await reader.readexactly(int(length[0].split(":")[1])) if length else b""
        self.asked.append(head + body.decode())
        try:
            await self._say(writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def _say(self, writer: asyncio.StreamWriter) -> None:
        at = self.says.find(b"\r\n\r\n") + 4
        writer.write(self.says[:at])
        step = 1 if self.byte_s else 65536
        for start in range(at, len(self.says), step):
            piece = self.says[start : start + step]
            writer.write(piece)
            await writer.drain()
            self.sent += len(piece)
            await asyncio.sleep(self.byte_s)
        if self.hangs:
            await asyncio.sleep(30)


@asynccontextmanager
async def asking(script: Scripted, deadline_s: float = 5.0) -> AsyncIterator[Provider]:
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    access = AgentAccess(f"http://127.0.0.1:{port}", AGENT_ID)
    try:
        async with open_provider(access, SecretStr(API_KEY), deadline_s=deadline_s) as provider:
            yield provider
    finally:
        server.close()


Question = Callable[[Provider], Awaitable[object]]
QUESTIONS: dict[str, Question] = {
    "signed URL": lambda provider: provider.mint("r1"),
    "token": lambda provider: provider.mint("r1", "webrtc"),
    "conversation": lambda provider: provider.conversation(CONVERSATION, "r1"),
    "forget": lambda provider: provider.forget(CONVERSATION, "r1"),
    "agent": lambda provider: provider.agent(),
    "change": lambda provider: provider.change_agent({"name": "x"}),
}
READING = [name for name in QUESTIONS if name != "forget"]
CODE = {"detail": {"status": "some_code", "message": f"words of {API_KEY}"}}


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, KeyRefusedError),
        (403, KeyRefusedError),
        (402, QuotaError),
        (429, QuotaError),
        (500, UnreachableError),
        (503, UnreachableError),
        (302, MalformedError),
        (400, MalformedError),
    ],
)
async def test_every_question_is_refused_alike(
    question: str, status: int, error: type[ProviderError]
) -> None:
    async with asking(Scripted(answer(status, CODE, "Retry-After: 7"))) as provider:
        with pytest.raises(error) as caught:
            await QUESTIONS[question](provider)
    assert type(caught.value) is error
    assert caught.value.code == "some_code"
    assert caught.value.retry_after_s == (7 if error in (QuotaError, UnreachableError) else None)
    assert API_KEY not in repr(caught.value) + str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("question", QUESTIONS)
async def test_each_question_carries_the_key_as_a_header_and_nowhere_else(question: str) -> None:
    script = Scripted(answer(500))
    async with asking(script) as provider:
        with pytest.raises(UnreachableError):
            await QUESTIONS[question](provider)
    (asked,) = script.asked
    assert asked.count(API_KEY) == 1
    assert f"\r\nxi-api-key: {API_KEY}\r\n" in asked
    first = asked.split("\r\n")[0]
    assert (
        first
        == {
            "signed URL": f"GET /v1/convai/conversation/get-signed-url?agent_id={AGENT_ID}"
            "&include_conversation_id=true HTTP/1.1",
            "token": f"GET /v1/convai/conversation/token?agent_id={AGENT_ID} HTTP/1.1",
            "conversation": f"GET /v1/convai/conversations/{CONVERSATION} HTTP/1.1",
            "forget": f"DELETE /v1/convai/conversations/{CONVERSATION} HTTP/1.1",
            "agent": f"GET /v1/convai/agents/{AGENT_ID} HTTP/1.1",
            "change": f"PATCH /v1/convai/agents/{AGENT_ID} HTTP/1.1",
        }[question]
    )
    assert ("x-request-id: r1" in asked.lower()) == (question not in ("agent", "change"))


GOOD = {
    "signed_url": "wss://a.test/",
    "token": "x",
    "status": "done",
}


@pytest.mark.parametrize("question", READING)
async def test_a_body_that_breaks_off_is_no_answer(question: str) -> None:
    async with asking(Scripted(answer(200, GOOD)[:-5])) as provider:
        with pytest.raises(UnreachableError):
            await QUESTIONS[question](provider)


@pytest.mark.parametrize("question", QUESTIONS)
async def test_a_body_that_drips_is_cut_off_by_the_deadline(question: str) -> None:
    began_s = time.monotonic()
    script = Scripted(answer(200, {"x": "x" * 10_000}), byte_s=0.02)
    async with asking(script, deadline_s=0.2) as provider:
        with pytest.raises(UnreachableError):
            await QUESTIONS[question](provider)
    assert time.monotonic() - began_s < 2


@pytest.mark.parametrize("question", QUESTIONS)
async def test_an_endless_body_is_not_read_to_its_end(question: str) -> None:
    size = 4 * MAX_BODY_BYTES
    script = Scripted(answer(200, b"[" + b"1," * (size // 2)))
    async with asking(script) as provider:
        with pytest.raises(MalformedError):
            await QUESTIONS[question](provider)
    assert script.sent < size


async def test_a_long_body_within_the_bound_is_read() -> None:
    body = {"text": "x" * (MAX_BODY_BYTES - 100)}
    async with asking(Scripted(answer(200, body))) as provider:
        assert await provider.agent() == body


@pytest.mark.parametrize("question", READING)
@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{", b"\xff", b"<html>", b"[" * 100_000])
async def test_what_is_no_json_object_is_malformed(question: str, body: bytes) -> None:
    async with asking(Scripted(answer(200, body))) as provider:
        with pytest.raises(MalformedError):
            await QUESTIONS[question](provider)


# --- tokens -------------------------------------------------------------------------------------


def jwt(claims: object) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'HS256'})}.{part(claims)}.c2lnbmF0dXJl"


def token(claims: object, now_s: float = 1000.0, **body: object) -> tuple[float, str | None]:
    content = json.dumps({"token": jwt(claims), **body}).encode()
    grant = read_token(ProviderAnswer(200, {}, content), now_s)
    assert grant.conversation_token == jwt(claims)
    assert grant.single_use
    assert grant.signed_url is None
    return grant.life_s, grant.conversation_id


ROOM = {"video": {"room": f"room_agent_1_{CONVERSATION}"}}


def test_a_tokens_life_and_conversation_are_read_from_it() -> None:
    assert token({**ROOM, "exp": 1300}) == (300, CONVERSATION)
    assert token({**ROOM, "exp": 1300}, conversation_id="conv_2") == (300, "conv_2")
    assert token({**ROOM, "exp": 1300}, conversation_id="a b") == (300, CONVERSATION)


@pytest.mark.parametrize("exp", [None, "soon", 1700, 1e9, 900, -1, True, float("inf")])
def test_a_life_that_cannot_be_is_ten_minutes(exp: object) -> None:
    assert token({"exp": exp}) == (600, None)


@pytest.mark.parametrize("claims", [[], "x", {"video": 3}, {"video": {"room": "lobby"}}, None])
def test_what_a_token_does_not_say_is_not_known(claims: object) -> None:
    assert token(claims) == (600, None)


@given(st.text(min_size=1))
def test_an_opaque_token_is_as_good(text: str) -> None:
    grant = read_token(ProviderAnswer(200, {}, json.dumps({"token": text}).encode()), 0.0)
    assert (grant.conversation_token, grant.life_s) == (text, 600)


@pytest.mark.parametrize("middle", ["!!!", "e30", "W10", "_w", "eyJ4", "\u00e9", "A" * 5])
def test_a_token_that_only_looks_like_a_jwt_is_opaque(middle: str) -> None:
    body = json.dumps({"token": f"a.{middle}.c"}).encode()
    assert read_token(ProviderAnswer(200, {}, body), 0.0).life_s == 600


async def test_a_signed_url_is_no_token() -> None:
    async with asking(Scripted(answer(200, {"signed_url": "wss://a.test/"}))) as provider:
        with pytest.raises(MalformedError):
            await provider.mint("r1", "webrtc")
    named = {"token": "x", "conversation_id": CONVERSATION}
    async with asking(Scripted(answer(200, named))) as provider:
        assert (await provider.mint("r1", "webrtc")).conversation_token == "x"


async def test_a_token_of_a_conversation_without_a_name_is_no_good() -> None:
    async with asking(Scripted(answer(200, {"token": "x"}))) as provider:
        with pytest.raises(MalformedError):
            await provider.mint("r1", "webrtc")


# --- conversations ------------------------------------------------------------------------------

TALKED = {
    "agent_id": AGENT_ID,
    "conversation_id": CONVERSATION,
    "status": "done",
    "metadata": {
        "start_time_unix_secs": 1_790_000_000,
        "call_duration_secs": 61,
        "cost": 410,
        "termination_reason": "Client ended call",
    },
    "transcript": [
        {"role": "agent", "message": "Hello.", "time_in_call_secs": 0},
        {"role": "user", "message": "Where are the dinosaurs?", "time_in_call_secs": 4},
        {"role": "agent", "message": None, "tool_calls": [], "time_in_call_secs": 5},
        "nonsense",
    ],
}


async def test_a_conversation_is_its_metadata_and_no_word_of_it() -> None:
    async with asking(Scripted(answer(200, TALKED))) as provider:
        found = await provider.conversation(CONVERSATION, "r1")
    started = datetime.fromtimestamp(1_790_000_000, UTC)
    assert found == ProviderConversation("done", started, 61.0, 410, "Client ended call")
    assert "dinosaurs" not in repr(found)


async def test_the_transcript_is_there_where_it_is_asked_for_and_never_shown() -> None:
    async with asking(Scripted(answer(200, TALKED))) as provider:
        found = await provider.conversation(CONVERSATION, with_transcript=True)
    assert found is not None
    assert found.transcript == (
        ("agent", "Hello."),
        ("user", "Where are the dinosaurs?"),
        ("agent", ""),
    )
    assert "dinosaurs" not in repr(found)


async def test_a_conversation_that_is_gone_is_none_and_forgotten() -> None:
    async with asking(Scripted(answer(404, CODE))) as provider:
        assert await provider.conversation(CONVERSATION, "r1") is None
        await provider.forget(CONVERSATION)


@pytest.mark.parametrize("status", [200, 204])
async def test_a_conversation_is_forgotten(status: int) -> None:
    script = Scripted(f"HTTP/1.1 {status} OK\r\n\r\n".encode())
    async with asking(script) as provider:
        await provider.forget(CONVERSATION)
    assert len(script.asked) == 1


@pytest.mark.parametrize("id_", ["", "../agents/x", "conv_1?x=1", "conv 1", "a" * 129, "c\u00e9"])
async def test_what_is_no_id_is_never_asked_for(id_: str) -> None:
    script = Scripted(answer(200, TALKED))
    async with asking(script) as provider:
        for question in (provider.conversation(id_, "r1"), provider.forget(id_)):
            with pytest.raises(ValueError, match="not the id of a conversation"):
                await question
    assert script.asked == []


WRONG: list[Any] = ["x", -1, 1e300, True, None, [], {}, float("nan")]


@pytest.mark.parametrize("wrong", WRONG)
def test_figures_that_cannot_be_are_left_out(wrong: Any) -> None:
    names = ("start_time_unix_secs", "call_duration_secs", "cost", "termination_reason")
    body = {"status": "failed", "metadata": dict.fromkeys(names, wrong)}
    content = json.dumps(body).encode()
    found = read_conversation(ProviderAnswer(200, {}, content), with_transcript=True)
    assert found.status == "failed"
    assert found.transcript == ()
    assert found.duration_s in (None, 1e300)
    assert found.cost_credits in (None, -1)
    assert found.termination_reason in (None, "x")


@pytest.mark.parametrize("status", [None, 3, "", "a b", "x" * 65])
def test_without_a_status_it_is_no_conversation(status: object) -> None:
    content = json.dumps({"status": status, "metadata": {}}).encode()
    with pytest.raises(MalformedError):
        read_conversation(ProviderAnswer(200, {}, content), with_transcript=False)


# --- the agent ----------------------------------------------------------------------------------


async def test_the_agent_is_read_and_changed() -> None:
    script = Scripted(answer(200, {"agent_id": AGENT_ID}))
    async with asking(script) as provider:
        assert await provider.agent() == {"agent_id": AGENT_ID}
        patch: dict[str, Json] = {"platform_settings": {"auth": {"enable_auth": True}}}
        assert await provider.change_agent(patch) == {"agent_id": AGENT_ID}
    assert json.loads(script.asked[1].split("\r\n\r\n")[1]) == patch


async def test_an_unknown_agent_is_told_from_an_unknown_change() -> None:
    async with asking(Scripted(answer(404, CODE))) as provider:
        for question in (provider.agent(), provider.change_agent({})):
            with pytest.raises(AgentUnknownError):
                await question
    mistake = {"detail": [{"loc": ["body"], "msg": "no", "type": "missing"}]}
    async with asking(Scripted(answer(422, mistake))) as provider:
        for name in ("change", "conversation", "forget"):
            with pytest.raises(MalformedError) as caught:
                await QUESTIONS[name](provider)
            assert caught.value.code == "missing"
        with pytest.raises(AgentUnknownError):
            await provider.agent()
