"""Sentences that give way to a visitor, and those that are owed."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kiosk.devices.ports import Clip, Source
from kiosk.visit.announcer import Announcer
from kiosk.visit.speech import Voice
from tests.unit.fakes import LoopSpeaker
from tests.unit.visit.test_announcer import SENTENCE_S, SHORT_S, recorded_voice
from tests.virtual_time import virtual_time


@dataclass
class Kiosk:
    """The loudspeaker's side of a visit."""

    voice: Voice
    speaker: LoopSpeaker = field(default_factory=LoopSpeaker)

    def __post_init__(self) -> None:
        self.announcer = Announcer(self.speaker, self.voice, lambda _: None)
        self.speaker.tell(self.announcer.on_speaker)

    def agent_says(self, seconds: float) -> None:
        samples = np.zeros(round(seconds * 16_000), dtype=np.int16)
        self.speaker.play(Clip(samples, 16_000, Source.AGENT))

    async def silence(self) -> None:
        await asyncio.sleep(60)
        assert not self.announcer.busy

    @property
    def sentences(self) -> list[float]:
        """How long each sentence sounded."""
        heard = [seconds for clip, seconds in self.speaker.heard if clip.source is Source.SPEECH]
        return [round(seconds, 3) for seconds in heard]


@virtual_time
async def test_the_kiosk_stops_and_says_the_disclosures_short_form_in_the_pause(
    tmp_path: Path,
) -> None:
    kiosk = Kiosk(await recorded_voice(tmp_path))
    kiosk.announcer.say("disclosure")
    await asyncio.sleep(0.5)
    kiosk.announcer.give_way()
    await asyncio.sleep(3)
    assert kiosk.sentences == [0.5]
    assert not kiosk.announcer.busy
    kiosk.announcer.resume()
    await kiosk.silence()
    assert kiosk.sentences == [0.5, SHORT_S]
    kiosk.announcer.resume()
    await asyncio.sleep(5)
    assert kiosk.sentences == [0.5, SHORT_S]


@virtual_time
async def test_without_a_short_form_the_whole_disclosure_is_said(tmp_path: Path) -> None:
    kiosk = Kiosk(await recorded_voice(tmp_path, short=False))
    kiosk.announcer.say("disclosure")
    await asyncio.sleep(0.5)
    kiosk.announcer.give_way()
    kiosk.announcer.resume()
    await kiosk.silence()
    assert kiosk.sentences == [0.5, SENTENCE_S]


@virtual_time
async def test_the_end_of_a_turn_is_enough_to_say_what_is_owed(tmp_path: Path) -> None:
    kiosk = Kiosk(await recorded_voice(tmp_path))
    kiosk.announcer.say("warning")
    await asyncio.sleep(0.5)
    kiosk.announcer.give_way()
    kiosk.announcer.resume()
    await asyncio.sleep(5)
    assert kiosk.sentences == [0.5, SENTENCE_S]


@virtual_time
async def test_a_disclosure_interrupted_twice_is_still_owed(tmp_path: Path) -> None:
    kiosk = Kiosk(await recorded_voice(tmp_path))
    kiosk.announcer.say("disclosure")
    for _ in range(2):
        await asyncio.sleep(0.5)
        kiosk.announcer.give_way()
        await asyncio.sleep(1)
        kiosk.announcer.resume()
    await kiosk.silence()
    assert kiosk.sentences == [0.5, 0.5, SHORT_S]


@virtual_time
async def test_a_question_whether_somebody_is_there_is_answered_by_speaking(
    tmp_path: Path,
) -> None:
    kiosk = Kiosk(await recorded_voice(tmp_path))
    kiosk.announcer.say("still_there")
    await asyncio.sleep(0.5)
    kiosk.announcer.give_way()
    await asyncio.sleep(1)
    kiosk.announcer.resume()
    await asyncio.sleep(5)
    assert kiosk.sentences == [0.5]


@virtual_time
async def test_a_sentence_that_waited_behind_the_agent_is_owed_too(tmp_path: Path) -> None:
    kiosk = Kiosk(await recorded_voice(tmp_path))
    kiosk.agent_says(3)
    kiosk.announcer.say("warning")
    await asyncio.sleep(1)
    kiosk.announcer.give_way()
    await asyncio.sleep(3)
    assert kiosk.sentences == []
    kiosk.announcer.resume()
    await kiosk.silence()
    assert kiosk.sentences == [SENTENCE_S]


@virtual_time
async def test_a_disclosure_that_was_heard_out_is_not_said_again_over_the_greeting(
    tmp_path: Path,
) -> None:
    kiosk = Kiosk(await recorded_voice(tmp_path))
    kiosk.announcer.say("disclosure")
    kiosk.agent_says(5)
    await asyncio.sleep(SENTENCE_S + 1)
    kiosk.announcer.give_way()
    await asyncio.sleep(1)
    kiosk.announcer.resume()
    await kiosk.silence()
    assert kiosk.sentences == [SENTENCE_S]


@virtual_time
async def test_of_two_sentences_only_the_one_that_was_cut_is_said_again(tmp_path: Path) -> None:
    kiosk = Kiosk(await recorded_voice(tmp_path))
    kiosk.announcer.say("disclosure")
    kiosk.announcer.say("queued")
    await asyncio.sleep(SENTENCE_S + 0.5)
    kiosk.announcer.give_way()
    kiosk.announcer.resume()
    await kiosk.silence()
    assert kiosk.sentences == [SENTENCE_S, 0.5, SENTENCE_S]


@virtual_time
async def test_who_is_admitted_is_not_told_to_wait(tmp_path: Path) -> None:
    kiosk = Kiosk(await recorded_voice(tmp_path))
    kiosk.announcer.say("queued")
    await asyncio.sleep(0.5)
    kiosk.announcer.give_way()
    kiosk.announcer.forget("queued")
    kiosk.announcer.resume()
    await asyncio.sleep(5)
    assert kiosk.sentences == [0.5]


@virtual_time
async def test_nothing_is_owed_to_a_visitor_who_has_gone(tmp_path: Path) -> None:
    kiosk = Kiosk(await recorded_voice(tmp_path))
    kiosk.announcer.say("disclosure")
    await asyncio.sleep(0.5)
    kiosk.announcer.give_way()
    kiosk.announcer.forget()
    kiosk.announcer.resume()
    kiosk.announcer.resume()
    await asyncio.sleep(5)
    assert kiosk.sentences == [0.5]


@virtual_time
async def test_the_goodbye_is_said_to_its_end_when_the_visit_is_over(tmp_path: Path) -> None:
    kiosk = Kiosk(await recorded_voice(tmp_path))
    kiosk.announcer.say("goodbye")
    kiosk.announcer.forget()
    await kiosk.silence()
    assert kiosk.sentences == [SENTENCE_S]
