"""The languages of the kiosk's own sentences, and what an operator changes of them."""

from pathlib import Path

import pytest

from kiosk.audio.levels import trim_silence
from kiosk.audio.wav import read_wav
from kiosk.base.espeak import Espeak
from kiosk.errors import ConfigError
from kiosk.visit.languages import Language, load_language, places, shipped_languages

LONGEST_S = 6.0
SHORT_S = 1.2  # fits into a pause of a visitor
ENGLISH = load_language("en")
INSTITUTION = "Museum Neustadt"


def refusal(directory: Path, language: str = "en") -> str:
    with pytest.raises(ConfigError) as caught:
        load_language(language, directory)
    return str(caught.value)


def written(directory: Path, text: str, language: str = "en") -> Path:
    (directory / f"{language}.toml").write_text(text, encoding="utf-8")
    return directory


def whole(**changed: str) -> str:
    """Every key, in a language that nobody speaks."""
    sentences = {key: f"Xa {text}" for key, text in ENGLISH.sentences.items()} | changed
    return "\n".join(
        [
            *(f'{key} = "{text}"' for key, text in sentences.items()),
            "[voice]",
            'espeak = "sv+f2"',
            "[report]",
            *(f'{key} = "{text}"' for key, text in ENGLISH.report.items()),
        ]
    )


# --- those that come with the kiosk ---------------------------------------------------------------


def test_eight_languages_come_with_the_kiosk() -> None:
    assert shipped_languages() == ["de", "en", "es", "fr", "it", "nl", "pl", "uk"]


@pytest.mark.parametrize("code", shipped_languages())
def test_every_language_has_every_key_and_fills_in_the_same(code: str) -> None:
    language = load_language(code)
    for texts, model in (
        (language.sentences, ENGLISH.sentences),
        (language.report, ENGLISH.report),
    ):
        assert list(texts) == list(model)
        for key, text in texts.items():
            assert places(text) == places(model[key]), key


@pytest.mark.parametrize("code", shipped_languages())
def test_sentences_are_words_and_never_codes(code: str) -> None:
    for key, sentence in load_language(code).sentences.items():
        assert sentence.endswith((".", "?")), key
        assert not any(character.isdigit() or character == "_" for character in sentence), key


@pytest.mark.parametrize("code", shipped_languages())
def test_every_sentence_can_be_said_and_nobody_waits_long_for_its_end(code: str) -> None:
    language = load_language(code)
    espeak = Espeak(language.voice, 160, 20.0)

    def lasts_s(text: str) -> float:
        samples, rate_hz = read_wav(espeak.speak_now(text))
        return len(trim_silence(samples, rate_hz)) / rate_hz

    lengths_s = {key: lasts_s(text) for key, text in language.said(INSTITUTION).items()}
    lengths_s |= {f"report.{key}": lasts_s(text) for key, text in language.report.items()}
    assert {key: s for key, s in lengths_s.items() if not 0.2 < s <= LONGEST_S} == {}
    assert lengths_s["disclosure_short"] <= SHORT_S


# --- an operator's --------------------------------------------------------------------------------


def test_without_a_directory_or_a_file_a_language_is_as_it_came(tmp_path: Path) -> None:
    assert load_language("en", tmp_path) == load_language("en", tmp_path / "absent") == ENGLISH
    (tmp_path / "file").touch()
    assert load_language("en", tmp_path / "file") == ENGLISH


def test_single_sentences_are_replaced(tmp_path: Path) -> None:
    text = 'goodbye = "Bye."\n[report]\nwell = "Fine."\n[voice]\nespeak = "en-us"\n'
    found = load_language("en", written(tmp_path, text))
    sentences = {**ENGLISH.sentences, "goodbye": "Bye."}
    report = {**ENGLISH.report, "well": "Fine."}
    assert found == Language("en", sentences, report, ENGLISH.screen, "en-us")


def test_what_a_screen_shows_is_replaced_too(tmp_path: Path) -> None:
    found = load_language("en", written(tmp_path, '[screen]\npress = "Press here"\n'))
    assert found.screen == {**ENGLISH.screen, "press": "Press here"}


def test_a_language_of_before_there_were_screens_has_the_english_words(tmp_path: Path) -> None:
    assert load_language("sv", written(tmp_path, whole(), "sv")).screen == ENGLISH.screen


def test_a_language_is_added(tmp_path: Path) -> None:
    found = load_language("sv", written(tmp_path, whole(goodbye="Hejdå."), "sv"))
    assert found.sentences["goodbye"] == "Hejdå."
    assert found.voice == "sv+f2"
    assert "sv" in refusal(tmp_path, "xx").split("there are: ")[1]


def test_an_added_language_without_every_key_is_told_what_is_missing(tmp_path: Path) -> None:
    text = "\n".join(
        line for line in whole().splitlines() if not line.startswith(("queued", "espeak"))
    )
    told = refusal(written(tmp_path, text, "sv"), "sv")
    assert told.startswith(f"{tmp_path / 'sv.toml'}: ")
    assert told.endswith("missing: queued, voice.espeak")


def test_a_language_that_nobody_has_is_answered_with_those_that_there_are(tmp_path: Path) -> None:
    told = refusal(tmp_path, "sv")
    assert told.startswith("kiosk.language: no sentences in 'sv'; there are: de, en, es, fr, it, ")
    assert f"{tmp_path / 'sv.toml'}" in told
    told = refusal(tmp_path, "../de")
    assert "there are: de, en" in told
    assert ".toml" not in told


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ('goodbye = "Bye."\nquued = "Wait."', 2, "quued: no such key; did you mean queued?"),
        ('well = "Fine."', 1, "well: no such key; did you mean report.well?"),
        ('[report]\nwel = "Fine."', 2, "report.wel: no such key; did you mean report.well?"),
        ('[voice]\nespaek = "en"', 2, "voice.espaek: no such key; did you mean voice.espeak?"),
        ("\ngoodbye = 7", 2, "goodbye: a text in quotes is wanted, not 7"),
        ('[goodbye]\nx = "y"', 1, "goodbye: a text in quotes is wanted, not a table"),
        ('report = "well"', 1, "report: a table is wanted, [report]"),
        ('goodbye = " "', 1, "goodbye: is empty"),
        ('[voice]\nespeak = "-x; y"', 2, "voice.espeak: '-x; y' is no name of a voice"),
        ('goodbye = "Bye, {name}."', 1, "goodbye: nothing is filled in here"),
        ('goodbye = "Bye}"', 1, "goodbye: nothing is filled in here"),
        (
            'disclosure_named = "An A I of {instituton}."',
            1,
            "disclosure_named: in braces stands nothing but {institution}",
        ),
        (
            '[report]\nwho = "{name:d} {version}"',
            2,
            "report.who: in braces stands nothing but {name}, {version}",
        ),
    ],
)
def test_a_mistake_is_named_with_file_line_and_key(
    tmp_path: Path, text: str, line: int, told: str
) -> None:
    found = refusal(written(tmp_path, text))
    assert found.startswith(f"{tmp_path / 'en.toml'}, line {line}: {told}")


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    assert len(refusal(written(tmp_path, "goodbye = 1\nqueued = 2")).splitlines()) == 2


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b'goodbye = "Bye', ", line 1: a text is not closed with a quote"),
        (b'\ngoodbye = "Bye\n', ", line 2: a text is not closed with a quote"),
        (b'goodbye = "\xff"', "not UTF-8 text"),
    ],
)
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, data: bytes, told: str) -> None:
    (tmp_path / "en.toml").write_bytes(data)
    found = refusal(tmp_path)
    assert str(tmp_path / "en.toml") in found
    assert told in found


def test_an_operators_own_disclosure_is_said_also_where_an_institution_is_named(
    tmp_path: Path,
) -> None:
    own = 'disclosure = "Welcome aboard. A computer answers you."'
    language = load_language("en", written(tmp_path, own))
    assert language.said(INSTITUTION)["disclosure"] == "Welcome aboard. A computer answers you."
    both = own + '\ndisclosure_named = "A computer of {institution} answers you."'
    language = load_language("en", written(tmp_path, both))
    assert language.said(INSTITUTION)["disclosure"] == f"A computer of {INSTITUTION} answers you."
