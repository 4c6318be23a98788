"""The first sentence after a start, when the canceller does not know the room yet: in the demo's
hall, the echo as loud as a visitor."""

import pytest

from kiosk.audio.echo import REFERENCE_LEAD_S, EchoCanceller
from kiosk.audio.gate import Edge
from kiosk.audio.linear_echo import BLOCK
from kiosk.audio.pcm import INTERNAL_RATE_HZ, Samples, silence
from kiosk.audio.resample import resample
from kiosk.lab.demo.commands import hall
from tests.bench.gate_sweep import new_gate
from tests.bench.rooms import agent_speech

BEFORE_S = 0.5
SENTENCE_S = 4
# Where the sound's first sample lies in a chunk, in samples.
PHASES = range(0, BLOCK, BLOCK // 5)


def openings(mic: Samples, far: Samples) -> list[float]:
    """When the gate took the sound for somebody's voice, in seconds."""
    canceller, gate = EchoCanceller(), new_gate()
    opened = []
    for at in range(0, len(mic) - BLOCK, BLOCK):
        heard = canceller.push(mic[at : at + BLOCK], far[at : at + BLOCK])
        verdict = gate.push(heard.judged, learn=not heard.agent_sounds)
        if verdict.edge is Edge.SPEECH_STARTED:
            opened.append(at / INTERNAL_RATE_HZ)
    return opened


@pytest.mark.parametrize("sentence", range(4))
def test_nobody_is_heard_in_the_agents_first_sentence(sentence: int) -> None:
    room = hall()
    said = agent_speech(16)[sentence * SENTENCE_S * INTERNAL_RATE_HZ :]
    said = said[: SENTENCE_S * INTERNAL_RATE_HZ]
    start = room.rate_hz
    room.play(
        start + round(BEFORE_S * room.rate_hz), resample(said, INTERNAL_RATE_HZ, room.rate_hz)
    )
    seconds = SENTENCE_S + 1
    mic = resample(room.capture(start, seconds * room.rate_hz), room.rate_hz, INTERNAL_RATE_HZ)
    far = silence(seconds * INTERNAL_RATE_HZ)
    first = round((BEFORE_S - REFERENCE_LEAD_S) * INTERNAL_RATE_HZ)
    far[first : first + len(said)] = said
    assert [openings(mic[at:], far[at:]) for at in PHASES] == [[]] * len(PHASES)
