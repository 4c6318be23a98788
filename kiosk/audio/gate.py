"""The gate: which chunks are speech, and which may be replaced by digital silence. Pure.

It decides, it does not cut: the uplink, which knows what was sent, acts on the verdicts. In doubt
the gate stays open, because a lost word is worse than noise sent.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from kiosk.audio.pcm import CHUNK_MS, INTERNAL_RATE_HZ, Samples, samples_to_bytes

SpeechDetector = Callable[[Samples], bool]


class Edge(Enum):
    """What changed with a chunk."""

    SPEECH_STARTED = auto()
    SPEECH_ENDED = auto()


@dataclass(frozen=True, slots=True)
class Verdict:
    """About one chunk. `passes`: its own sound goes out; otherwise silence may stand for it."""

    speech: bool
    passes: bool
    edge: Edge | None = None


@dataclass(frozen=True, slots=True)
class GateSettings:
    """Times in milliseconds.

    The defaults are measured (pink and babble noise at 0 to 20 dB, synthetic and human speech):
    60 of the last 100 ms opens after 60 to 140 ms without a false opening below -34 dBFS of noise.
    """

    onset_ms: int = 60
    onset_window_ms: int = 100
    hangover_ms: int = 600
    # A server that ends turns by listening needs to hear the room fall quiet: with a tail of
    # 0.3 s of zeros some turns never ended, with 1.5 s of real sound they did.
    room_tone_ms: int = 1500
    zero_non_speech: bool = True


class Gate:
    """Feed it every 20 ms chunk of 16 kHz sound, in order."""

    def __init__(self, settings: GateSettings, detector: SpeechDetector) -> None:
        self._settings = settings
        self._detector = detector
        self.reset()

    def reset(self) -> None:
        """Start over, as at the beginning of a visit: closed, with the room's own sound passing."""
        self._recent: deque[bool] = deque(maxlen=self._settings.onset_window_ms // CHUNK_MS)
        self._speech = False
        self._quiet_ms = 0

    def push(self, chunk: Samples) -> Verdict:
        voiced = self._detector(chunk)
        self._recent.append(voiced)
        self._quiet_ms = 0 if voiced else self._quiet_ms + CHUNK_MS
        edge = None
        if not self._speech and sum(self._recent) * CHUNK_MS >= self._settings.onset_ms:
            self._speech, edge = True, Edge.SPEECH_STARTED
        elif self._speech and self._quiet_ms >= self._settings.hangover_ms:
            self._speech, edge = False, Edge.SPEECH_ENDED
            self._recent.clear()
        passes = (
            self._speech
            or not self._settings.zero_non_speech
            or self._quiet_ms <= self._settings.hangover_ms + self._settings.room_tone_ms
        )
        return Verdict(self._speech, passes, edge)


def webrtc_detector(aggressiveness: int = 3) -> SpeechDetector:
    """WebRTC's voice activity detector, 0 (lenient) to 3; 2 microseconds a chunk.

    It keeps state between chunks, so every stream needs its own.
    """
    import webrtcvad

    vad = webrtcvad.Vad(aggressiveness)

    def is_speech(chunk: Samples) -> bool:
        return bool(vad.is_speech(samples_to_bytes(chunk), INTERNAL_RATE_HZ))

    return is_speech
