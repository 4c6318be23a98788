"""What the agent sends when a conversation is over, judged by the backend that reads it."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from kiosk.agent.post_call import SIGNATURE_HEADER, PostCallSettings
from kiosk.backend.provider.webhooks import (
    PostCallAudio,
    PostCallTranscription,
    Signature,
    TranscriptTurn,
    WebhookEvent,
    read_event,
)
from kiosk.cli import main
from kiosk.errors import ConfigError
from tests.agent.wire import by_guide, initiation, opened, user_message, words
from tests.integration.conftest import StartAgent

SECRET = "wsec_0123456789abcdef"
QUIET = initiation(conversation={"text_only": True})


@dataclass
class Receiver:
    """Answers with these statuses, one after the other, then with 200."""

    statuses: list[int] = field(default_factory=list)
    came: list[tuple[str, bytes]] = field(default_factory=list)
    url: str = ""
    more: asyncio.Event = field(default_factory=asyncio.Event)

    async def deliveries(self, count: int) -> list[WebhookEvent]:
        async with asyncio.timeout(10):
            while len(self.came) < count:
                self.more.clear()
                await self.more.wait()
        events = []
        for header, body in self.came:
            signature = Signature(header, [SecretStr(SECRET)], datetime.now(UTC))
            signature.update(body)
            signature.verify()
            events.append(read_event(body))
        return events

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        fields = dict(line.split(": ", 1) for line in head.splitlines()[1:] if ": " in line)
        lower = {name.lower(): value for name, value in fields.items()}
        if lower.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(await reader.readuntil(b"\r\n"), 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readuntil(b"\r\n")
        else:
            body = await reader.readexactly(int(lower["content-length"]))
        self.came.append((lower[SIGNATURE_HEADER.lower()], body))
        status = self.statuses.pop(0) if self.statuses else 200
        writer.write(
            f"HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
        )
        writer.close()
        self.more.set()


@asynccontextmanager
async def receiving(*statuses: int) -> AsyncIterator[Receiver]:
    receiver = Receiver(list(statuses))
    server = await asyncio.start_server(receiver._take, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        receiver.url = f"http://{host}:{port}/hook"
        yield receiver


async def hold_a_conversation(url: str) -> None:
    async with opened(url) as wire:
        await wire.send(QUIET)
        await wire.until("agent_response")
        await wire.send(user_message("what does a ticket cost"))
        assert "twelve euros" in words(await wire.until("agent_response"))


def to(receiver: Receiver) -> PostCallSettings:
    return PostCallSettings(receiver.url, SECRET, attempts_s=(0, 0.05, 0.05))


async def test_the_backend_believes_and_reads_what_is_sent(start_agent: StartAgent) -> None:
    async with (
        receiving() as receiver,
        start_agent(behaviour=by_guide(greeting="Hello."), post_call=to(receiver)) as (url, _),
    ):
        await hold_a_conversation(url)
        (event,) = await receiver.deliveries(1)
    assert isinstance(event, PostCallTranscription)
    assert (event.agent_id, event.status, event.cost) == ("agent_local", "done", 0)
    assert event.transcript is not None
    assert event.transcript[:2] == (
        TranscriptTurn("agent", "Hello."),
        TranscriptTurn("user", "what does a ticket cost"),
    )


@pytest.mark.parametrize(("statuses", "deliveries"), [((500, 429), 3), ((408,), 2), ((400,), 1)])
async def test_it_is_tried_again_where_that_may_help(
    statuses: tuple[int, ...], deliveries: int, start_agent: StartAgent
) -> None:
    async with (
        receiving(*statuses) as receiver,
        start_agent(post_call=to(receiver)) as (url, _),
    ):
        await hold_a_conversation(url)
        await receiver.deliveries(deliveries)
        await asyncio.sleep(0.3)
        assert len(receiver.came) == deliveries


async def test_on_demand_it_comes_late_and_twice(start_agent: StartAgent) -> None:
    async with receiving() as receiver:
        settings = replace(to(receiver), after_s=0.4, twice=True)
        async with start_agent(post_call=settings) as (url, _):
            await hold_a_conversation(url)
            await asyncio.sleep(0.2)
            assert receiver.came == []
            first, second = await receiver.deliveries(2)
    assert first == second


async def test_on_demand_a_silent_recording_follows(start_agent: StartAgent) -> None:
    async with receiving(200, 500) as receiver:
        settings = replace(to(receiver), audio=True)
        async with start_agent(post_call=settings) as (url, _):
            async with opened(url) as wire:
                await wire.send(QUIET)
                await asyncio.sleep(1.2)
            told, recording, again = await receiver.deliveries(3)
    assert isinstance(told, PostCallTranscription)
    assert recording == again == PostCallAudio(told.conversation_id)
    sound = base64.b64decode(json.loads(receiver.came[1][1])["data"]["full_audio"])
    frames = sound.count(b"\xff\xfb")
    assert frames * 1152 / 44_100 == pytest.approx(told.duration_s, abs=0.03)
    assert told.duration_s >= 1


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--webhook-url", "ftp://x"), "no address of HTTP"),
        (("--webhook-url", "http://127.0.0.1:1/"), "needs --webhook-secret-file"),
    ],
)
def test_the_command_names_what_is_missing(
    options: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["agent", "--port", "0", *options]) == ConfigError.exit_code
    assert complaint in capsys.readouterr().err


def test_an_empty_secret_signs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "secret").write_text("\n")
    options = ("--webhook-url", "http://127.0.0.1:1/", "--webhook-secret-file")
    code = main(["agent", "--port", "0", *options, str(tmp_path / "secret")])
    assert code == ConfigError.exit_code
    assert "is empty" in capsys.readouterr().err
