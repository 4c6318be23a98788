"""The watcher whole: real journal files in, real deliveries out, and nothing forgotten."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from kiosk.watch.channels import Webhook
from kiosk.watch.settings import WatchSettings
from kiosk.watch.state import StateFile, WatcherState
from kiosk.watch.watcher import Watcher
from tests.journals import append, needs_journal_remote
from tests.unit.watch.desk import Hook, entry, webhook

LOST = entry("device_lost", KIOSK_CAUSE="microphone_lost")
BACK = entry("device_opened", KIOSK_OVER="microphone_lost")


def settings(directory: Path, **watch: object) -> WatchSettings:
    table = {"journal": directory, "poll_s": 0.01, "calm_minutes": 0, **watch}
    return WatchSettings.model_validate({"watch": table, "webhook": {}})


@asynccontextmanager
async def watching(directory: Path, hook: Hook, **watch: object) -> AsyncIterator[Watcher]:
    file = StateFile(directory / "state.json")
    watcher = Watcher(settings(directory, **watch), file, [Webhook(hook.url)])
    running = asyncio.create_task(watcher.run())
    try:
        await asyncio.wait_for(watcher.ready.wait(), 5)
        yield watcher
    finally:
        running.cancel()
        await asyncio.wait((running,))
        if not running.cancelled():
            await running


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  it is a list that grows
            await asyncio.sleep(0.01)


def told(hook: Hook) -> list[tuple[object, object, object]]:
    return [(posted["what"], posted["kiosk"], posted["cause"]) for posted in hook.posted]


@needs_journal_remote
async def test_a_card_that_is_lost_and_comes_back_is_told_twice(tmp_path: Path) -> None:
    file = tmp_path / "remote-lobby.journal"
    append(file, [entry("alive")])
    async with webhook() as hook, watching(tmp_path, hook):
        append(file, [LOST], at_s=10)
        await until(lambda: len(hook.posted) == 1)
        append(file, [BACK], at_s=20)
        await until(lambda: len(hook.posted) == 2)
    assert told(hook) == [
        ("raised", "lobby", "microphone_lost"),
        ("over", "lobby", "microphone_lost"),
    ]
    assert "marzipan" not in json.dumps(hook.posted)


@needs_journal_remote
async def test_what_happened_while_nobody_watched_is_told_afterwards_and_once(
    tmp_path: Path,
) -> None:
    file = tmp_path / "remote-lobby.journal"
    append(file, [entry("alive")])
    async with webhook() as hook:
        async with watching(tmp_path, hook) as first:
            append(file, [LOST], at_s=10)
            await until(lambda: len(hook.posted) == 1 and not first.undelivered)
        append(file, [LOST, BACK], at_s=20)
        append(tmp_path / "remote-shop.journal", [entry("config_invalid", "shop", PRIORITY="3")])
        async with watching(tmp_path, hook):
            await until(lambda: len(hook.posted) == 3)
    assert sorted(told(hook)) == [
        ("over", "lobby", "microphone_lost"),
        ("raised", "lobby", "microphone_lost"),
        ("raised", "shop", "config_invalid"),
    ]


@needs_journal_remote
async def test_an_alert_that_was_not_delivered_outlives_the_watcher(tmp_path: Path) -> None:
    file = tmp_path / "remote-lobby.journal"
    append(file, [entry("alive")])
    async with webhook() as hook:
        hook.answers = [500] * 1000
        async with watching(tmp_path, hook):
            append(file, [LOST], at_s=10)
            await until(lambda: hook.asked > 0)
        hook.answers = []
        async with watching(tmp_path, hook):
            await until(lambda: len(hook.posted) == 1)
    assert told(hook) == [("raised", "lobby", "microphone_lost")]


async def test_a_kiosk_that_was_never_heard_is_missed(tmp_path: Path) -> None:
    async with (
        webhook() as hook,
        watching(tmp_path, hook, kiosks=("lobby",), silent_minutes=0.001),
    ):
        await until(lambda: len(hook.posted) == 1)
    assert told(hook) == [("raised", "lobby", "silent")]


def test_a_state_that_makes_no_sense_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text("{")
    assert StateFile(path).load() == WatcherState()
    assert (tmp_path / "state.json.bad").read_text() == "{"


async def test_the_process_tells_systemd_and_ends_when_asked(short_dir: Path) -> None:
    config = short_dir / "watch.toml"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(short_dir / "notify"))
        manager.setblocking(False)
        async with webhook() as hook:
            (short_dir / "url").write_text(hook.url)
            config.write_text(
                f'[watch]\njournal = "{short_dir}"\n[webhook]\nurl_file = "{short_dir}/url"\n'
            )
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "kiosk",
                "watch",
                "--config",
                str(config),
                env={
                    **os.environ,
                    "NOTIFY_SOCKET": str(short_dir / "notify"),
                    "WATCHDOG_USEC": "400000",
                    "STATE_DIRECTORY": str(short_dir),
                },
                stderr=asyncio.subprocess.PIPE,
            )
            loop, said = asyncio.get_running_loop(), ""
            async with asyncio.timeout(10):
                while "READY=1" not in said or "WATCHDOG=1" not in said:
                    said += (await loop.sock_recv(manager, 4096)).decode()
                process.send_signal(signal.SIGTERM)
                _, complaint = await process.communicate()
    assert (process.returncode, complaint) == (0, b"")
    assert (short_dir / "state.json").exists()


async def test_a_test_alert_is_sent_on_every_channel(short_dir: Path) -> None:
    async with webhook() as hook:
        (short_dir / "url").write_text(hook.url)
        config = short_dir / "watch.toml"
        config.write_text(f'[webhook]\nurl_file = "{short_dir}/url"\n')
        command = ("-m", "kiosk", "watch", "--test-alert", "--config", str(config))
        for code, out in (
            (0, b"webhook: taken\n"),
            (1, b"webhook: the webhook answered HTTP 500\n"),
        ):
            process = await asyncio.create_subprocess_exec(
                sys.executable, *command, stdout=asyncio.subprocess.PIPE
            )
            assert ((await process.communicate())[0], process.returncode) == (out, code)
            hook.answers = [500]
    assert [posted["what"] for posted in hook.posted] == ["test"]
