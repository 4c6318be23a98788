"""WebRTC's AEC3 and noise suppression, which judge whether somebody speaks. Pure: no I/O.

A loudspeaker that sounds late (a television, an amplifier with a processor of its own) is found in
no time by the linear canceller, and by AEC3 only after a second and a half. So the reference of
the one waits until the other says where the echo is.
"""

from collections import deque
from collections.abc import Iterator

import numpy as np

from kiosk.audio.linear_echo import BLOCK, PARTITIONS
from kiosk.audio.pcm import INTERNAL_RATE_HZ, Samples, ms_to_samples, silence, to_int16

# AEC3 is at home with an echo up to so many chunks late: 80 ms.
_AT_HOME = 4
_SURE_AFTER = 3  # chunks that say the same


class Suppressor:
    """Takes everything away that resembles the loudspeaker, and steady noise; chunks of 20 ms."""

    def __init__(self, lead_s: float) -> None:
        """`lead_s`: how much too early the reference comes."""
        # Imported here: the library costs 30 ms at start, and a half-duplex kiosk needs none of it.
        from pywebrtc_audio import AudioProcessor

        self.held_back = 0  # chunks by which the reference waits
        self._processor = AudioProcessor(
            sample_rate=INTERNAL_RATE_HZ, echo_cancellation=True, noise_suppression=True
        )
        self.begin()
        for mic, far in _rehearsal(lead_s):
            self._processor.process(mic, far)

    def begin(self) -> None:
        """What was played before is over."""
        self._far = deque([silence(BLOCK)] * PARTITIONS, maxlen=PARTITIONS)  # the newest first
        self._votes = (0, 0)  # for how many chunks, and how often in a row

    def push(self, mic: Samples, far: Samples, strongest: int | None) -> Samples:
        """(320,) int16 of the microphone and of what was played meanwhile; what is left.

        `strongest`: how many chunks after its cause the echo is strongest; None: not known.
        """
        self._far.appendleft(far)
        if strongest is not None:
            self._follow(strongest)
        left: Samples = self._processor.process(mic, self._far[self.held_back])
        return left

    def _follow(self, strongest: int) -> None:
        if self.held_back <= strongest < self.held_back + _AT_HOME:
            self._votes = (0, 0)
            return
        wanted, votes = max(0, strongest - 1), 1
        if self._votes[0] == wanted:
            votes += self._votes[1]
        self._votes = (wanted, votes)
        if votes >= _SURE_AFTER:
            self.held_back = wanted
            self._votes = (0, 0)


def _rehearsal(lead_s: float) -> Iterator[tuple[Samples, Samples]]:
    """Two seconds of a loudspeaker in an ordinary room, (mic, far) chunk by chunk.

    The suppressor begins its life by suppressing everything for half a second of echo: the first
    words of the first visitor, or it lets the first of the agent's through. It has that behind it
    then, and adapts to the true room from there.

    As loud as it was played: a louder echo than was rehearsed is let through at first. In 144 first
    sentences in twelve rooms, the echo 20 dB softer than a visitor to 10 dB louder, 28 openings by
    nobody; rehearsed 10 dB softer, 46. A visitor who speaks over that sentence is noticed as soon
    in the median, one in ten of them 0.4 s later.
    """
    noise = np.random.default_rng(1)
    count = 2 * INTERNAL_RATE_HZ
    time_s = np.arange(count) / INTERNAL_RATE_HZ
    syllables = 0.5 + 0.5 * np.sin(2 * np.pi * 4 * time_s)
    far = to_int16(noise.normal(0, 3000, count) * syllables)
    room = noise.normal(0, 0.08, 2400) * 10 ** (-3 * np.arange(2400) / (0.3 * INTERNAL_RATE_HZ))
    room[0] = 1.0
    delay = ms_to_samples(1000 * lead_s + 4, INTERNAL_RATE_HZ)
    echo = np.convolve(far, room)[: count - delay]
    mic = to_int16(np.concatenate((np.zeros(delay), echo)) + noise.normal(0, 6, count))
    for at in range(0, count, BLOCK):
        yield mic[at : at + BLOCK], far[at : at + BLOCK]
