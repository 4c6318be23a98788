"""Counters of a kiosk's visits since it was started. Pure: no I/O, no clock."""

from collections import Counter

from kiosk.causes import NOTICE
from kiosk.moments import Moment, VisitEnded, What

_COUNTED: dict[What, str] = {
    What.VISIT_STARTED: "visits",
    What.LOST: "connections_lost",
    What.OVERLOADED: "overloads",
    What.DEVICE_LOST: "devices_lost",
}


class Counters:
    """An observer that counts."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter(
            dict.fromkeys(
                (*_COUNTED.values(), "visits_failed", "malformed_frames", "unknown_frames"), 0
            )
        )

    def observe(self, moment: Moment) -> None:
        if (name := _COUNTED.get(moment.what)) is not None:
            self._counts[name] += 1
        if isinstance(moment, VisitEnded):
            self._counts["visits_failed"] += moment.severity < NOTICE
            self._counts["malformed_frames"] += moment.malformed_frames
            self._counts["unknown_frames"] += moment.unknown_frames

    def counters(self) -> dict[str, float]:
        return {name: float(count) for name, count in self._counts.items()}
