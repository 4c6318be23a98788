"""Words of a text, as minds compare them. Pure."""

import unicodedata


def words_of(text: str) -> list[str]:
    """Its words without capitals and punctuation. A mark on a letter is of the word; an apostrophe
    or a hyphen is between two."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c if unicodedata.category(c)[0] in "LMN" else " " for c in plain).split()
