"""One conversation with a client, as the server: greets, listens, answers, is interrupted."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from kiosk.agent.admission import Wishes
from kiosk.agent.behaviour import AgentBehaviour
from kiosk.agent.client_wire import Link
from kiosk.agent.faults import FaultPlayer
from kiosk.agent.guide import END_CALL, Entry, Guide
from kiosk.agent.limits import Limits
from kiosk.agent.recogniser import Recognised, Recogniser
from kiosk.agent.turn_detector import TurnDetector, TurnEnded, TurnStarted
from kiosk.agent.voice import AgentVoice
from kiosk.audio.pcm import FORMATS, PcmFormat, Samples, silence
from kiosk.base.clock import loop_now_s
from kiosk.base.ids import NewId, random_id
from kiosk.convai.client_messages import (
    ClientMessage,
    ContextualUpdate,
    Feedback,
    MultimodalMessage,
    Pong,
    ToolResult,
    UserAudio,
    UserMessage,
)
from kiosk.convai.server_messages import (
    AgentAudio,
    AgentResponse,
    AgentResponseCorrection,
    Interruption,
    Metadata,
    Ping,
    UserTranscript,
)
from kiosk.convai.server_tools import AgentToolResponse

# After a farewell the client hangs up; a client that does not is hung up on.
_HANG_UP_GRACE_S = 3.0

TimelineSink = Callable[[dict[str, object]], None]


@dataclass(slots=True)
class _Turn:
    """One turn of the agent's that is being spoken."""

    event_id: int
    text: str
    samples: Samples
    started_s: float
    total_s: float

    def spoken_part(self, now_s: float) -> float:
        """How much of it a listener has heard, from 0 to 1."""
        return min(1.0, max(0.0, (now_s - self.started_s) / self.total_s)) if self.total_s else 1.0


class Talk:
    """A conversation from the client's initiation on."""

    def __init__(
        self,
        conversation_id: str,
        manner: AgentBehaviour,
        wishes: Wishes,
        guide: Guide,
        recogniser: Recogniser,
        voice: AgentVoice,
        link: Link,
        faults: FaultPlayer,
        timeline: TimelineSink,
        new_id: NewId = random_id,
    ) -> None:
        self.link = link
        self.new_id = new_id
        self.on_hold = False  # in a queue nobody listens
        self._conversation_id = conversation_id
        self._manner = manner
        self._wishes = wishes
        self._guide = guide
        self._recogniser = recogniser
        self._voice = voice
        self._faults = faults
        self._timeline = timeline
        self._output: PcmFormat = FORMATS[manner.output_format]
        self._ears = TurnDetector(FORMATS[manner.input_format], manner.end_of_turn_ms)
        self._limits = Limits(manner, wishes)
        self._event_id = 0
        self._ping_id = 0
        self._pings: dict[int, float] = {}
        self._ping_ms: int | None = None
        self._turn: _Turn | None = None
        self._answering: asyncio.Task[None] | None = None
        self._not_understood = 0

    @property
    def output_rate_hz(self) -> int:
        return self._output.rate_hz

    @property
    def event_id(self) -> int:
        """That of the newest turn."""
        return self._event_id

    async def run(self) -> None:
        """Talk until the connection is over."""
        manner = self._manner
        await self._faults.at("initiation", self)
        announced = manner.announced_output_format or manner.output_format
        await self.link.send(Metadata(self._conversation_id, announced, manner.input_format))
        async with asyncio.TaskGroup() as tasks:
            beside = [
                tasks.create_task(self._ping(), name="ping"),
                tasks.create_task(self._limits.watch(self), name="limits"),
            ]
            try:
                if await self._faults.at("connected", self):
                    self._answer_with(tasks, self.speak(self._wishes.first_message))
                while (message := await self.link.receive()) is not None:
                    await self._on_message(message, tasks)
            finally:
                self._faults.stop()
                for task in beside:
                    task.cancel()
                if self._answering is not None:
                    self._answering.cancel()

    async def _on_message(self, message: ClientMessage, tasks: asyncio.TaskGroup) -> None:
        now_s = loop_now_s()
        if not isinstance(message, Pong):
            self._limits.input_came()
        match message:
            case UserAudio(audio):
                if not self._wishes.text_only and not self.on_hold:
                    await self._hear(audio, now_s, tasks)
            case UserMessage(text) | MultimodalMessage(str(text)):
                self._tell("read", text=text)
                await self._interrupt()
                self._answer_with(tasks, self._read_and_answer(text))
            case Pong(event_id) if isinstance(event_id, int) and event_id in self._pings:
                self._ping_ms = round((now_s - self._pings.pop(event_id)) * 1000)
            case ContextualUpdate(text):
                self._tell("context", text=text)
            case ToolResult(_, result, is_error):
                self._tell("tool_result", result=result, is_error=is_error)
            case Feedback(event_id, score):
                self._tell("feedback", event_id=event_id, score=score)
            case _:
                pass  # nothing this agent acts on

    async def _hear(self, audio: bytes, now_s: float, tasks: asyncio.TaskGroup) -> None:
        for event in self._ears.push(audio, now_s):
            if isinstance(event, TurnStarted):
                self._tell("visitor_started")
                await self._interrupt()
            else:
                self._answer_with(tasks, self._hear_and_answer(event))

    def _answer_with(self, tasks: asyncio.TaskGroup, speaking: Coroutine[None, None, None]) -> None:
        """Begin an answer; one that was still being prepared is forgotten."""
        if self._answering is not None:
            self._answering.cancel()
        self._answering = tasks.create_task(speaking, name="answer")

    async def _read_and_answer(self, text: str) -> None:
        if await self._faults.at("turn", self):
            await self._answer(self._guide.entry_for(text), "")

    async def _hear_and_answer(self, ended: TurnEnded) -> None:
        self._tell("visitor_ended", last_voiced_received_s=ended.last_voiced_received_s)
        if not await self._faults.at("turn", self):
            return
        heard: Recognised = await asyncio.to_thread(self._recogniser.recognise, ended.samples)
        self._tell(
            "heard",
            text=heard.text,
            confidence=round(heard.confidence, 2),
            last_voiced_received_s=ended.last_voiced_received_s,
        )
        entry = None if heard.text is None else self._guide.entry_for(heard.text)
        await self._answer(entry, heard.text or "", ended.last_voiced_received_s)

    async def _answer(
        self, entry: Entry | None, heard: str, last_voiced_received_s: float | None = None
    ) -> None:
        if heard:
            self._event_id += 1  # the visitor's turns count too
            await self.link.send(UserTranscript(heard, self._event_id))
        if entry is None:
            again = self._guide.ask_again
            text = again[self._not_understood % len(again)]
            self._not_understood += 1
        else:
            self._not_understood = 0
            text = entry.say
        await self.speak(text, last_voiced_received_s)
        if entry is not None and entry.tool == END_CALL:
            await self.end_call()

    async def speak(self, text: str, last_voiced_received_s: float | None = None) -> None:
        """Say something as a turn of its own; nothing, if there is nothing to say."""
        if not text:  # an empty first message: the visitor begins
            return
        silent = self._wishes.text_only
        samples = silence(0) if silent else await self._voice.render(text, self._output.rate_hz)
        self._event_id += 1
        total_s = len(samples) / self._output.rate_hz
        self._turn = _Turn(self._event_id, text, samples, loop_now_s(), total_s)
        self._tell(
            "agent_started",
            event_id=self._event_id,
            text=text,
            duration_s=round(total_s, 3),
            last_voiced_received_s=last_voiced_received_s,
        )
        response_id = f"resp_{self.new_id()[:16]}"
        await self.link.send(AgentResponse(text, self._event_id, response_id))
        await self._send_audio(samples, self._event_id)
        self._tell("agent_sent", event_id=self._event_id)

    def fall_silent(self) -> None:
        """What is being said or prepared is left at that: nothing follows what is sent now."""
        if self._answering is not None:
            self._answering.cancel()

    async def speak_last(self, text: str) -> None:
        """Say something to its end, and nothing after it."""
        await self.speak(text)
        await self._heard_out()

    async def play(self, samples: Samples) -> None:
        """Send sound that nobody says."""
        self._event_id += 1
        await self._send_audio(samples, self._event_id)

    async def _send_audio(self, samples: Samples, event_id: int) -> None:
        """The whole turn in pieces, faster than real time, the last one marked final."""
        manner = self._manner
        size = self._output.rate_hz * manner.piece_ms // 1000
        for start in range(0, len(samples), size):
            piece = samples[start : start + size]
            final = start + size >= len(samples)
            await self.link.send(AgentAudio(self._output.encode(piece), event_id, final))
            if start == 0 and not await self._faults.at("speaking", self):
                return
            await asyncio.sleep(manner.piece_ms / 1000 / manner.burst)

    async def _interrupt(self) -> None:
        """The visitor speaks: what was being said or prepared is void."""
        if self._answering is not None:
            self._answering.cancel()
            self._answering = None
        turn, self._turn = self._turn, None
        now_s = loop_now_s()
        if turn is None or turn.spoken_part(now_s) >= 1.0:
            return
        self._tell("interrupted", event_id=turn.event_id)
        await self.link.send(Interruption(turn.event_id))
        part = turn.spoken_part(now_s)
        if self.link.dialect.numbers_turns:
            # The real service sends some audio of the cut turn late; a client must drop it.
            at = round(len(turn.samples) * part)
            late = turn.samples[at : at + self._output.rate_hz * self._manner.piece_ms // 1000]
            await self.link.send(AgentAudio(self._output.encode(late), turn.event_id))
        words = turn.text.split()
        kept = " ".join(words[: round(len(words) * part)])
        await self.link.send(AgentResponseCorrection(turn.text, f"{kept}...", turn.event_id))
        await self._faults.at("interruption", self)

    async def end_call(self) -> None:
        """Hang up, once what is being said was heard."""
        await self.link.send(
            AgentToolResponse(END_CALL, f"tool_{self._event_id}", event_id=self._event_id)
        )
        await self._heard_out()
        await asyncio.sleep(_HANG_UP_GRACE_S)
        await self.link.close()

    async def _heard_out(self) -> None:
        """Wait as long as a listener still hears what was sent."""
        turn = self._turn
        left_s = 0.0 if turn is None else turn.started_s + turn.total_s - loop_now_s()
        await asyncio.sleep(max(0.0, left_s))

    async def _ping(self) -> None:
        while True:
            self._ping_id += 1
            self._pings = {self._ping_id: loop_now_s()}
            await self.link.send(Ping(self._ping_id, self._ping_ms))
            await asyncio.sleep(self._manner.ping_s)

    def _tell(self, event: str, **fields: object) -> None:
        self._timeline(
            {
                "at_s": loop_now_s(),
                "event": event,
                "conversation_id": self._conversation_id,
                **fields,
            }
        )
