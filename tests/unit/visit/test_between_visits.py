"""The kiosk's voice between visits: a text, the report, and what silences them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from kiosk.devices.ports import Clip, Source
from kiosk.visit.announcer import Announcer
from kiosk.visit.between_visits import BetweenVisits
from kiosk.visit.speech import Voice
from tests.unit.fakes import LoopSpeaker
from tests.unit.visit.test_announcer import recorded_voice
from tests.virtual_time import virtual_time

REPORT_S = 5.0
COMPOSING_S = 2.0


class Speaking(Voice):
    """A voice that says any text as a tone."""

    mute = False

    async def spoken(self, text: str) -> Clip | None:
        tone = np.ones(round(REPORT_S * 16_000), np.int16)
        return None if self.mute else Clip(tone, 16_000, Source.SPEECH)


@dataclass
class Kiosk:
    """Its loudspeaker, and how often a report was composed."""

    voice: Speaking
    idle: bool = True
    composed: int = 0
    speaker: LoopSpeaker = field(default_factory=LoopSpeaker)

    def __post_init__(self) -> None:
        announcer = Announcer(self.speaker, self.voice, lambda _: None)
        self.speaker.tell(announcer.on_speaker)
        self.between = BetweenVisits(announcer, self.voice, self._compose, lambda: self.idle)

    async def _compose(self) -> str:
        self.composed += 1
        await asyncio.sleep(COMPOSING_S)
        return "This is lobby."

    @property
    def reported_s(self) -> float:
        """How long the longest sentence sounded: all others are shorter than a report."""
        heard = [seconds for clip, seconds in self.speaker.heard if len(clip.samples) > 70_000]
        return max(heard, default=0.0)


@asynccontextmanager
async def kiosk_in(directory: Path) -> AsyncIterator[Kiosk]:
    await recorded_voice(directory)
    voice = Speaking("en", "en", 160, directory, None)
    await voice.prepare()
    kiosk = Kiosk(voice)
    running = asyncio.create_task(kiosk.between.run())
    yield kiosk
    running.cancel()
    await asyncio.wait((running,))


@virtual_time
async def test_a_report_is_composed_and_said(tmp_path: Path) -> None:
    async with kiosk_in(tmp_path) as kiosk:
        for count in (1, 2):
            kiosk.between.report()
            await asyncio.sleep(COMPOSING_S + REPORT_S + 3)
            assert (kiosk.composed, kiosk.reported_s) == (count, REPORT_S)


@virtual_time
async def test_a_press_silences_the_report_that_is_being_said(tmp_path: Path) -> None:
    async with kiosk_in(tmp_path) as kiosk:
        kiosk.between.report()
        await asyncio.sleep(COMPOSING_S + 2.5)
        kiosk.between.drop()
        await asyncio.sleep(30)
        assert 0 < kiosk.reported_s < REPORT_S


@virtual_time
async def test_a_report_that_was_dropped_while_it_was_composed_is_never_said(
    tmp_path: Path,
) -> None:
    async with kiosk_in(tmp_path) as kiosk:
        kiosk.between.report()
        await asyncio.sleep(COMPOSING_S / 2)
        kiosk.between.drop()
        await asyncio.sleep(30)
        assert kiosk.reported_s == 0
        assert len(kiosk.speaker.heard) == 1, "that it takes a moment, and no more"


@virtual_time
async def test_a_text_is_said_between_visits_only(tmp_path: Path) -> None:
    async with kiosk_in(tmp_path) as kiosk:
        assert await kiosk.between.say("The café closes.") is None
        await asyncio.sleep(REPORT_S + 1)
        assert kiosk.reported_s == REPORT_S
        kiosk.idle = False
        assert await kiosk.between.say("The café closes.") == "a visit is under way"


@virtual_time
async def test_a_kiosk_without_a_voice_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with kiosk_in(tmp_path) as kiosk:
        monkeypatch.setattr(Speaking, "mute", True)
        assert "espeak-ng" in str(await kiosk.between.say("Hello"))
