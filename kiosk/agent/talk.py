"""One conversation with a client, as the server: greets, listens, answers, is interrupted."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass

from kiosk.agent.ears import Ears, TurnEnded, TurnStarted
from kiosk.agent.guide import END_CALL, Entry, Guide
from kiosk.agent.hearing import Heard, Recogniser
from kiosk.agent.voice import Voice
from kiosk.audio.pcm import FORMATS, PcmFormat, Samples
from kiosk.convai.messages import (
    AgentAudio,
    AgentResponse,
    AgentResponseCorrection,
    AgentToolResponse,
    ClientMessage,
    Interruption,
    Metadata,
    Ping,
    Pong,
    ServerMessage,
    UserAudio,
    UserMessage,
    UserTranscript,
)

# Speech is sent in pieces of this length, this many times faster than it is spoken.
_PIECE_MS = 200
_BURST = 4.0
_PING_INTERVAL_S = 2.0
# After a farewell the client hangs up; a client that does not is hung up on.
_HANG_UP_GRACE_S = 3.0

TimelineSink = Callable[[dict[str, object]], None]


@dataclass(frozen=True, slots=True)
class Manner:
    """How the agent behaves towards clients."""

    input_format: str = "pcm_16000"
    output_format: str = "pcm_16000"
    end_of_turn_ms: int = 500


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
    """A conversation from the client's initiation on.

    `send` writes one message to the client, or nothing if it is gone; `hang_up` closes with 1000.
    """

    def __init__(
        self,
        conversation_id: str,
        manner: Manner,
        guide: Guide,
        recogniser: Recogniser,
        voice: Voice,
        send: Callable[[ServerMessage], Awaitable[None]],
        hang_up: Callable[[], Awaitable[None]],
        timeline: TimelineSink,
    ) -> None:
        self._conversation_id = conversation_id
        self._manner = manner
        self._guide = guide
        self._recogniser = recogniser
        self._voice = voice
        self._send = send
        self._hang_up = hang_up
        self._timeline = timeline
        self._output: PcmFormat = FORMATS[manner.output_format]
        self._ears = Ears(FORMATS[manner.input_format], manner.end_of_turn_ms)
        self._event_id = 0
        self._ping_id = 0
        self._pings: dict[int, float] = {}
        self._ping_ms: int | None = None
        self._turn: _Turn | None = None
        self._answering: asyncio.Task[None] | None = None
        self._not_understood = 0

    async def run(self, receive: Callable[[], Awaitable[ClientMessage | None]]) -> None:
        """Talk until `receive` answers None: the connection is over."""
        await self._send(
            Metadata(self._conversation_id, self._manner.output_format, self._manner.input_format)
        )
        async with asyncio.TaskGroup() as tasks:
            pinging = tasks.create_task(self._ping(), name="ping")
            try:
                self._answer_with(tasks, self._speak(self._guide.greeting))
                while (message := await receive()) is not None:
                    await self._on_message(message, tasks)
            finally:
                pinging.cancel()
                if self._answering is not None:
                    self._answering.cancel()

    async def _on_message(self, message: ClientMessage, tasks: asyncio.TaskGroup) -> None:
        now_s = time.monotonic()
        match message:
            case UserAudio(audio):
                for event in self._ears.push(audio, now_s):
                    if isinstance(event, TurnStarted):
                        self._tell("visitor_started")
                        await self._interrupt()
                    else:
                        self._answer_with(tasks, self._hear_and_answer(event))
            case UserMessage(text):
                await self._interrupt()
                entry = self._guide.entry_for(text)
                self._answer_with(tasks, self._answer(entry, text))
            case Pong(event_id) if isinstance(event_id, int) and event_id in self._pings:
                self._ping_ms = round((now_s - self._pings.pop(event_id)) * 1000)
            case _:
                pass  # nothing this agent acts on

    def _answer_with(self, tasks: asyncio.TaskGroup, speaking: Coroutine[None, None, None]) -> None:
        """Begin an answer; one that was still being prepared is forgotten."""
        if self._answering is not None:
            self._answering.cancel()
        self._answering = tasks.create_task(speaking, name="answer")

    async def _hear_and_answer(self, ended: TurnEnded) -> None:
        self._tell("visitor_ended", last_voiced_received_s=ended.last_voiced_received_s)
        heard: Heard = await asyncio.to_thread(self._recogniser.recognise, ended.samples)
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
            await self._send(UserTranscript(heard, self._event_id))
        if entry is None:
            again = self._guide.ask_again
            text = again[self._not_understood % len(again)]
            self._not_understood += 1
        else:
            self._not_understood = 0
            text = entry.say
        await self._speak(text, last_voiced_received_s)
        if entry is not None and entry.tool == END_CALL:
            await self._end_call()

    async def _speak(self, text: str, last_voiced_received_s: float | None = None) -> None:
        samples = await self._voice.render(text, self._output.rate_hz)
        self._event_id += 1
        total_s = len(samples) / self._output.rate_hz
        self._turn = _Turn(self._event_id, text, samples, time.monotonic(), total_s)
        self._tell(
            "agent_started",
            event_id=self._event_id,
            text=text,
            duration_s=round(total_s, 3),
            last_voiced_received_s=last_voiced_received_s,
        )
        await self._send(AgentResponse(text, self._event_id))
        await self._send_audio(samples, self._event_id)
        self._tell("agent_sent", event_id=self._event_id)

    async def _send_audio(self, samples: Samples, event_id: int) -> None:
        """The whole turn in pieces, faster than real time, the last one marked final."""
        size = self._output.rate_hz * _PIECE_MS // 1000
        for start in range(0, len(samples), size):
            piece = samples[start : start + size]
            final = start + size >= len(samples)
            await self._send(AgentAudio(self._output.encode(piece), event_id, final))
            await asyncio.sleep(_PIECE_MS / 1000 / _BURST)

    async def _interrupt(self) -> None:
        """The visitor speaks: what was being said or prepared is void."""
        if self._answering is not None:
            self._answering.cancel()
            self._answering = None
        turn, self._turn = self._turn, None
        now_s = time.monotonic()
        if turn is None or turn.spoken_part(now_s) >= 1.0:
            return
        self._tell("interrupted", event_id=turn.event_id)
        await self._send(Interruption(turn.event_id))
        # The real service sends some audio of the cut turn late; a client must drop it.
        part = turn.spoken_part(now_s)
        at = round(len(turn.samples) * part)
        late = turn.samples[at : at + self._output.rate_hz * _PIECE_MS // 1000]
        await self._send(AgentAudio(self._output.encode(late), turn.event_id))
        words = turn.text.split()
        kept = " ".join(words[: round(len(words) * part)])
        await self._send(AgentResponseCorrection(turn.text, f"{kept}...", turn.event_id))

    async def _end_call(self) -> None:
        await self._send(AgentToolResponse(END_CALL, f"tool_{self._event_id}"))
        turn = self._turn
        left_s = 0.0 if turn is None else turn.started_s + turn.total_s - time.monotonic()
        await asyncio.sleep(max(0.0, left_s) + _HANG_UP_GRACE_S)
        await self._hang_up()

    async def _ping(self) -> None:
        while True:
            self._ping_id += 1
            self._pings = {self._ping_id: time.monotonic()}
            await self._send(Ping(self._ping_id, self._ping_ms))
            await asyncio.sleep(_PING_INTERVAL_S)

    def _tell(self, event: str, **fields: object) -> None:
        self._timeline(
            {
                "at_s": time.monotonic(),
                "event": event,
                "conversation_id": self._conversation_id,
                **fields,
            }
        )
