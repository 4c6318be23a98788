"""Language of a text, by its small words. Pure.

It knows the languages that come with the kiosk. A sentence of five words is enough as a rule; of
two languages that are as likely it names neither.
"""

import re
from collections.abc import Collection

_LEAST_WORDS = 2

# The words that a language uses most, with few that another of these uses as often.
_SMALL_WORDS: dict[str, frozenset[str]] = {
    code: frozenset(words.split())
    for code, words in {
        "de": "der die das den dem ein eine einen und ist sind nicht ich sie wir ihr ihnen mit von "
        "zu zum zur auf für im auch oder wie was kann haben hier noch bitte gerne wo es",
        "en": "the and is are of to you it that this have has with what can here please where your "
        "we i was would like on at not do how for there",
        "es": "el la de a no los las del y es son un una que en con por para se lo su está hay "
        "qué cómo puede aquí muy más pero usted gracias desde dónde",
        "fr": "le la de à se sûr bien les des du et est sont une un que en dans pour pas ce "
        "cette vous nous je avec sur au aux qui il elle où votre ici plus merci être",
        "it": "il la a al da ora per favore prego ci lo gli della del dei e è sono un una che "
        "di in con per non si questo questa può come qui più anche grazie dove nel alla "
        "vostra",
        "nl": "de het een en is zijn van ik je u we niet met op te voor dat die ook maar naar hier "
        "wat kan kunt hebben waar deze graag uw",
        "pl": "i w na z do nie to jest są się że jak co czy dla od po tu tutaj może można gdzie "
        "proszę który która pan pani już",
        "uk": "і в у на з до не це є що як чи для від по тут може можна де будь "  # noqa: RUF001
        "ласка який яка ви ми та про",
    }.items()
}
# Letters of one of them only.
_OWN_LETTERS: dict[str, str] = {"de": "ß", "es": "ñ¿¡", "pl": "łąęśźżń", "uk": "іїєґ"}
_OWN_LETTERS_COUNT_FOR = 2


def language_of(text: str, among: Collection[str]) -> str | None:
    """The code of the language that a text is most likely in, None where there is no telling.
    `among`: those that it may be."""
    words = re.findall(r"[^\W\d_]+", text.lower())
    scores = {code: _score(code, text.lower(), words) for code in _SMALL_WORDS}
    best = max(scores, key=lambda code: scores[code])
    others = max(score for code, score in scores.items() if code != best)
    if scores[best] < _LEAST_WORDS or scores[best] == others or best not in among:
        return None
    return best


def _score(code: str, text: str, words: list[str]) -> int:
    own = any(letter in text for letter in _OWN_LETTERS.get(code, ""))
    return sum(word in _SMALL_WORDS[code] for word in words) + _OWN_LETTERS_COUNT_FOR * own
