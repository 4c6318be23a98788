import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from kiosk.devices.ports import Clip, Source
from kiosk.visit.announcer import Announcer
from kiosk.visit.barge_in import BargeIn
from kiosk.visit.speech import Voice
from kiosk.visit.states import Event, State
from kiosk.visit.timeline import Moment, What
from tests.unit.fakes import LoopSpeaker
from tests.unit.visit.test_announcer import SENTENCE_S, recorded_voice
from tests.virtual_time import virtual_time

DUCK_S = 0.8


@dataclass
class Kiosk:
    """The loudspeaker's side of a visit."""

    voice: Voice
    speaker: LoopSpeaker = field(default_factory=LoopSpeaker)
    moments: list[Moment] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.announcer = Announcer(self.speaker, self.voice, self.moments.append)
        self.speaker.tell(self.announcer.on_speaker)
        self.barge_in = BargeIn(self.speaker, self.announcer, DUCK_S, self.moments.append)
        self.loop = asyncio.get_running_loop()

    def speak(self, *, over_the_agent: bool = False) -> None:
        self.barge_in.heard(Event.SPEECH_STARTED, agent_speaks=over_the_agent)

    def fall_silent(self, *, over_the_agent: bool = False) -> None:
        self.barge_in.heard(Event.SPEECH_ENDED, agent_speaks=over_the_agent)

    def agent_says(self, seconds: float) -> None:
        samples = np.zeros(round(seconds * 16_000), dtype=np.int16)
        self.speaker.play(Clip(samples, 16_000, Source.AGENT))

    @property
    def ducked(self) -> list[bool]:
        return [on for _, on in self.speaker.ducked]

    @property
    def sentences(self) -> list[float]:
        """How long each sentence sounded."""
        heard = [seconds for clip, seconds in self.speaker.heard if clip.source is Source.SPEECH]
        return [round(seconds, 3) for seconds in heard]


# --- the agent steps back -----------------------------------------------------------------------


@virtual_time
async def test_the_agent_steps_back_at_once_and_comes_back_if_nothing_follows(
    tmp_path: Path,
) -> None:
    kiosk = Kiosk(await recorded_voice(tmp_path))
    began_s = kiosk.loop.time()
    kiosk.speak(over_the_agent=True)
    assert kiosk.speaker.ducked == [(began_s, True)]
    await asyncio.sleep(5)
    assert kiosk.ducked == [True, False]
    assert kiosk.speaker.ducked[1][0] - began_s == pytest.approx(DUCK_S)
    assert [moment.what for moment in kiosk.moments] == [What.DUCKED]


@virtual_time
async def test_whoever_speaks_again_keeps_the_agent_soft_for_longer(tmp_path: Path) -> None:
    kiosk = Kiosk(await recorded_voice(tmp_path))
    began_s = kiosk.loop.time()
    kiosk.speak(over_the_agent=True)
    await asyncio.sleep(0.5)
    kiosk.fall_silent(over_the_agent=True)
    kiosk.speak(over_the_agent=True)
    await asyncio.sleep(5)
    [(restored_s, _)] = [each for each in kiosk.speaker.ducked if not each[1]]
    assert restored_s - began_s == pytest.approx(0.5 + DUCK_S)


@pytest.mark.parametrize("state", [State.LISTENING, State.THINKING, State.CLOSING])
@virtual_time
async def test_the_loudspeaker_is_restored_at_once_when_the_visit_goes_on(
    tmp_path: Path, state: State
) -> None:
    kiosk = Kiosk(await recorded_voice(tmp_path))
    kiosk.speak(over_the_agent=True)
    await asyncio.sleep(0.1)
    kiosk.barge_in.entered(state)
    assert kiosk.ducked == [True, False]
    await asyncio.sleep(5)
    assert kiosk.ducked == [True, False]


@virtual_time
async def test_nobody_is_ducked_who_does_not_speak(tmp_path: Path) -> None:
    kiosk = Kiosk(await recorded_voice(tmp_path))
    kiosk.speak()
    kiosk.fall_silent()
    for state in State:
        kiosk.barge_in.entered(state)
    assert kiosk.ducked == []
    assert kiosk.moments == []


# --- the kiosk's own sentences ------------------------------------------------------------------


@virtual_time
async def test_the_kiosk_stops_and_says_the_disclosure_again_from_its_beginning(
    tmp_path: Path,
) -> None:
    kiosk = Kiosk(await recorded_voice(tmp_path))
    kiosk.announcer.say("disclosure")
    await asyncio.sleep(0.5)
    kiosk.speak()
    assert kiosk.ducked == [True]
    await asyncio.sleep(3)
    assert kiosk.sentences == [0.5]
    assert not kiosk.announcer.busy
    kiosk.fall_silent()
    await kiosk.announcer.finished()
    assert kiosk.sentences == [0.5, SENTENCE_S]
    kiosk.barge_in.entered(State.THINKING)
    await asyncio.sleep(5)
    assert kiosk.sentences == [0.5, SENTENCE_S]


@virtual_time
async def test_the_end_of_a_turn_is_enough_to_say_what_is_owed(tmp_path: Path) -> None:
    kiosk = Kiosk(await recorded_voice(tmp_path))
    kiosk.announcer.say("warning")
    await asyncio.sleep(0.5)
    kiosk.speak()
    kiosk.barge_in.entered(State.THINKING)
    await asyncio.sleep(5)
    assert kiosk.sentences == [0.5, SENTENCE_S]


@virtual_time
async def test_a_disclosure_interrupted_twice_is_still_owed(tmp_path: Path) -> None:
    kiosk = Kiosk(await recorded_voice(tmp_path))
    kiosk.announcer.say("disclosure")
    for _ in range(2):
        await asyncio.sleep(0.5)
        kiosk.speak()
        await asyncio.sleep(1)
        kiosk.fall_silent()
    await kiosk.announcer.finished()
    assert kiosk.sentences == [0.5, 0.5, SENTENCE_S]


@virtual_time
async def test_a_question_whether_somebody_is_there_is_answered_by_speaking(
    tmp_path: Path,
) -> None:
    kiosk = Kiosk(await recorded_voice(tmp_path))
    kiosk.announcer.say("still_there")
    await asyncio.sleep(0.5)
    kiosk.speak()
    await asyncio.sleep(1)
    kiosk.fall_silent()
    await asyncio.sleep(5)
    assert kiosk.sentences == [0.5]


@virtual_time
async def test_a_sentence_that_waited_behind_the_agent_is_owed_too(tmp_path: Path) -> None:
    kiosk = Kiosk(await recorded_voice(tmp_path))
    kiosk.agent_says(3)
    kiosk.announcer.say("warning")
    await asyncio.sleep(1)
    kiosk.speak(over_the_agent=True)
    await asyncio.sleep(3)
    assert kiosk.sentences == []
    kiosk.fall_silent()
    await kiosk.announcer.finished()
    assert kiosk.sentences == [SENTENCE_S]


@virtual_time
async def test_a_disclosure_that_was_heard_out_is_not_said_again_over_the_greeting(
    tmp_path: Path,
) -> None:
    kiosk = Kiosk(await recorded_voice(tmp_path))
    kiosk.announcer.say("disclosure")
    kiosk.agent_says(5)
    await asyncio.sleep(SENTENCE_S + 1)
    kiosk.speak(over_the_agent=True)
    await asyncio.sleep(1)
    kiosk.fall_silent(over_the_agent=True)
    await kiosk.announcer.finished()
    assert kiosk.sentences == [SENTENCE_S]


@virtual_time
async def test_of_two_sentences_only_the_one_that_was_cut_is_said_again(tmp_path: Path) -> None:
    kiosk = Kiosk(await recorded_voice(tmp_path))
    kiosk.announcer.say("disclosure")
    kiosk.announcer.say("queued")
    await asyncio.sleep(SENTENCE_S + 0.5)
    kiosk.speak()
    kiosk.fall_silent()
    await kiosk.announcer.finished()
    assert kiosk.sentences == [SENTENCE_S, 0.5, SENTENCE_S]


@virtual_time
async def test_who_is_admitted_is_not_told_to_wait(tmp_path: Path) -> None:
    kiosk = Kiosk(await recorded_voice(tmp_path))
    kiosk.announcer.say("queued")
    await asyncio.sleep(0.5)
    kiosk.speak()
    kiosk.barge_in.entered(State.LISTENING)
    kiosk.fall_silent()
    await asyncio.sleep(5)
    assert kiosk.sentences == [0.5]


@pytest.mark.parametrize("state", [State.CLOSING, State.IDLE])
@virtual_time
async def test_nothing_is_owed_to_a_visitor_who_has_gone(tmp_path: Path, state: State) -> None:
    kiosk = Kiosk(await recorded_voice(tmp_path))
    kiosk.announcer.say("disclosure")
    await asyncio.sleep(0.5)
    kiosk.speak()
    kiosk.barge_in.entered(state)
    kiosk.fall_silent()
    kiosk.barge_in.entered(State.THINKING)
    await asyncio.sleep(5)
    assert kiosk.sentences == [0.5]


@virtual_time
async def test_the_goodbye_is_said_to_its_end_when_the_visit_is_over(tmp_path: Path) -> None:
    kiosk = Kiosk(await recorded_voice(tmp_path))
    kiosk.announcer.say("goodbye")
    kiosk.barge_in.entered(State.CLOSING)
    kiosk.barge_in.entered(State.IDLE)
    await kiosk.announcer.finished()
    assert kiosk.sentences == [SENTENCE_S]
