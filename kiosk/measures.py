"""Measures that a kiosk takes of itself all the time: latencies, the newest samples. Pure."""

from collections import deque
from dataclasses import dataclass, field
from itertools import islice


class Latencies:
    """The newest samples of one latency in milliseconds; bounded."""

    def __init__(self, limit: int = 5000) -> None:
        self.count = 0
        self._samples: deque[float] = deque(maxlen=limit)

    def add(self, value_ms: float) -> None:
        self.count += 1
        self._samples.append(value_ms)

    def percentile(self, percent: float, after: int = 0) -> float | None:
        """The nearest-rank percentile of all but the first `after`; None where there are none."""
        forgotten = self.count - len(self._samples)
        ordered = sorted(islice(self._samples, max(0, after - forgotten), None))
        if not ordered:
            return None
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]

    def samples(self) -> tuple[float, ...]:
        """All that are kept, in milliseconds."""
        return tuple(self._samples)

    def summary(self) -> dict[str, float | None]:
        return {
            name: None if value is None else round(value, 1)
            for name, value in (("p50", self.percentile(50)), ("p99", self.percentile(99)))
        }


@dataclass(slots=True)
class Measures:
    """What a kiosk measures of itself all the time."""

    mic_to_wire: Latencies = field(default_factory=Latencies)
    wire_to_speaker: Latencies = field(default_factory=Latencies)
