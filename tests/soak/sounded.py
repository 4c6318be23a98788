"""Whole kiosks in virtual time: the daemon with its threads, and sound in a room, heard and
recognised by the local agent."""

import asyncio
import contextlib
import functools
import random
from collections.abc import AsyncIterator
from typing import Any

from kiosk.agent.behaviour import AgentBehaviour
from kiosk.agent.guide import Guide, load_guide
from kiosk.agent.recogniser import Recogniser
from kiosk.agent.scenario import load_scenario
from kiosk.agent.server import AgentSettings, LocalAgent
from kiosk.audio.pcm import INTERNAL_RATE_HZ
from kiosk.config import Settings
from kiosk.daemon.kiosk import Daemon
from kiosk.devices.hardware import Hardware
from kiosk.devices.ports import ButtonEdge, ButtonHandler
from kiosk.devices.virtual import Room, VirtualButton
from kiosk.lab.virtual_loop import running_clock
from kiosk.moments import Moment, What
from tests.soak.cards import RoomMicrophone, RoomSpeaker
from tests.soak.devices import Lamps
from tests.soak.material import Material
from tests.soak.office import Office
from tests.soak.world import World
from tests.virtual_kiosk import settings

# Its agent is public: there is no backend, no lease and nothing to keep.
NO_OFFICE = frozenset({"backend", "backend_ok", "disk_gone", "disk_full", "disk_back", "clock"})


@functools.cache
def _recognition() -> tuple[Guide, Recogniser]:
    guide = load_guide()
    return guide, Recogniser(guide.jsgf(), guide.ignore)


class SoundedWorld(World):
    """With the local agent in the same loop."""

    level = "sounded"
    life = 7
    without = NO_OFFICE
    lamp_turns = (2, 0.05)

    def __init__(self, what: Material, mode: int, seed: int) -> None:
        super().__init__(what, mode, seed)
        self._settings: Settings
        self._office = Office("")
        self._agent: LocalAgent | None = None

    @contextlib.asynccontextmanager
    async def _site(self) -> AsyncIterator[None]:
        self._move_in()
        self._agent = LocalAgent(
            AgentSettings(port=0, behaviour=AgentBehaviour(no_input_s=1000.0)),
            *_recognition(),
            lambda _: None,
            new_id=self._new_id,
            chance=self._rng.random,
        )
        async with self._agent.listening() as url:
            self._settings = self._made(url.replace("http", "ws"))
            yield

    def _move_in(self) -> None:
        """The room and its devices."""
        room = Room(INTERNAL_RATE_HZ, clock=running_clock())
        noise = random.Random(self._rng.getrandbits(32))
        self._microphone = self._its_microphone = RoomMicrophone(room, self._what.question, noise)
        self._speaker = self._its_speaker = RoomSpeaker(room)

    def _made(self, agent_url: str, **tables: dict[str, Any]) -> Settings:
        button = {"driver": "none", **self._button}
        return settings(self._directory, agent_url, button=button, visit=self.limits, **tables)

    async def _begin(self) -> None:
        self._pressed_s = float("-inf")
        self._lamps = lamps = Lamps()
        hardware = Hardware(
            self._its_microphone.open, self._its_speaker.open, self._open_button, lambda _: lamps
        )
        daemon = self._daemon = Daemon(
            self._settings,
            hardware,
            self._observe,
            clock=running_clock(),
            chance=self._rng.random,
            new_id=self._new_id,
        )
        running = asyncio.create_task(daemon.run(), name="daemon")
        ready = asyncio.create_task(daemon.ready.wait(), name="ready")
        await asyncio.wait((running, ready), return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if running.done():
            await running
        self._tasks = [running]
        self.host = daemon.host

    async def _closed(self) -> None:
        """The daemon closes everything itself."""

    def _open_button(self, handler: ButtonHandler, _: asyncio.AbstractEventLoop) -> VirtualButton:
        self._handler = handler
        return VirtualButton(handler)

    def _push(self, edge: ButtonEdge) -> None:
        self._handler(edge)

    def _plays(self, script: str | None) -> None:
        assert self._agent is not None
        self._agent.scenario = None if script is None else load_scenario(script)

    def _goodbye(self) -> None:
        self._its_microphone.say(self._what.goodbye)

    async def _settle(self) -> None:
        await asyncio.sleep(0.3)

    def _observe(self, moment: Moment) -> None:
        self.host = self._daemon.host
        super()._observe(moment)

    def _traced(self, moment: Moment) -> str:
        """Without what is the machine's: what the kiosk says of its state takes as long as there is
        something to say."""
        return "" if moment.what is What.SENTENCE_HEARD else super()._traced(moment)
