"""Traces of the last visits: what went into the core, and when. Pure: in memory, and no content.

From a trace `replay` makes the same visit again, effect for effect.
"""

from collections import deque
from dataclasses import dataclass, field

from kiosk.visit.core import VisitCore
from kiosk.visit.inputs import Input
from kiosk.visit.plan import Plan
from kiosk.visit.visit import Kept

MOST_VISITS = 20
# A visit of ten minutes has some hundreds.
MOST_INPUTS = 1000


@dataclass(slots=True)
class Trace:
    """One visit. `kept` and `plan` are those of the moment before its press; `inputs` have the
    monotonic time at which the core was given each; `dropped`: how many came after the last."""

    plan: Plan
    kept: Kept
    press_id: str = ""
    inputs: list[tuple[float, Input]] = field(default_factory=list)
    dropped: int = 0

    def add(self, happened: Input, now_s: float) -> None:
        if len(self.inputs) < MOST_INPUTS:
            self.inputs.append((now_s, happened))
        else:
            self.dropped += 1


class Traces:
    """The newest traces. `before` and `after` stand around what the core is given."""

    def __init__(self) -> None:
        self._traces: deque[Trace] = deque(maxlen=MOST_VISITS)
        self._current: Trace | None = None

    def before(self, core: VisitCore, happened: Input, now_s: float) -> None:
        """The core is about to be given this."""
        if core.visit is None or self._current is None:
            self._current = Trace(core.plan, core.kept.copy())
        self._current.add(happened, now_s)

    def after(self, core: VisitCore, press_id: str) -> None:
        """The core was given it, and what it wanted was done."""
        if self._current is not None and core.visit is not None and not self._current.press_id:
            self._current.press_id = press_id
            self._traces.append(self._current)

    def of(self, press_id: str | None) -> Trace | None:
        """The newest of a press; None names the last visit."""
        for trace in reversed(self._traces):
            if press_id in (None, trace.press_id):
                return trace
        return None
