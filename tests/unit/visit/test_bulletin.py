"""The kiosk's own word between visits: when a held button means staff, and what silences it."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from kiosk.config import Settings
from kiosk.devices.ports import Clip, Source
from kiosk.visit.announcer import Announcer
from kiosk.visit.bulletin import HOLD_S, Bulletin
from kiosk.visit.planning import plan_of
from kiosk.visit.speech import Voice
from kiosk.visit.states import State
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
    """A bulletin, its loudspeaker, and how often it hung up."""

    voice: Voice
    mode: str = "toggle"
    hung_up: int = 0
    composed: int = 0
    speaker: LoopSpeaker = field(default_factory=LoopSpeaker)

    def __post_init__(self) -> None:
        announcer = Announcer(self.speaker, self.voice, lambda _: None)
        self.speaker.tell(announcer.on_speaker)
        plan = plan_of(Settings.model_validate({"button": {"mode": self.mode}}))
        self.bulletin = Bulletin(plan, announcer, self.voice, self._compose, self._hang_up)
        self.running = asyncio.create_task(self.bulletin.run())

    async def _compose(self) -> str:
        self.composed += 1
        await asyncio.sleep(COMPOSING_S)
        return "This is lobby."

    def _hang_up(self) -> None:
        self.hung_up += 1

    @property
    def reported_s(self) -> float:
        """How long the longest sentence sounded: all others are shorter than a report."""
        return max((seconds for clip, seconds in self.speaker.heard if len(clip.samples) > 70_000),
                   default=0.0)  # fmt: skip

    async def pressed(self, *states: State) -> None:
        """The button goes down, and a visit comes so far."""
        self.bulletin.on_button(pressed=True)
        self.bulletin.pressed()
        for state in states:
            self.bulletin.entered(state)
        await asyncio.sleep(0)


async def kiosk_of(directory: Path, mode: str = "toggle") -> Kiosk:
    await recorded_voice(directory)
    voice = Speaking("en", "en", 160, directory, None)
    await voice.prepare()
    return Kiosk(voice, mode)


async def stopped(kiosk: Kiosk) -> None:
    kiosk.running.cancel()
    await asyncio.wait((kiosk.running,))


@virtual_time
async def test_a_button_held_through_a_visit_ends_it_and_then_the_report_is_said(
    tmp_path: Path,
) -> None:
    kiosk = await kiosk_of(tmp_path)
    await kiosk.pressed(State.OPENING, State.LISTENING, State.SPEAKING)
    await asyncio.sleep(HOLD_S - 0.1)
    assert kiosk.hung_up == 0
    await asyncio.sleep(0.2)
    assert (kiosk.hung_up, kiosk.composed) == (1, 0)
    kiosk.bulletin.entered(State.CLOSING)
    kiosk.bulletin.entered(State.IDLE)
    await asyncio.sleep(COMPOSING_S + REPORT_S + 3)
    assert (kiosk.composed, kiosk.reported_s) == (1, REPORT_S)
    await stopped(kiosk)


@virtual_time
async def test_where_no_visit_can_be_held_the_report_is_said_at_once(tmp_path: Path) -> None:
    kiosk = await kiosk_of(tmp_path)
    await kiosk.pressed()
    await asyncio.sleep(HOLD_S + COMPOSING_S + REPORT_S + 3)
    assert (kiosk.hung_up, kiosk.reported_s) == (0, REPORT_S)
    await stopped(kiosk)


@virtual_time
async def test_a_button_let_go_in_time_is_a_visitors(tmp_path: Path) -> None:
    kiosk = await kiosk_of(tmp_path)
    await kiosk.pressed(State.OPENING)
    await asyncio.sleep(HOLD_S - 0.1)
    kiosk.bulletin.on_button(pressed=False)
    await asyncio.sleep(60)
    assert (kiosk.hung_up, kiosk.composed) == (0, 0)
    await stopped(kiosk)


@virtual_time
async def test_a_hold_that_begins_within_a_visit_is_none(tmp_path: Path) -> None:
    kiosk = await kiosk_of(tmp_path)
    kiosk.bulletin.entered(State.LISTENING)
    await kiosk.pressed()
    await asyncio.sleep(60)
    assert (kiosk.hung_up, kiosk.composed) == (0, 0)
    await stopped(kiosk)


@virtual_time
async def test_who_holds_the_button_to_speak_is_not_cut_off(tmp_path: Path) -> None:
    kiosk = await kiosk_of(tmp_path, "hold")
    await kiosk.pressed(State.OPENING, State.LISTENING)
    await asyncio.sleep(60)
    assert (kiosk.hung_up, kiosk.composed) == (0, 0)
    await stopped(kiosk)


@virtual_time
async def test_where_the_button_is_held_to_speak_and_nobody_answers_the_report_is_said(
    tmp_path: Path,
) -> None:
    kiosk = await kiosk_of(tmp_path, "hold")
    await kiosk.pressed(State.OPENING)
    await asyncio.sleep(HOLD_S + 0.1)
    assert kiosk.hung_up == 1
    kiosk.bulletin.entered(State.CLOSING)
    kiosk.bulletin.entered(State.IDLE)
    await asyncio.sleep(0.1)
    assert kiosk.composed == 1
    await stopped(kiosk)


@virtual_time
async def test_a_press_silences_the_report_and_one_that_is_not_ready_is_never_said(
    tmp_path: Path,
) -> None:
    kiosk = await kiosk_of(tmp_path)
    await kiosk.pressed()
    await asyncio.sleep(HOLD_S + COMPOSING_S + 2.5)
    kiosk.bulletin.on_button(pressed=False)
    await kiosk.pressed(State.OPENING)
    kiosk.bulletin.on_button(pressed=False)
    kiosk.bulletin.entered(State.IDLE)
    await asyncio.sleep(30)
    assert 0 < kiosk.reported_s < REPORT_S
    heard = len(kiosk.speaker.heard)
    await kiosk.pressed()
    await asyncio.sleep(HOLD_S + COMPOSING_S / 2)
    kiosk.bulletin.on_button(pressed=False)
    await kiosk.pressed()
    kiosk.bulletin.on_button(pressed=False)
    await asyncio.sleep(30)
    assert len(kiosk.speaker.heard) == heard + 1, "that it takes a moment, and no more"
    await stopped(kiosk)


@virtual_time
async def test_a_text_is_said_between_visits_only(tmp_path: Path) -> None:
    kiosk = await kiosk_of(tmp_path)
    assert await kiosk.bulletin.say("The café closes.") is None
    await asyncio.sleep(REPORT_S + 1)
    assert kiosk.reported_s == REPORT_S
    kiosk.bulletin.entered(State.LISTENING)
    assert await kiosk.bulletin.say("The café closes.") == "a visit is under way"
    await stopped(kiosk)


@virtual_time
async def test_a_kiosk_without_a_voice_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kiosk = await kiosk_of(tmp_path)
    monkeypatch.setattr(Speaking, "mute", True)
    assert "espeak-ng" in str(await kiosk.bulletin.say("Hello"))
    await stopped(kiosk)
