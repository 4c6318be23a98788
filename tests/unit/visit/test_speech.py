import pytest

from kiosk.errors import ConfigError
from kiosk.visit.speech import load_sentences


def test_a_language_without_sentences_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"kiosk\.language: no sentences in 'de'; .*: en\."):
        load_sentences("de")


def test_sentences_are_words_and_never_codes() -> None:
    for key, sentence in load_sentences("en").items():
        assert sentence.endswith((".", "?")), key
        assert not any(character.isdigit() or character == "_" for character in sentence), key
