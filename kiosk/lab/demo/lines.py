"""Script of the demo's visitor: what is said, and when. Pure data."""

from dataclasses import dataclass
from enum import Enum, auto

from kiosk.agent.scenario import Visitor
from kiosk.audio.pcm import Samples

VISITOR_VOICE = "en-us+f2"
VISITOR_WORDS_PER_MINUTE = 150


class When(Enum):
    """The moment at which a line is spoken."""

    AT_PRESS = auto()  # the very moment of the press, long before there is a connection
    AFTER_ANSWER = auto()  # when the kiosk has said its last and listens
    OVER_ANSWER = auto()  # while it is speaking
    WHEN_ADMITTED = auto()  # when the agent's queue lets the visitor in


@dataclass(frozen=True, slots=True)
class ScriptLine:
    """One thing the visitor says. `text` is None for a recording nobody knows the words of."""

    name: str
    when: When
    text: str | None = None
    samples: Samples | None = None  # at the room's rate


MUSEUM: tuple[ScriptLine, ...] = (
    ScriptLine("first question", When.AT_PRESS, "where are the dinosaurs please"),
    ScriptLine("second question", When.AFTER_ANSWER, "how much does an adult ticket cost"),
    ScriptLine("third question", When.AFTER_ANSWER, "tell me about the blue whale"),
    ScriptLine("barge-in", When.OVER_ANSWER, "when does the museum close"),
    ScriptLine("goodbye", When.AFTER_ANSWER, "thank you goodbye"),
)
GOODBYE = MUSEUM[-1]


def recorded(recordings: list[tuple[str, Samples]]) -> tuple[ScriptLine, ...]:
    """Recordings in place of the questions, asked one after the other; then the goodbye."""
    lines = [
        ScriptLine(name, When.AFTER_ANSWER if index else When.AT_PRESS, samples=samples)
        for index, (name, samples) in enumerate(recordings)
    ]
    return (*lines, GOODBYE)


def rehearsed(visitor: Visitor) -> tuple[ScriptLine, ...]:
    """What the visitor of a fault script says."""
    first = When.AT_PRESS if visitor.begins == "at_press" else When.WHEN_ADMITTED
    later = When.OVER_ANSWER if visitor.over_the_answer else When.AFTER_ANSWER
    return tuple(
        ScriptLine(f"line {number}", later if number > 1 else first, text)
        for number, text in enumerate(visitor.says, start=1)
    )
