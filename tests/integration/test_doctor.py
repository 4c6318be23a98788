"""The doctor beside a running kiosk, and the report that staff hears, on virtual devices."""

import asyncio
import os
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from kiosk.backend.books.rules import Scope
from kiosk.base.espeak import PROGRAM
from kiosk.doctor.examination import examine
from kiosk.doctor.findings import Finding, Result
from kiosk.doctor.subject import in_use
from kiosk.moments import What
from kiosk.ops.control import request
from kiosk.visit import core
from kiosk.visit.languages import load_language
from kiosk.visit.states import State
from tests.convai_server import scripted_server
from tests.integration.sounds import quiet_room
from tests.integration.test_ledger import site
from tests.virtual_kiosk import VirtualKiosk, settings, virtual_kiosk

HOLD_S = 1.0


@pytest.fixture
def _held_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds are tested in virtual time; here they would only be waited for."""
    monkeypatch.setattr(core, "HOLD_S", HOLD_S)


async def asked(kiosk: VirtualKiosk, command: str, **fields: str) -> dict[str, object]:
    path = kiosk.settings.control.socket
    return await asyncio.to_thread(request, path, command, **fields)


async def examined(kiosk: VirtualKiosk) -> dict[str, Finding]:
    _, findings = await examine(lambda: in_use(kiosk.settings))
    return {finding.id: finding for finding in findings}


def sounds(kiosk: VirtualKiosk, from_s: float) -> bool:
    to_s = max(from_s, time.monotonic())  # a moment may be told a little before it is heard
    return bool(np.abs(kiosk.room.loudspeaker(from_s, to_s)).max(initial=0) > 300)


def noting_espeak(directory: Path) -> Path:
    """An espeak-ng that speaks, and writes each text it was given to the file that is returned."""
    notes, program = directory / "spoken", directory / PROGRAM
    program.write_text(
        f'#!/bin/sh\n(tee -a {notes}; echo >> {notes}) | exec {shutil.which(PROGRAM)} "$@"\n'
    )
    program.chmod(0o755)
    return notes


@pytest.mark.usefixtures("_held_briefly")
async def test_holding_the_button_ends_the_visit_quietly_and_the_kiosk_says_how_it_is(
    short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = noting_espeak(short_dir)
    monkeypatch.setenv("PATH", str(short_dir), prepend=os.pathsep)
    room = quiet_room(noise_dbfs=-60.0)  # in a visit of some length, zeros are a dead microphone
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url), room) as kiosk,
    ):
        kiosk.button.held = True
        pressed_s = kiosk.button.press()
        await kiosk.state(State.LISTENING)
        ended = await kiosk.moment(What.VISIT_ENDED, pressed_s)
        assert ended.fields["kind"] == "hung_up"
        assert ended.at_s - pressed_s >= HOLD_S
        await kiosk.until(lambda: kiosk.count(What.SENTENCE_HEARD) == 2, timeout_s=20)
        kiosk.button.release()
        heard_s = max(m.at_s for m in kiosk.moments if m.what is What.SENTENCE_HEARD)
        await kiosk.until(lambda: sounds(kiosk, heard_s))
        assert kiosk.host.state is State.IDLE
        kiosk.button.held = False
        kiosk.button.press()  # a visitor comes
        await kiosk.state(State.LISTENING)
        assert kiosk.host.visits == 2
    [text] = [line for line in notes.read_text().splitlines() if line.startswith("This is kiosk")]
    assert text.startswith("This is kiosk, version ")
    assert text.endswith(tuple(load_language("en").report[key] for key in ("well", "warnings")))


@pytest.mark.usefixtures("_held_briefly")
async def test_an_operators_press_is_none_that_is_held(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url), quiet_room()) as kiosk,
    ):
        assert (await asked(kiosk, "press"))["ok"] is True
        await kiosk.state(State.LISTENING)
        await asyncio.sleep(HOLD_S + 0.5)
        assert kiosk.host.state is State.LISTENING


async def test_a_text_is_said_while_the_kiosk_is_idle_and_refused_in_a_visit(
    short_dir: Path,
) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url), quiet_room()) as kiosk,
    ):
        began_s = time.monotonic()
        assert await asked(kiosk, "say", text="The café closes.") == {"ok": True, "protocol": 1}
        await kiosk.moment(What.SENTENCE_HEARD, began_s)
        await kiosk.until(lambda: sounds(kiosk, began_s))
        kiosk.button.press()
        await kiosk.state(State.LISTENING)
        refused = await asked(kiosk, "say", text="The café closes.")
        assert refused == {"ok": False, "protocol": 1, "error": "a visit is under way"}
        assert (await asked(kiosk, "say", text=" "))["ok"] is False


async def test_a_visit_goes_on_while_the_doctor_looks(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url), quiet_room()) as kiosk,
    ):
        kiosk.button.press()
        await kiosk.state(State.LISTENING)
        before = len(kiosk.moments), kiosk.indicator.shown[-1], len(kiosk.playbacks)
        found = await examined(kiosk)
        assert before == (len(kiosk.moments), kiosk.indicator.shown[-1], len(kiosk.playbacks))
        assert kiosk.host.state is State.LISTENING
    assert found["daemon"].value.startswith("fit, listening, 1 visits")
    assert found["capture_card"].result is found["playback_card"].result is Result.PASS
    assert "in use by the running kiosk" in found["capture_card"].value
    assert not [each for each in found.values() if each.result is Result.FAIL]


async def test_the_running_kiosk_asks_for_a_lease_in_dry_run(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        site(short_dir, server.url) as here,
        here.up(),
        virtual_kiosk(here.settings(short_dir), quiet_room()) as kiosk,
    ):
        minted = here.minted
        found = await examined(kiosk)
        assert found["lease"].result is found["backend"].result is Result.PASS
        await here.store.rules.pause("default", Scope.FLEET, "", datetime.now(UTC))
        found = await examined(kiosk)
        assert found["lease"].value == "not now: paused (fleet)"
        assert here.minted == minted
        await here.store.registry.revoke("default", "lobby", datetime.now(UTC))
        found = await examined(kiosk)
        assert found["lease"].value == "the backend does not know this kiosk"
