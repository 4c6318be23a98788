"""Plan of a visit: what the configuration says about it, in the words of this room. Pure data."""

from collections.abc import Collection
from dataclasses import dataclass

from kiosk.convai.client_messages import Initiation
from kiosk.visit.states import Transitions


@dataclass(frozen=True, slots=True)
class Compat:
    """Frames that the published contract does not have, for servers written after popular guides.

    Each is a frame's whole text; None means it is not sent. The real service closes with 1008 on
    most of them.
    """

    keep_alive: str | None = None
    keep_alive_s: float = 18.0
    last_frame: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What the configuration says about visits; times in seconds. A visit is held by the plan that
    it began with."""

    table: Transitions
    initiation: Initiation
    language: str  # the kiosk's own
    max_s: float
    warning_s: float
    idle_s: float
    answer_s: float
    connect_s: float
    queue_s: float
    reconnects: int
    preroll_ms: int
    duck_s: float
    hangover_s: float
    disclosure: bool
    held_button: bool
    trial_calls: bool = False
    approved_mcp_tools: Collection[str] = ()
    compat: Compat = Compat()
