"""Behaviour of the agent towards clients, and its timers. Pure data.

The timers' defaults are the real service's; a scenario makes them shorter.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AgentBehaviour:
    """Everything about a conversation that is not what is said."""

    input_format: str = "pcm_16000"
    output_format: str = "pcm_16000"
    announced_output_format: str | None = None  # what the metadata says, if that is not true
    greeting: str | None = None  # in place of the guide's
    end_of_turn_ms: int = 500
    ping_s: float = 2.0
    no_input_s: float = 60.0
    max_duration_s: float = 600.0
    # Speech is sent in pieces of this length, so many times faster than it is spoken.
    piece_ms: int = 200
    burst: float = 4.0
