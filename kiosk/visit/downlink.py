"""Wire -> speaker: the agent's turns, from the first sample heard to the last.

A turn *began* when its first sample is heard. It is *drained* when the last one was heard and the
server said that the turn was spoken, or sent nothing more for 600 ms. What was cut never gets here:
the conversation's barrier drops it.
"""

import asyncio
from collections.abc import Callable, Coroutine

from kiosk import moments
from kiosk.audio.pcm import PCM_16000, Decoder, PcmFormat
from kiosk.base.clock import loop_now_s
from kiosk.convai.server_messages import AgentAudio
from kiosk.devices.ports import Began, Clip, Drained, Flushed, Source, Speaker
from kiosk.measures import Measures
from kiosk.moments import Observer
from kiosk.visit.states import Event

SETTLE_S = 0.6
# A server that does not close after the agent's farewell has said it all by then: gaps in a turn
# are shorter (seen live: 0.8 s), and so is the time an agent needs to begin its last sentence.
FAREWELL_QUIET_S = 3.0


class Downlink:
    """The agent's side of what the loudspeaker plays. Used in one event loop."""

    def __init__(
        self,
        speaker: Speaker,
        post: Callable[[Event], None],
        measures: Measures,
        observe: Observer,
    ) -> None:
        self._speaker = speaker
        self._post = post
        self._measures = measures
        self._observe = observe
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
        self.begin(PCM_16000)

    def begin(self, format_: PcmFormat) -> None:
        """A new conversation, whose audio comes in this format. What came of the one before it is
        still heard."""
        self._decoder = Decoder(format_)
        self._turn_id: int | None = None
        self._final = True

    def audio(self, message: AgentAudio, received_at_s: float) -> None:
        """Queue what the agent says."""
        new_turn = self._final if message.event_id is None else message.event_id != self._turn_id
        self._turn_id, self._final = message.event_id, message.is_final
        if new_turn:
            self._decoder.restart()
        samples = self._decoder.push(message.audio)
        if not len(samples):
            return
        if new_turn or self._drained.is_set():
            self._observe(moments.AgentAudioReceived(received_at_s))
        self._last_audio_s = received_at_s
        self._forget_settling()
        clip = Clip(samples, self._decoder.format.rate_hz, Source.AGENT, received_at_s)
        self._given = self._speaker.play(clip)
        if self._drained.is_set():
            self._drained.clear()
            self._first = clip
            self._way_was_free = self._heard_clips == self._given - 1

    def next_turn(self) -> None:
        """A transcript came: sound without an id is another turn's from here on."""
        if self._turn_id is None:
            self._decoder.restart()

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
                await self.drained()
                quiet_s = loop_now_s() - max(since_s, self._heard_s, self._last_audio_s)
                if quiet_s >= FAREWELL_QUIET_S:
                    break
                await asyncio.wait({ended}, timeout=FAREWELL_QUIET_S - quiet_s)
        finally:
            ended.cancel()
        await self.drained()

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
        if clip is not self._first:
            return
        self._first, self._sounding = None, True
        # A latency only where nothing else had to be heard first.
        if self._way_was_free:
            self._measures.wire_to_speaker.add((began.heard_at_s - clip.received_at_s) * 1000)
        self._observe(moments.AgentHeard(began.heard_at_s))
        self._post(Event.AGENT_STARTED)

    def _settle(self, at_s: float) -> None:
        """Everything given was heard; more may still come."""
        left_s = 0.0 if self._final else self._last_audio_s + SETTLE_S - loop_now_s()
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
        self._speaker.flush(Source.AGENT)
        self._first = None
        self._sounding = False
        self._final = True
        self._forget_settling()
        self._drained.set()

    def _forget_settling(self) -> None:
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None
