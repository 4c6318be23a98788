"""The guide: what ships is sound, and a mistake in another one is named."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from kiosk.agent.guide import (
    DEFAULT_GUIDE,
    Guide,
    PhraseError,
    expand_phrase,
    load_guide,
    parse_guide,
)
from kiosk.agent.voice import AgentVoice
from kiosk.cli import main
from kiosk.errors import ConfigError


@pytest.fixture(scope="module")
def guide() -> Guide:
    return load_guide()


def table(**changes: Any) -> dict[str, Any]:
    """A small valid guide; `entry` changes its only entry, None removes a key."""
    entry = {"key": "exit", "ask": ["where is the exit"], "say": "There."}
    entry = merged(entry, changes.pop("entry", {}))
    base = {"language": "en", "voice": "en", "greeting": "Hello.", "ask_again": "Again?"}
    return merged({**base, "entry": [entry]}, changes)


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in {**base, **changes}.items() if value is not None}


def test_every_sentence_of_every_entry_leads_back_to_it(guide: Guide) -> None:
    assert len(guide.entries) >= 20
    for entry in guide.entries:
        assert entry.sentences
        for sentence in entry.sentences:
            assert guide.entry_for(sentence) is entry


def test_a_question_may_be_written_as_people_write() -> None:
    asked = ["Where is the exit?", "¿Dónde está la salida?", "Wo geht's, bitte, hinaus?"]
    written = parse_guide(table(entry={"ask": asked}), "trial.toml")
    (entry,) = written.entries
    assert entry.ask == ("where is the exit", "dónde está la salida", "wo geht's  bitte  hinaus")
    for question in (*asked, "where is the exit", "WO GEHT'S BITTE HINAUS!"):
        assert written.entry_for(question) is entry


def test_case_and_spacing_of_a_sentence_do_not_matter(guide: Guide) -> None:
    entry = guide.entry_for("  Where is  the EXIT ")
    assert entry is not None
    assert entry.key == "exit"


@pytest.mark.parametrize("sentence", ["", "where is the", "where is the exit exit", "exit"])
def test_what_no_entry_asks_leads_nowhere(guide: Guide, sentence: str) -> None:
    assert guide.entry_for(sentence) is None


def test_goodbye_alone_ends_the_call_and_still_says_something(guide: Guide) -> None:
    assert [entry.key for entry in guide.entries if entry.tool == "end_call"] == ["goodbye"]
    assert all(entry.say for entry in guide.entries)


async def test_one_answer_is_long_enough_to_be_interrupted(guide: Guide) -> None:
    entry = guide.entry_for("tell me about the whale")
    assert entry is not None
    spoken = await AgentVoice(guide.voice, guide.words_per_minute).render(entry.say, 16_000)
    assert len(spoken) / 16_000 >= 8


def test_the_grammar_has_one_rule_for_each_entry() -> None:
    two = table()
    two["entry"].append({"key": "bye", "ask": ["goodbye [now]", "bye"], "say": "Bye."})
    assert parse_guide(two, "g.toml").jsgf() == (
        "#JSGF V1.0;\n"
        "grammar guide;\n"
        "public <question> = <exit> | <bye>;\n"
        "<exit> = where is the exit;\n"
        "<bye> = goodbye [now] | bye;\n"
    )


@pytest.mark.parametrize(
    ("phrase", "sentences"),
    [
        ("hello", {"hello"}),
        ("(a|b) c", {"a c", "b c"}),
        ("a | b", {"a", "b"}),
        ("a [b | c]", {"a", "a b", "a c"}),
        ("a (b [c] | d) e", {"a b e", "a b c e", "a d e"}),
        ("what's up", {"what's up"}),
    ],
)
def test_a_phrase_stands_for_its_sentences(phrase: str, sentences: set[str]) -> None:
    assert expand_phrase(phrase) == sentences


@pytest.mark.parametrize(
    ("phrase", "problem"),
    [
        ("", "a word is missing at the end"),
        ("a |", "a word is missing at the end"),
        ("a () b", r"a word is missing before '\)'"),
        ("(a | b", r"'\(' is not closed by '\)'"),
        ("(a | b]", r"'\(' is not closed by '\)'"),
        ("a ) b", r"'\)' has no beginning"),
        ("[a] [b | c]", "optional as a whole"),
        ("a <b>", "cannot read '<b>'"),
        ("a & b", "cannot read '& b'"),
        ("a 2", "cannot read '2'"),
        ("(a|b|c|d|e) " * 4, "more than 500 sentences"),
        ("(" * 5000 + "a", "more than 20 groups"),
    ],
)
def test_a_phrase_that_makes_no_sense_is_refused(phrase: str, problem: str) -> None:
    with pytest.raises(PhraseError, match=problem):
        expand_phrase(phrase)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"entry": {"ask": None}}, "g.toml: entry 1 'exit': ask: is missing"),
        ({"entry": {"say": None}}, "g.toml: entry 1 'exit': say: is missing"),
        ({"entry": {"key": None}}, "g.toml: entry 1: key: is missing"),
        ({"entry": {"key": "The Exit"}}, "g.toml: entry 1 'The Exit': key: use lower-case"),
        ({"entry": {"say": "  "}}, "g.toml: entry 1 'exit': say: a text is needed"),
        ({"entry": {"ask": []}}, "g.toml: entry 1 'exit': ask: a list of texts is needed"),
        (
            {"entry": {"ask": ["[exit]"]}},
            "g.toml: entry 1 'exit': ask: in '[exit]': it is optional",
        ),
        ({"entry": {"ask": ["(exit"]}}, "g.toml: entry 1 'exit': ask: in '(exit': '(' is not"),
        ({"entry": {"tool": "dance"}}, "g.toml: entry 1 'exit': tool: 'dance' is not known"),
        ({"entry": {"answer": "x"}}, "g.toml: entry 1 'exit': answer: unknown key; known: ask,"),
        ({"greeting": " "}, "g.toml: greeting: a text is needed"),
        ({"ask_again": [1]}, "g.toml: ask_again: a list of texts is needed"),
        ({"voice": 7}, "g.toml: voice: a text is needed"),
        ({"words_per_minute": 9}, "g.toml: words_per_minute: a whole number from 80 to 450"),
        ({"entrys": 1}, "g.toml: entrys: unknown key; known: ask_again,"),
    ],
)
def test_a_mistake_is_named_with_its_file_and_key(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_guide(table(**changes), "g.toml")
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("entries", [[], {}, "exit", None])
def test_a_guide_without_entries_is_refused(entries: object) -> None:
    changed = table()
    changed["entry"] = entries
    with pytest.raises(ConfigError, match=r"g\.toml: entry: at least one"):
        parse_guide(changed, "g.toml")


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"key": "exit", "ask": ["out"], "say": "There."}, "'exit': key: there are two"),
        (
            {"key": "out", "ask": ["where is the (exit | way)"], "say": "There."},
            "'out': ask: 'where is the exit' is also asked by 'exit'",
        ),
    ],
)
def test_two_entries_may_not_claim_the_same(second: dict[str, Any], message: str) -> None:
    changed = table()
    changed["entry"].append(second)
    with pytest.raises(ConfigError, match=message):
        parse_guide(changed, "g.toml")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the guide .*absent\.toml"):
        load_guide(tmp_path / "absent.toml")


@pytest.mark.parametrize("content", [b"key = ", b"greeting = '\xff'"])
def test_a_file_that_is_not_toml_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"bad\.toml(, line 1)?: "):
        load_guide(path)


def test_a_guide_elsewhere_is_read_as_the_one_that_ships(tmp_path: Path, guide: Guide) -> None:
    copy = tmp_path / "guide.toml"
    copy.write_bytes(DEFAULT_GUIDE.read_bytes())
    assert load_guide(copy) == guide
    assert parse_guide(tomllib.loads(copy.read_text()), "copy").entries == guide.entries


def test_a_guide_needs_its_questions_and_no_more() -> None:
    entry = {"key": "exit", "ask": "where is the exit", "say": "There."}
    guide = parse_guide({"entry": [entry]}, "g.toml")
    assert (guide.language, guide.voice) == ("en", "en-gb")
    assert guide.greeting
    assert len(guide.ask_again) == 2


WRONG = """\
greeting = 7
wpm = 100

[[entry]]
key = "bread"
ask = ["do you have (bread"]
say = "Yes."

[[entry]]
key = "Milk"
ask = []

[[entry]]
key = "bread"
ask = ["where is the bread"]
say = "There."
tool = "dance"
"""


def test_all_mistakes_are_named_at_once_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_text(WRONG)
    with pytest.raises(ConfigError) as caught:
        load_guide(path)
    told = [line.removeprefix(f"{path}, ") for line in str(caught.value).splitlines()]
    assert [line.split(": ")[0] for line in told] == [
        "line 6", "line 10", "line 11", "line 9", "line 17", "line 14", "line 1", "line 2",
    ]  # fmt: skip
    assert told[3] == "line 9: entry 2 'Milk': say: is missing"
    assert told[5] == "line 14: entry 3 'bread': key: there are two of this key"


def shop(tmp_path: Path, ask: str = "Do you have bread?") -> Path:
    path = tmp_path / "shop.toml"
    path.write_text(f'[[entry]]\nkey = "bread"\nask = ["{ask}"]\nsay = "Next to the milk."\n')
    return path


@pytest.mark.parametrize(
    ("asked", "code", "said"),
    [
        ("do you have BREAD", 0, "bread: Next to the milk.\n"),
        ("do you sell bread", 1, "no question of the guide\n  like it: do you have bread\n"),
        ("xyz", 1, "no question of the guide\n"),
    ],
)
def test_a_guide_is_asked_without_a_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], asked: str, code: int, said: str
) -> None:
    assert main(["agent", "--guide", str(shop(tmp_path)), "--ask", asked]) == code
    assert capsys.readouterr().out == said


def test_a_guide_is_checked_with_its_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["agent", "--guide", str(shop(tmp_path)), "--check"]) == 0
    assert capsys.readouterr().out.startswith("good: 1 questions in 1 wordings")
    path = shop(tmp_path, "is the zwieback with butter or zwieback")
    assert main(["agent", "--guide", str(path), "--check"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "  zwieback is in no dictionary: it is heard as Z W IY B AE K"
    ]
    path = shop(tmp_path, "is the дом with кот or дом")
    assert main(["agent", "--guide", str(path), "--check"]) == 78
    complaint = capsys.readouterr().err
    assert f"{path}: bread: the words 'дом', 'кот' are nothing that can be said in" in complaint


def test_accents_that_the_guide_has_not_do_not_matter(guide: Guide) -> None:
    entry = guide.entry_for("Where is the café?")
    assert entry is not None
    assert entry is guide.entry_for("where is the cafe")
