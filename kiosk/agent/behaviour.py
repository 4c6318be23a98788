"""Behaviour of the agent towards clients, and its timers. Pure data.

The timers' defaults are the real service's; a scenario makes them shorter.
"""

from dataclasses import dataclass
from enum import StrEnum


class Manner(StrEnum):
    """In which order, with which ids and in which pieces a turn is sent."""

    CAPTURED = "captured"  # as a recording of the live service has it
    GUIDE = "guide"  # as the contract allows and guides describe: text first, the last chunk final


@dataclass(frozen=True, slots=True)
class AgentBehaviour:
    """Everything about a conversation that is not what is said.

    `interrupt_after_ms`: voice so long interrupts the agent, however unclear; with 0 every sound
    that may be a voice does. `piece_ms` and `burst`: speech in even pieces of this length, so many
    times faster than it is spoken; without both, as the manner has it.
    """

    input_format: str = "pcm_16000"
    output_format: str = "pcm_16000"
    announced_output_format: str | None = None  # what the metadata says, if that is not true
    greeting: str | None = None  # in place of the guide's
    manner: Manner = Manner.CAPTURED
    end_of_turn_ms: int = 500
    interrupt_after_ms: int = 500
    tool_timeout_s: float = 20.0
    ping_s: float = 2.0
    no_input_s: float = 60.0
    max_duration_s: float = 600.0
    piece_ms: int | None = None
    burst: float | None = None
