"""Port of a mind: the talk so far goes in, the answer's text comes out as it is made. Pure."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from kiosk.convai.speech_engine import Said


class MindError(Exception):
    """A mind cannot answer; the message is for the log, and holds nothing that was said."""


@dataclass(frozen=True, slots=True)
class MindTurn:
    """What is to be answered: the talk so far, and where it is held. The visitor's newest turn is
    its last, unless an agent's tool was called since. What is not known is empty."""

    talk: tuple[Said, ...]
    conversation_id: str = ""
    kiosk: str = ""


class Mind(Protocol):
    """Whoever answers. Closing what it gives, or cancelling whoever waits for it, cancels what
    stands behind it: nothing is asked for any more, and nothing of it is ever sent."""

    def answer(self, turn: MindTurn) -> AsyncGenerator[str, None]:
        """The answer's text in pieces, none of them empty; raises MindError."""
        ...
