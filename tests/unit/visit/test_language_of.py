"""The language of a text, by its small words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.visit.language_of import language_of
from kiosk.visit.languages import load_language, shipped_languages

ALL = shipped_languages()
# What agents say when they are asked the way; none of it chose a word.
ANSWERS = {
    "de": "Natürlich, das erkläre ich Ihnen gern. Der Speicherstadt-Saal ist im zweiten Stock.",
    "en": "Of course, let me explain. The Warehouse Hall is on the second floor, past the lift.",
    "es": "Claro que sí. La sala está en la segunda planta, al lado del ascensor.",
    "fr": "Bien sûr. La salle se trouve au deuxième étage, à côté de l'ascenseur.",
    "it": "Certo. La sala è al secondo piano, di fianco all'ascensore.",
    "nl": "Natuurlijk. De zaal is op de tweede verdieping, naast de lift.",
    "pl": "Oczywiście. Sala znajduje się na drugim piętrze, obok windy.",
    "uk": "Звичайно. Зала розташована на другому поверсі, поруч із ліфтом.",
}


@pytest.mark.parametrize("code", ALL)
def test_an_answer_is_known_by_its_language(code: str) -> None:
    assert language_of(ANSWERS[code], ALL) == code


@pytest.mark.parametrize("code", ALL)
def test_most_of_the_kiosks_own_sentences_are_known_and_none_is_mistaken(code: str) -> None:
    found = [language_of(text, ALL) for text in load_language(code).sentences.values()]
    assert set(found) <= {code, None}
    assert found.count(code) >= 0.8 * len(found)


def test_only_those_that_it_may_be_count() -> None:
    assert language_of(ANSWERS["de"], ["en", "fr"]) is None


@pytest.mark.parametrize("text", ["", "Hmm.", "123", "Louvre, Rembrandt, Caravaggio", "ok"])
def test_what_may_be_in_any_language_is_in_none(text: str) -> None:
    assert language_of(text, ALL) is None


@given(st.text(max_size=200))
def test_there_is_always_an_answer(text: str) -> None:
    assert language_of(text, ALL) in {*ALL, None}
