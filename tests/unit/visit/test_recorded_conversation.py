"""The recorded conversation, replayed through wire core, visit core and downlink, with the button
pressed at any moment: nothing of a cut turn is heard after the cut, and all of every later turn.

Its sound is counted: each chunk has as many samples as the recording's pace says, and the number of
its exchange in each of them.
"""

import asyncio
import json
from collections import defaultdict
from dataclasses import dataclass, field, replace
from operator import itemgetter

import numpy as np
import pytest

from kiosk.audio.pcm import FORMATS, samples_to_bytes
from kiosk.base.clock import loop_now_s
from kiosk.convai.conversation import ClientConversation, Connected
from kiosk.convai.frames import serialize
from kiosk.convai.server_messages import AgentAudio, Interruption, Metadata, UserTranscript
from kiosk.devices.ports import Began, ButtonEdge, Drained, Flushed, Source
from kiosk.measures import Measures
from kiosk.visit import effects as do
from kiosk.visit import inputs
from kiosk.visit.core import VisitCore
from kiosk.visit.downlink import Downlink
from kiosk.visit.inputs import CardUse, OwnSound
from kiosk.visit.plan import Plan
from kiosk.visit.states import HOLD, TOGGLE, TOGGLE_CUTTING, Event, State
from kiosk.visit.turn_memory import TurnMemory
from tests.agent import recording
from tests.agent.recording import Seen, recorded
from tests.bare_conversation import PLAN
from tests.unit.fakes import LoopSpeaker, hears_all
from tests.virtual_time import run_in_virtual_time

# Enough for every sample to be counted, and few enough for a conversation in a tenth of a second.
RATE_HZ = 8000
CHUNK_S = 0.9
ENDS_S = 89.6
MODES = {
    "toggle": replace(PLAN, table=TOGGLE, max_s=1000.0),
    "cutting": replace(PLAN, table=TOGGLE_CUTTING, max_s=1000.0),
    "hold": replace(PLAN, table=HOLD, held_button=True, max_s=1000.0),
}
CONVERSATION = [each for each in recorded() if each.type != recording.RESULT]


def frame(message: Seen) -> str:
    """A message as the service may have sent it."""
    match message.type:
        case recording.METADATA:
            return serialize(Metadata("conv_1", "pcm_8000", "pcm_16000"))
        case recording.SOUND:
            assert message.id is not None
            sound = np.full(round(CHUNK_S * RATE_HZ), message.id, dtype=np.int16)
            return serialize(AgentAudio(samples_to_bytes(sound), message.id))
        case recording.TRANSCRIPT:
            return serialize(UserTranscript("a question", message.id))
        case recording.INTERRUPTION:
            return serialize(Interruption(message.id))
        case recording.TEXT:
            event = {"agent_response": "an answer", "event_id": message.id}
            return json.dumps({"type": message.type, "agent_response_event": event})
    return json.dumps({"type": message.type, f"{message.type}_event": {"event_id": message.id}})


FRAMES = [(each.at_s, frame(each)) for each in CONVERSATION]
CHUNKS: dict[int, int] = defaultdict(int)
for each in CONVERSATION:
    if each.type == recording.SOUND:
        assert each.id is not None
        CHUNKS[each.id] += 1
# That one was cut by the visitor's voice in the recording itself.
CUT_LIVE = 236


@dataclass
class Kiosk:
    """A visit core with a downlink, as the host joins them; nobody but the button speaks."""

    plan: Plan
    cuts: list[tuple[float, int]] = field(default_factory=list)  # when, and the newest id then
    began: list[tuple[float, int]] = field(default_factory=list)  # of what was heard
    closed_s: float | None = None

    def __post_init__(self) -> None:
        self.speaker = LoopSpeaker()
        self.core = VisitCore(self.plan)
        self.wire = ClientConversation()
        self.newest = 0
        self.downlink = Downlink(
            self.speaker, self.post, Measures(), lambda _: None, TurnMemory(), hears_all
        )
        self.speaker.tell(self.downlink.on_speaker)
        self.speaker.tell(self._on_speaker)
        for use in CardUse:
            self.bring(inputs.CardOpened(use, "a card"))
        self.bring(inputs.LeaseAvailability(ready=True))

    def _on_speaker(self, event: Began | Drained | Flushed) -> None:
        if isinstance(event, Began):
            self.began.append((event.heard_at_s, int(event.clip.samples[0])))

    def post(self, event: Event) -> None:
        self.bring(inputs.Happened(event))

    def bring(self, happened: inputs.Input) -> None:
        for effect in self.core.handle(happened, loop_now_s()):
            match effect:
                case do.CutTurn():
                    self.wire.cut(loop_now_s())
                    self.downlink.stop()
                    self.cuts.append((loop_now_s(), self.newest))
                case do.SilenceAgent():
                    self.downlink.stop()
                    if self.core.state is State.CLOSING:
                        self.closed_s = loop_now_s()
        if self.core.kept.own_sound.busy:
            self.core.handle(OwnSound(), loop_now_s())

    def receive(self, text: str) -> None:
        for event in self.wire.receive(text, loop_now_s()):
            match event:
                case Connected():
                    self.downlink.begin(FORMATS[event.output_format])
                    self.bring(inputs.Happened(Event.CONNECTED))
                case AgentAudio():
                    self.newest = max(self.newest, event.event_id or 0)
                    self.downlink.audio(event, loop_now_s())
                case Interruption():
                    self.downlink.interrupt()
                case UserTranscript():
                    self.downlink.next_turn()

    def button(self, *, down: bool) -> None:
        self.bring(ButtonEdge(down, loop_now_s()))


async def conversation(plan: Plan, pressed_at_s: float) -> Kiosk:
    """The whole of it, with one press."""
    kiosk = Kiosk(plan)
    began_s = loop_now_s()
    kiosk.button(down=True)
    kiosk.button(down=False)
    presses = [(pressed_at_s, True), (pressed_at_s + 0.6, False)]
    for at_s, happens in sorted([*FRAMES, *presses], key=itemgetter(0)):
        await asyncio.sleep(max(0.0, began_s + at_s - loop_now_s()))
        if kiosk.closed_s is not None:
            break
        if isinstance(happens, bool):
            kiosk.button(down=happens)
        else:
            assert isinstance(happens, str)
            kiosk.receive(happens)
    await asyncio.sleep(20)
    return kiosk


def heard_s(kiosk: Kiosk) -> dict[int, float]:
    """Of each exchange."""
    heard: dict[int, float] = defaultdict(float)
    for clip, seconds in kiosk.speaker.heard:
        if clip.source is Source.AGENT:
            heard[int(clip.samples[0])] += seconds
    return heard


def check(plan: Plan, pressed_at_s: float) -> str:
    """What the press did."""
    kiosk = run_in_virtual_time(conversation(plan, pressed_at_s))
    if kiosk.closed_s is not None:
        assert all(at_s <= kiosk.closed_s for at_s, _ in kiosk.began)
        return "closes"
    heard, cut = heard_s(kiosk), {newest: cut_s for cut_s, newest in kiosk.cuts}
    for event_id, chunks in CHUNKS.items():
        if event_id in cut:
            began = [at_s for at_s, its_id in kiosk.began if its_id == event_id]
            assert all(at_s <= cut[event_id] for at_s in began)
            longest_s = max(0.0, cut[event_id] - min(began, default=cut[event_id]))
            assert heard[event_id] <= longest_s + 0.001
        elif event_id != CUT_LIVE:
            assert heard[event_id] == pytest.approx(chunks * CHUNK_S, abs=0.002), event_id
    return "cuts" if cut else "nothing"


DOES = {
    "toggle": {"closes"},
    "cutting": {"closes", "cuts"},
    "hold": {"cuts", "nothing"},
}
STEP = 8


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "first", [0, *(pytest.param(first, marks=pytest.mark.wide) for first in range(1, STEP))]
)
def test_a_press_cuts_the_turn_that_sounds_and_no_other(mode: str, first: int) -> None:
    tenths = range(first, round(10 * (ENDS_S - 1.2)), STEP)
    assert {check(MODES[mode], 1.2 + tenth / 10) for tenth in tenths} == DOES[mode]


def test_the_check_sees_a_turn_that_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClientConversation, "cut", lambda *_: None)
    with pytest.raises(AssertionError):
        check(MODES["hold"], 9.0)
