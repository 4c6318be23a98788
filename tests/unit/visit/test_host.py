"""What follows from a press, and in which order: light and card before anybody hears of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from kiosk.audio.capture import CapturedChunk
from kiosk.audio.gate import Edge, Verdict
from kiosk.audio.pcm import silence
from kiosk.audio.wav import write_wav
from kiosk.base.clock import loop_now_s
from kiosk.config import Settings
from kiosk.devices.ports import ButtonEdge, Lost, Opened, Pattern, Source
from kiosk.endings import Ending, Kind
from kiosk.errors import DeviceError
from kiosk.link.credentials import Availability, Opening, PublicAgent
from kiosk.moments import Moment, What
from kiosk.visit import effects
from kiosk.visit.feedback import LAMPS, UNFIT_LAMP
from kiosk.visit.fitness import Cause
from kiosk.visit.host import Host
from kiosk.visit.planning import plan_of
from kiosk.visit.speech import Voice
from kiosk.visit.states import Event, State
from kiosk.visit.tools import Tools
from kiosk.visit.voices import Voices
from tests.unit.fakes import LoopSpeaker, hears_all
from tests.unit.visit.test_announcer import SENTENCE_S, recorded_voice
from tests.virtual_time import virtual_time

_LAMP_NAMES = {
    UNFIT_LAMP: "lamp unfit",
    LAMPS[State.IDLE]: "lamp steady",
    LAMPS[State.OPENING]: "lamp quick",
    LAMPS[State.CLOSING]: "lamp flash",
    LAMPS[State.LISTENING]: "lamp wink",
}


class Order:
    """Devices and a listener that note, in one list, what is done and heard of when."""

    def __init__(self) -> None:
        self.noted: list[str] = []
        self.listen: Callable[[Moment], None] = lambda _: None

    def start(self) -> None:
        self.noted.append("card starts")

    def stop(self) -> None:
        self.noted.append("card stops")

    def show(self, pattern: Pattern) -> None:
        self.noted.append(_LAMP_NAMES[pattern])

    def recording(self, *, on: bool) -> None:
        self.noted.append(f"recording lamp {on}")

    def close(self) -> None:
        pass

    def observe(self, moment: Moment) -> None:
        self.noted.append(f"heard of {moment.what}")
        self.listen(moment)

    def heard(self) -> list[str]:
        """What was passed on, in order."""
        return [what.removeprefix("heard of ") for what in self.noted if "heard of" in what]


class Unreachable(PublicAgent):
    """An agent whose address never comes."""

    async def take(self, press_id: str, language: str | None = None) -> Opening:
        await asyncio.Event().wait()
        raise AssertionError(press_id)


@dataclass
class Kiosk:
    """A host on devices that note their order, and a loudspeaker."""

    voice: Voice
    order: Order = field(default_factory=Order)
    speaker: LoopSpeaker = field(default_factory=LoopSpeaker)
    report: str = "This is lobby."

    def __post_init__(self) -> None:
        self.host = Host(
            plan_of(Settings()), self.order, self.speaker, self.order, Voices(self.voice),
            Unreachable("ws://127.0.0.1", "agent_local"), Tools({}, 1.0),
            self.order.observe, self._report, ear=hears_all,
        )  # fmt: skip
        self.speaker.tell(self.host.on_speaker)
        self.host.on_microphone(Opened("a card"))
        self.host.on_speaker(Opened("a card"))
        self.host.on_leases(Availability(ready=True))
        self.running = asyncio.create_task(self.host.run())

    async def _report(self) -> str:
        self.order.noted.append("reports to staff")
        return self.report

    async def press(self, after_s: float = 1.1) -> None:
        await asyncio.sleep(after_s)
        self.host.press()
        await settled()

    def heard_s(self, source: Source) -> list[float]:
        return [round(seconds, 2) for clip, seconds in self.speaker.heard if clip.source is source]


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@asynccontextmanager
async def idle_kiosk(directory: Path) -> AsyncIterator[Kiosk]:
    kiosk = Kiosk(await recorded_voice(directory))
    await settled()
    kiosk.order.noted.clear()
    yield kiosk
    kiosk.running.cancel()


@virtual_time
async def test_every_effect_that_the_core_can_ask_for_is_done(tmp_path: Path) -> None:
    async with idle_kiosk(tmp_path) as kiosk:
        known = {each for each in vars(effects).values() if isinstance(each, type)}
        asked_for = {each for each in known if issubclass(each, effects.Effect)}
        assert set(kiosk.host._doers) == asked_for - {effects.Effect}


# --- effects before listeners -------------------------------------------------------------------


@virtual_time
async def test_a_press_lights_the_lamp_and_starts_the_card_before_anybody_hears_of_it(
    tmp_path: Path,
) -> None:
    async with idle_kiosk(tmp_path) as kiosk:
        await kiosk.press()
        assert kiosk.order.noted[:2] == ["lamp quick", "card starts"]
        assert kiosk.order.heard()[:3] == [What.PRESSED, What.VISIT_STARTED, What.STATE]


@virtual_time
async def test_the_end_of_a_visit_stops_the_card_before_anybody_hears_of_it(tmp_path: Path) -> None:
    async with idle_kiosk(tmp_path) as kiosk:
        await kiosk.press()
        await asyncio.sleep(1.1)
        kiosk.order.noted.clear()
        await kiosk.press(after_s=0)
        assert kiosk.order.noted[:2] == ["lamp flash", "card stops"]


@virtual_time
async def test_a_lost_card_changes_the_lamp_before_anybody_hears_of_it(tmp_path: Path) -> None:
    async with idle_kiosk(tmp_path) as kiosk:
        kiosk.host.on_microphone(Lost(DeviceError("gone")))
        await settled()
        assert kiosk.order.noted[0] == "lamp unfit"
        assert kiosk.order.heard() == [What.DEVICE_LOST, What.FITNESS]


@virtual_time
async def test_moments_are_passed_on_in_order_though_a_listener_causes_more(tmp_path: Path) -> None:
    async with idle_kiosk(tmp_path) as kiosk:

        def loses_the_card(moment: Moment) -> None:
            if moment.what is What.PRESSED:
                kiosk.host.on_microphone(Lost(DeviceError("gone")))

        kiosk.order.listen = loses_the_card
        await kiosk.press()
        heard = kiosk.order.heard()
        assert heard[:3] == [What.PRESSED, What.VISIT_STARTED, What.STATE]
        lost = heard.index(What.DEVICE_LOST)
        assert 2 < lost < heard.index(What.FITNESS)


# --- apologies ----------------------------------------------------------------------------------


@virtual_time
async def test_an_apology_is_said_once_however_often_the_button_is_pressed(tmp_path: Path) -> None:
    async with idle_kiosk(tmp_path) as kiosk:
        kiosk.host.on_leases(Availability(ready=False))
        for _ in range(2):
            await kiosk.press()
        await asyncio.sleep(10)
        assert kiosk.heard_s(Source.SPEECH) == [SENTENCE_S]
        assert len(kiosk.heard_s(Source.EARCON)) == 1
        await kiosk.press()  # it is over: whoever comes now is answered
        await asyncio.sleep(10)
        assert kiosk.heard_s(Source.SPEECH) == [SENTENCE_S] * 2


@virtual_time
async def test_an_apology_that_is_no_longer_true_gives_way_to_the_one_that_is(
    tmp_path: Path,
) -> None:
    async with idle_kiosk(tmp_path) as kiosk:
        kiosk.host.on_leases(Availability(ready=False))
        await kiosk.press()
        kiosk.host.on_microphone(Lost(DeviceError("gone")))
        await kiosk.press()
        await asyncio.sleep(10)
        first_s, second_s = kiosk.heard_s(Source.SPEECH)
        assert first_s < SENTENCE_S
        assert second_s == SENTENCE_S


@virtual_time
async def test_an_apology_and_its_chimes_give_way_to_a_visit(tmp_path: Path) -> None:
    async with idle_kiosk(tmp_path) as kiosk:
        kiosk.host.on_leases(Availability(ready=False))
        await kiosk.press()
        kiosk.host.on_leases(Availability(ready=True))
        await kiosk.press()
        assert kiosk.host.state is State.OPENING
        await asyncio.sleep(3)
        apology_s, disclosure_s = kiosk.heard_s(Source.SPEECH)
        assert apology_s < SENTENCE_S
        assert disclosure_s == SENTENCE_S
        sources = [clip.source for clip, _ in kiosk.speaker.heard]
        assert sources == [Source.EARCON, Source.SPEECH, Source.EARCON, Source.SPEECH]


@virtual_time
async def test_a_visit_waits_for_no_chime_of_an_apology(tmp_path: Path) -> None:
    async with idle_kiosk(tmp_path) as kiosk:
        kiosk.host.on_leases(Availability(ready=False))
        await kiosk.press()
        kiosk.host.on_leases(Availability(ready=True))
        kiosk.host.on_button(ButtonEdge(True, 2000.0))  # while the chime of the apology sounds
        await settled()
        assert kiosk.heard_s(Source.EARCON) == [0.0], "the apology's chime is cut"


# --- the button held ----------------------------------------------------------------------------


def chunk(edge: Edge | None, captured_at_s: float = 0.0) -> CapturedChunk:
    verdict = Verdict(speech=True, passes=True, edge=edge)
    return CapturedChunk(silence(320), captured_at_s, verdict)


@pytest.mark.parametrize(
    ("speech", "reported"),
    [
        ((), True),
        (((0.3, 0.9),), True),  # a noise in the hall, and the gate's hangover
        (((0.2, 4.0),), False),
        (((0.2, 1.0), (3.0, 4.0)), False),
        (((9.9, None),), False),
    ],
)
@virtual_time
async def test_a_visitor_who_holds_the_button_while_speaking_gets_no_report(
    tmp_path: Path, speech: tuple[tuple[float, float | None], ...], reported: bool
) -> None:
    async with idle_kiosk(tmp_path) as kiosk:
        loop = asyncio.get_running_loop()
        kiosk.host.on_button(ButtonEdge(True, 1000.0))
        for began_s, ended_s in speech:
            for at_s, edge in ((began_s, Edge.SPEECH_STARTED), (ended_s, Edge.SPEECH_ENDED)):
                if at_s is not None:
                    loop.call_later(at_s, kiosk.host.on_microphone, chunk(edge))
        await asyncio.sleep(12)
        assert ("reports to staff" in kiosk.order.noted) == reported


@virtual_time
async def test_sound_that_waits_for_the_loop_is_told_once(tmp_path: Path) -> None:
    async with idle_kiosk(tmp_path) as kiosk:
        await kiosk.press()
        for waited_s in (0.04, 0.7, 0.68, 0.04, 0.35, 0.02):
            kiosk.host.on_microphone(chunk(None, loop_now_s() - waited_s))
        await settled()
        assert kiosk.order.heard().count("stalled") == 2


@virtual_time
async def test_a_press_during_the_apology_that_ends_a_visit_is_answered_by_it(
    tmp_path: Path,
) -> None:
    async with idle_kiosk(tmp_path) as kiosk:
        await kiosk.press()
        await asyncio.sleep(3)  # the disclosure is over
        kiosk.host.on_leases(Availability(ready=False))
        kiosk.host.post(Event.ENDED, Ending(Kind.BACKEND_UNREACHABLE))
        await kiosk.press()
        await asyncio.sleep(10)
        assert kiosk.host.state is State.IDLE
        assert kiosk.heard_s(Source.SPEECH) == [SENTENCE_S] * 2, "the disclosure, one apology"


@virtual_time
async def test_a_voice_that_was_not_there_at_the_start_is_tried_again(tmp_path: Path) -> None:
    voice = Voice("en", "nosuchvoice", 160, tmp_path, None)
    await voice.prepare()
    kiosk = Kiosk(voice)
    await settled()
    assert kiosk.host.cause is Cause.NO_VOICE
    for key in ("disclosure", "disclosure_short"):
        recording = write_wav(np.ones(1600, dtype=np.int16), 16_000)
        (tmp_path / f"{key}.wav").write_bytes(recording)
    await asyncio.sleep(301)
    assert kiosk.host.cause is None
    kiosk.running.cancel()
