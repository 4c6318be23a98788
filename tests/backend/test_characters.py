from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.backend.characters.character import GAPS, Character, Occasion, read_character
from kiosk.backend.characters.files import load_characters
from kiosk.backend.characters.templates import filled, gaps, variables
from kiosk.convai.overrides import OVERRIDE_NAMES, ConversationOverrides
from kiosk.errors import ConfigError

LOCAL = datetime(2026, 11, 21, 9, 5)  # noqa: DTZ001  a site's own time

WHOLE = """
language = "en"
prompt = \"\"\"
You stand at {site}. Call the visitor {{visitor}}.
Answer like {"mood": "kind"}.
\"\"\"

[first_message]
en = "Good {part_of_day} from {kiosk}."
de = "Guten Tag, es ist {time}."

[voice]
voice_id = "21m00Tcm4TlvDq8ikWAM"
stability = 0
similarity = 0.75
speed = 1.1

[variables]
today = "{date}, in {language}"
floor = 3
open = true
"""


def character(text: str) -> Character:
    return read_character("guide.toml", text)


def occasion(language: str = "en", local: datetime = LOCAL) -> Occasion:
    return Occasion("lobby", "north", language, local)


def test_a_whole_character_becomes_overrides_and_variables() -> None:
    whole = character(WHOLE)
    assert whole.overrides(occasion()) == {
        "agent": {
            "first_message": "Good morning from lobby.",
            "language": "en",
            "prompt": {
                "prompt": "You stand at north. Call the visitor {{visitor}}.\n"
                'Answer like {"mood": "kind"}.\n'
            },
        },
        "tts": {
            "voice_id": "21m00Tcm4TlvDq8ikWAM",
            "stability": 0.0,
            "similarity_boost": 0.75,
            "speed": 1.1,
        },
    }
    assert whole.dynamic_variables(occasion()) == {
        "today": "2026-11-21, in en",
        "floor": 3,
        "open": True,
    }
    assert whole.variable_names() == {"today", "floor", "open"}
    assert whole.wanted_variables() == {"visitor"}
    assert whole.languages() == {"en", "de"}


@pytest.mark.parametrize(
    ("kiosk", "spoken", "message"),
    [
        ("de", "de", "Guten Tag, es ist 09:05."),
        ("en", "en", "Good morning from lobby."),
        ("fr", "en", "Good morning from lobby."),
        ("", "en", "Good morning from lobby."),
    ],
)
def test_the_kiosks_language_is_spoken_if_there_is_a_message_in_it(
    kiosk: str, spoken: str, message: str
) -> None:
    agent = character(WHOLE).overrides(occasion(kiosk))["agent"]
    assert isinstance(agent, dict)
    assert (agent["language"], agent["first_message"]) == (spoken, message)


def test_one_message_is_said_everywhere_and_the_agents_language_stays() -> None:
    silent = character('first_message = "Hello in {language}."')
    assert silent.overrides(occasion("fr")) == {"agent": {"first_message": "Hello in fr."}}
    named = character('language = "de"\nfirst_message = "Hallo."')
    assert named.overrides(occasion("fr")) == {
        "agent": {"first_message": "Hallo.", "language": "de"}
    }


def test_an_empty_first_message_lets_the_visitor_begin_and_an_empty_file_changes_nothing() -> None:
    assert character('first_message = ""').overrides(occasion()) == {"agent": {"first_message": ""}}
    assert character("").overrides(occasion()) == {}
    assert character("").override_names() == frozenset()


@pytest.mark.parametrize(
    ("hour", "part"),
    [
        *((hour, "evening") for hour in (0, 4, 18, 23)),
        *((hour, "morning") for hour in (5, 11)),
        *((hour, "afternoon") for hour in (12, 17)),
    ],
)
def test_the_part_of_the_day_goes_by_the_sites_own_hour(hour: int, part: str) -> None:
    greeter = character('first_message = "{part_of_day}"')
    said = greeter.overrides(occasion(local=LOCAL.replace(hour=hour)))
    assert said == {"agent": {"first_message": part}}


@pytest.mark.parametrize("language", ["", "en", "de", "fr"])
def test_the_names_of_the_overrides_are_those_that_are_sent(language: str) -> None:
    whole = character(WHOLE)
    sent = ConversationOverrides.model_validate(whole.overrides(occasion(language)))
    agent, tts = sent.agent, sent.tts
    assert agent is not None
    assert agent.prompt is not None
    assert tts is not None
    names = {f"agent.{name}" for name in agent.model_fields_set - {"prompt"}}
    names |= {f"agent.prompt.{name}" for name in agent.prompt.model_fields_set}
    names |= {f"tts.{name}" for name in tts.model_fields_set}
    assert whole.override_names() == names
    assert names <= OVERRIDE_NAMES


STYLE = "does not exist for conversations"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x", ["guide.toml, line 1: ", 'with "="']),
        ("\nlanguage = 7", ["guide.toml, line 2: language: "]),
        ('language = "DE"', ["guide.toml, line 1: language: "]),
        ("[voice]\nspeed = 1.3", ["guide.toml, line 2: voice.speed: ", "1.2"]),
        ("[voice]\nspeed = 0.6", ["line 2: voice.speed: ", "0.7"]),
        ("[voice]\nstability = 1.01", ["line 2: voice.stability: "]),
        ("[voice]\nsimilarity = nan", ["line 2: voice.similarity: "]),
        ('[voice]\nspeed = "1"', ["line 2: voice.speed: "]),
        ("[voice]\nstability = true", ["line 2: voice.stability: "]),
        ('[voice]\nvoice_id = ""', ["line 2: voice.voice_id: "]),
        ("# x\n[voice]\nstyle = 0.3", ["line 3: voice.style: ", STYLE]),
        ("[voice]\nuse_speaker_boost = true", ["line 2: voice.use_speaker_boost: ", STYLE]),
        ("[voice]\nsimilarity_boost = 1", ["voice.similarity_boost: ", "voice_id", "similarity"]),
        ("voice = 3", ["line 1: voice: ", "table"]),
        ("mood = 1", ["line 1: mood: ", "first_message"]),
        ("first_message = 1", ["line 1: first_message: ", "en = "]),
        ("[first_message]", ["line 1: first_message: "]),
        ('[first_message]\nEnglish = "x"', ["first_message: ", "'English'", "en"]),
        ('[first_message]\nen = "x"', ["line 1: first_message: ", "key language", "en"]),
        (
            'language = "fr"\n[first_message]\nen = "x"\nde = "y"',
            ["line 2: first_message: ", "de, en"],
        ),
        (
            'prompt = """\n[voice]\nspeed = 3\n"""\n[voice]\nspeed = 3',
            ["guide.toml, line 6: voice.speed: "],
        ),
        ("[variables]\nx = [1]", ["line 2: variables.x: ", "a string, a number"]),
        ("[variables]\nx = inf", ["line 2: variables.x: ", "JSON"]),
        ("[variables]\nx = 2026-11-21", ["line 2: variables.x: "]),
        ("[variables]\nsystem__time = 1", ["line 2: variables.system__time: ", "system__"]),
        ('[variables]\n"a b" = 1', ["line 2: variables.a b: "]),
    ],
)
def test_a_mistake_names_file_line_and_key(text: str, said: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        character(text)
    for words in said:
        assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "text",
    [
        'prompt = "{stie}"',
        'first_message = "{stie}"',
        'language = "en"\nfirst_message = {en = "{stie}"}',
        '[variables]\nwhere = "{stie}"',
    ],
)
def test_a_gap_nobody_can_fill_is_named_with_those_that_are_known(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        character(text)
    key = text.splitlines()[-1].split()[0]
    for words in ("guide.toml, line ", key, "{stie}", *(f"{{{name}}}" for name in GAPS)):
        assert words in str(caught.value)


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        character('prompt = "{a}"\n[voice]\nspeed = 9\nstability = 9')
    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == [
        "prompt",
        "voice.stability",
        "voice.speed",
    ]


@given(st.text(max_size=200))
def test_whatever_a_file_holds_it_is_a_character_or_a_mistake(text: str) -> None:
    try:
        found = character(text)
    except ConfigError:
        return
    found.overrides(occasion())


@given(st.lists(st.sampled_from(["{", "}", "{{", "}}", "kiosk", "a", " ", '"']), max_size=12))
def test_filling_in_changes_nothing_but_the_gaps(parts: list[str]) -> None:
    text = "".join(parts)
    if gaps(text) <= {"kiosk", "a"}:
        assert filled(text, {"kiosk": "{kiosk}", "a": "{a}"}) == text


def test_what_belongs_to_the_provider_is_left_to_it() -> None:
    text = "{{kiosk}} {{ time }} {kiosk} {{{site}}} { site } {}"
    assert gaps(text) == {"kiosk"}
    assert filled(text, {"kiosk": "{{site}}"}) == text.replace(" {kiosk} ", " {{site}} ")
    assert variables(text) == {"kiosk", "time", "site"}


# --- files --------------------------------------------------------------------------------------


def test_every_file_of_a_directory_is_a_character(tmp_path: Path) -> None:
    (tmp_path / "guide.toml").write_text(WHOLE)
    (tmp_path / "night-guard.2.toml").write_text('language = "de"')
    (tmp_path / "README").write_text("x")
    found = load_characters(tmp_path)
    assert {name: each.name for name, each in found.items()} == {
        "guide": "guide",
        "night-guard.2": "night-guard.2",
    }
    assert found["guide"].override_names() == character(WHOLE).override_names()


def test_no_directory_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read characters from .*: No such file"):
        load_characters(tmp_path / "nowhere")


def test_all_bad_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[voice]\nspeed = 9")
    (tmp_path / "b.toml").write_bytes(b"prompt = '\xff'")
    (tmp_path / "c d.toml").write_text("")
    (tmp_path / "e.toml").mkdir()
    (tmp_path / "good.toml").write_text("")
    with pytest.raises(ConfigError) as caught:
        load_characters(tmp_path)
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert lines[0].startswith(f"{tmp_path / 'a.toml'}, line 2: voice.speed: ")
    assert lines[1] == f"cannot read {tmp_path / 'b.toml'}: not UTF-8 text"
    assert "1 to 64 letters" in lines[2]
    assert lines[3].startswith(f"cannot read {tmp_path / 'e.toml'}: ")
