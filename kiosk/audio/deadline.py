"""Deadline meter: does a machine keep up with the sound it processes? Pure: durations are
arguments."""

from collections import deque

from kiosk.audio.pcm import CHUNK_MS

# A stage may take longer now and then (the canceller has bursts, another program has its turn):
# over three seconds it must leave a good part of the processor to everything else.
_WINDOW_CHUNKS = 3000 // CHUNK_MS
_MOST_SHARE = 0.6


class DeadlineMeter:
    """Watches how long chunks take."""

    def __init__(self) -> None:
        self._spent_s: deque[float] = deque(maxlen=_WINDOW_CHUNKS)

    def restart(self) -> None:
        """Something was done about it: judge what comes from now on."""
        self._spent_s.clear()

    @property
    def share(self) -> float:
        """Of real time, over the window; 1 is all there is."""
        if not self._spent_s:
            return 0.0
        return sum(self._spent_s) / (len(self._spent_s) * CHUNK_MS / 1000)

    def push(self, spent_s: float) -> bool:
        """One chunk took so long; False once three seconds of them took too much."""
        self._spent_s.append(spent_s)
        return len(self._spent_s) < _WINDOW_CHUNKS or self.share <= _MOST_SHARE
