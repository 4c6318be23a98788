"""Debouncing a button, and knowing a line that is none. Pure: no I/O, no clock; levels and times
come in as arguments."""

from collections import deque
from typing import TypeAlias

# A finger stays for 30 ms at least. What a relay, a lamp's starter or lightning puts on a long
# cable is over in microseconds, and would begin a visit, or end one.
STANDS_S = 0.003

# No finger makes so many edges in a second, with those of one bounce counted as one; a floating
# line takes up a hundred from the mains. It is a button again when it has been quiet for as long.
_FLUTTER_EDGES, FLUTTER_S, BOUNCE_S = 80, 1.0, 0.003

# Nobody leans on a button, or speaks with it held, for so long.
STUCK_S = 120.0

# A cause, and whether it is over.
Trouble: TypeAlias = tuple[str, bool]
# To which level, and when.
Change: TypeAlias = tuple[bool, float]


class Debouncer:
    """Counts a change that still stands after 3 ms, and ignores the chatter after it. `presses`
    counts those, `bounces` the edges that made no change.

    For `settle_s` after one that counted nothing does; a change that happened in that time is not
    lost: it counts if it stands when the time is over.
    """

    def __init__(self, settle_s: float) -> None:
        self.pressed = False
        self.presses = 0
        self.bounces = 0
        self._settle_s = settle_s
        self._changed_s: float | None = None  # since when the line is otherwise than `pressed`
        self._quiet_until_s: float | None = None

    def edge(self, pressed: bool, at_s: float) -> list[Change]:
        """The line went to this level at that moment: the changes that count by now, oldest first.

        An edge that comes late, out of a loop that stood still, ends what stood until then.
        """
        counted = self._stood(at_s)
        self.bounces += 1  # until it stands
        self._note(pressed, at_s)
        return counted

    def look(self, pressed: bool, at_s: float) -> list[Change]:
        """The line has this level now, whatever happened in between: the same."""
        counted = [] if pressed == self.pressed else self._stood(at_s)
        self._note(pressed, at_s)
        return counted

    @property
    def look_at_s(self) -> float | None:
        """When the line is to be looked at; None: its next edge will do."""
        return self._quiet_until_s if self._changed_s is None else self._changed_s + STANDS_S

    def _stood(self, until_s: float) -> list[Change]:
        changed_s = self._changed_s
        if changed_s is None or until_s < changed_s + STANDS_S:
            return []
        self._changed_s = None
        self.pressed = not self.pressed
        self.presses += self.pressed
        self.bounces -= 1
        self._quiet_until_s = changed_s + STANDS_S + self._settle_s
        return [(self.pressed, changed_s)]

    def _note(self, pressed: bool, at_s: float) -> None:
        quiet_until_s = self._quiet_until_s
        if quiet_until_s is not None and at_s >= quiet_until_s:
            self._quiet_until_s = None
        if pressed == self.pressed:
            self._changed_s = None
        elif self._changed_s is None:
            self._changed_s = max(at_s, quiet_until_s or at_s)


class LineWatch:
    """Tells a line that no finger moves: one that changes faster than any could, and one that stays
    down. Told as (cause, whether it is over)."""

    def __init__(self, since_s: float) -> None:
        self.flutters = False
        self._stuck = False
        self._changed_s = since_s
        self._edges_s: deque[float] = deque(maxlen=_FLUTTER_EDGES)

    def edge(self, at_s: float) -> list[Trouble]:
        """The line changed at that moment."""
        self._changed_s = at_s
        if self._edges_s and at_s < self._edges_s[-1] + BOUNCE_S:
            return []
        self._edges_s.append(at_s)
        full = len(self._edges_s) == _FLUTTER_EDGES
        if self.flutters or not full or at_s - self._edges_s[0] > FLUTTER_S:
            return []
        self.flutters = True
        return [("button_flutters", False)]

    def look(self, pressed: bool, now_s: float) -> list[Trouble]:
        """The line has this level now."""
        still_s, found = now_s - self._changed_s, list[Trouble]()
        if self.flutters and still_s >= FLUTTER_S:
            self.flutters = False
            self._edges_s.clear()
            found.append(("button_flutters", True))
        if self._stuck and not pressed:
            self._stuck = False
            found.append(("button_stuck", True))
        elif pressed and not self._stuck and still_s >= STUCK_S:
            self._stuck = True
            found.append(("button_stuck", False))
        return found

    def look_at_s(self, pressed: bool) -> float | None:
        """When to look next; None: at its next edge."""
        if self.flutters:
            return self._changed_s + FLUTTER_S
        return self._changed_s + STUCK_S if pressed and not self._stuck else None
