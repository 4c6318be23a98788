"""A kiosk that is watched over its sockets, and the examples that watch it."""

import asyncio
import json
import os
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kiosk.convai.server_messages import AgentResponse, UserTranscript
from tests.convai_server import scripted_server
from tests.integration.daemon import running_kiosk
from tests.integration.test_daemon import CONFIG, kiosk

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples"
WORDS = "where is the marzipan"


@asynccontextmanager
async def watching(socket: Path, *kinds: str) -> AsyncIterator[asyncio.StreamReader]:
    reader, writer = await asyncio.open_unix_connection(socket)
    wanted = {"events": list(kinds)} if kinds else {}
    writer.write(json.dumps({"command": "subscribe", **wanted}).encode() + b"\n")
    try:
        yield reader
    finally:
        writer.close()


async def events_until(reader: asyncio.StreamReader, last: str) -> list[dict[str, object]]:
    """All up to the first event of this kind."""
    found: list[dict[str, object]] = []
    async with asyncio.timeout(30):
        while not found or found[-1].get("event") != last:
            found.append(json.loads(await reader.readline()))
    return found


def config(url: str, *, captions: bool) -> str:
    """The daemon's file; `[control]` comes from whoever starts it."""
    os.environ["KIOSK_CONTROL__CAPTIONS"] = str(captions).lower()
    return CONFIG.format(url=url, button="none")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, short_dir: Path) -> None:
    monkeypatch.setenv("KIOSK_CONTROL__CAPTIONS", "false")
    monkeypatch.setenv("KIOSK_CONTROL__READ_SOCKET", str(short_dir / "read.sock"))


@pytest.mark.parametrize("captions", [True, False])
async def test_a_visit_as_it_is_seen_from_outside(short_dir: Path, captions: bool) -> None:
    async with (
        scripted_server() as server,
        running_kiosk(short_dir, config(server.url, captions=captions)) as running,
        watching(running.socket) as reader,
    ):
        assert (await running.ask("press"))["did"] == "press"
        connection = await server.connection()
        await running.wait_for_state("listening")
        await connection.send(UserTranscript(WORDS, 1), AgentResponse("Upstairs.", 1))
        assert await running.ask("ask", text="And the exit?") == {"ok": True, "protocol": 1}
        await asyncio.sleep(0.3)
        await running.ask("end")
        seen = await events_until(reader, "visit_ended")
    snapshot, *events = seen
    assert snapshot["snapshot"] == {
        "state": "idle", "lamp": "idle", "cause": None, "press_id": None, "language": "en",
        "left_s": None, "visits": 0,
    }  # fmt: skip
    states = [event["state"] for event in events if event["event"] == "state"]
    assert states[:2] == ["opening", "listening"]
    assert "closing" in states
    assert events[-1]["kind"] == "ended_by_operator"
    sentences = [event["text"] for event in events if event["event"] == "sentence"]
    assert sentences[-1] == "We have to stop here. Goodbye."
    heard = [event["text"] for event in events if event["event"] == "caption"]
    assert heard == ([WORDS, "Upstairs."] if captions else [])
    assert WORDS not in running.stderr.decode()


async def test_the_other_socket_watches_and_does_not_press(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        running_kiosk(short_dir, config(server.url, captions=False)),
    ):
        socket = short_dir / "read.sock"
        assert stat.S_IMODE(socket.stat().st_mode) == 0o660
        reader, writer = await asyncio.open_unix_connection(socket)
        writer.write(b'{"command": "press"}\n{"command": "status"}\n')
        refused, status = [json.loads(await reader.readline()) for _ in range(2)]
        writer.close()
    assert refused["error"] == "commands: status, subscribe, why"
    assert status["state"] == "idle"


async def test_a_press_says_what_it_did(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        running_kiosk(short_dir, config(server.url, captions=False)) as running,
    ):
        first = await running.ask("press")
        nervous = await running.ask("press")
        await server.connection()
        await running.wait_for_state("listening")
        await asyncio.sleep(1.1)
        last = await running.ask("press")
    assert [(each["did"], each["state"]) for each in (first, nervous, last)] == [
        ("press", "opening"),
        ("nothing", nervous["state"]),
        ("press", "closing"),
    ]


async def test_what_is_no_event_is_refused_by_name(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        running_kiosk(short_dir, config(server.url, captions=False)) as running,
    ):
        refused = await running.ask("subscribe", events=["sates"])
        assert str(refused["error"]).startswith("events: state, lamp, cause, ")
        code, _, complaint = await kiosk("events", "--event", "x", config=short_dir / "config.toml")
    assert code == 1
    assert "events: state" in complaint


async def test_a_file_that_is_being_edited_locks_nobody_out(short_dir: Path) -> None:
    file = short_dir / "config.toml"
    async with (
        scripted_server() as server,
        running_kiosk(short_dir, config(server.url, captions=False)),
    ):
        for damage in ("\n[captuer]\n", "\nthis is no TOML\n"):
            file.write_text(file.read_text() + damage)
            code, told, _ = await kiosk("status", config=file)
            assert (code, "idle" in told) == (0, True)


# --- the examples -------------------------------------------------------------------------------


@asynccontextmanager
async def example(name: str, *arguments: str) -> AsyncIterator[asyncio.StreamReader]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(EXAMPLES / name), *arguments, stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "GPIOZERO_PIN_FACTORY": "mock"},
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def line_with(reader: asyncio.StreamReader, text: str) -> None:
    async with asyncio.timeout(30):
        while text not in (await reader.readline()).decode():
            pass


async def test_the_strip_of_lights_follows_the_lamp_and_the_voice(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        running_kiosk(short_dir, config(server.url, captions=False)) as running,
        example("light_strip.py", str(running.socket)) as lights,
    ):
        await line_with(lights, "white 30")
        await running.ask("press")
        await line_with(lights, "green 30")
        await line_with(lights, "green 0")  # nobody speaks


async def test_the_captions_are_shown_and_cleared(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        running_kiosk(short_dir, config(server.url, captions=True)) as running,
        example("captions.py", str(running.socket)) as screen,
    ):
        await line_with(screen, "\x1b[2J")  # it has begun to watch
        await running.ask("press")
        connection = await server.connection()
        await running.wait_for_state("listening")
        await connection.send(UserTranscript(WORDS, 1))
        await line_with(screen, WORDS)
        await running.ask("end")
        await line_with(screen, "We have to stop here")


async def test_the_relay_closes_while_somebody_talks(short_dir: Path) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[2]); import relay\n"
        "for event in relay.events(sys.argv[1]):\n"
        "    print(event['state'] in relay.TALKING, flush=True)\n"
    )
    async with (
        scripted_server() as server,
        running_kiosk(short_dir, config(server.url, captions=False)) as running,
    ):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, str(running.socket), str(EXAMPLES),
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        await line_with(process.stdout, "False")
        await running.ask("press")
        await line_with(process.stdout, "True")
        await running.ask("end")
        await line_with(process.stdout, "False")
        process.terminate()
        await process.wait()


# --- keys of the house --------------------------------------------------------------------------


async def test_mute_and_volume_hold_until_the_visit_ends(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        running_kiosk(short_dir, config(server.url, captions=False)) as running,
    ):
        for command, fields in (("mute", {}), ("volume", {"db": -6})):
            assert (await running.ask(command, **fields))["error"] == "there is no visit"
        await running.ask("press")
        await server.connection()
        await running.wait_for_state("listening")
        assert (await running.ask("mute"))["muted"] is True
        assert (await running.ask("status"))["muted"] == 1
        assert (await running.ask("volume", db=-6.5))["db"] == -6.5
        for wrong in (1, -31, "loud", None, True):
            assert (await running.ask("volume", db=wrong))["error"] == "db: from -30 to 0"
        assert (await running.ask("mute", on="yes"))["error"] == "on: true or false"
        await running.ask("end")
        status = await running.wait_for_state("idle")
        assert status["muted"] == 0
