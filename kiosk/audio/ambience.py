"""Ambience in the agent's sound: which of it is speech, and which is only a background. Pure."""

from collections.abc import Callable

from kiosk.audio.capture import CHUNK_SAMPLES
from kiosk.audio.gate import GateSettings, kiosk_gate
from kiosk.audio.pcm import INTERNAL_RATE_HZ, Rechunker, Samples
from kiosk.audio.resample import Resampler

# For sound of the given rate: whether a voice is in a piece of it. Given every piece, in order.
Ear = Callable[[int], Callable[[Samples], bool]]


def speech_ear(rate_hz: int) -> Callable[[Samples], bool]:
    """The ear of a visitor's gate: what it would not call speech is none, be it as loud as it is.

    It needs up to ten seconds to know a loud background. Murmuring people are a voice to it. Takes
    1.5 ms for a second of sound.
    """
    gate = kiosk_gate(GateSettings(both=True))
    resampler = Resampler(rate_hz, INTERNAL_RATE_HZ)
    rechunker = Rechunker(CHUNK_SAMPLES)
    speech = False

    def has_voice(samples: Samples) -> bool:
        nonlocal speech
        heard = speech
        for chunk in rechunker.push(resampler.push(samples)):
            speech = gate.push(chunk).speech
            heard |= speech
        return heard

    return has_voice
