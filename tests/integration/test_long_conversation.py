"""Half an hour of one conversation in virtual time, and six minutes of one in real time."""

import asyncio
import gc
import os
import time
import tracemalloc
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection, serve

from kiosk.agent.voice import AgentVoice
from kiosk.audio.capture import CHUNK_SAMPLES, CapturedChunk
from kiosk.audio.gate import Verdict
from kiosk.audio.levels import voiced_span
from kiosk.audio.pcm import CHUNK_MS, samples_to_bytes
from kiosk.convai.client_messages import Initiation, Pong, ToolResult, UserAudio
from kiosk.convai.client_parsing import parse_client
from kiosk.convai.fields import Json
from kiosk.convai.frames import serialize
from kiosk.convai.server_messages import (
    AgentAudio,
    AgentResponse,
    AgentResponseCorrection,
    Interruption,
    Metadata,
    Ping,
    UserTranscript,
    VadScore,
)
from kiosk.convai.server_parsing import ServerMessage
from kiosk.convai.server_tools import AgentToolResponse, ToolCall
from kiosk.devices.ports import Source
from kiosk.devices.virtual import Room
from kiosk.endings import Ending, Kind
from kiosk.lab.demo.lines import VISITOR_VOICE, VISITOR_WORDS_PER_MINUTE
from kiosk.moments import What
from kiosk.visit.states import State
from kiosk.visit.uplink import BACKLOG_MS
from tests.bare_conversation import Bare, bare_conversation
from tests.integration.conftest import StartAgent
from tests.virtual_kiosk import settings, virtual_kiosk
from tests.virtual_time import run_in_virtual_time

RATE_HZ = 16_000
MINUTE_S = 60.0
TURN_S = 15.0
TURNS = 120
SPEECH_S = 3.0
ANSWER_S = 5  # of audio, in as many messages
CUT_AFTER_S = 2.0
PING_EVERY_S = 2.0
PUSH_EVERY = 5  # chunks, for speed
STALE = -1  # every sample of what must not be heard

# Sound that is not the digital silence of a closed gate.
_SPEECH = np.full(CHUNK_SAMPLES, 1000, dtype=np.int16)
_ROOM = np.full(CHUNK_SAMPLES, 3, dtype=np.int16)
_SPEAKS, _IS_QUIET = Verdict(True, True), Verdict(False, False)

ODD_FRAMES = (
    "junk",
    "[]",
    '{"type":"audio","audio_event":{}}',
    '{"type":"made_up","made_up_event":{"event_id":1}}',
    '{"type":"agent_typing","agent_typing_event":{"is_typing":true}}',
    '{"no_type":1}',
)


EVERY_TURN = (
    What.TRANSCRIPT,
    What.RESPONSE,
    What.AUDIO_RECEIVED,
    What.AGENT_HEARD,
    What.AGENT_TOOL,
    What.TOOL_CALLED,
)


def is_cut(turn: int) -> bool:
    return turn % 4 == 3


def expects(turn: int) -> bool:
    """Whether the agent wants an answer of the tool it calls in this turn."""
    return turn % 3 != 0


@dataclass
class Server:
    """The far side: plays the turns, and counts what comes."""

    pings: int = 0
    pongs: list[object] = field(default_factory=list)
    results: Counter[str] = field(default_factory=Counter)
    samples: int = 0
    speech: int = 0
    others: int = 0

    async def converse(self, socket: ServerConnection) -> None:
        assert isinstance(parse_client(await socket.recv()), Initiation)
        await socket.send(serialize(Metadata("conv_long", "pcm_16000", "pcm_16000")))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen(socket))
            pinging = tasks.create_task(self._ping(socket))
            await self._talk(socket)
            pinging.cancel()
            await asyncio.sleep(0.1)
            await socket.close(1000)

    async def _listen(self, socket: ServerConnection) -> None:
        speech = serialize(UserAudio(samples_to_bytes(_SPEECH)))
        async for frame in socket:
            assert isinstance(frame, str)
            if frame.startswith('{"user_audio_chunk"'):
                # Every chunk is 20 ms; reading each would take most of the test's time.
                assert len(frame) == len(speech)
                self.samples += CHUNK_SAMPLES
                self.speech += frame == speech
                continue
            match parse_client(frame):
                case Pong(event_id):
                    self.pongs.append(event_id)
                case ToolResult(_, result):
                    self.results[result] += 1
                case _:
                    self.others += 1

    async def _ping(self, socket: ServerConnection) -> None:
        while True:
            self.pings += 1
            await socket.send(serialize(Ping(self.pings, 20)))
            await asyncio.sleep(PING_EVERY_S)

    async def _talk(self, socket: ServerConnection) -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        for turn in range(1, TURNS + 1):
            await asyncio.sleep(SPEECH_S + 0.5)
            await self._answer(socket, turn)
            if is_cut(turn):
                await asyncio.sleep(CUT_AFTER_S)
                await self._cut(socket, turn)
            await self._besides(socket, turn)
            await asyncio.sleep(began_s + turn * TURN_S - loop.time())

    async def _answer(self, socket: ServerConnection, turn: int) -> None:
        text = f"The answer number {turn}."
        sound = np.full(RATE_HZ, turn, dtype=np.int16)
        await send(
            socket,
            UserTranscript("ques", turn, tentative=True),
            UserTranscript(f"question {turn}", turn),
            AgentResponse(text, turn),
            *(
                AgentAudio(samples_to_bytes(sound), turn, is_final=part == ANSWER_S)
                for part in range(1, ANSWER_S + 1)
            ),
        )

    async def _cut(self, socket: ServerConnection, turn: int) -> None:
        stale = self._stale(turn)
        correction = AgentResponseCorrection(f"The answer number {turn}.", "The answer", turn)
        await send(socket, Interruption(turn), stale, correction)
        await asyncio.sleep(0.3)
        await send(socket, stale)

    def _stale(self, turn: int) -> AgentAudio:
        return AgentAudio(samples_to_bytes(np.full(RATE_HZ, STALE, dtype=np.int16)), turn)

    async def _besides(self, socket: ServerConnection, turn: int) -> None:
        # What came too late to cut anything, and the sound of a turn that was cut long ago.
        if turn > 4 and is_cut(turn - 1):
            await send(socket, Interruption(turn - 3), self._stale(turn - 1))
        call = ToolCall("where", f"call_{turn}", {"turn": turn}, expects(turn), turn)
        await send(socket, VadScore(0.3), call, AgentToolResponse("language_detection"))
        await socket.send(ODD_FRAMES[turn % len(ODD_FRAMES)])


async def send(socket: ServerConnection, *messages: ServerMessage) -> None:
    for message in messages:
        await socket.send(serialize(message))


@dataclass
class Ledger:
    """What the kiosk's side did; its lists are emptied into here, or they would be the memory."""

    kiosk: Bare
    monotonic: Callable[[], float]
    pushed: int = 0
    heard_s: defaultdict[int, float] = field(
        default_factory=lambda: defaultdict(float)
    )  # by the value of the samples
    observed: Counter[What] = field(default_factory=Counter)
    most: Counter[str] = field(default_factory=Counter)
    traced: dict[int, int] = field(default_factory=dict)

    async def push(self) -> None:
        """The microphone, in step with the loop's clock, until cancelled."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        while True:
            for _ in range(PUSH_EVERY):
                at_s = self.pushed * CHUNK_SAMPLES / RATE_HZ
                speaks = at_s % TURN_S < SPEECH_S
                samples, verdict = (_SPEECH, _SPEAKS) if speaks else (_ROOM, _IS_QUIET)
                self.kiosk.uplink.push(CapturedChunk(samples, self.monotonic(), verdict))
                self.pushed += 1
            self._look()
            if self.pushed % 1500 == 0:
                self._book()
            await asyncio.sleep(began_s + self.pushed * CHUNK_SAMPLES / RATE_HZ - loop.time())

    def _look(self) -> None:
        kiosk = self.kiosk
        now = {
            "uplink": len(kiosk.uplink._outgoing),
            "speaker": len(kiosk.speaker._waiting),
            "beside": len(kiosk.conversation._beside),
            "debt_ms": kiosk.uplink.debt_ms,
        }
        for name, size in now.items():
            self.most[name] = max(self.most[name], size)

    def _book(self) -> None:
        kiosk = self.kiosk
        for clip, seconds in kiosk.speaker.heard:
            assert clip.source is Source.AGENT
            self.heard_s[int(clip.samples[0])] += seconds
        self.observed.update(moment.what for moment in kiosk.moments)
        for ledger in (kiosk.speaker.heard, kiosk.moments, kiosk.posted):
            ledger.clear()
        minute = round(self.pushed * CHUNK_SAMPLES / RATE_HZ / MINUTE_S)
        if minute in (5, 30):
            gc.collect()
            self.traced.setdefault(minute, tracemalloc.get_traced_memory()[0])


async def where(parameters: Mapping[str, Json]) -> Json:
    await asyncio.sleep(0.2)
    return {"turn": parameters["turn"]}


def test_half_an_hour_is_held_without_losing_anything_or_growing() -> None:
    async def visit() -> tuple[Server, Ledger, Ending]:
        server = Server()
        async with serve(server.converse, "127.0.0.1", 0, ping_interval=None) as listening:
            port = next(iter(listening.sockets)).getsockname()[1]
            async with bare_conversation(f"ws://127.0.0.1:{port}", {"where": where}) as kiosk:
                await kiosk.connected()
                ledger = Ledger(kiosk, asyncio.get_running_loop().time)
                microphone = asyncio.create_task(ledger.push())
                ending = await kiosk.ending()
                microphone.cancel()
                ledger._book()
        return server, ledger, ending

    tracemalloc.start()
    try:
        server, ledger, ending = run_in_virtual_time(visit())
    finally:
        tracemalloc.stop()
    assert ending == Ending(Kind.AGENT_ENDED, 1000)
    assert server.pings >= 1800 / PING_EVERY_S
    assert server.pongs == list(range(1, server.pings + 1))
    # Every sound of every answer, the cut ones to the cut; of what came too late, nothing.
    turns = range(1, TURNS + 1)
    expected_s = {turn: CUT_AFTER_S if is_cut(turn) else float(ANSWER_S) for turn in turns}
    assert ledger.heard_s == pytest.approx(expected_s, abs=0.05)
    preroll = RATE_HZ * 300 // 1000
    assert abs(server.samples - ledger.pushed * CHUNK_SAMPLES) <= preroll
    assert server.speech >= TURNS * SPEECH_S * RATE_HZ / CHUNK_SAMPLES
    assert server.results == Counter(f'{{"turn": {turn}}}' for turn in turns if expects(turn))
    assert server.others == 0
    cuts = sum(map(is_cut, turns))
    seen = ledger.observed
    assert {what: seen[what] for what in EVERY_TURN} == dict.fromkeys(EVERY_TURN, TURNS)
    assert seen[What.INTERRUPTED] == seen[What.CORRECTION] == cuts
    assert seen[What.DRAINED] == TURNS - cuts
    assert ledger.most["uplink"] < BACKLOG_MS / CHUNK_MS / 4
    assert ledger.most["debt_ms"] <= 300
    assert ledger.most["speaker"] < ANSWER_S
    assert ledger.most["beside"] <= 3
    assert ledger.traced[30] - ledger.traced[5] < 2**20


# --- six minutes, real ones ---------------------------------------------------------------------

QUESTIONS = (
    "where are the dinosaurs please",
    "how much does an adult ticket cost",
    "where are the toilets please",
    "when does the museum close",
    "where is the planetarium",
    "where is the gift shop please",
)
GOODBYE = "thank you goodbye"
EVERY_S = 20.0
ASKED = 18
# By then the room remembers as much as it ever will.
SETTLED = 7
GROWTH_BYTES = 8 * 2**20


def resident_bytes() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
@pytest.mark.timeout(480)
async def test_six_minutes_with_the_local_agent_are_held_and_every_question_is_answered(
    short_dir: Path, start_agent: StartAgent
) -> None:
    voice, room = AgentVoice(VISITOR_VOICE, VISITOR_WORDS_PER_MINUTE), Room()
    said = {text: await voice.render(text, room.rate_hz) for text in (*QUESTIONS, GOODBYE)}
    resident = []
    async with (
        start_agent() as (url, _),
        virtual_kiosk(settings(short_dir, url.replace("http", "ws")), room) as kiosk,
    ):
        began_s = kiosk.button.press()
        await kiosk.state(State.LISTENING)
        for number in range(ASKED):
            question = QUESTIONS[number % len(QUESTIONS)]
            start_s = max(began_s + number * EVERY_S + 10, time.monotonic() + 0.6)
            await asyncio.sleep(start_s - time.monotonic())
            assert kiosk.host.state is State.LISTENING
            room.say(said[question], start_s)
            _, end = voiced_span(said[question], room.rate_hz)
            end_s = start_s + end / room.rate_hz
            heard = await kiosk.moment(What.TRANSCRIPT, end_s)
            await kiosk.moment(What.AGENT_HEARD, end_s)
            await kiosk.moment(What.DRAINED, end_s, timeout_s=EVERY_S)
            assert heard.words == question
            resident.append(resident_bytes())
        assert time.monotonic() - began_s > 6 * MINUTE_S - EVERY_S
        parted_s = time.monotonic() + 0.6
        room.say(said[GOODBYE], parted_s)
        ended = await kiosk.moment(What.VISIT_ENDED, parted_s, timeout_s=20)
        await kiosk.state(State.IDLE)
    assert (ended.fields["kind"], ended.fields["code"]) == (Kind.AGENT_ENDED, None)
    assert kiosk.count(What.CONNECTED) == 1
    assert kiosk.count(What.LOST) == kiosk.count(What.MALFORMED) == 0
    assert kiosk.count(What.RESPONSE) == ASKED + 2  # the greeting, and the goodbye
    assert [playback.xruns for playback in kiosk.playbacks] == [0]
    assert set(kiosk.daemon.losses().values()) == {0}
    assert resident[-1] - resident[SETTLED] < GROWTH_BYTES
