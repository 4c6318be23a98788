"""Debouncing a button. Pure: no I/O, no clock; levels and times come in as arguments."""

from typing import TypeAlias

# A finger stays for 30 ms at least. What a relay, a lamp's starter or lightning puts on a long
# cable is over in microseconds, and would begin a visit, or end one.
STANDS_S = 0.003

# To which level, and when.
Change: TypeAlias = tuple[bool, float]


class Debouncer:
    """Counts a change that still stands after 3 ms, and ignores the chatter after it.

    For `settle_s` after one that counted nothing does; a change that happened in that time is not
    lost: it counts if it stands when the time is over.
    """

    def __init__(self, settle_s: float) -> None:
        self.pressed = False
        self._settle_s = settle_s
        self._changed_s: float | None = None  # since when the line is otherwise than `pressed`
        self._quiet_until_s: float | None = None

    def edge(self, pressed: bool, at_s: float) -> list[Change]:
        """The line went to this level at that moment: the changes that count by now, oldest first.

        An edge that comes late, out of a loop that stood still, ends what stood until then.
        """
        counted = self._stood(at_s)
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
