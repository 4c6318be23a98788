"""Played sound and its times: written by the playback thread, read by the capture thread.

It is the echo canceller's reference: exactly the signal that goes to the card, ducked and cut as it
is heard, on the axis of monotonic seconds.
"""

import threading

from kiosk.audio.pcm import INTERNAL_RATE_HZ, Samples
from kiosk.audio.track import Track
from kiosk.base.clock import REAL, Clock

_KEEP_S = 2.0
# Pieces of one stream join without a seam: a rounding of their times must not tear them apart. A
# sound of another rate begins up to a millisecond off, and that is where it is heard.
_SNAP_SAMPLES = 3


class PlayedSound:
    """16 kHz mono. Callable from any thread."""

    def __init__(self, clock: Clock = REAL) -> None:
        self._lock = threading.Lock()
        self._track = Track(INTERNAL_RATE_HZ, _KEEP_S)
        self._epoch_s = clock.now_s()
        self._next = 0

    def put(self, heard_at_s: float, samples: Samples) -> None:
        """Sound whose first sample is heard at `heard_at_s`."""
        with self._lock:
            at = self._index(heard_at_s)
            if abs(at - self._next) <= _SNAP_SAMPLES:
                at = self._next
            self._track.put(at, samples)
            self._next = at + len(samples)

    def cut(self, at_s: float) -> None:
        """The loudspeaker is silent from this moment on."""
        with self._lock:
            self._track.cut(self._index(at_s))

    def get(self, from_s: float, count: int) -> Samples:
        with self._lock:
            return self._track.get(self._index(from_s), count)

    def _index(self, at_s: float) -> int:
        return round((at_s - self._epoch_s) * INTERNAL_RATE_HZ)
