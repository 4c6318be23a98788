"""Script of the demo's visitor: what is said, and when. Pure data."""

import json
from dataclasses import dataclass
from enum import Enum, auto

from kiosk.agent.scenario import Visitor
from kiosk.audio.pcm import Samples
from kiosk.backend.mind.flow import Flow, standing

VISITOR_VOICE = "en-us+f2"
VISITOR_WORDS_PER_MINUTE = 150

_ANYTHING = "i would like to see everything please"


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


def through(flow: Flow) -> tuple[ScriptLine, ...]:
    """A visitor who tells a flow what it wants to know, one fact after the other."""
    lines: list[ScriptLine] = []
    while (now := standing(flow, [line.text or "" for line in lines])).topic is not None:
        facts = now.topic.facts.items()
        words = next((words[0] for fact, words in facts if fact not in now.told), _ANYTHING)
        when = When.AFTER_ANSWER if lines else When.AT_PRESS
        lines.append(ScriptLine(now.topic.key, when, words.lower()))
    return tuple(lines)


def hears(flow: Flow) -> str:
    """A guide that hears what a flow wants to know, as TOML; the answers are a mind's to give."""
    known = dict.fromkeys(
        each.lower()
        for topic in flow.topic
        for words in (*topic.facts.values(), (_ANYTHING,))
        for each in words
    )
    lines = [
        f"greeting = {_quoted(flow.greeting)}",
        'ask_again = ["Please say that again."]',
    ]
    for number, words in enumerate(known):
        lines += [
            "[[entry]]", f'key = "heard_{number}"', f"ask = [{_quoted(words)}]", 'say = "Yes."',
        ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """A string of TOML; JSON's escapes of what lies beyond 16 bits are none of TOML's."""
    return json.dumps(text, ensure_ascii=False)


def rehearsed(visitor: Visitor) -> tuple[ScriptLine, ...]:
    """What the visitor of a fault script says."""
    first = When.AT_PRESS if visitor.begins == "at_press" else When.WHEN_ADMITTED
    later = When.OVER_ANSWER if visitor.over_the_answer else When.AFTER_ANSWER
    return tuple(
        ScriptLine(f"line {number}", later if number > 1 else first, text)
        for number, text in enumerate(visitor.says, start=1)
    )
