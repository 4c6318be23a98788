"""The file of metrics that a running kiosk writes."""

import asyncio
import stat
import time
from pathlib import Path

import pytest

from tests.convai_server import scripted_server
from tests.integration.daemon import running_kiosk
from tests.integration.test_daemon import CONFIG
from tests.slowness import patient_s


def written(file: Path) -> str:
    """What is in it, as soon as it is there."""
    until_s = time.monotonic() + patient_s(20)
    while not file.exists():
        assert time.monotonic() < until_s, "there is no file"
        time.sleep(0.05)
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert [path.name for path in file.parent.glob("*.prom*")] == [file.name]
    return file.read_text("utf-8")


async def test_the_file_tells_how_the_kiosk_stands(
    short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = short_dir / "kiosk.prom"
    monkeypatch.setenv("KIOSK_METRICS__TEXTFILE", str(file))
    async with (
        scripted_server() as server,
        running_kiosk(short_dir, CONFIG.format(url=server.url, button="none")),
    ):
        text = await asyncio.to_thread(written, file)
    assert 'kiosk_state{state="idle"} 1.0\n' in text
    assert "kiosk_uptime_seconds " in text


async def test_a_file_that_cannot_be_written_is_told_of_and_costs_no_visit(
    short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIOSK_METRICS__TEXTFILE", str(short_dir / "nowhere" / "kiosk.prom"))
    async with (
        scripted_server() as server,
        running_kiosk(short_dir, CONFIG.format(url=server.url, button="none")) as running,
    ):
        await running.ask("press")
        await running.wait_for_state("listening")
        await running.ask("end")
        await running.wait_for_state("idle")
    told = running.stderr.decode()
    assert told.count("metrics.textfile: ") == 1
    assert "nowhere/kiosk.prom cannot be written: No such file or directory" in told
    assert "Traceback" not in told
