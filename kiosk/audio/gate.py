"""The gate: which chunks are speech, and which may be replaced by digital silence. Pure.

It decides, it does not cut: the uplink, which knows what was sent, acts on the verdicts. In doubt
the gate stays open, because a lost word is worse than noise sent.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from kiosk.audio.noise import RoomLeveller
from kiosk.audio.pcm import CHUNK_MS, INTERNAL_RATE_HZ, Samples, samples_to_bytes

SpeechDetector = Callable[[Samples], bool]


class Edge(Enum):
    """What changed with a chunk."""

    SPEECH_STARTED = auto()
    SPEECH_ENDED = auto()


@dataclass(frozen=True, slots=True)
class Verdict:
    """About one chunk. `passes`: its own sound goes out; otherwise silence may stand for it.
    `held`: the speech it belongs to has held so much voice that it is no cough; `voiced_ms` is how
    much."""

    speech: bool
    passes: bool
    edge: Edge | None = None
    held: bool = False
    voiced_ms: int = 0


@dataclass(frozen=True, slots=True)
class GateSettings:
    """Times in milliseconds.

    The defaults are measured: 60 of the last 100 ms opens after 50 to 150 ms in synthetic speech,
    clean or 10 dB above pink, white or babble noise. tests/bench/gate_sweep.py measures it again.
    """

    onset_ms: int = 60
    onset_window_ms: int = 100
    hangover_ms: int = 600
    # Of voice in one stretch of speech: coughs and single words have less.
    held_ms: int = 500
    # A server that ends turns by listening needs to hear the room fall quiet: with a tail of
    # 0.3 s of zeros some turns never ended, with 1.5 s of real sound they did.
    room_tone_ms: int = 1500
    zero_non_speech: bool = True
    # With a second detector only: speech that goes on for longer is doubted. A visitor's longest
    # turn is shorter, and noise that is heard as speech keeps the agent from ever answering.
    longest_speech_ms: int = 30_000
    # With a second detector only: speech is always what both hear. In the first ten seconds of pink
    # noise at -28 dBFS, not yet known as the room, the gate is open for 26 % of the time instead of
    # 89 %, and 10 dB above noise no word more is lost.
    both: bool = False


class Gate:
    """Feed it every 20 ms chunk of 16 kHz sound, in order.

    `detector` and `second`, which hears the same sound with its noise suppressed, hear the copy
    that `leveller` makes, or the sound itself without one. `second` is asked when speech goes on
    beyond `longest_speech_ms`: what it does not hear ends, and is speech again when both hear it,
    until `detector` alone has heard a pause.
    """

    def __init__(
        self,
        settings: GateSettings,
        detector: SpeechDetector,
        second: SpeechDetector | None = None,
        leveller: RoomLeveller | None = None,
    ) -> None:
        self._settings = settings
        self._detector = detector
        self._second = second
        self._leveller = leveller
        self.reset()

    def reset(self) -> None:
        """Start over, as at the beginning of a visit: closed, with the room's own sound passing.

        What the detectors and the leveller know of the room they keep.
        """
        self._recent: deque[bool] = deque(maxlen=self._settings.onset_window_ms // CHUNK_MS)
        self._speech = False
        self._speech_ms = 0
        self._voiced_ms = 0  # of the speech under way
        self._quiet_ms = 0
        self._doubted = False
        self._first_quiet_ms = 0
        self._second_quiet_ms = 0

    def push(self, chunk: Samples, *, learn: bool = True) -> Verdict:
        """`learn`: the chunk tells how loud the room is (see RoomLeveller)."""
        voiced = self._voiced(chunk, learn=learn)
        self._recent.append(voiced)
        self._quiet_ms = 0 if voiced else self._quiet_ms + CHUNK_MS
        self._speech_ms = self._speech_ms + CHUNK_MS if self._speech else 0
        edge = None
        if not self._speech and sum(self._recent) * CHUNK_MS >= self._settings.onset_ms:
            self._speech, edge = True, Edge.SPEECH_STARTED
            self._voiced_ms = sum(self._recent) * CHUNK_MS
        elif self._speech and self._is_over():
            self._speech, edge = False, Edge.SPEECH_ENDED
            self._recent.clear()
        elif self._speech and voiced:
            self._voiced_ms += CHUNK_MS
        passes = (
            self._speech
            or not self._settings.zero_non_speech
            or self._quiet_ms <= self._settings.hangover_ms + self._settings.room_tone_ms
        )
        voiced_ms = self._voiced_ms if self._speech else 0
        held = self._speech and voiced_ms >= self._settings.held_ms
        return Verdict(self._speech, passes, edge, held, voiced_ms)

    def _voiced(self, chunk: Samples, *, learn: bool) -> bool:
        heard = chunk if self._leveller is None else self._leveller.push(chunk, learn=learn)
        first = self._detector(heard)
        # Asked about every chunk, needed or not: it must know the noise when it is needed.
        second = first if self._second is None else self._second(heard)
        self._first_quiet_ms = 0 if first else self._first_quiet_ms + CHUNK_MS
        self._second_quiet_ms = 0 if second else self._second_quiet_ms + CHUNK_MS
        if self._first_quiet_ms >= self._settings.hangover_ms:
            self._doubted = False
        return first and (second or not (self._settings.both or self._doubted))

    def _is_over(self) -> bool:
        hangover_ms = self._settings.hangover_ms
        if self._quiet_ms >= hangover_ms:
            return True
        if (
            self._second is not None
            and self._speech_ms >= self._settings.longest_speech_ms
            and self._second_quiet_ms >= hangover_ms
        ):
            self._doubted = True
            self._quiet_ms = hangover_ms  # the room is heard from here on, as after any turn
            return True
        return False


def kiosk_gate(settings: GateSettings, aggressiveness: int = 3, room_window_ms: int = 8000) -> Gate:
    """The gate of one visit, with its own detectors; `room_window_ms` is RoomLeveller's.

    Nothing learnt of the room survives a visit. Whoever speaks with the press would be measured
    against a room that may have changed, and the eight seconds it takes to learn a loud one pass
    while the agent greets.
    """
    return Gate(
        settings,
        webrtc_detector(aggressiveness),
        suppressed_detector(),
        RoomLeveller(room_window_ms),
    )


def webrtc_detector(aggressiveness: int = 3) -> SpeechDetector:
    """WebRTC's voice activity detector, 0 (lenient) to 3; 2 microseconds a chunk.

    It keeps state between chunks, so every stream needs its own.
    """
    import webrtcvad

    vad = webrtcvad.Vad(aggressiveness)

    def is_speech(chunk: Samples) -> bool:
        return bool(vad.is_speech(samples_to_bytes(chunk), INTERNAL_RATE_HZ))

    return is_speech


def suppressed_detector(level: int = 1, aggressiveness: int = 2) -> SpeechDetector:
    """The same on a copy with its noise suppressed by WebRTC, level 0 (6 dB) to 3 (21 dB).

    20 microseconds a chunk; it keeps state between chunks.
    """
    import pywebrtc_audio

    suppressor = pywebrtc_audio.NoiseSuppressor(INTERNAL_RATE_HZ, 1, level)
    is_speech = webrtc_detector(aggressiveness)

    def is_speech_suppressed(chunk: Samples) -> bool:
        return is_speech(suppressor.process(chunk))

    return is_speech_suppressed
