"""Espeak-ng's phonemes have phones of the recogniser's: all that its American English uses."""

import pytest

from kiosk.agent.pronouncing import phones_of


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("judge", "JH AH JH"),
        ("vision", "V IH ZH AH N"),
        ("thing", "TH IH NG"),
        ("church", "CH ER CH"),
        ("hear", "HH IH R"),
        ("royal", "R OY AH L"),
        ("bottle", "B AA T AH L"),
        ("sure", "SH UH R"),
        ("this", "DH IH S"),
        ("quay", "K IY"),
        ("x-ray", "EH K S R EY"),
        ("дом", None),
        ("...", None),
        ("", None),
    ],
)
def test_a_word_has_the_phones_that_it_is_said_with(word: str, phones: str | None) -> None:
    assert phones_of(word) == phones
