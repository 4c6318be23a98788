"""One conversation of the kiosk's without a daemon: its own sockets, a speaker on the loop's clock,
and a microphone whose chunks the test pushes."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np

from kiosk.audio.capture import CHUNK_SAMPLES, CapturedChunk
from kiosk.audio.gate import Verdict
from kiosk.audio.pcm import CHUNK_MS
from kiosk.base.clock import loop_now_s
from kiosk.contract import Transport
from kiosk.convai.client_messages import Initiation
from kiosk.endings import Ending, Kind
from kiosk.link.credentials import PublicAgent, Rooms
from kiosk.measures import Measures
from kiosk.moments import Moment, What
from kiosk.visit import inputs
from kiosk.visit.conversation import Conversation, Parts
from kiosk.visit.downlink import Downlink
from kiosk.visit.plan import Compat, Plan
from kiosk.visit.states import TOGGLE, Event
from kiosk.visit.tools import Tool, Tools
from kiosk.visit.turn_memory import TurnMemory
from kiosk.visit.uplink import Uplink
from tests.unit.fakes import LoopSpeaker, hears_all

PLAN = Plan(
    table=TOGGLE,
    initiation=Initiation(user_id="kiosk", source="unknown"),
    language="en",
    max_s=570,
    warning_s=30,
    idle_s=20,
    answer_s=20,
    connect_s=15,
    queue_s=120,
    reconnects=3,
    duck_s=0.8,
    hangover_s=0.6,
    preroll_ms=300,
    disclosure=False,
    held_button=False,
    compat=Compat(),
)
_SPEECH = np.full(CHUNK_SAMPLES, 1000, dtype=np.int16)


@dataclass
class Bare:
    """A conversation under way, and everything it reported."""

    speaker: LoopSpeaker = field(default_factory=LoopSpeaker)
    moments: list[Moment] = field(default_factory=list)
    posted: list[Event] = field(default_factory=list)
    told: list[inputs.Input] = field(default_factory=list)
    measures: Measures = field(default_factory=Measures)

    def __post_init__(self) -> None:
        self.memory = TurnMemory()
        self.uplink = Uplink(PLAN.preroll_ms, self.measures.mic_to_wire, self.memory)
        self.downlink = Downlink(
            self.speaker, self.post, self.measures, self.moments.append, self.memory, hears_all
        )
        self.speaker.tell(self.downlink.on_speaker)
        self._connected = asyncio.Event()

    def post(self, event: Event, _: Ending | None = None) -> None:
        self.posted.append(event)
        if event is Event.CONNECTED:
            self._connected.set()

    def start(
        self, url: str, tools: Mapping[str, Tool], tasks: asyncio.TaskGroup, transport: Transport
    ) -> None:
        parts = Parts(
            PublicAgent(url, "agent_local", rooms=Rooms(url) if transport == "webrtc" else None),
            Tools(tools, timeout_s=10),
            self.uplink,
            self.downlink,
            self.moments.append,
            tuple,
            lambda *_: None,
            self.post,
            self.told.append,
            self.memory,
        )
        self.conversation = Conversation(parts, PLAN, "press", tasks)
        self._running = tasks.create_task(self.conversation.run(), name="conversation")

    async def connected(self) -> None:
        await asyncio.wait_for(self._connected.wait(), 10)

    async def ending(self) -> Ending:
        return await asyncio.shield(self._running)

    async def speak(self, seconds: float, *, at_once: bool = False) -> None:
        """The visitor speaks for so long; or has, before there was anybody to hear it."""
        for _ in range(round(seconds * 1000 / CHUNK_MS)):
            self.uplink.push(CapturedChunk(_SPEECH, loop_now_s(), Verdict(True, True)))
            if not at_once:
                await asyncio.sleep(CHUNK_MS / 1000)

    def observed(self, what: What) -> list[Moment]:
        return [moment for moment in self.moments if moment.what is what]


@asynccontextmanager
async def bare_conversation(
    url: str, tools: Mapping[str, Tool] | None = None, transport: Transport = "websocket"
) -> AsyncIterator[Bare]:
    """Hold one with the server at this address; what is left of it is hung up at the end."""
    bare = Bare()
    async with asyncio.TaskGroup() as tasks:
        bare.start(url, tools or {}, tasks, transport)
        try:
            yield bare
        finally:
            await bare.conversation.close(Ending(Kind.HUNG_UP))
