"""Wire -> speaker: the agent's turns, from the first sample heard to the last.

A turn *began* when its first sample is heard. It is *drained* when the last one was heard and the
server said that the turn was spoken, or sent nothing more for 600 ms. What was cut never gets here:
the conversation's barrier drops it.

A turn whose sound goes on without a voice is over too: an agent may have a background sound, which
never ends. It is played, and no clock waits for it.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine

from kiosk import moments
from kiosk.audio.ambience import Ear
from kiosk.audio.pcm import PCM_16000, Decoder, PcmFormat, Samples
from kiosk.base.clock import loop_now_s
from kiosk.convai.server_messages import AgentAudio
from kiosk.devices.ports import Began, Clip, Drained, Flushed, Source, Speaker
from kiosk.measures import Measures
from kiosk.moments import Observer
from kiosk.visit.states import Event
from kiosk.visit.turn_memory import AnswerRest, TurnMemory

SETTLE_S = 0.6
# A server that does not close after the agent's farewell has said it all by then: gaps in a turn
# are shorter (seen live: 0.8 s), and so is the time an agent needs to begin its last sentence.
FAREWELL_QUIET_S = 3.0
LONGEST_GAP_S = 0.8
# Sound without a voice is the agent's background after so long; pauses in speech are shorter.
BACKGROUND_S = 5.0
# A loudspeaker that begins nothing more for so long is stuck.
STUCK_S = 60.0
# An agent's turn has a dozen, of a second each (seen live), or 50 a second.
_MOST_CLIPS = 6000


class Downlink:
    """The agent's side of what the loudspeaker plays. Used in one event loop."""

    def __init__(
        self,
        speaker: Speaker,
        post: Callable[[Event], None],
        measures: Measures,
        observe: Observer,
        memory: TurnMemory,
        ear: Ear,
    ) -> None:
        self._ear = ear
        self._speaker = speaker
        self._post = post
        self._measures = measures
        self._observe = observe
        self._memory = memory
        self._turn: list[Clip] = []  # the clips of the newest turn
        self._begun: tuple[Clip, float] | None = None  # the newest that is heard, and since when
        self._was_cut = False
        self._goes_on = False  # what is played is the rest of a turn that a noise had cut
        self._drained = asyncio.Event()
        self._drained.set()
        self._settling: asyncio.TimerHandle | None = None
        self._heard_clips = 0  # the speaker's count when it last fell silent
        self._given = 0  # the speaker's count at our last clip
        self._sounding = False
        self._way_was_free = True
        self._first: Clip | None = None  # of what is to be heard; the report of any other is late
        self._last_audio_s = 0.0
        self._heard_s = 0.0  # when the last sample was heard
        self._ran_out_s: float | None = None  # the loudspeaker, of a turn that goes on
        self._voice_until_s = 0.0  # when the last voiced one was, or will be
        self._is_background = False  # what is heard
        self._voices_waiting = 0  # clips with a voice that were given and have not begun
        self.begin(PCM_16000)

    def begin(self, format_: PcmFormat, *, greets: bool = True) -> None:
        """A new conversation, or format, from here on. What came before is still heard. `greets`:
        the first turn answers nobody, unless a transcript comes before it."""
        self._decoder = Decoder(format_)
        self._has_voice: Callable[[Samples], bool] | None = None
        self._turn_id: int | None = None
        self._final = True
        self._is_greeting = greets

    def audio(self, message: AgentAudio, received_at_s: float) -> bool:
        """Queue what the agent says; whether a turn begins with it."""
        new_turn = self._final if message.event_id is None else message.event_id != self._turn_id
        if new_turn:
            self._decoder.restart()
            self._turn_begins()
        self._turn_id, self._final = message.event_id, message.is_final
        samples = self._decoder.push(message.audio)
        if not len(samples):
            return new_turn
        rate_hz = self._decoder.format.rate_hz
        if self._has_voice is None:
            self._has_voice = self._ear(rate_hz)
        voiced = self._has_voice(samples)
        if self._is_background and not voiced:
            self._speaker.play(Clip(samples, rate_hz, Source.AGENT, received_at_s, voiced))
            return new_turn
        self._is_background = False
        if new_turn or self._drained.is_set():
            self._observe(moments.AgentAudioReceived(received_at_s))
        self._last_audio_s = received_at_s
        self._memory.agent_spoke(samples)
        self._play(Clip(samples, rate_hz, Source.AGENT, received_at_s, voiced))
        return new_turn

    def _turn_begins(self) -> None:
        if self._goes_on:
            self._silence()  # the agent has something new to say
        self._ran_out_s = None
        self._is_background = False
        self._turn.clear()
        self._was_cut = False
        self._memory.agent_began(self._decoder.format.rate_hz)
        if not self._is_greeting:
            self._memory.answered()
        self._is_greeting = False

    def _play(self, clip: Clip) -> None:
        self._forget_settling()
        if self._ran_out_s is not None:
            gap_s = clip.received_at_s - self._ran_out_s
            self._ran_out_s = None
            if 0 < gap_s < FAREWELL_QUIET_S:  # after a longer one the agent was silent by itself
                gap_ms = round(gap_s * 1000)
                self._observe(moments.AgentGapped(clip.received_at_s, gap_ms=gap_ms))
        if len(self._turn) < _MOST_CLIPS:
            self._turn.append(clip)
        self._voices_waiting += clip.voiced
        self._given = self._speaker.play(clip)
        if self._drained.is_set():
            self._drained.clear()
            self._first = clip
            self._way_was_free = self._heard_clips == self._given - 1

    def next_turn(self) -> None:
        """A transcript came: what follows answers it, and sound without an id is another turn's."""
        self._is_greeting = False
        if self._turn_id is None:
            self._decoder.restart()

    def go_on(self) -> AnswerRest:
        """Play the rest of the turn that was cut, from the beginning of its sentence on."""
        rest = self._memory.rest_of_answer()
        if rest.samples is not None:
            self._turn.clear()
            self._was_cut = False
            self._goes_on = self._final = True
            self._play(Clip(rest.samples, rest.rate_hz, Source.AGENT, loop_now_s()))
            self._way_was_free = False  # it did not come over the wire
        return rest

    @property
    def has_sound(self) -> bool:
        """Whether sound of the agent's is heard, or waits to be."""
        return not self._drained.is_set()

    @property
    def goes_on(self) -> bool:
        """Whether the rest of a turn is played, or was to its end, and nothing came since."""
        return self._goes_on

    @property
    def is_resuming(self) -> bool:
        """Whether the rest of a turn is played now."""
        return self._goes_on and not self._drained.is_set()

    def forget(self) -> None:
        """The visit is over: what was said in it is not kept."""
        self._turn.clear()
        self._begun = None

    def interrupt(self) -> None:
        """The visitor spoke over the agent: silence, and what waits is void."""
        self._observe(moments.AgentInterrupted(loop_now_s()))
        self._silence()
        self._post(Event.INTERRUPTED)

    def stop(self) -> None:
        """Silence: what the agent said so far is void."""
        self._silence()

    def complete(self, event_id: int | None) -> None:
        """The server says that this turn was spoken to its end: no sound of it follows."""
        if event_id == self._turn_id:
            self._final = True
            if self._settling is not None:
                self._forget_settling()
                self._settled(loop_now_s())

    async def heard_out(self, over: Callable[[], Coroutine[None, None, None]]) -> None:
        """Wait for the agent's last word, even where it follows the agent's hanging up.

        `over` ends when the conversation is over, and nothing more can come. Where it does not end,
        seconds without sound do.
        """
        since_s = loop_now_s()
        ended = asyncio.ensure_future(over())
        try:
            while not ended.done():
                if not await self._heard_so_far():
                    return
                quiet_s = loop_now_s() - max(since_s, self._heard_s, self._last_audio_s)
                if quiet_s >= FAREWELL_QUIET_S:
                    break
                await asyncio.wait({ended}, timeout=FAREWELL_QUIET_S - quiet_s)
        finally:
            ended.cancel()
        await self._heard_so_far()

    async def _heard_so_far(self) -> bool:
        """Wait until all that came was heard; False if the loudspeaker does not get on."""
        while not self._drained.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STUCK_S):
                    await self._drained.wait()
            clip, since_s = self._begun or (None, 0.0)
            ends_s = since_s if clip is None else since_s + len(clip.samples) / clip.rate_hz
            if not self._drained.is_set() and loop_now_s() - ends_s >= STUCK_S:
                return False
        return True

    async def drained(self) -> None:
        """Wait until everything the agent said was heard."""
        await self._drained.wait()

    def on_speaker(self, event: Began | Drained | Flushed) -> None:
        match event:
            case Began():
                self._on_began(event)
            case Drained():
                self._heard_clips = event.clips
                if not self._drained.is_set() and event.clips >= self._given:
                    self._settle(event.at_s)
            case Flushed():
                self._observe(moments.LoudspeakerSilenced(event.at_s))

    def _on_began(self, began: Began) -> None:
        clip = began.clip
        if clip.source is Source.AGENT:
            self._voices_waiting = max(0, self._voices_waiting - clip.voiced)
            self._begun = (clip, began.heard_at_s)
            self._look_for_background(clip, began.heard_at_s)
        if clip is not self._first:
            return
        self._first, self._sounding = None, True
        # A latency only where nothing else had to be heard first.
        if self._way_was_free:
            self._measures.wire_to_speaker.add((began.heard_at_s - clip.received_at_s) * 1000)
        self._observe(moments.AgentHeard(began.heard_at_s))
        self._post(Event.AGENT_STARTED)

    def _look_for_background(self, clip: Clip, heard_at_s: float) -> None:
        ends_s = heard_at_s + len(clip.samples) / clip.rate_hz
        if clip.voiced or clip is self._first:
            self._voice_until_s = ends_s
        elif self._voices_waiting:
            return
        elif self._sounding and ends_s - self._voice_until_s >= BACKGROUND_S:
            self._is_background = True
            self._forget_settling()
            self._settled(self._voice_until_s)

    def _settle(self, at_s: float) -> None:
        """Everything given was heard; more may still come."""
        left_s = 0.0 if self._final else self._last_audio_s + SETTLE_S - loop_now_s()
        self._ran_out_s = None if self._final else at_s
        if left_s > 0:
            self._forget_settling()
            loop = asyncio.get_running_loop()
            self._settling = loop.call_later(left_s, self._settled, at_s)
        else:
            self._settled(at_s)

    def _settled(self, at_s: float) -> None:
        self._settling = None
        self._heard_s = at_s
        self._drained.set()
        if self._sounding:
            self._sounding = False
            self._observe(moments.AgentDrained(at_s))
            self._post(Event.DRAINED)

    def _silence(self) -> None:
        # A turn whose chunks have stopped coming is whole: gaps are shorter (seen live).
        quiet_s = loop_now_s() - self._last_audio_s
        whole = self._drained.is_set() or self._final or quiet_s > LONGEST_GAP_S
        if not self._was_cut:  # said twice, it cuts nothing more
            self._memory.agent_was_cut(self._heard_samples(), whole=whole)
        self._was_cut = True
        self._goes_on = False
        self._speaker.flush(Source.AGENT)
        self._voices_waiting = 0
        self._first = None
        self._sounding = False
        self._final = True
        self._ran_out_s = None
        self._forget_settling()
        self._drained.set()

    def _heard_samples(self) -> int:
        """How much of the newest turn was heard until now."""
        if self._drained.is_set() or len(self._turn) == _MOST_CLIPS:
            return sum(len(each.samples) for each in self._turn)
        if self._begun is None or self._begun[0] not in self._turn:
            return 0
        clip, since_s = self._begun
        before = sum(len(each.samples) for each in self._turn[: self._turn.index(clip)])
        part = round((loop_now_s() - since_s) * clip.rate_hz)
        return before + min(max(part, 0), len(clip.samples))

    def _forget_settling(self) -> None:
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None
