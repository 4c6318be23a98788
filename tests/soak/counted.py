"""Kiosks whose sound is counted: host, keeper and account on cards without a thread."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from kiosk.agent.behaviour import AgentBehaviour
from kiosk.agent.guide import Guide, load_guide
from kiosk.agent.recogniser import Recognised, Recogniser
from kiosk.agent.scenario import load_scenario
from kiosk.agent.server import AgentSettings, LocalAgent
from kiosk.agent.voice import AgentVoice as AgentVoice
from kiosk.audio.pcm import Samples, silence
from kiosk.base.clock import loop_now_s
from kiosk.config import Settings
from kiosk.devices.ports import Opened
from kiosk.link.account import Account
from kiosk.link.lease_file import LeaseFile
from kiosk.link.lease_keeper import LeaseKeeper
from kiosk.link.report_file import ReportFile
from kiosk.visit.host import Host
from kiosk.visit.planning import plan_of
from kiosk.visit.tools import Tools
from kiosk.visit.voices import Voices
from tests.soak.devices import CountedMicrophone, CountedSpeaker, Lamps
from tests.soak.material import Material
from tests.soak.office import Office
from tests.soak.world import World
from tests.unit.fakes import hears_all

# What the wall clock says when the loop's is zero.
_LONG_AGO_S = 1.7e9


class _Recogniser(Recogniser):
    """Understands what is in the script, and never listens."""

    def __init__(self, guide: Guide) -> None:
        self.says_goodbye = False
        self._questions = [min(entry.sentences) for entry in guide.entries if not entry.tool]
        self._goodbye = [min(entry.sentences) for entry in guide.entries if entry.tool]
        self._asked = 0

    def asks_for_nothing(self, samples: Samples) -> bool:
        return False

    def recognise(self, samples: Samples) -> Recognised:
        self._asked += 1
        if self.says_goodbye and self._goodbye:
            return Recognised(self._goodbye[0], 0.9)
        if self._asked % 7 == 0:
            return Recognised(None, 0.1)
        return Recognised(self._questions[self._asked % len(self._questions)], 0.9)


class _AgentVoice(AgentVoice):
    """Silence, as long as the text."""

    async def render(self, text: str, rate_hz: int) -> Samples:
        return silence(round(min(6.0, 0.06 * len(text)) * rate_hz))


class CountedWorld(World):
    """With the local agent's protocol, and an office for its leases."""

    level = "counted"

    def __init__(self, what: Material, mode: int, seed: int) -> None:
        super().__init__(what, mode, seed)
        self._settings = Settings.model_validate(
            {
                "agent": {"id": "agent_local"},
                "button": {"driver": "none", **self._button},
                "visit": self.limits,
            }
        )
        guide = load_guide()
        self._recogniser = _Recogniser(guide)
        behaviour = AgentBehaviour(output_format="ulaw_8000", no_input_s=1000.0)
        self._agent = LocalAgent(
            AgentSettings(port=0, behaviour=behaviour), guide, self._recogniser, lambda _: None,
            voice=_AgentVoice("en-gb"), new_id=self._new_id,
            chance=self._rng.random,
        )  # fmt: skip

    @contextlib.asynccontextmanager
    async def _site(self) -> AsyncIterator[None]:
        async with self._agent.listening() as url:
            self._office = Office(url.replace("http", "ws"))
            yield

    async def _begin(self) -> None:
        self._pressed_s = float("-inf")
        self._lamps = Lamps()
        reports = ReportFile(self._directory / "reports.json")
        self._account = Account(self._office, self._rng.random, reports, self._wall_s)
        self._keeper = LeaseKeeper(
            self._office.fetch,
            "warm",
            self._rng.random,
            account=self._account,
            file=LeaseFile(self._directory / "leases.json", "soak"),
            new_id=self._new_id,
        )
        microphone = self._microphone = CountedMicrophone(
            lambda event: self.host.on_microphone(event), self._what.question
        )
        speaker = self._speaker = CountedSpeaker(lambda event: self.host.on_speaker(event))
        self.host = Host(
            plan_of(self._settings), microphone, speaker, self._lamps, Voices(self._what.voice),
            self._keeper, Tools({}, 5.0), self._observe, self._report, self._rng.random,
            ear=hears_all,
        )  # fmt: skip
        speaker.tell(lambda event: self.host.on_speaker(event))
        self._tasks = [
            asyncio.create_task(self.host.run(), name="host"),
            asyncio.create_task(self._keeper.run(self.host.on_leases), name="keeper"),
        ]
        self.host.on_microphone(Opened("a card"))
        self.host.on_speaker(Opened("a card"))

    async def _closed(self) -> None:
        await self._account.close()
        assert isinstance(self._microphone, CountedMicrophone)
        self._microphone.stop()

    def _plays(self, script: str | None) -> None:
        self._recogniser.says_goodbye = False
        self._agent.scenario = None if script is None else load_scenario(script)

    def _goodbye(self) -> None:
        self._recogniser.says_goodbye = True
        self._microphone.sound(1.0, speech=True)

    def _in_hand(self) -> int:
        return self._keeper.in_hand + self._account.untold_reports

    async def _report(self) -> str:
        return ""

    def _wall_s(self) -> float:
        return _LONG_AGO_S + loop_now_s() + self._wall_ahead_s
