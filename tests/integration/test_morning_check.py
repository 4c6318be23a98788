"""The check before the first visitor comes, in virtual time."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from kiosk.daemon.morning_check import MorningCheck, faults, is_due
from kiosk.devices.virtual import Echo, Room
from kiosk.doctor.findings import Finding, failed, passed, warned
from kiosk.doctor.sound_reference import FILE
from kiosk.lab.virtual_loop import running_clock
from tests.convai_server import scripted_server
from tests.lockstep import in_lockstep
from tests.virtual_kiosk import VirtualKiosk, settings, virtual_kiosk

AT = time(9, 45)
EVE = datetime(2026, 12, 1, 9, 44, tzinfo=UTC)
FINE = [passed("backend", "answers"), warned("clock", "not synchronised", "wait")]
SICK = [*FINE, failed("lease", "the backend refuses", "enrol it")]


@contextlib.asynccontextmanager
async def mornings(
    tmp_path: Path, findings: Sequence[Finding], began: datetime = EVE
) -> AsyncIterator[VirtualKiosk]:
    """A kiosk that is checked at 9:45, a minute after the beginning."""
    room = Room(24_000, echo=Echo(delay_s=0.017, gain_db=-19), clock=running_clock())
    state = tmp_path / "state"
    state.mkdir()
    async with scripted_server() as server:
        its = settings(tmp_path, server.url, credentials={"state_dir": state})
        checked = its.model_copy(
            update={"sound": its.sound.model_copy(update={"check_at": f"{AT:%H:%M}"})}
        )
        async with virtual_kiosk(its, room) as kiosk:
            began_s = asyncio.get_running_loop().time()

            def now() -> datetime:
                return began + timedelta(seconds=asyncio.get_running_loop().time() - began_s)

            async def look() -> Sequence[Finding]:
                return findings

            check = MorningCheck(checked, kiosk.daemon.sound_check, now, look)
            task = asyncio.create_task(check.run())
            yield kiosk
            task.cancel()
            await asyncio.wait([task])


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [text for text in caplog.messages if text.startswith("morning check")]


@pytest.fixture(autouse=True)
def _info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


@in_lockstep
async def test_it_is_made_once_a_day_with_the_lamp_lit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with mornings(tmp_path, FINE) as kiosk:
        await asyncio.sleep(50)
        assert kiosk.indicator.recorded == [], "never before"
        await asyncio.sleep(900)
        assert [on for _, on in kiosk.indicator.recorded] == [True, False]
        assert said(caplog) == ["morning check: all is well"]


@in_lockstep
async def test_a_kiosk_that_was_just_switched_on_is_given_a_minute(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    late = EVE + timedelta(minutes=5)
    async with mornings(tmp_path, FINE, late) as kiosk:
        await asyncio.sleep(50)
        assert kiosk.indicator.recorded == []
        await asyncio.sleep(100)
        assert said(caplog) == ["morning check: all is well"]


@in_lockstep
async def test_what_is_otherwise_than_at_installation_is_an_alert(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with mornings(tmp_path, SICK) as kiosk:
        place = kiosk.settings.credentials.state_dir
        assert place is not None
        (place / FILE).write_text(json.dumps({"delay_ms": 60, "bands_db": {}}))
        await asyncio.sleep(600)
    [text] = said(caplog)
    assert "otherwise than at installation: -43 ms" in text
    assert "lease: the backend refuses" in text
    assert "clock" not in text
    [record] = [each for each in caplog.records if each.getMessage() == text]
    assert record.levelno == logging.WARNING
    assert record.__dict__["journal"]["KIOSK_CAUSE"] == "morning_check_failed"


@in_lockstep
async def test_a_visitor_who_comes_meanwhile_is_no_fault_and_it_is_made_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with mornings(tmp_path, FINE) as kiosk:
        await kiosk.until(lambda: kiosk.indicator.recorded, 120)
        kiosk.button.press()
        await asyncio.sleep(5)
        assert said(caplog) == []
        kiosk.button.press()
        await asyncio.sleep(300)
        assert said(caplog) == ["morning check: all is well"]


@pytest.mark.parametrize(
    ("hour", "minute", "done", "due"),
    [(9, 44, False, False), (9, 45, False, True), (10, 14, False, True), (10, 15, False, False),
     (9, 50, True, False)],
)  # fmt: skip
def test_when_it_is_due(hour: int, minute: int, done: bool, due: bool) -> None:
    now = EVE.replace(hour=hour, minute=minute)
    assert is_due(now, AT, now.date() if done else (now - timedelta(days=1)).date()) is due


def test_only_what_fails_or_changed_is_an_alert() -> None:
    changed = warned("sound_reference", "-4 dB", "look")
    assert list(faults([*SICK, changed])) == [
        "lease: the backend refuses",
        "sound_reference: -4 dB",
    ]
