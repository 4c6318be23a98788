"""Flow of a talk as data: topics one after the other, each with what it needs to know. Pure.

A talk goes forward or stays; it never goes back. Where it stands follows from what was said, and
from nothing else: whoever has the talk knows it, after a reconnect and in another process too.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from kiosk.base.toml_lines import line_of
from kiosk.errors import ConfigError

_KEY = r"^[a-z][a-z0-9_]{0,31}$"
_WORDS = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")

Key = Annotated[str, Field(pattern=_KEY)]
Text = Annotated[str, Field(min_length=1, max_length=1000)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Topic(_Table):
    """One step. `ask`: what is said when it begins; `facts`: what an answer must tell, each by the
    words that tell it (none: the answer itself does); `longer_than`: so many characters an answer
    must have; `stay`: what is said when it does not tell enough; `most_turns`: after so many
    answers the talk goes on without; `next`: the next topic, the one below if it is not named;
    `report`: the summary is said when it is done."""

    key: Key
    ask: Text
    stay: Text
    facts: dict[Key, tuple[Text, ...]] = {}
    longer_than: Annotated[int, Field(ge=0, le=200)] = 0
    most_turns: Annotated[int, Field(ge=1, le=10)] = 2
    next: Key | None = None
    report: bool = False


class Flow(_Table):
    """A whole talk. `greeting` is the agent's first message; `summary` is said with what was told,
    by `{fact}`; `farewell` ends it. Raises ValueError for what does not fit together."""

    name: Key
    language: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]{2})?$")] = "en"
    greeting: Text
    summary: Text
    farewell: Text
    unknown: Text  # stands for a fact that was not told
    topic: Annotated[tuple[Topic, ...], Field(max_length=64)]

    @model_validator(mode="after")
    def _fits_together(self) -> "Flow":
        keys = [topic.key for topic in self.topic]
        if not keys:
            raise ValueError("topic: there is none")
        if twins := sorted({key for key in keys if keys.count(key) > 1}):
            raise ValueError(f"topic: there are several of the key {twins[0]!r}")
        for number, topic in enumerate(self.topic):
            if topic.next is not None and topic.next not in keys[number + 1 :]:
                raise ValueError(f"topic {topic.key}: next: {topic.next!r} is no topic further on")
        known = {*(fact for topic in self.topic for fact in topic.facts), *keys}
        for place in re.findall(r"\{([^{}]*)\}", self.summary):
            if place not in known:
                raise ValueError(f"summary: {{{place}}} is neither a topic nor a fact of one")
        return self

    def after(self, topic: Topic) -> Topic | None:
        """The topic that follows; None at the end."""
        keys = [each.key for each in self.topic]
        at = keys.index(topic.next) if topic.next else keys.index(topic.key) + 1
        return self.topic[at] if at < len(self.topic) else None


@dataclass(slots=True)
class Standing:
    """Where a talk stands. `topic` None: it is over; `told`: topics and facts by name."""

    topic: Topic | None
    told: dict[str, str] = field(default_factory=dict)
    turns: int = 0  # answers to the topic so far
    says: str = ""  # what the visitor's last answer is answered with


def read_flow(name: str, text: str) -> Flow:
    """Raises ConfigError with a line for each mistake; `name` is for people: the file's."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: {error}") from error
    try:
        return Flow.model_validate(values)
    except ValidationError as error:
        mistakes = error.errors(include_url=False, include_input=False)
        raise ConfigError("\n".join(_explained(name, text, each) for each in mistakes)) from None


def _explained(name: str, text: str, mistake: Mapping[str, object]) -> str:
    where = mistake["loc"]
    keys = [str(part) for part in where] if isinstance(where, tuple) else []
    what = str(mistake["msg"]).removeprefix("Value error, ")
    if mistake["type"] == "extra_forbidden":
        what = "there is no such key"
    line = line_of(text, keys)
    place = f"{name}, line {line}" if line else name
    return f"{place}: {'.'.join(keys)}: {what}" if keys else f"{place}: {what}"


def standing(flow: Flow, answers: Sequence[str]) -> Standing:
    """Where a talk stands after these answers of the visitor's, in their order."""
    now = Standing(flow.topic[0], says=flow.topic[0].ask)
    for answer in answers:
        _hear(flow, now, answer)
    return now


def _hear(flow: Flow, now: Standing, answer: str) -> None:
    topic = now.topic
    if topic is None:
        now.says = flow.farewell
        return
    now.turns += 1
    now.told.update(_facts(topic, answer))
    missing = [fact for fact in topic.facts if fact not in now.told]
    enough = len(answer.strip()) > topic.longer_than and not missing
    if enough:
        now.told[topic.key] = " ".join(answer.split())
    elif now.turns < topic.most_turns:
        now.says = topic.stay
        return
    now.topic, now.turns = flow.after(topic), 0
    says = [summary(flow, now.told)] if topic.report else []
    says.append(flow.farewell if now.topic is None else now.topic.ask)
    now.says = " ".join(says)


def _facts(topic: Topic, answer: str) -> Iterator[tuple[str, str]]:
    said = f" {' '.join(_WORDS.findall(answer.lower()))} "
    for fact, words in topic.facts.items():
        for each in words:
            if f" {' '.join(_WORDS.findall(each.lower()))} " in said:
                yield fact, each
                break


def summary(flow: Flow, told: Mapping[str, str]) -> str:
    """What was told, as the visitor hears it."""
    return re.sub(r"\{([^{}]*)\}", lambda place: told.get(place[1], flow.unknown), flow.summary)
