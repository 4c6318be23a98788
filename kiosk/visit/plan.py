"""What the configuration says about visits, in the words of this room. Pure data."""

from dataclasses import dataclass

from kiosk.convai.messages import Initiation
from kiosk.visit.states import Transitions


@dataclass(frozen=True, slots=True)
class Plan:
    """What the configuration says about visits; times in seconds."""

    table: Transitions
    initiation: Initiation
    max_s: float
    warning_s: float
    idle_s: float
    answer_s: float
    connect_s: float
    reconnects: int
    preroll_ms: int
    disclosure: bool
    held_button: bool
