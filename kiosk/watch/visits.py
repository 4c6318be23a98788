"""Visits of each kiosk as the watcher counts them: shares and waits, over the last ones. Pure."""

from collections import deque
from collections.abc import Iterator

from kiosk.watch.entries import ANSWERS_SLOW, VISITS_LOST, VISITS_SPOILT, JournalEntry
from kiosk.watch.settings import VisitsTable

# It is over when it is half as bad: between them nothing is told, so that nobody is told twice.
_OVER_AT = 0.5
_P95 = 95
_MOST_KIOSKS = 20_000


_LEFT = "visitor_left"


class Visits:
    """The last visits of each kiosk. After a start of the watcher it counts anew."""

    def __init__(self, table: VisitsTable) -> None:
        self._table = table
        self._entries: dict[str, deque[JournalEntry]] = {}

    def ended(self, kiosk: str, entry: JournalEntry) -> Iterator[tuple[str, bool]]:
        """Another visit ended: the causes that hold from now on (True), or do not (False). What
        lies between stays as it was."""
        if entry.verdict is None or (
            kiosk not in self._entries and len(self._entries) >= _MOST_KIOSKS
        ):
            return
        last = self._entries.setdefault(kiosk, deque(maxlen=self._table.of))
        last.append(entry)
        if len(last) < self._table.of:
            return
        for cause, limit, value in (
            (VISITS_LOST, self._table.lost_percent, _percent(last, "lost")),
            (VISITS_SPOILT, self._table.spoilt_percent, _percent(last, "spoilt")),
            (ANSWERS_SLOW, self._table.answer_p95_ms, _p95_ms(last)),
        ):
            if value > limit:
                yield cause, True
            elif value <= limit * _OVER_AT:
                yield cause, False


def _percent(visits: deque[JournalEntry], verdict: str) -> float:
    """Of a verdict; who left by himself is nobody's fault."""
    found = [each for each in visits if each.verdict == verdict and each.spoilt_by != _LEFT]
    return 100 * len(found) / len(visits)


def _p95_ms(visits: deque[JournalEntry]) -> float:
    """Of the visits' usual answers: of 20 visits, that of the second slowest."""
    waits = sorted(each.answer_ms for each in visits if each.answer_ms is not None)
    return waits[len(waits) * _P95 // 100 - 1] if len(waits) > 1 else 0.0
