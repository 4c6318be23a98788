"""Flow of a talk as data: topics one after the other, each with what it needs to know. Pure.

A talk goes forward or stays; it never goes back. Where it stands follows from what was said in the
conversation, and from nothing else: whoever has its turns knows it, in another process too.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field, model_validator

from kiosk.backend.characters.character import Template
from kiosk.backend.mind.operators_file import Key, OperatorsTable, Text, read_table
from kiosk.backend.mind.words import words_of
from kiosk.convai.fields import Json

_PLACE = re.compile(r"\{([^{}]*)\}")
Ways = Annotated[tuple[Text, ...], Field(min_length=1)]


class Topic(OperatorsTable):
    """One step. `ask`: what is said when it begins; `facts`: what an answer must tell, each by the
    words that tell it (none: the answer itself does); `longer_than`: so many characters an answer
    must have; `stay`: what is said when it does not tell enough; `most_turns`: after so many
    answers the talk goes on without; `next`: the next topic, the one below if it is not named;
    `report`: the summary is said when it is done."""

    key: Key
    ask: Text
    stay: Text
    facts: dict[Key, Ways] = Field(default={})
    longer_than: Annotated[int, Field(ge=0, le=200)] = 0
    most_turns: Annotated[int, Field(ge=1, le=10)] = 2
    next: Key | None = None
    report: bool = False


class Handout(OperatorsTable):
    """What a visitor may take along: a page behind a link, for so many hours. In `text` stands what
    was told, by `{fact}`."""

    title: Text
    text: Annotated[str, Field(min_length=1, max_length=10_000)]
    hours: Annotated[int, Field(ge=1, le=720)] = 24


class Flow(OperatorsTable):
    """A whole talk. `greeting` is the agent's first message; `summary` is said with what was told,
    by `{fact}`; `farewell` ends it; with a `handout` there is a page too, made with the summary.
    Raises ValueError for what does not fit together."""

    name: Key
    language: Annotated[
        str,
        Field(
            pattern=r"^[a-z]{2}(-[a-z]{2})?$",
            description='must be the code of a language, such as "de" or "pt-br"',
        ),
    ] = "en"
    greeting: Template
    summary: Text
    farewell: Text
    unknown: Text  # stands for a fact that was not told
    handout: Handout | None = None
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
        names = Counter([*keys, *(fact for topic in self.topic for fact in topic.facts)])
        if twice := sorted(name for name, count in names.items() if count > 1):
            raise ValueError(f"facts: {twice[0]!r} is the name of a topic or of another fact")
        for topic in self.topic:
            for fact, ways in topic.facts.items():
                if not all(map(words_of, ways)):
                    raise ValueError(f"topic {topic.key}: facts: {fact}: one has no words")
        filled = {"summary": self.summary}
        if self.handout is not None:
            filled |= {"handout.title": self.handout.title, "handout.text": self.handout.text}
        for key, text in filled.items():
            for place in _PLACE.findall(text):
                if place not in names:
                    raise ValueError(f"{key}: {{{place}}} is neither a topic nor a fact of one")
            if set("{}") & set(_PLACE.sub("", text)):
                raise ValueError(f"{key}: a brace without its other")
        if not any(topic.report for topic in self._reached()):
            raise ValueError("summary: it is never said, for no topic that is reached has a report")
        return self

    def _reached(self) -> Iterator[Topic]:
        topic: Topic | None = self.topic[0]
        while topic is not None:
            yield topic
            topic = self.after(topic)

    def after(self, topic: Topic) -> Topic | None:
        """The topic that follows; None at the end."""
        keys = [each.key for each in self.topic]
        at = keys.index(topic.next) if topic.next else keys.index(topic.key) + 1
        return self.topic[at] if at < len(self.topic) else None


@dataclass(slots=True)
class Standing:
    """Where a talk stands. `topic` None: it is over; `told`: topics and facts by name; `says`: what
    the visitor's last answer is answered with; `heard`: the answers to the topic; `sums_up`: the
    summary is in what it says."""

    topic: Topic | None
    told: dict[str, str] = field(default_factory=dict)
    says: str = ""
    heard: list[str] = field(default_factory=list)
    sums_up: bool = False

    def as_json(self, flow: Flow) -> dict[str, Json]:
        """What another process, or another conversation, needs to go on from here."""
        topic = None if self.topic is None else self.topic.key
        return {
            "flow": flow.name,
            "topic": topic,
            "told": {**self.told},
            "heard": [*self.heard],
        }


def read_flow(name: str, text: str) -> Flow:
    """Raises ConfigError with a line for each mistake; `name` is for people: the file's."""
    return read_table(Flow, name, text)


def standing(
    flow: Flow, answers: Sequence[str], before: Mapping[str, Json] | None = None
) -> Standing:
    """Where a talk stands after these answers of the visitor's, in their order. `before`: as it
    stood when they began, if not at the beginning; of another flow it is none."""
    now = _resumed(flow, before or {}) or Standing(flow.topic[0], says=flow.topic[0].ask)
    for answer in answers:
        _hear(flow, now, answer)
    return now


def _resumed(flow: Flow, before: Mapping[str, Json]) -> Standing | None:
    match before:
        case {"flow": flow.name, "topic": key, "told": dict(told), "heard": list(heard)}:
            texts = {name: str(text) for name, text in told.items()}
            if key is None:
                return Standing(None, texts, flow.farewell)
            for topic in flow.topic:
                if topic.key == key:
                    return Standing(topic, texts, topic.ask, [str(each) for each in heard])
    return None


def _hear(flow: Flow, now: Standing, answer: str) -> None:
    topic, now.sums_up = now.topic, False
    if topic is None:
        now.says = flow.farewell
        return
    words = words_of(answer)
    if not words:  # nothing was said
        now.says = topic.stay
        return
    now.heard.append(" ".join(answer.split()))
    now.told.update(_facts(topic, words))
    if len(answer.strip()) > topic.longer_than and topic.facts.keys() <= now.told.keys():
        now.told[topic.key] = " ".join(now.heard)
    elif len(now.heard) < topic.most_turns:
        now.says = topic.stay
        return
    now.topic, now.heard = flow.after(topic), []
    now.sums_up = topic.report
    says = [summary(flow, now.told)] if topic.report else []
    says.append(flow.farewell if now.topic is None else now.topic.ask)
    now.says = " ".join(says)


def _facts(topic: Topic, words: Sequence[str]) -> Iterator[tuple[str, str]]:
    said = f" {' '.join(words)} "
    for fact, ways in topic.facts.items():
        told = [way for way in ways if f" {' '.join(words_of(way))} " in said]
        if told:
            yield fact, max(told, key=len)


def summary(flow: Flow, told: Mapping[str, str]) -> str:
    """What was told, as the visitor hears it."""
    return _filled(flow.summary, flow, told)


def handout(flow: Flow, told: Mapping[str, str]) -> dict[str, Json] | None:
    """What the visitor takes along: `title`, `text`, and what was `told`; None: nothing."""
    if flow.handout is None:
        return None
    title, text = (_filled(each, flow, told) for each in (flow.handout.title, flow.handout.text))
    return {"title": title, "text": text, "language": flow.language, "told": {**told}}


def _filled(text: str, flow: Flow, told: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda place: told.get(place[1], flow.unknown), text)
