"""The daemon and its commands as operators use them, each a process of its own."""

import asyncio
import json
import os
import sys
from pathlib import Path

from kiosk.convai.client_messages import ContextualUpdate, Initiation
from tests.convai_server import Connection, scripted_server
from tests.integration.daemon import running_kiosk
from tests.notify_socket import notify_socket

CONFIG = """
[agent]
id = "agent_local"
url = "{url}"
[credentials]
mode = "public"
[button]
driver = "{button}"
[indicator]
driver = "none"
[capture]
driver = "virtual"
[playback]
driver = "virtual"
"""


async def kiosk(*arguments: str, config: Path) -> tuple[int, str, str]:
    """Run one command as another shell would."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "kiosk",
        *arguments,
        env={**os.environ, "KIOSK_CONFIG": str(config)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_press_status_and_end_hold_a_visit_from_another_shell(short_dir: Path) -> None:
    config = short_dir / "config.toml"
    async with (
        scripted_server() as server,
        running_kiosk(short_dir, CONFIG.format(url=server.url, button="none")) as running,
    ):
        assert await kiosk("press", config=config) == (0, "press: opening\n", "")
        await server.connection()
        await running.wait_for_state("listening")
        code, out, _ = await kiosk("status", "--json", config=config)
        status = json.loads(out)
        assert code == 0
        assert (status["state"], status["conversation_id"]) == ("listening", "conv_test1")
        assert await kiosk("end", config=config) == (0, "", "")
        await running.wait_for_state("idle")
    code, _, complaint = await kiosk("status", config=config)
    assert code == 69
    assert "no kiosk answers" in complaint


async def test_tell_lets_the_agent_know_something_from_another_shell(short_dir: Path) -> None:
    config = short_dir / "config.toml"
    async with (
        scripted_server() as server,
        running_kiosk(short_dir, CONFIG.format(url=server.url, button="none")) as running,
    ):
        code, out, complaint = await kiosk("tell", "It rains.", config=config)
        assert (code, out) == (1, "")
        assert "no conversation is open" in complaint
        await running.ask("press")
        connection = await server.connection()
        await running.wait_for_state("listening")
        assert await kiosk("tell", "It rains. ☔", config=config) == (0, "", "")
        await running.ask("end")
        await asyncio.wait_for(connection.closed.wait(), 5)
    assert connection.of_type(ContextualUpdate) == [ContextualUpdate("It rains. ☔")]


async def test_a_press_may_bring_variables_of_its_visit(short_dir: Path) -> None:
    config = short_dir / "config.toml"
    async with (
        scripted_server() as server,
        running_kiosk(short_dir, CONFIG.format(url=server.url, button="none")) as running,
    ):
        given = ("--variable", "exhibit=the whale", "--variable", "hall=3")
        assert await kiosk("press", *given, config=config) == (0, "press: opening\n", "")
        connection = await server.connection()
        await running.wait_for_state("listening")
        code, _, complaint = await kiosk("press", *given, config=config)
        assert code == 1
        assert "a visit that begins" in complaint
        code, _, complaint = await kiosk("press", "--variable", "hall", config=config)
        assert code == 2
        assert "NAME=VALUE" in complaint
        answer = await running.ask("press", variables={"hall": {}})
        assert answer["ok"] is False
        await running.ask("end")
        await running.wait_for_state("idle")
        await running.ask("press")
        again = await server.connection(2)
    assert first_variables(connection) == {"exhibit": "the whale", "hall": "3"}
    assert first_variables(again) == {}


def first_variables(connection: Connection) -> object:
    (initiation,) = connection.of_type(Initiation)
    assert isinstance(initiation, Initiation)
    return initiation.dynamic_variables


async def test_a_visit_is_traced_and_played_again_from_another_shell(short_dir: Path) -> None:
    config, file = short_dir / "config.toml", short_dir / "visit.trace"
    async with (
        scripted_server() as server,
        running_kiosk(short_dir, CONFIG.format(url=server.url, button="none")) as running,
    ):
        code, out, complaint = await kiosk("trace", config=config)
        assert (code, out) == (1, "")
        assert "no such visit" in complaint
        await running.ask("press")
        connection = await server.connection()
        await running.wait_for_state("listening")
        press_id = str((await running.ask("status"))["press_id"])
        said = '{"type":"agent_response","agent_response_event":{"agent_response":"marzipan"}}'
        await connection.socket.send(said)
        await running.ask("end")
        await running.wait_for_state("idle")
        code, last, _ = await kiosk("trace", config=config)
        assert (code, "marzipan" in last) == (0, False)
        code, out, _ = await kiosk("trace", press_id, config=config)
        assert (code, out) == (0, last)
    header = json.loads(out.splitlines()[0])
    assert (header["press_id"], header["plan"]["button"]) == (press_id, "toggle")
    file.write_text(out)
    assert await kiosk("replay", str(file), config=config) == (0, "the same\n", "")


async def test_enter_on_the_terminal_is_the_button(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        running_kiosk(short_dir, CONFIG.format(url=server.url, button="keyboard")) as running,
    ):
        assert running.process.stdin is not None
        running.process.stdin.write(b"\n")
        await running.process.stdin.drain()
        await server.connection()
        await running.wait_for_state("listening")


async def test_systemd_is_told_ready_status_and_stopping(short_dir: Path) -> None:
    with notify_socket(short_dir) as manager:
        env = {**os.environ, **manager.environment, "WATCHDOG_USEC": "400000"}
        async with (
            scripted_server() as server,
            running_kiosk(short_dir, CONFIG.format(url=server.url, button="none"), env) as running,
        ):
            await running.ask("press")
            await running.wait_for_state("listening")
            await asyncio.sleep(0.5)
        told = manager.told()
    assert sum("READY=1" in said for said in told) == 1
    assert any("STATUS=listening" in said for said in told)
    assert sum("WATCHDOG=1" in said for said in told) >= 2
    assert "STOPPING=1" in told[-1]


async def test_nothing_that_was_said_and_no_address_is_in_the_log(short_dir: Path) -> None:
    async with scripted_server() as server:
        url = f"{server.url}/?conversation_signature=cvs_secret"
        async with running_kiosk(short_dir, CONFIG.format(url=url, button="none"), None) as running:
            await running.ask("press")
            connection = await server.connection()
            await running.wait_for_state("listening")
            await connection.socket.send(
                '{"type":"agent_response","agent_response_event":'
                '{"agent_response":"the visitor likes marzipan"}}'
            )
            await connection.socket.send("marzipan")
            await asyncio.sleep(0.2)
    said = running.stderr.decode()
    assert "a frame from the server makes no sense" in said
    assert "marzipan" not in said
    assert "cvs_secret" not in said
    assert "127.0.0.1" not in said
