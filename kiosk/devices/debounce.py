"""Debouncing a button. Pure: no I/O, no clock; levels and times come in as arguments."""


class Debouncer:
    """Acts on the first edge and ignores the chatter after it.

    Waiting for a stable level would add that wait to every press; here a press counts at once, and
    for `settle_s` afterwards edges are ignored. A change that happened in that time is not lost:
    `settle` is asked once it is over.
    """

    def __init__(self, settle_s: float) -> None:
        self.pressed = False
        self._settle_s = settle_s
        self._quiet_at_s = float("-inf")

    def edge(self, pressed: bool, at_s: float) -> bool:
        """An edge to `pressed`; True if it counts as a change."""
        if pressed == self.pressed or at_s < self._quiet_at_s:
            return False
        self.pressed = pressed
        self._quiet_at_s = at_s + self._settle_s
        return True

    def settle_in_s(self, at_s: float) -> float:
        """How long until the level should be read again; 0 when there is no need to wait."""
        return max(0.0, self._quiet_at_s - at_s)
