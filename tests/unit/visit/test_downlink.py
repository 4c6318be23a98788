"""What the visitor hears of the agent. The loudspeaker plays on the loop's clock; the moments at
which audio arrives are given."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from kiosk.audio.ambience import Ear
from kiosk.audio.pcm import FORMATS, PCM_16000, Samples, samples_to_bytes
from kiosk.base.clock import loop_now_s
from kiosk.convai.server_messages import AgentAudio
from kiosk.devices.ports import Began, Clip, Source
from kiosk.measures import Measures
from kiosk.moments import Moment, What
from kiosk.visit.downlink import BACKGROUND_S, FAREWELL_QUIET_S, SETTLE_S, Downlink
from kiosk.visit.states import Event
from kiosk.visit.turn_memory import TurnMemory
from tests.unit.fakes import LoopSpeaker, hears_all
from tests.virtual_time import virtual_time


@dataclass
class Side:
    """The agent's side of a visit, with everything it reports."""

    speaker: LoopSpeaker = field(default_factory=LoopSpeaker)
    posted: list[Event] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    measures: Measures = field(default_factory=Measures)
    memory: TurnMemory = field(default_factory=TurnMemory)
    ear: Ear = hears_all

    def __post_init__(self) -> None:
        self.downlink = Downlink(
            self.speaker,
            self.posted.append,
            self.measures,
            self.moments.append,
            self.memory,
            self.ear,
        )
        self.speaker.tell(self.downlink.on_speaker)

    def agent(
        self, seconds: float, *, is_final: bool = False, ago_s: float = 0.0, level: int = 0
    ) -> None:
        """The agent's audio, received this long ago."""
        data = bytes((level, 0)) * round(seconds * 16_000)
        self.downlink.audio(AgentAudio(data, None, is_final), loop_now_s() - ago_s)

    @property
    def observed(self) -> list[What]:
        return [moment.what for moment in self.moments]

    @property
    def heard_s(self) -> float:
        return self.speaker.seconds_of(Source.AGENT)

    def heard_bytes(self, after_clips: int = 0) -> bytes:
        return b"".join(
            samples_to_bytes(clip.samples) for clip, _ in self.speaker.heard[after_clips:]
        )


@virtual_time
async def test_a_turn_begins_when_it_is_heard_and_ends_with_its_last_sample() -> None:
    side = Side()
    side.agent(1)
    side.agent(1, is_final=True)
    assert side.posted == []  # received is not heard
    await asyncio.sleep(0.1)
    assert side.posted == [Event.AGENT_STARTED]
    await asyncio.sleep(1.8)
    assert side.posted == [Event.AGENT_STARTED]
    await asyncio.sleep(0.2)
    assert side.posted == [Event.AGENT_STARTED, Event.DRAINED]
    assert side.observed == [What.AUDIO_RECEIVED, What.AGENT_HEARD, What.DRAINED]
    assert side.heard_s == pytest.approx(2)


@virtual_time
async def test_without_the_word_that_it_was_the_last_600_ms_are_waited() -> None:
    side = Side()
    side.agent(1)
    await asyncio.sleep(0.9)
    side.agent(0.1)  # heard out 200 ms after it came
    await asyncio.sleep(0.5)
    assert side.posted == [Event.AGENT_STARTED]
    await asyncio.sleep(0.2)
    assert side.posted == [Event.AGENT_STARTED, Event.DRAINED]


@virtual_time
async def test_the_600_ms_count_from_the_last_audio_received() -> None:
    side = Side()
    side.agent(1, ago_s=SETTLE_S - 1.2)
    await asyncio.sleep(1.1)
    assert side.posted == [Event.AGENT_STARTED]
    await asyncio.sleep(0.2)
    assert side.posted == [Event.AGENT_STARTED, Event.DRAINED]


@virtual_time
async def test_a_gap_inside_a_turn_is_no_end() -> None:
    side = Side()
    side.agent(0.4)
    await asyncio.sleep(0.55)
    side.agent(1, is_final=True)
    await asyncio.sleep(0.9)
    assert side.posted == [Event.AGENT_STARTED]
    await asyncio.sleep(0.2)
    assert side.posted == [Event.AGENT_STARTED, Event.DRAINED]
    assert side.observed.count(What.AGENT_HEARD) == 1
    [gap] = [moment for moment in side.moments if moment.what is What.GAP]
    assert gap.fields == {"gap_ms": 150}


@virtual_time
async def test_between_turns_and_after_an_interruption_there_is_no_gap() -> None:
    side = Side()
    side.agent(0.4, is_final=True)
    await asyncio.sleep(0.55)
    side.agent(0.4)
    await asyncio.sleep(0.5)
    side.downlink.interrupt()
    side.agent(0.4)
    await asyncio.sleep(4)
    side.agent(0.4)  # long after the last one was over
    assert What.GAP not in side.observed


@virtual_time
async def test_two_turns_begin_and_end_each() -> None:
    side = Side()
    for _ in range(2):
        side.agent(1, is_final=True)
        await asyncio.sleep(2)
    assert side.posted == [Event.AGENT_STARTED, Event.DRAINED] * 2


@virtual_time
async def test_an_empty_last_frame_ends_the_turn() -> None:
    side = Side()
    side.agent(1)
    side.agent(0, is_final=True)
    await asyncio.sleep(1.1)
    assert side.posted == [Event.AGENT_STARTED, Event.DRAINED]


@virtual_time
async def test_an_interruption_silences_at_once() -> None:
    side = Side()
    side.agent(5, is_final=True)
    await asyncio.sleep(1)
    side.downlink.interrupt()
    await asyncio.sleep(10)
    assert side.heard_s == pytest.approx(1)
    assert side.posted == [Event.AGENT_STARTED, Event.INTERRUPTED]
    assert side.observed[-2:] == [What.INTERRUPTED, What.SILENT]


@virtual_time
async def test_the_late_report_of_a_silenced_clip_is_ignored() -> None:
    side = Side()
    silenced = Clip(np.zeros(160, dtype=np.int16), 16_000, Source.AGENT, loop_now_s())
    side.agent(1)
    side.downlink.interrupt()
    side.downlink.on_speaker(Began(silenced, loop_now_s()))
    await asyncio.sleep(5)
    assert Event.AGENT_STARTED not in side.posted
    side.agent(1, is_final=True)  # the next turn is heard again
    await asyncio.sleep(2)
    assert side.posted == [Event.INTERRUPTED, Event.AGENT_STARTED, Event.DRAINED]


@virtual_time
async def test_what_the_kiosk_says_itself_is_not_the_agent() -> None:
    side = Side()
    side.speaker.play(Clip(np.zeros(16_000, dtype=np.int16), 16_000, Source.SPEECH))
    await asyncio.sleep(2)
    assert side.posted == []
    side.speaker.play(Clip(np.zeros(16_000, dtype=np.int16), 16_000, Source.SPEECH))
    side.downlink.interrupt()
    await asyncio.sleep(2)
    assert side.speaker.seconds_of(Source.SPEECH) == pytest.approx(2)


@virtual_time
async def test_waiting_for_the_end_waits_for_the_last_sample() -> None:
    side = Side()
    loop = asyncio.get_running_loop()
    side.agent(3, is_final=True)
    started_s = loop.time()
    await side.downlink.drained()
    assert loop.time() - started_s == pytest.approx(3, abs=0.01)


@virtual_time
async def test_when_nothing_was_said_there_is_nothing_to_wait_for() -> None:
    side = Side()
    await asyncio.wait_for(side.downlink.drained(), 0.1)
    side.agent(0, is_final=True)
    await asyncio.wait_for(side.downlink.drained(), 0.1)
    assert side.observed == []


@pytest.mark.parametrize("silence", ["stop", "interrupt"])
@virtual_time
async def test_silencing_ends_the_wait_for_the_end(silence: str) -> None:
    side = Side()
    side.agent(30)
    waiting = asyncio.create_task(side.downlink.drained())
    await asyncio.sleep(1)
    getattr(side.downlink, silence)()
    await asyncio.wait_for(waiting, 0.1)


@virtual_time
async def test_stopping_forgets_that_an_end_was_awaited() -> None:
    side = Side()
    side.agent(0.4)
    await asyncio.sleep(0.5)  # heard, and more may come
    side.downlink.stop()
    await asyncio.sleep(5)
    assert side.posted == [Event.AGENT_STARTED]


@virtual_time
async def test_the_next_conversation_may_have_another_format() -> None:
    side = Side()
    side.downlink.begin(FORMATS["ulaw_8000"])
    side.downlink.audio(AgentAudio(b"\xff" * 8000, 1, True), loop_now_s())
    await asyncio.sleep(2)
    assert side.heard_s == pytest.approx(1)
    side.downlink.begin(PCM_16000)
    side.agent(1, is_final=True)
    await asyncio.sleep(2)
    assert side.heard_s == pytest.approx(2)


def tone_bytes(seconds: float) -> bytes:
    wave = 3000 * np.sin(np.arange(round(seconds * 16_000)) * 2 * np.pi * 440 / 16_000)
    return np.round(wave).astype("<i2").tobytes()


@pytest.mark.parametrize("ids", [(5, 5, 5), (None, None, None)])
@virtual_time
async def test_samples_cut_in_two_between_chunks_are_joined(ids: tuple[int | None, ...]) -> None:
    side, data = Side(), tone_bytes(0.5)
    for at, event_id in zip((0, 1001, 2003), ids, strict=True):
        piece = data[at : {0: 1001, 1001: 2003}.get(at)]
        side.downlink.audio(AgentAudio(piece, event_id, False), loop_now_s())
    await asyncio.sleep(2)
    assert side.heard_bytes() == data


@pytest.mark.parametrize("event_id", [5, None])
@virtual_time
async def test_samples_cut_in_two_are_joined_after_a_pause_too(event_id: int | None) -> None:
    side, data = Side(), tone_bytes(0.5)
    side.downlink.audio(AgentAudio(data[:3201], event_id), loop_now_s() - 1)
    await asyncio.sleep(2)
    assert Event.DRAINED in side.posted
    side.downlink.audio(AgentAudio(data[3201:], event_id), loop_now_s())
    await asyncio.sleep(2)
    assert side.heard_bytes() == data


@virtual_time
async def test_half_a_sample_does_not_spoil_the_turn_after_the_next_transcript() -> None:
    side, data = Side(), tone_bytes(0.1)
    side.downlink.audio(AgentAudio(b"\1" * 3, None), loop_now_s())
    side.downlink.next_turn()
    side.downlink.audio(AgentAudio(data, None), loop_now_s())
    await asyncio.sleep(2)
    assert side.heard_bytes(after_clips=1) == data


@pytest.mark.parametrize(
    ("first", "next_id"), [(AgentAudio(b"\1" * 3, 5), 6), (AgentAudio(b"\1" * 3, None, True), None)]
)
@virtual_time
async def test_half_a_sample_at_the_end_of_a_turn_does_not_spoil_the_next(
    first: AgentAudio, next_id: int | None
) -> None:
    side, data = Side(), tone_bytes(0.1)
    side.downlink.audio(first, loop_now_s())
    side.downlink.audio(AgentAudio(data, next_id), loop_now_s())
    await asyncio.sleep(2)
    assert side.heard_bytes(after_clips=1) == data


@virtual_time
async def test_half_a_sample_of_what_was_silenced_does_not_spoil_what_follows() -> None:
    side, data = Side(), tone_bytes(0.1)
    side.downlink.audio(AgentAudio(b"\1" * 3, None), loop_now_s())
    side.downlink.interrupt()
    side.downlink.audio(AgentAudio(data, None), loop_now_s())
    await asyncio.sleep(2)
    assert side.heard_bytes(after_clips=1) == data


@virtual_time
async def test_latency_is_measured_only_where_the_way_was_free() -> None:
    side = Side()
    side.speaker.play(Clip(np.zeros(16_000, dtype=np.int16), 16_000, Source.SPEECH))
    side.agent(1, is_final=True)  # has to wait for the kiosk's own sentence
    await asyncio.sleep(3)
    assert side.measures.wire_to_speaker.percentile(50) is None
    side.agent(1, is_final=True)
    await asyncio.sleep(2)
    assert side.measures.wire_to_speaker.percentile(50) is not None


# --- the agent's last word ----------------------------------------------------------------------


async def never() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("late_s", [0.5, 1.5, 2.8])
@virtual_time
async def test_a_farewell_that_begins_late_is_heard_to_its_end(late_s: float) -> None:
    side = Side()
    hearing = asyncio.create_task(side.downlink.heard_out(never))
    await asyncio.sleep(late_s)
    side.agent(1.5)
    await hearing
    assert side.heard_s == pytest.approx(1.5)


@pytest.mark.parametrize("gap_s", [0.5, 0.8, 1.5, 2.5])
@virtual_time
async def test_a_gap_in_a_farewell_does_not_end_it(gap_s: float) -> None:
    side = Side()
    hearing = asyncio.create_task(side.downlink.heard_out(never))
    for _ in range(3):
        side.agent(0.3)
        await asyncio.sleep(0.3 + gap_s)
    await hearing
    assert side.heard_s == pytest.approx(0.9)


@virtual_time
async def test_a_farewell_ends_when_the_server_has_closed_and_all_is_heard() -> None:
    side = Side()
    closed = asyncio.Event()

    async def over() -> None:
        await closed.wait()

    hearing = asyncio.create_task(side.downlink.heard_out(over))
    side.agent(2.0)
    closed.set()
    began_s = loop_now_s()
    await hearing
    assert side.heard_s == pytest.approx(2.0)
    assert loop_now_s() - began_s == pytest.approx(2.0, abs=SETTLE_S + 0.1)


@virtual_time
async def test_a_server_that_does_not_close_is_left_after_seconds_without_sound() -> None:
    side = Side()
    side.agent(1.0)
    began_s = loop_now_s()
    await side.downlink.heard_out(never)
    assert loop_now_s() - began_s == pytest.approx(1.0 + FAREWELL_QUIET_S, abs=0.1)


@virtual_time
async def test_an_interruption_that_comes_twice_leaves_what_the_first_one_cut() -> None:
    side = Side()
    side.agent(4.0)
    await asyncio.sleep(1.0)
    side.downlink.interrupt()
    await asyncio.sleep(0.1)
    side.downlink.interrupt()
    rest = side.downlink.go_on()
    assert rest.samples is not None
    assert len(rest.samples) / 16_000 == pytest.approx(3.0, abs=1.05)


@virtual_time
async def test_nothing_that_was_said_is_kept_after_the_visit() -> None:
    side = Side()
    side.agent(1.0)
    await asyncio.sleep(2.0)
    side.downlink.forget()
    assert not [
        value for value in vars(side.downlink).values() if isinstance(value, list) and value
    ]


@virtual_time
async def test_a_turn_that_was_spoken_needs_no_settling() -> None:
    side = Side()
    side.agent(1.0)
    await asyncio.sleep(0.9)
    side.agent(0.2)
    await asyncio.sleep(0.35)
    assert side.posted == [Event.AGENT_STARTED]
    side.downlink.complete(None)
    assert side.posted == [Event.AGENT_STARTED, Event.DRAINED]


@virtual_time
async def test_the_word_that_another_turn_was_spoken_ends_nothing() -> None:
    side = Side()
    side.agent(1.0)
    side.downlink.complete(7)
    await asyncio.sleep(0.9)
    side.agent(0.2)
    await asyncio.sleep(0.35)
    assert side.posted == [Event.AGENT_STARTED]


@virtual_time
async def test_a_new_conversation_leaves_what_the_last_one_said_to_be_heard() -> None:
    side = Side()
    side.agent(2.0)
    await asyncio.sleep(0.5)
    side.downlink.begin(PCM_16000)
    await asyncio.sleep(2.0)
    assert side.heard_s == pytest.approx(2.0)
    assert side.posted == [Event.AGENT_STARTED, Event.DRAINED]


# --- a background that never ends -----------------------------------------------------------------

_VOICE, _MURMUR = 99, 1


def hears_loud(_rate_hz: int) -> Callable[[Samples], bool]:
    return lambda samples: bool((np.abs(samples) >= _VOICE).any())


async def _background(side: Side, seconds: int, level: int = _MURMUR) -> None:
    for _ in range(seconds):
        side.agent(1, level=level)
        await asyncio.sleep(1)


@virtual_time
async def test_sound_that_goes_on_without_a_voice_is_no_turn() -> None:
    side = Side(ear=hears_loud)
    side.agent(2, level=_VOICE)
    await asyncio.sleep(1)
    await _background(side, 60)
    assert side.posted == [Event.AGENT_STARTED, Event.DRAINED]
    drained = [m.at_s for m in side.moments if m.what is What.DRAINED]
    began = [m.at_s for m in side.moments if m.what is What.AGENT_HEARD]
    assert drained[0] - began[0] == pytest.approx(2.0)  # when the voice ended
    await asyncio.sleep(2)
    assert side.heard_s == pytest.approx(62)  # and all of it is played


@virtual_time
async def test_a_voice_over_the_background_is_a_turn_again() -> None:
    side = Side(ear=hears_loud)
    side.agent(2, level=_VOICE)
    await asyncio.sleep(1)
    await _background(side, 10)
    side.agent(1, level=_VOICE)
    await asyncio.sleep(1.5)
    assert side.posted == [Event.AGENT_STARTED, Event.DRAINED, Event.AGENT_STARTED]
    await _background(side, 10)
    assert side.posted[3:] == [Event.DRAINED]


@virtual_time
async def test_a_pause_in_a_turn_is_no_background() -> None:
    side = Side(ear=hears_loud)
    side.agent(2, level=_VOICE)
    await asyncio.sleep(1)
    await _background(side, 4)
    side.agent(1, level=_VOICE, is_final=True)
    await asyncio.sleep(2.5)
    assert side.posted == [Event.AGENT_STARTED, Event.DRAINED]


@virtual_time
async def test_a_farewell_with_a_background_is_over_some_seconds_after_its_last_word() -> None:
    side = Side(ear=hears_loud)
    side.agent(2, level=_VOICE)
    never = asyncio.Event()

    async def over() -> None:
        await never.wait()

    async with asyncio.TaskGroup() as tasks:
        background = tasks.create_task(_background(side, 60))
        began_s = loop_now_s()
        await side.downlink.heard_out(over)
        assert loop_now_s() - began_s < 2 + BACKGROUND_S + FAREWELL_QUIET_S + 1
        background.cancel()


@virtual_time
async def test_an_interruption_silences_the_background_too() -> None:
    side = Side(ear=hears_loud)
    side.agent(2, level=_VOICE)
    await asyncio.sleep(1)
    await _background(side, 10)
    side.agent(5, level=_MURMUR)
    await asyncio.sleep(0.5)
    side.downlink.interrupt()
    heard_s = side.heard_s
    await asyncio.sleep(3)
    assert side.heard_s == pytest.approx(heard_s)


@virtual_time
async def test_an_answer_that_waits_behind_the_background_is_a_turn_of_its_own() -> None:
    side = Side(ear=hears_loud)
    for level in (_VOICE, _MURMUR, _MURMUR, _MURMUR, _MURMUR, _MURMUR, _MURMUR):
        side.agent(1, level=level)
    await asyncio.sleep(3.5)
    side.agent(2, level=_VOICE)
    side.agent(2, level=_VOICE, is_final=True)
    await asyncio.sleep(6.5)
    assert side.downlink.has_sound
    assert side.posted[-1:] == [Event.AGENT_STARTED]
    await asyncio.sleep(3)
    assert side.posted[-1:] == [Event.DRAINED]
