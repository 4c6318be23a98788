"""What is wrong in an operator's file is said in an operator's words."""

import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from kiosk.backend.characters.character import _File
from kiosk.backend.mind.flow import Flow
from kiosk.backend.mind.persona import Persona
from kiosk.backend.settings import BackendSettings
from kiosk.base.mistakes import in_words
from kiosk.base.toml_lines import line_of, parse_toml
from kiosk.config.tables import Settings
from kiosk.errors import ConfigError
from kiosk.watch.settings import WatchSettings

FILES: tuple[type[BaseModel], ...] = (
    Settings, WatchSettings, BackendSettings, _File, Flow, Persona,
)  # fmt: skip
LIBRARY = re.compile(r"Input should|String should|Field required|should match|pydantic|\^\[|valid ")


def nodes(node: Any, said: str = "") -> Iterator[tuple[dict[str, Any], str]]:
    """Every part of a schema, with what it, or what it is a kind of, is described by."""
    if isinstance(node, dict):
        said = node.get("description", said)
        yield node, said
        for name, each in node.items():
            yield from nodes(each, said if name == "anyOf" else "")
    elif isinstance(node, list):
        for each in node:
            yield from nodes(each, said)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.__name__)
def test_whatever_a_text_must_look_like_is_said_in_words(file: type[BaseModel]) -> None:
    for node, said in nodes(file.model_json_schema()):
        if isinstance(node.get("pattern"), str):
            assert said, node


def keys_of(schema: dict[str, Any]) -> list[tuple[str, ...]]:
    """Every key of a file's tables, from the top."""

    def below(node: dict[str, Any], keys: tuple[str, ...], depth: int) -> Iterator[tuple[str, ...]]:
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rpartition("/")[2]]
        for name, each in node.get("properties", {}).items():
            yield (*keys, name)
            if depth < 3:
                yield from below(each, (*keys, name), depth + 1)

    return list(below(schema, (), 0))


WRONG = st.sampled_from(
    [1, -1, 2**70, 1.5, float("inf"), True, "", "ä b", "x" * 2000, [], [1], ["x", {}], {}, {"a": 1}]
)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_word_of_the_librarys_is_in_what_is_said(data: st.DataObject) -> None:
    file = data.draw(st.sampled_from(FILES))
    schema = file.model_json_schema()
    values: dict[str, Any] = {}
    for keys in data.draw(st.lists(st.sampled_from(keys_of(schema)), min_size=1, max_size=4)):
        table = values
        for key in keys[:-1]:
            below = table.setdefault(key, {})
            table = below if isinstance(below, dict) else {}
        name = keys[-1] if data.draw(st.integers(0, 9)) else f"{keys[-1]}x"
        table[name] = data.draw(WRONG)
    try:
        file.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        for mistake in in_words(found, schema):
            assert not LIBRARY.search(mistake.what), (mistake, values)
            assert "[" not in "".join(mistake.keys), mistake


@pytest.mark.parametrize(
    ("toml", "key", "said"),
    [
        ('[kiosk]\nname = "Lobby West"', "kiosk.name", "and no space"),
        ('[agent]\nurl = "https://x"', "agent.url", "must begin with wss://"),
        ('[credentials]\nmode = "publik"', "credentials.mode", "must be 'backend' or 'public'"),
        ('[capture]\ndevise = "x"', "capture.devise", "did you mean device?"),
        ("[indikator]\npin = 1", "indikator", "did you mean indicator?"),
        ("[agent]\nhangover_ms = 1", "agent.hangover_ms", "it belongs to [gate]"),
        (
            "[indicator]\ncolour = 1",
            "indicator.colour",
            "these are: active_low, driver, pin, recording_pin",
        ),
        ("[visit]\nmax_s = 9999", "visit.max_s", "must be 7200 at most"),
        ("[visit]\nmax_s = 0", "visit.max_s", "must be more than 0"),
        ("[button]\npin = 3.5", "button.pin", "must be a whole number"),
        ('[button]\npull_up = "up"', "button.pull_up", "must be true or false"),
        ("[agent.variables]\nx = {}", "agent.variables.x", "must be a text"),
        ("[[keys]]\nlanguage = 'de'", "keys.0.pin", "it must be given"),
        ("agent = 3", "agent", "must be a table"),
    ],
)
def test_a_mistake_is_named_by_its_key_and_what_would_be_right(
    toml: str, key: str, said: str
) -> None:
    with pytest.raises(ValidationError) as error:
        Settings.model_validate(tomllib.loads(toml))
    found = error.value.errors(include_url=False, include_input=False)
    (mistake,) = in_words(found, Settings.model_json_schema())
    assert ".".join(mistake.keys) == key
    assert said in mistake.what


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\ufeffa = 1", "line 1: the file begins with a byte order mark"),
        ("a = 1\nb = \u201cx\u201d", "line 2: typographic quotes (\u201c \u201d)"),
        ("a = \u201ex\u201c", "line 1: typographic quotes (\u201e \u201c)"),
        ("a = True", "line 1: True: write true or false"),
        ("a = off", "line 1: off: write true or false"),
        ("a = 0,5", "line 1: "),
        ("a = None", "line 1: None: leave the line out"),
        ("a = lobby", "line 1: lobby: a text stands in quotes"),
        ('a = "C:\\kiosk"', 'line 1: "C:\\kiosk": a backslash'),
        ("a: 1", 'line 1: a: 1: a key and its value are written with "="'),
        ("a = 1\na = 2", "line 2: this key stands in its table twice"),
        ("[a]\nb = [1, 2", "line 2: a list is not closed with ]"),
        ('a = "x', "line 1: a text is not closed with a quote"),
        ('a = "x\nb = 1', "line 1: a text is not closed with a quote"),
        ("[agent\nid = 1", "line 1: a table's name is not closed with ]"),
        ("a =\n", "line 1: there is no value"),
        ("a = 1 b = 2", "line 1: there is something after the value"),
    ],
)
def test_what_is_no_toml_is_named_with_its_line(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_toml("config.toml", text)
    assert f"config.toml, {said}" in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = " + "[" * 3000, "its lists or tables are nested too deeply"),
        ("a = " + "1" * 5000, "a number has too many digits"),
    ],
)
def test_what_is_too_much_is_named(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=f"config.toml: {said}"):
        parse_toml("config.toml", text)


@given(st.text(alphabet="ab=[]\"'\n\\.#{}1,-: \u201c", max_size=60))
def test_whatever_stands_there_is_read_or_named_with_a_line(text: str) -> None:
    said = "config.toml, line 1: "
    try:
        parse_toml("config.toml", text)
    except ConfigError as error:
        said = str(error)
    assert re.match(r"config\.toml, line \d+: ", said)
    assert "column" not in said


def test_the_lines_of_a_long_text_are_nobodys_keys() -> None:
    text = 'a = """\nb = 1\n[c]\n"""\nb = 2\n[c]\nd = 1\n'
    assert [line_of(text, keys) for keys in (["b"], ["c"], ["c", "d"])] == [5, 6, 7]
    assert line_of("a = {b = 1}", ["a", "b"]) == 1
