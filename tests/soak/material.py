"""What every simulated kiosk has, made once: its own voice, and what visitors say."""

from dataclasses import dataclass
from pathlib import Path

from kiosk.agent.guide import load_guide
from kiosk.agent.voice import AgentVoice as Spoken
from kiosk.audio.pcm import INTERNAL_RATE_HZ, Samples
from kiosk.visit.speech import Voice
from tests.virtual_kiosk import tones_for_sentences


@dataclass(frozen=True)
class Material:
    """`directory` is for all that is written."""

    directory: Path
    voice: Voice
    question: Samples
    goodbye: Samples


async def material(directory: Path) -> Material:
    voice = Voice("en", "en", 160, tones_for_sentences(directory), None)
    await voice.prepare()
    visitor = Spoken("en-gb")
    question = await visitor.render("where are the toilets please", INTERNAL_RATE_HZ)
    last = min(sorted(entry.sentences)[0] for entry in load_guide().entries if entry.tool)
    goodbye = await visitor.render(last, INTERNAL_RATE_HZ)
    return Material(directory, voice, question, goodbye)
