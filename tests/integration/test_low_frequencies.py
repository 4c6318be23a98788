"""Whole visits at microphones with an offset, rumble or hum: each as the visit at a clean one."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from kiosk.agent.voice import AgentVoice
from kiosk.audio.pcm import to_int16
from kiosk.devices.virtual import Room
from kiosk.lab.virtual_loop import running_clock
from kiosk.moments import What
from kiosk.visit.states import State
from tests.integration.conftest import StartAgent
from tests.lockstep import in_lockstep
from tests.unit.audio.test_high_pass import CARD_HZ, DISTURBANCES, rumble
from tests.unit.sounds import Floats, rms
from tests.virtual_kiosk import settings, virtual_kiosk

QUESTION_DBFS = -36
# The greeting is over by then.
ASKED_AFTER_S = 9.0
VISIT_S = 18.0

Heard = tuple[int, int, list[str | None]]


async def visit(directory: Path, url: str, question: Floats, disturbance: Floats) -> Heard:
    """How often the agent spoke, how often it was cut, and what it understood."""
    asked = round(ASKED_AFTER_S * CARD_HZ)
    sound = disturbance.copy()
    sound[asked : asked + len(question)] += question
    async with virtual_kiosk(
        settings(directory, url), Room(CARD_HZ, noise_dbfs=-75, clock=running_clock())
    ) as kiosk:
        kiosk.room.say(to_int16(sound), kiosk.button.press())
        await asyncio.sleep(VISIT_S)
        states = [m.fields["state"] for m in kiosk.moments if m.what is What.STATE]
        transcripts = [m.words for m in kiosk.moments if m.what is What.TRANSCRIPT]
        return states.count(State.SPEAKING), kiosk.count(What.INTERRUPTED), transcripts


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


@pytest.mark.wide  # 9 s of processor
@in_lockstep
async def test_a1_a_visit_with_low_frequencies_is_as_one_without(
    short_dir: Path, start_agent: StartAgent
) -> None:
    spoken = await AgentVoice("en-gb").render("where are the toilets please", CARD_HZ)
    question = spoken.astype(np.float64) * 10 ** (QUESTION_DBFS / 20) / (rms(spoken) / 32768)
    count = round(VISIT_S * CARD_HZ)
    microphones = {"clean": np.zeros(count)} | {
        name: DISTURBANCES[name](count) for name in DISTURBANCES
    }
    # With 10 dB more, which no gate minds, the local agent hears a word at the press.
    microphones["rumble"] = rumble(-30, count)
    async with start_agent() as (url, _), asyncio.TaskGroup() as tasks:
        where = url.replace("http", "ws")
        visits = {
            name: tasks.create_task(visit(_made(short_dir / name), where, question, disturbance))
            for name, disturbance in microphones.items()
        }
    for name, visited in visits.items():
        # Greeting and answer.
        assert visited.result() == (2, 0, ["where are the toilets please"]), name
