"""A clocked recording of a virtual card: which sample passed when."""

import subprocess
import threading
import time
from types import TracebackType
from typing import Self

import numpy as np

from kiosk.audio.pcm import Samples, samples_from_bytes
from tests.rig import Card, Rig

RATE_HZ = 48_000
# So short that the card's own step is this long for everybody, as a real card's is.
_STEP_MS = 5
_WINDOW_S = 10.0


class Tape:
    """`parec` on a card's monitor.

    A sample passes the card when it could be had at the earliest, so the axis of time is laid
    through the least late pieces of every ten seconds; those who wait for more come later.
    """

    def __init__(self, rig: Rig, card: Card) -> None:
        self._process = subprocess.Popen(
            [
                "parec",
                f"--server={card.server}",
                f"--device={card.sink}.monitor",
                f"--rate={RATE_HZ}",
                "--channels=1",
                "--format=s16le",
                "--raw",
                f"--latency-msec={_STEP_MS}",
            ],
            env=rig.env,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        self._data = bytearray()
        self._arrivals: list[tuple[float, int]] = []  # when, and how many samples there were then
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait(5)
        self._reading.join(5)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def samples(self) -> Samples:
        return samples_from_bytes(bytes(self._data))

    def clock(self) -> "Clock":
        """For what was recorded so far."""
        arrivals = np.array(self._arrivals[10:])
        return Clock(arrivals[:, 0], arrivals[:, 1])

    def _read(self) -> None:
        assert self._process.stdout is not None
        while data := self._process.stdout.read(1 << 16):
            arrived_s = time.monotonic()
            self._data += data
            self._arrivals.append((arrived_s, len(self._data) // 2))


class Clock:
    """Monotonic seconds of a tape's samples."""

    def __init__(
        self,
        arrived_s: "np.ndarray[tuple[int], np.dtype[np.float64]]",
        counts: "np.ndarray[tuple[int], np.dtype[np.float64]]",
    ) -> None:
        starts_s = arrived_s - counts / RATE_HZ  # of the tape, as each piece has it
        window = (counts // (_WINDOW_S * RATE_HZ)).astype(int)
        self._starts_s = [float(starts_s[window == n].min()) for n in range(window.max() + 1)]

    def at_s(self, index: int) -> float:
        window = min(max(0, int(index // (_WINDOW_S * RATE_HZ))), len(self._starts_s) - 1)
        return self._starts_s[window] + index / RATE_HZ

    def index(self, at_s: float) -> int:
        """The sample that passed then."""
        first = round((at_s - self._starts_s[0]) * RATE_HZ)
        return first + round((at_s - self.at_s(first)) * RATE_HZ)
