"""Cards that go away and come back, under a running daemon.

A card's daemon killed is its plug pulled, started again it is plugged in; a suspended sink is a
card that stops without a word.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from kiosk.agent.guide import Guide
from kiosk.agent.voice import AgentVoice
from kiosk.audio.levels import rms_dbfs
from kiosk.audio.pcm import Samples
from kiosk.errors import UnavailableError
from kiosk.ops.control import request
from tests import rig as rigs
from tests.integration.cards import RIG_HZ, Recorder, ask_through_the_card, card_config
from tests.integration.conftest import AgentEvents, StartAgent
from tests.integration.daemon import RunningKiosk, running_kiosk
from tests.rig import Card, Rig

pytestmark = pytest.mark.rig

DETECTION_S = 2.0
QUESTION = "where is the planetarium"
DEVICES = pytest.mark.parametrize(
    ("device", "unfit", "kind"),
    [
        ("microphone", "no_microphone", "microphone_lost"),
        ("speaker", "no_speaker", "speaker_lost"),
    ],
)


@dataclass
class Stage:
    """A kiosk on two virtual cards, and the agent that it talks to."""

    kiosk: RunningKiosk
    rig: Rig
    directory: Path
    events: AgentEvents
    question: Samples

    def card(self, device: str) -> Card:
        return self.rig.microphone if device == "microphone" else self.rig.speaker

    async def fitness(self, unfit: str | None, within_s: float) -> None:
        """The kiosk says so in time."""
        deadline_s = time.monotonic() + within_s
        while (status := await self.kiosk.ask("status"))["unfit"] != unfit:
            assert time.monotonic() < deadline_s, f"still {status}, not {unfit}"
            await asyncio.sleep(0.01)

    async def ask(self) -> None:
        """A whole visit: the question is understood, and the answer is heard."""
        self.events.clear()
        heard, recording = await ask_through_the_card(
            self.kiosk, self.rig, self.question, RIG_HZ, self.events, self.directory
        )
        assert heard["text"] == QUESTION
        assert rms_dbfs(recording) > -45


@asynccontextmanager
async def staged(
    rig: Rig, directory: Path, start_agent: StartAgent, guide: Guide
) -> AsyncIterator[Stage]:
    question = await AgentVoice("en-us+f2", 150).render(QUESTION, RIG_HZ)
    # Long enough to lose the loudspeaker in.
    greeting = "What would you like to know?"
    async with start_agent(replace(guide, greeting=greeting)) as (url, events):
        config = card_config(url)
        async with running_kiosk(directory, config, rig.env) as kiosk:
            yield Stage(kiosk, rig, directory, events, question)
    assert kiosk.process.returncode == 0
    assert "Traceback" not in kiosk.stderr.decode()
    assert "ALSA lib" not in kiosk.stderr.decode()  # a line at every try would fill the journal


def lose(card: Card, how: str) -> None:
    (card.unplug if how == "unplugged" else card.suspend)()


def bring_back(card: Card, how: str) -> None:
    (card.plug if how == "unplugged" else card.resume)()


@pytest.mark.parametrize("how", ["unplugged", "stalled"])
@DEVICES
async def test_a_card_lost_in_a_visit_ends_it_with_words_and_serves_the_next_one(
    rig: Rig,
    short_dir: Path,
    start_agent: StartAgent,
    guide: Guide,
    device: str,
    unfit: str,
    kind: str,
    how: str,
) -> None:
    async with staged(rig, short_dir, start_agent, guide) as stage:
        kiosk, card = stage.kiosk, stage.card(device)
        await kiosk.ask("press")
        await kiosk.wait_for_state("speaking")
        if device == "microphone":
            await kiosk.wait_for_state("listening")
        async with Recorder(rig) as recorder:
            lose(card, how)
            await stage.fitness(unfit, DETECTION_S)
            await kiosk.wait_for_state("idle")
            apology = await recorder.stop()
        if device == "microphone":
            assert rms_dbfs(apology) > -45
        bring_back(card, how)
        await stage.fitness(None, DETECTION_S)
        await stage.ask()
    assert kind in kiosk.stderr.decode()


@DEVICES
async def test_a_card_unplugged_between_visits_is_noticed_and_serves_when_it_is_back(
    rig: Rig,
    short_dir: Path,
    start_agent: StartAgent,
    guide: Guide,
    device: str,
    unfit: str,
    kind: str,
) -> None:
    async with staged(rig, short_dir, start_agent, guide) as stage:
        card = stage.card(device)
        card.unplug()
        await stage.fitness(unfit, DETECTION_S)
        card.plug()
        await stage.fitness(None, DETECTION_S)
        await stage.ask()
    assert kind not in stage.kiosk.stderr.decode()


async def plug_in_when_missed(socket: Path, unfit: str, plug: Callable[[], None]) -> None:
    """The kiosk runs and says what it lacks; then it gets it."""
    while True:
        with suppress(UnavailableError):
            if (await asyncio.to_thread(request, socket, "status"))["unfit"] == unfit:
                plug()
                return
        await asyncio.sleep(0.05)


@DEVICES
async def test_a_card_absent_at_the_start_serves_once_it_is_plugged_in(
    short_dir: Path, start_agent: StartAgent, guide: Guide, device: str, unfit: str, kind: str
) -> None:
    if reason := rigs.missing():
        pytest.skip(reason)
    (short_dir / "rig").mkdir()
    rig = rigs.prepare(short_dir / "rig")
    absent, there = rig.microphone, rig.speaker
    if device == "speaker":
        absent, there = there, absent
    there.plug()
    plugging = asyncio.create_task(
        plug_in_when_missed(short_dir / "control.sock", unfit, absent.plug)
    )
    try:
        async with staged(rig, short_dir, start_agent, guide) as stage:
            await asyncio.wait_for(plugging, 5)
            await stage.ask()
    finally:
        plugging.cancel()
        rig.stop()
    assert kind not in stage.kiosk.stderr.decode()
