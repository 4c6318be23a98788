"""`kiosk doctor --sound` over the real ALSA API: what the kiosk plays is what its card captures."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cards import card_config
from tests.integration.daemon import running_kiosk
from tests.rig import Rig
from tests.slowness import patient_s

pytestmark = pytest.mark.rig

# The virtual cards take 50 ms at a time, and a busy machine may be late.
ALSA_MS = 150
NO_ACCOUNT = "http://127.0.0.1:1"


async def measured(rig: Rig, config: Path) -> dict[str, Any]:
    command = (sys.executable, "-m", "kiosk", "doctor", "--sound", "--json", "--config", config)
    process = await asyncio.create_subprocess_exec(
        *command,
        env=rig.env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(patient_s(60)):
        told, _ = await process.communicate()
    body = json.loads(told)
    return {check["id"]: check for check in body["checks"]}


def looped(rig: Rig) -> str:
    return card_config(NO_ACCOUNT).replace('device = "vspk"', 'device = "feed"')


async def test_a_loop_through_the_cards_is_measured_by_the_doctor_itself(
    rig: Rig, short_dir: Path
) -> None:
    config = short_dir / "config.toml"
    config.write_text(f'{looped(rig)}\n[control]\nsocket = "{short_dir}/control.sock"\n')
    found = await measured(rig, config)
    failed = {check for check, its in found.items() if its["result"] == "fail"}
    assert failed == set()
    assert "arrives -0 dB" in found["sound_heard"]["value"]
    assert "2 of the loudspeaker" in found["sound_channels"]["value"]
    assert "+0 dB at 7 kHz" in found["sound_response"]["value"]
    assert 0 <= float(found["sound_delay"]["value"].split(" ms")[0]) < ALSA_MS


async def test_a_running_kiosk_lends_its_cards_and_has_them_back(rig: Rig, short_dir: Path) -> None:
    async with running_kiosk(short_dir, looped(rig), rig.env) as kiosk:
        found = await measured(rig, short_dir / "config.toml")
        assert found["sound_heard"]["result"] == "pass"
        status = await kiosk.ask("status")
    assert (status["microphone_open"], status["speaker_open"]) == (True, True)
    assert status["unfit"] is None
