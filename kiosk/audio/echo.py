"""Echo cancellation: the agent's voice taken out of what the microphone hears. Pure: no I/O.

Two cancellers run side by side, because one cannot do both jobs. WebRTC's AEC3 suppresses whatever
resembles the loudspeaker down to nothing, and with it most of a visitor who speaks at the same
time (one word in seven was still understood at equal level): it judges *whether* somebody speaks.
The linear canceller only subtracts what the loudspeaker explains, and leaves the words of both-talk
whole (seven in ten understood, and five in six once the agent is ducked, of seven in eight without
any echo): its output is what is *sent*.
"""

from collections import deque
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from kiosk.audio.levels import rms_dbfs
from kiosk.audio.linear_echo import LinearCanceller
from kiosk.audio.pcm import CHUNK_MS, INTERNAL_RATE_HZ, Samples, silence, to_int16
from kiosk.audio.suppressor import Suppressor

# Nothing in a room of a second's reverberation is louder than this, half a second after it ended.
_TAIL_MS = 500
_FAR_ACTIVE_DBFS = -60.0
# While the agent sounds, what is left must be this close to the loudest that the microphone heard
# in the last 300 ms; otherwise it is the canceller's residue and nobody. Chosen with webrtcvad
# alone on nine rooms of 0.3, 0.6 and 1.0 s: no false opening in 5 minutes each, a visitor 6 dB
# softer than the echo noticed in 98 of 100 cases; at -12 dB 90. Other voices and rooms judge it in
# the benchmark: none or one opening in 10 minutes up to 0.6 s, tens at 1.0 s.
_RESIDUE_DB = -15.0
_RESIDUE_WINDOW_MS = 300
# The suppressor needs a moment when the agent begins to speak: its reference may have moved by a
# millisecond since the last turn. A visitor who begins in that very moment is noticed after it.
ONSET_GUARD_MS = 240
_GUARD_GAIN = 0.1  # a visitor who stands near is heard still
_RESIDUE_GAIN = 0.01  # to where no detector of speech hears it, in a quiet room turned up by 10 dB
# Until it has heard so much of the loudspeaker since the start, it does not know the room, and what
# is left must be closer still. In 56 first sentences of a start, the echo as loud as a visitor, the
# gate was opened by nobody once; with the one limit 5 times. At -6 a visitor is noticed too late.
_NEW_MS = 1000
_NEW_TAIL_MS = 100
_NEW_RESIDUE_DB = -9.0
# The reference is read ahead by this much, so that an echo never comes before its cause, whatever
# the estimates' errors. A sound must be known so long before it is heard: these are 10 of the 13 ms
# from the wire to the loudspeaker.
REFERENCE_LEAD_S = 0.01


class Played(Protocol):
    """What the loudspeaker plays, 16 kHz mono, on the axis of monotonic seconds."""

    def get(self, from_s: float, count: int) -> Samples:
        """`count` samples from a moment on; silence where nothing is played."""
        ...


class Silent:
    """A loudspeaker that plays nothing."""

    def get(self, from_s: float, count: int) -> Samples:
        return silence(count)


@dataclass(frozen=True, slots=True)
class Heard:
    """One chunk of the microphone with the loudspeaker taken out, (n,) int16 each.

    `near` is for the agent: the words of whoever speaks, whole, over a trace of echo. `judged` is
    for the gate: no trace of echo, but words damaged while both talk. `agent_sounds`: the
    loudspeaker, or its reverberation, is in the room.
    """

    near: Samples
    judged: Samples
    agent_sounds: bool = False


class Canceller(Protocol):
    """Takes what the loudspeaker plays out of what the microphone hears, chunk by chunk."""

    def begin(self) -> None:
        """The microphone starts: the room is known still, the last sound in it is over."""
        ...

    def push(self, mic: Samples, far: Samples) -> Heard:
        """`mic`: one chunk, 16 kHz int16; `far`: what was played meanwhile, of the same length."""
        ...


class Transparent:
    """`echo.mode = "off"`: for headsets, handsets and loudspeakers in another room."""

    def begin(self) -> None:
        """There is nothing to forget."""

    def push(self, mic: Samples, far: Samples) -> Heard:
        return Heard(mic, mic)


class HalfDuplex:
    """Deaf while the loudspeaker sounds: costs nothing, and there is no barge-in by voice."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self._activity = _Activity()

    def push(self, mic: Samples, far: Samples) -> Heard:
        if not self._activity.push(far):
            return Heard(mic, mic)
        nothing = silence(len(mic))
        return Heard(nothing, nothing, agent_sounds=True)


class EchoCanceller:
    """Full duplex on an open loudspeaker; about 0.25 ms of processor for each chunk of 20 ms."""

    def __init__(self) -> None:
        self._suppressor = Suppressor(REFERENCE_LEAD_S)
        self._linear = LinearCanceller()
        self._mic_dbfs: deque[float] = deque(maxlen=_RESIDUE_WINDOW_MS // CHUNK_MS)
        self._known_ms = 0  # of the loudspeaker, since the start, up to _NEW_MS
        self.begin()

    def begin(self) -> None:
        self._suppressor.begin()
        self._linear.begin()
        self._mic_dbfs.clear()
        self._activity = _Activity()

    def push(self, mic: Samples, far: Samples) -> Heard:
        near = self._linear.push(mic, far)
        suppressed = self._suppressor.push(mic, far, self._linear.strongest_partition())
        self._mic_dbfs.append(rms_dbfs(mic))
        if not self._activity.push(far):
            # Noise suppression takes babble for speech: without need the gate hears the room.
            return Heard(near, near)
        new = self._known_ms < _NEW_MS and self._activity.silent_ms <= _NEW_TAIL_MS
        self._known_ms += CHUNK_MS if new else 0
        least_db = _NEW_RESIDUE_DB if new else _RESIDUE_DB
        if rms_dbfs(suppressed) < max(self._mic_dbfs) + least_db:
            suppressed = _quieter(suppressed, _RESIDUE_GAIN)
        elif self._activity.sounding_ms <= ONSET_GUARD_MS:
            suppressed = _quieter(suppressed, _GUARD_GAIN)
        return Heard(near, suppressed, agent_sounds=True)


def _quieter(samples: Samples, gain: float) -> Samples:
    return to_int16(samples * np.float32(gain))


class ReferenceReader:
    """Reads the played sound in step with the captured sound.

    When a chunk was captured is an estimate that is often milliseconds late (the thread had to
    wait, the card tells of whole periods only), and a reference that jittered with it would look
    like a new room every time. So it is read on continuously, and follows the least late estimate
    of the last second: no faster than clocks drift, and in one step when sound was lost.
    """

    _WINDOW_CHUNKS = 1000 // CHUNK_MS
    _STEP_S = 1 / INTERNAL_RATE_HZ
    # A sample in 120 ms is 520 ppm, USB's own allowance for a card's clock. On a busy machine every
    # estimate of a second can be late: at a sample a chunk the canceller took 2 ms of that for a
    # room that changes, and let the agent's own voice through; at one in four it did not.
    _CHUNKS_A_STEP = 6
    _JUMP_S = 0.01

    def __init__(self, played: Played) -> None:
        self.jumps = 0
        self._played = played
        self._next_s: float | None = None
        self._late_s: deque[float] = deque(maxlen=self._WINDOW_CHUNKS)
        self._since_step = 0  # chunks

    def read(self, captured_at_s: float, count: int) -> Samples:
        """What was played while `count` samples from `captured_at_s` on were captured."""
        wanted_s = captured_at_s + REFERENCE_LEAD_S
        if self._next_s is None:
            self._next_s = wanted_s
        self._late_s.append(wanted_s - self._next_s)
        self._follow(min(self._late_s))
        samples = self._played.get(self._next_s, count)
        self._next_s += count / INTERNAL_RATE_HZ
        return samples

    def _follow(self, off_s: float) -> None:
        """`off_s`: how much later the next samples are than they are believed to be."""
        settled = len(self._late_s) == self._WINDOW_CHUNKS
        self._since_step += 1
        if not settled and off_s > 0:
            return  # perhaps all estimates so far were late
        if abs(off_s) > self._JUMP_S:
            self._move(off_s)
            self._late_s.clear()
            self.jumps += 1
        elif not settled:
            self._move(off_s)  # nothing is spoilt yet
        elif abs(off_s) > self._STEP_S and self._since_step >= self._CHUNKS_A_STEP:
            self._since_step = 0
            self._move(self._STEP_S if off_s > 0 else -self._STEP_S)

    def _move(self, by_s: float) -> None:
        assert self._next_s is not None
        self._next_s += by_s
        for index in range(len(self._late_s)):
            self._late_s[index] -= by_s


class _Activity:
    """Whether the loudspeaker, or its reverberation, can be heard."""

    def __init__(self) -> None:
        self.sounding_ms = 0  # since it began
        self._left_ms = 0

    @property
    def silent_ms(self) -> int:
        """Since it sounded itself."""
        return _TAIL_MS - self._left_ms

    def push(self, far: Samples) -> bool:
        if rms_dbfs(far) > _FAR_ACTIVE_DBFS:
            self._left_ms = _TAIL_MS
        else:
            self._left_ms = max(0, self._left_ms - CHUNK_MS)
        self.sounding_ms = self.sounding_ms + CHUNK_MS if self._left_ms else 0
        return self._left_ms > 0
