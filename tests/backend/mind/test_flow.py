"""Flows: where a talk stands, what is said, and every mistake of a file at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.backend.mind.files import load_flow
from kiosk.backend.mind.flow import Flow, read_flow, standing, summary
from kiosk.backend.mind.port import MindTurn
from kiosk.backend.mind.scripted import ScriptedMind
from kiosk.convai.speech_engine import Said
from kiosk.errors import ConfigError

MUSEUM = load_flow("museum")
# The seeds' own: thirteen topics, each with an answer of some length, and what travel must know.
TOPICS = "\n".join(
    f"""
[[topic]]
key = "topic_{number}"
ask = "Question {number}?"
stay = "More, please."
longer_than = 10"""
    for number in range(12)
)
TRAVEL = f"""
name = "travel"
greeting = "Hello."
summary = "You go to {{city}} for {{days}}."
farewell = "Goodbye."
unknown = "I do not know"
{TOPICS}
[[topic]]
key = "travel"
ask = "Where to?"
stay = "Where, and for how long?"
facts = {{city = ["Paris", "Rome"], days = ["two days", "a week"]}}
report = true
"""


def said(flow: Flow, *answers: str) -> str:
    return standing(flow, answers).says


def test_the_museums_flow_goes_through_all_topics_to_the_summary() -> None:
    answers = ["yes please", "the whole afternoon", "alone", "the ships I think"]
    told = [said(MUSEUM, *answers[:number]) for number in range(len(answers) + 1)]
    assert told[:4] == [topic.ask for topic in MUSEUM.topic]
    assert "you have the whole afternoon, you come alone, and you like the ships" in told[4]
    assert told[4].endswith(MUSEUM.farewell)
    assert said(MUSEUM, *answers, "and then") == MUSEUM.farewell


def test_an_answer_that_does_not_tell_enough_is_asked_once_more_and_then_left() -> None:
    stay, ask = MUSEUM.topic[1].stay, MUSEUM.topic[2].ask
    assert said(MUSEUM, "yes", "hm") == stay
    assert said(MUSEUM, "yes", "hm", "two hours") == ask
    assert said(MUSEUM, "yes", "hm", "hm") == ask
    told = said(MUSEUM, "yes", "hm", "hm", "alone", "the whales")
    assert "you have whatever suits you" in told


def test_thirteen_topics_of_answers_that_are_long_enough() -> None:
    flow = read_flow("travel.toml", TRAVEL)
    assert len(flow.topic) == 13
    assert said(flow, "exactly 10") == "More, please.", "ten characters are not enough"
    assert said(flow, "eleven char") == "Question 1?"
    long = ["an answer that is long enough"] * 12
    assert said(flow, *long) == "Where to?"
    assert said(flow, *long, "to rome") == "Where, and for how long?"
    assert said(flow, *long, "to rome", "for A WEEK") == "You go to Rome for a week. Goodbye."


def test_facts_are_whole_words() -> None:
    flow = read_flow("travel.toml", TRAVEL)
    long = ["an answer that is long enough"] * 12
    now = standing(flow, [*long, "the romex of two-days"])
    assert now.told.get("city") is None
    assert now.told["days"] == "two days"


@given(st.lists(st.text(max_size=30), max_size=40))
def test_a_talk_goes_forward_or_stays_and_always_says_something(answers: list[str]) -> None:
    keys = [topic.key for topic in MUSEUM.topic]
    before = 0
    for number in range(len(answers) + 1):
        now = standing(MUSEUM, answers[:number])
        at = len(keys) if now.topic is None else keys.index(now.topic.key)
        assert before <= at <= before + 1
        assert now.says
        before = at


def test_a_topic_may_skip_others() -> None:
    skipping = TRAVEL.replace('key = "topic_0"', 'next = "travel"\nkey = "topic_0"')
    assert said(read_flow("f", skipping), "an answer that is long") == "Where to?"


@pytest.mark.parametrize(
    ("way", "heard", "is_told"),
    [
        ("don't mind", "I don\u2019t mind", True),
        ("après-midi", "l'après-midi", True),
        ("Käse", "mit ka\u0308se bitte", True),
        ("Straße", "IN DER STRASSE", True),
        ("दिन", "एक दिन", True),
        ("दिन", "एक दान", False),
        ("one", "someone", False),
    ],
)
def test_facts_are_told_in_any_language_with_spaces(way: str, heard: str, is_told: bool) -> None:
    flow = read_flow("f", TRAVEL.replace('"Paris"', f'"{way}"'))
    long = ["an answer that is long enough"] * 12
    assert standing(flow, [*long, heard]).told.get("city") == (way if is_told else None)


def test_of_two_ways_the_longer_is_told() -> None:
    flow = read_flow("f", TRAVEL.replace('"two days", ', '"two days", "some two days", '))
    long = ["an answer that is long enough"] * 12
    assert standing(flow, [*long, "for some two days"]).told["days"] == "some two days"


@pytest.mark.parametrize("nothing", ["", " ", "...", "?!", "\u2026"])
def test_whoever_says_nothing_is_asked_again_however_often(nothing: str) -> None:
    assert said(MUSEUM, "yes", *[nothing] * 20) == MUSEUM.topic[1].stay
    assert said(MUSEUM, "yes", *[nothing] * 20, "one hour") == MUSEUM.topic[2].ask


def test_a_topic_is_told_by_all_that_was_answered_to_it() -> None:
    flow = read_flow("f", TRAVEL.replace("You go to {city}", "{travel}: {city}"))
    long = ["an answer that is long enough"] * 12
    assert (
        said(flow, *long, "to rome", "for a week")
        == "to rome for a week: Rome for a week. Goodbye."
    )


async def test_an_answer_that_was_cut_short_and_went_on_is_one() -> None:
    talk = [Said("agent", MUSEUM.greeting), Said("user", "yes"), Said("agent", "How long?")]
    talk += [Said("user", "well"), Said("user", "let me think"), Said("user", "an")]
    (asked_again,) = [each async for each in ScriptedMind(MUSEUM).answer(MindTurn(tuple(talk)))]
    assert asked_again == MUSEUM.topic[1].stay
    talk += [Said("agent", asked_again), Said("user", "one"), Said("user", "hour")]
    (goes_on,) = [each async for each in ScriptedMind(MUSEUM).answer(MindTurn(tuple(talk)))]
    assert goes_on == MUSEUM.topic[2].ask


def test_a_summary_says_what_was_not_told() -> None:
    flow = read_flow("f", TRAVEL)
    assert summary(flow, {"city": "Rome"}) == "You go to Rome for I do not know."


async def test_the_scripted_mind_says_what_the_flow_says() -> None:
    talk = (
        Said("agent", MUSEUM.greeting), Said("user", "yes"), Said("agent", "How long?"),
        Said("user", "one hour"),
    )  # fmt: skip
    pieces = [piece async for piece in ScriptedMind(MUSEUM).answer(MindTurn(talk))]
    assert pieces == [MUSEUM.topic[2].ask]


def test_all_mistakes_of_a_file_are_named_at_once_with_their_lines() -> None:
    text = (
        'name = "Not A Key"\n'
        'greeting = "Hello."\n'
        'farewell = ""\n'
        'unknown = "?"\n'
        'summary = "x"\n'
        "[[topic]]\n"
        'key = "a"\n'
        'ask = "A?"\n'
        'stay = "A!"\n'
        "colour = 7\n"
        "[[topic]]\n"
        'key = "b"\n'
        'stay = "B!"\n'
    )
    with pytest.raises(ConfigError) as error:
        read_flow("f.toml", text)
    told = str(error.value).splitlines()
    assert [line.split(": ")[:2] for line in told] == [
        ["f.toml, line 1", "name"],
        ["f.toml, line 3", "farewell"],
        ["f.toml, line 10", "topic.0.colour"],
        ["f.toml, line 11", "topic.1.ask"],
    ]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (('key = "topic_1"', 'key = "topic_0"'), "there are several of the key 'topic_0'"),
        (('key = "topic_3"', 'next = "topic_2"\nkey = "topic_3"'), "'topic_2' is no topic further"),
        (("city = [", '"how old" = ['), "may have small letters, digits and underscores"),
        (("{city}", "{town}"), "summary: {town} is neither a topic nor a fact of one"),
        (("{city}", "{city"), "summary: a brace without its other"),
        (("report = true", ""), "summary: it is never said"),
        (('"Paris"', '"?!"'), "topic travel: facts: city: one has no words"),
        (('["Paris", "Rome"]', "[]"), "topic.12.facts.city: "),
        (("days = [", "topic_3 = ["), "'topic_3' is the name of a topic or of another fact"),
        (('key = "topic_0"', 'key = "topic_0"\nfacts = {city = ["x"]}'), "'city' is the name of a"),
        (('name = "travel"', "name = "), "line 2"),
    ],
)
def test_what_does_not_fit_together_is_named(change: tuple[str, str], told: str) -> None:
    with pytest.raises(ConfigError, match=r"^f\.toml") as error:
        read_flow("f.toml", TRAVEL.replace(*change, 1))
    assert told in str(error.value)


def test_a_flow_that_there_is_not_is_told_with_those_that_there_are() -> None:
    with pytest.raises(
        ConfigError, match=r"cannot read the flow nowhere: .*; with the package come museum"
    ):
        load_flow("nowhere")
