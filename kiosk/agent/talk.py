"""One conversation with a client, as the server: greets, listens, answers, is interrupted.

What is sent of a turn, in which order and when, is in `turn_schedule`.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass

from kiosk.agent.admission import Wishes
from kiosk.agent.behaviour import AgentBehaviour, Manner
from kiosk.agent.client_wire import Link
from kiosk.agent.faults import FaultPlayer
from kiosk.agent.guide import END_CALL, Entry, Guide
from kiosk.agent.limits import Limits
from kiosk.agent.mind_link import MindLink
from kiosk.agent.recogniser import Recognised, Recogniser
from kiosk.agent.turn_detector import TurnDetector, TurnEnded, TurnGrows, TurnHeld, TurnStarted
from kiosk.agent.turn_schedule import (
    AgentSpeech,
    Chance,
    EventIds,
    Timed,
    TurnOccasion,
    pieces,
    schedule,
)
from kiosk.agent.voice import AgentVoice
from kiosk.audio.pcm import FORMATS, INTERNAL_RATE_HZ, PcmFormat, Samples, silence
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
    AgentResponseComplete,
    AgentResponseCorrection,
    AgentResponsePart,
    Interruption,
    Metadata,
    Ping,
    UserTranscript,
)
from kiosk.convai.server_parsing import ServerMessage
from kiosk.convai.server_tools import LANGUAGE_DETECTION, AgentToolResponse, ToolCall
from kiosk.convai.speech_engine import Said
from kiosk.errors import UnavailableError

# After a farewell the client hangs up; a client that does not is hung up on.
_HANG_UP_GRACE_S = 3.0
# Seen live, after the client's result and after the call: the service's own account of a client
# tool, and the empty text of the generation that only called it.
_FULL_PAYLOAD_S = (0.041, 0.048)
_EMPTY_TEXT_S = (0.033, 0.076)
_CUT_TEXT_S = 0.5e-3
# How much sound of a cut turn comes late in the guide's manner.
_LATE_S = 0.2
# A sound in which no sentence is recognised, and which is no longer, has no words: nothing follows.
NO_WORDS_S = 2.5
# A single word over a turn must be as sure: a throat can say "hello".
_SURE = 0.75
# What asks for the rest of a turn that was cut.
_GO_ON = "go on"
# What says that a turn that was cut was heard as far as it was sent.
_WAS_HEARD = "heard to its end"

TimelineSink = Callable[[dict[str, object]], None]


@dataclass(slots=True)
class _Turn:
    """One turn of the agent's that is being spoken."""

    speech: AgentSpeech
    started_s: float
    text_sent: bool = False
    sent_s: float = 0.0  # of its sound

    def left_after(self, spoken_s: float) -> str:
        """The words that are not among the first seconds."""
        words = self.speech.text.split()
        return " ".join(words[round(len(words) * min(1.0, spoken_s / max(self.total_s, 1e-9))) :])

    @property
    def total_s(self) -> float:
        return self.speech.length_s

    def spoken_part(self, now_s: float) -> float:
        """How much of it a listener has heard, from 0 to 1."""
        return min(1.0, max(0.0, (now_s - self.started_s) / self.total_s)) if self.total_s else 1.0


@dataclass(frozen=True, slots=True)
class Tongue:
    """What the agent knows in one language, and the voice that says it."""

    guide: Guide
    voice: AgentVoice


class Talk:
    """A conversation from the client's initiation on. `tongues`: it begins in the language of the
    first. `mind`: who makes the answers, in the guide's place."""

    def __init__(
        self,
        conversation_id: str,
        behaviour: AgentBehaviour,
        wishes: Wishes,
        tongues: Sequence[Tongue],
        recogniser: Recogniser,
        link: Link,
        faults: FaultPlayer,
        timeline: TimelineSink,
        new_id: NewId = random_id,
        chance: Chance = random.random,
        mind: MindLink | None = None,
    ) -> None:
        self.link = link
        self._mind = mind
        self._said: list[Said] = []  # for the mind
        self.new_id = new_id
        self.on_hold = False  # in a queue nobody listens
        self._conversation_id = conversation_id
        self._behaviour = behaviour
        self._wishes = wishes
        self._tongues = tongues
        self._tongue = tongues[0]
        self._recogniser = recogniser
        self._faults = faults
        self._timeline = timeline
        self._chance = chance
        self._output: PcmFormat = FORMATS[behaviour.output_format]
        self._ears = TurnDetector(
            FORMATS[behaviour.input_format], behaviour.end_of_turn_ms, behaviour.interrupt_after_ms
        )
        self._limits = Limits(behaviour, wishes)
        self._ids = EventIds(behaviour.manner, chance, loop_now_s())
        self._exchange_id: int | None = None  # of a transcript that is not answered yet
        self._spoken_id = 0
        self._ping_id = 0
        self._pings: dict[int, float] = {}
        self._ping_ms: int | None = None
        self._turn: _Turn | None = None
        self._answering: asyncio.Task[None] | None = None
        self._cut_text = ""  # what an interruption left unsaid
        self._unsent_text = ""  # what of it was not even sent
        self._open_calls: dict[str, tuple[ToolCall, asyncio.Event]] = {}
        self._not_understood = 0
        self._asks_for_nothing = False  # what is being said, as far as it goes

    @property
    def output_rate_hz(self) -> int:
        return self._output.rate_hz

    @property
    def event_id(self) -> int:
        """The newest: of an exchange, or of an interruption."""
        return self._ids.newest

    @property
    def spoken_id(self) -> int:
        """That of the newest turn of the agent's."""
        return self._spoken_id

    def take_event_id(self) -> int:
        """A number for what is not an exchange."""
        return self._ids.take(loop_now_s())

    async def run(self) -> None:
        """Talk until the connection is over."""
        behaviour = self._behaviour
        await self._faults.at("initiation", self)
        announced = behaviour.announced_output_format or behaviour.output_format
        await self.link.send(Metadata(self._conversation_id, announced, behaviour.input_format))
        async with asyncio.TaskGroup() as self._tasks:
            self._beside: set[asyncio.Task[None]] = set()
            self._start(self._ping(), "ping")
            self._start(self._limits.watch(self), "limits")
            try:
                if await self._faults.at("connected", self):
                    self._answer_with(self.speak(self._wishes.first_message, TurnOccasion.GREETING))
                while (message := await self.link.receive()) is not None:
                    await self._on_message(message)
            finally:
                self._faults.stop()
                for task in self._beside:
                    task.cancel()

    def _start(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        """Do something beside the reader, as long as the conversation lasts."""
        task = self._tasks.create_task(work, name=name)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)
        return task

    async def _on_message(self, message: ClientMessage) -> None:
        now_s = loop_now_s()
        if not isinstance(message, Pong):
            self._limits.input_came()
        match message:
            case UserAudio(audio):
                if not self._wishes.text_only and not self.on_hold:
                    await self._hear(audio, now_s)
            case UserMessage(text) | MultimodalMessage(str(text)):
                self._tell("read", text=text)
                cut = self._cut_text
                await self._interrupt()
                entry = self._entry_for(text)
                if entry is None and cut and _GO_ON in text.lower():
                    self._answer_with(self.speak(cut))
                else:
                    self._answer_with(self._answer(entry, text, is_read=True))
            case Pong(event_id) if isinstance(event_id, int) and event_id in self._pings:
                self._ping_ms = round((now_s - self._pings.pop(event_id)) * 1000)
            case ContextualUpdate(text):
                self._tell("context", text=text)
                if _WAS_HEARD in text:
                    self._cut_text = self._unsent_text
            case ToolResult(call_id, result, is_error):
                self._tell("tool_result", result=result, is_error=is_error)
                self._tool_answered(call_id, result, is_error=is_error)
            case Feedback(event_id, score):
                self._tell("feedback", event_id=event_id, score=score)
            case _:
                pass  # nothing this agent acts on

    # --- the visitor's turn ---------------------------------------------------------------------

    async def _hear(self, audio: bytes, now_s: float) -> None:
        for event in self._ears.push(audio, now_s):
            match event:
                case TurnStarted():
                    self._tell("visitor_started")
                case TurnGrows(samples):
                    self._asks_for_nothing = False
                    if self._is_busy and self._behaviour.interrupt_after_ms:
                        self._start(self._listen_ahead(samples), "listening ahead")
                case TurnHeld(insists):
                    if insists or not self._asks_for_nothing:
                        await self._interrupt()
                case TurnEnded():
                    self._tell("visitor_ended", last_voiced_received_s=event.last_voiced_received_s)
                    self._start(self._recognise(event), "recognition")

    async def _listen_ahead(self, samples: Samples) -> None:
        """Whether what is said over a turn sounds as if it asked for nothing, before its length
        counts for it."""
        asks_for_nothing = await asyncio.to_thread(self._recogniser.asks_for_nothing, samples)
        self._asks_for_nothing = asks_for_nothing

    async def _recognise(self, ended: TurnEnded) -> None:
        heard: Recognised = await asyncio.to_thread(self._recogniser.recognise, ended.samples)
        self._tell(
            "heard",
            text=heard.text,
            confidence=round(heard.confidence, 2),
            last_voiced_received_s=ended.last_voiced_received_s,
        )
        entry = None if heard.text is None else self._entry_for(heard.text)
        over_turn = self._is_busy or self._cut_text
        unsure = heard.confidence < _SURE and len((heard.text or "").split()) == 1
        if heard.ignored or (over_turn and unsure):
            self._tell("ignored")
            return
        meant = entry is not None or (self._mind is not None and heard.text is not None)
        if not meant and over_turn and len(ended.samples) < NO_WORDS_S * INTERNAL_RATE_HZ:
            self._tell("ignored")  # a cough, or a word that asks for nothing
            return
        await self._interrupt()
        answer = self._answer(entry, heard.text or "", ended.last_voiced_received_s)
        self._answer_with(answer)

    def _entry_for(self, sentence: str) -> Entry | None:
        """What is asked, in the language of the talk or another of the agent's."""
        found = (each.guide.entry_for(sentence) for each in (self._tongue, *self._tongues))
        return next((entry for entry in found if entry is not None), None)

    async def _speak_language_of(self, entry: Entry) -> None:
        """Answer who is understood in another language in it, by the tool that changes to it."""
        tongue = next(each for each in self._tongues if entry in each.guide.entries)
        if tongue is self._tongue or entry in self._tongue.guide.entries:
            return
        self._tongue = tongue
        self._tell("language", language=tongue.guide.language)
        call_id = f"tool_{self.new_id()[:8]}"
        await self.link.send(
            AgentToolResponse(LANGUAGE_DETECTION, call_id, event_id=self.event_id, status="success")
        )

    @property
    def _is_busy(self) -> bool:
        """Whether an answer is being made, sent or heard."""
        if self._answering is not None and not self._answering.done():
            return True
        return self._turn is not None and self._turn.spoken_part(loop_now_s()) < 1.0

    # --- the agent's turn -----------------------------------------------------------------------

    def _answer_with(self, speaking: Coroutine[None, None, None]) -> None:
        """Begin an answer; one that was still being prepared is forgotten."""
        if self._answering is not None:
            self._answering.cancel()
        self._answering = self._start(speaking, "answer")

    async def _answer(
        self,
        entry: Entry | None,
        asked: str,
        last_voiced_received_s: float | None = None,
        *,
        is_read: bool = False,
    ) -> None:
        heard = "" if is_read else asked
        if self._mind is not None and asked:
            entry, text = None, await self._thought(self._mind, asked)
        elif entry is None:
            again = self._tongue.guide.ask_again
            text = again[self._not_understood % len(again)]
            self._not_understood += 1
        else:
            self._not_understood = 0
            await self._speak_language_of(entry)
            text = entry.say
        await self._rendered(text)  # the transcript and the first sound are one burst
        if heard:
            self._exchange_id = self._ids.take(loop_now_s())
            await self.link.send(UserTranscript(heard, self._exchange_id))
        if not await self._faults.at("turn", self):
            return
        called = await self._tools_answered()
        occasion = TurnOccasion.AFTER_TOOL if called else TurnOccasion.PREPARED
        await self.speak(text, occasion, last_voiced_received_s)
        if entry is not None and entry.tool == END_CALL:
            await self.end_call()

    async def _thought(self, mind: MindLink, asked: str) -> str:
        """What the mind answers; that it does not, in its place."""
        self._said.append(Said("user", asked))
        try:
            return await mind.answer(self._said)
        except UnavailableError as error:
            self._tell("mind_failed", error=str(error))
            return self._tongue.guide.ask_again[0]

    async def _rendered(self, text: str) -> Samples:
        if self._wishes.text_only:
            return silence(0)
        return await self._tongue.voice.render(text, self._output.rate_hz)

    async def speak(
        self,
        text: str,
        occasion: TurnOccasion = TurnOccasion.PREPARED,
        last_voiced_received_s: float | None = None,
    ) -> None:
        """Say something as a turn of its own; nothing, if there is nothing to say."""
        if not text:  # an empty first message: the visitor begins
            return
        samples = await self._rendered(text)
        response_id = f"resp_{self.new_id()[:16]}"
        speech = AgentSpeech(text, samples, self._output, self._turn_id(), response_id)
        messages = schedule(speech, occasion, self._behaviour, self._chance)
        first_s = next((at_s for at_s, each in messages if isinstance(each, AgentAudio)), 0.0)
        began_s = loop_now_s()
        self._turn = turn = _Turn(speech, began_s + first_s)
        self._said.append(Said("agent", text))
        self._cut_text = ""
        self._spoken_id = speech.event_id
        self._tell(
            "agent_started",
            event_id=speech.event_id,
            text=text,
            duration_s=round(speech.length_s, 3),
            last_voiced_received_s=last_voiced_received_s,
        )
        if await self._send(turn, began_s, messages):
            self._tell("agent_sent", event_id=speech.event_id)

    def _turn_id(self) -> int:
        """In the captured manner that of the exchange; in the guide's each turn has its own."""
        exchange_id, self._exchange_id = self._exchange_id, None
        if exchange_id is not None and self._behaviour.manner is Manner.CAPTURED:
            return exchange_id
        return self._ids.take(loop_now_s())

    async def _send(self, turn: _Turn, began_s: float, messages: list[Timed]) -> bool:
        """Send a turn as it is scheduled; False if a script leaves it at its first sound."""
        sounded = False
        for at_s, message in messages:
            if isinstance(message, AgentResponseComplete):
                self._start(self._complete(turn, began_s + at_s, message), "complete")
                continue
            await asyncio.sleep(max(0.0, began_s + at_s - loop_now_s()))
            turn.text_sent = turn.text_sent or isinstance(message, AgentResponse)
            await self.link.send(message)
            if isinstance(message, AgentAudio):
                turn.sent_s += len(self._output.decode(message.audio)) / self._output.rate_hz
            if isinstance(message, AgentAudio) and not sounded:
                sounded = True
                if not await self._faults.at("speaking", self):
                    return False
        return True

    async def _complete(self, turn: _Turn, at_s: float, message: AgentResponseComplete) -> None:
        """Report a turn that was spoken to its end; one that was cut is not."""
        await asyncio.sleep(max(0.0, at_s - loop_now_s()))
        if self._turn is turn:
            await self.link.send(message)

    def begin_turn(self, text: str) -> None:
        """Say something in place of what is being said or prepared."""
        self._answer_with(self.speak(text))

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
        speech = AgentSpeech("", samples, self._output, self._ids.take(loop_now_s()), "")
        began_s = loop_now_s()
        for at_s, piece in pieces(speech, TurnOccasion.PREPARED, self._behaviour, self._chance):
            await asyncio.sleep(max(0.0, began_s + at_s - loop_now_s()))
            await self.link.send(AgentAudio(self._output.encode(piece), speech.event_id))

    async def _interrupt(self) -> None:
        """The visitor speaks: what was being said or prepared is void."""
        if self._answering is not None:
            self._answering.cancel()
            self._answering = None
        self._exchange_id = None  # what was not answered is over
        turn, self._turn = self._turn, None
        now_s = loop_now_s()
        if turn is None or turn.spoken_part(now_s) >= 1.0:
            return
        self._tell("interrupted", event_id=turn.speech.event_id)
        self._cut_text = turn.left_after(now_s - turn.started_s)
        self._unsent_text = turn.left_after(turn.sent_s)
        if self._behaviour.manner is Manner.CAPTURED:
            await self._interrupted_as_captured(turn, now_s)
        else:
            await self._interrupted_by_guide(turn, turn.spoken_part(now_s))
        await self._faults.at("interruption", self)

    async def _interrupted_as_captured(self, turn: _Turn, now_s: float) -> None:
        """A number of its own, the cut turn's text, and nothing more of that turn."""
        await self.link.send(Interruption(self._ids.take(now_s)))
        if not turn.text_sent:
            await asyncio.sleep(_CUT_TEXT_S)
            speech = turn.speech
            await self.link.send(AgentResponse(speech.text, speech.event_id, speech.response_id))

    async def _interrupted_by_guide(self, turn: _Turn, part: float) -> None:
        """The number of the cut turn, some sound of it late, and what was said of it."""
        speech = turn.speech
        await self.link.send(Interruption(speech.event_id))
        if self.link.dialect.numbers_turns:
            at = round(len(speech.samples) * part)
            late = speech.samples[at : at + round(self._output.rate_hz * _LATE_S)]
            await self.link.send(AgentAudio(self._output.encode(late), speech.event_id))
        words = speech.text.split()
        kept = " ".join(words[: round(len(words) * part)])
        await self.link.send(AgentResponseCorrection(speech.text, f"{kept}...", speech.event_id))

    # --- tools ----------------------------------------------------------------------------------

    async def call_tool(self, name: str, *, expects_response: bool) -> None:
        """Call a tool of the client's; the answer that is being made waits for its result."""
        call = ToolCall(name, f"tool_{self.new_id()[:8]}", {}, expects_response, self.event_id)
        if expects_response:
            self._open_calls[call.tool_call_id] = (call, asyncio.Event())
        await self.link.send(call)
        if self._behaviour.manner is Manner.CAPTURED:
            start, stop = (AgentResponsePart("", kind, call.event_id) for kind in ("start", "stop"))
            self._start(self._later(_EMPTY_TEXT_S, start, stop), "empty text")

    def _tool_answered(self, call_id: str, result: str, *, is_error: bool) -> None:
        call, answered = self._open_calls.get(call_id, (None, None))
        if call is None or answered is None or answered.is_set():
            return
        answered.set()
        if self._behaviour.manner is Manner.CAPTURED:
            full = AgentToolResponse(
                call.tool_name,
                call.tool_call_id,
                "client",
                is_error=is_error,
                event_id=call.event_id,
                full_result=result,
                status="error" if is_error else "success",
            )
            self._start(self._later(_FULL_PAYLOAD_S, full), "full payload")

    async def _tools_answered(self) -> bool:
        """Wait for the results of the tools that were called; False if none was."""
        waited = bool(self._open_calls)
        for _, answered in list(self._open_calls.values()):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._behaviour.tool_timeout_s):
                    await answered.wait()
        self._open_calls.clear()
        return waited

    async def _later(self, within_s: tuple[float, float], *messages: ServerMessage) -> None:
        low_s, high_s = within_s
        await asyncio.sleep(low_s + (high_s - low_s) * self._chance())
        for message in messages:
            await self.link.send(message)

    async def end_call(self) -> None:
        """Hang up, once what is being said was heard."""
        call_id = f"tool_{self.event_id}"
        await self.link.send(
            AgentToolResponse(END_CALL, call_id, event_id=self.event_id, status="success")
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
            await asyncio.sleep(self._behaviour.ping_s)

    def _tell(self, event: str, **fields: object) -> None:
        self._timeline(
            {
                "at_s": loop_now_s(),
                "event": event,
                "conversation_id": self._conversation_id,
                **fields,
            }
        )
