import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from kiosk.audio.earcons import Earcon, earcon_samples
from kiosk.audio.wav import write_wav
from kiosk.devices.ports import Clip, Source
from kiosk.moments import Moment, What
from kiosk.visit.announcer import Announcer
from kiosk.visit.inputs import OwnSound
from kiosk.visit.languages import load_language
from kiosk.visit.speech import Voice
from tests.unit.fakes import LoopSpeaker
from tests.virtual_time import virtual_time

SENTENCE_S, SHORT_S = 2.0, 0.7


async def recorded_voice(directory: Path, *, short: bool = True) -> Voice:
    """A voice whose sentences are recordings of two seconds, and which can say nothing else;
    without `short` not the short form of the disclosure either."""
    for key in load_language("en").sentences:
        seconds = SHORT_S if key == "disclosure_short" else SENTENCE_S
        recording = write_wav(np.ones(round(16_000 * seconds), dtype=np.int16), 16_000)
        if short or key != "disclosure_short":
            (directory / f"{key}.wav").write_bytes(recording)
    voice = Voice("en", "nosuchvoice", 160, directory, None)
    await voice.prepare()
    return voice


@dataclass
class Kiosk:
    """An announcer and what came out of its loudspeaker."""

    voice: Voice
    speaker: LoopSpeaker = field(default_factory=LoopSpeaker)
    moments: list[Moment] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.announcer = Announcer(self.speaker, self.voice, self.moments.append)
        self.speaker.tell(self.announcer.on_speaker)

    async def silence(self) -> None:
        """Wait until everything was heard."""
        await asyncio.sleep(60)
        assert not self.announcer.busy

    @property
    def heard(self) -> list[Source]:
        return [clip.source for clip, _ in self.speaker.heard]


@virtual_time
async def test_sentences_are_said_in_order_and_to_their_end(tmp_path: Path) -> None:
    kiosk = Kiosk(await recorded_voice(tmp_path))
    kiosk.announcer.earcon(Earcon.PRESSED)
    kiosk.announcer.say("disclosure")
    kiosk.announcer.say("goodbye")
    assert kiosk.announcer.sound == OwnSound(True, ("disclosure", "goodbye"))
    await asyncio.sleep(len(earcon_samples(Earcon.PRESSED)) / 16_000 + 2 * SENTENCE_S - 0.01)
    assert kiosk.announcer.sound == OwnSound(True, ("goodbye",))
    await asyncio.sleep(0.02)
    assert kiosk.announcer.sound == OwnSound()
    assert kiosk.heard == [Source.EARCON, Source.SPEECH, Source.SPEECH]


@virtual_time
async def test_what_is_heard_is_observed(tmp_path: Path) -> None:
    kiosk = Kiosk(await recorded_voice(tmp_path))
    kiosk.announcer.earcon(Earcon.PRESSED)
    kiosk.announcer.say("goodbye")
    await kiosk.silence()
    assert [moment.what for moment in kiosk.moments] == [What.EARCON_HEARD, What.SENTENCE_HEARD]


@virtual_time
async def test_a_sentence_nobody_could_render_is_left_out(tmp_path: Path) -> None:
    kiosk = Kiosk(await recorded_voice(tmp_path))
    kiosk.announcer.say("no such sentence")
    assert kiosk.announcer.sound == OwnSound()
    assert kiosk.heard == []


@virtual_time
async def test_the_agents_sound_is_not_the_kiosks_own(tmp_path: Path) -> None:
    kiosk = Kiosk(await recorded_voice(tmp_path))
    kiosk.speaker.play(Clip(np.zeros(16_000, dtype=np.int16), 16_000, Source.AGENT))
    assert not kiosk.announcer.busy
    await asyncio.sleep(2)
    assert kiosk.moments == []


@virtual_time
async def test_a_sentence_is_heard_when_it_was_not_cut_with_the_agent(tmp_path: Path) -> None:
    kiosk = Kiosk(await recorded_voice(tmp_path))
    kiosk.speaker.play(Clip(np.zeros(160_000, dtype=np.int16), 16_000, Source.AGENT))
    kiosk.announcer.say("warning")
    await asyncio.sleep(1)
    kiosk.speaker.flush(Source.AGENT)
    await kiosk.silence()
    assert kiosk.speaker.seconds_of(Source.SPEECH) == pytest.approx(SENTENCE_S)
