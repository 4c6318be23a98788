"""Debouncing a button. Pure: no I/O, no clock; levels and times come in as arguments."""

# A finger stays for 30 ms at least. What a relay, a lamp's starter or lightning puts on a long
# cable is over in microseconds, and would begin a visit, or end one.
STANDS_S = 0.003


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

    def level(self, pressed: bool, at_s: float) -> float | None:
        """The line's level at a moment, by an edge or by a look at it. When it changed, if a change
        counts now."""
        quiet_until_s = self._quiet_until_s
        if quiet_until_s is not None and at_s >= quiet_until_s:
            self._quiet_until_s = None
        if pressed == self.pressed:
            self._changed_s = None
            return None
        if self._changed_s is None:
            self._changed_s = max(at_s, quiet_until_s or at_s)
        if at_s < self._changed_s + STANDS_S:
            return None
        changed_s, self._changed_s = self._changed_s, None
        self.pressed, self._quiet_until_s = pressed, at_s + self._settle_s
        return changed_s

    @property
    def look_at_s(self) -> float | None:
        """When the line is to be looked at; None: its next edge will do."""
        return self._quiet_until_s if self._changed_s is None else self._changed_s + STANDS_S
