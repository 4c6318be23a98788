"""Phones of words that are in no dictionary: from espeak-ng's phonemes to those of the recogniser.

Espeak-ng writes American English in mnemonics of its own (its `-x`), CMU's dictionary in ARPAbet.
"""

import re

from kiosk.base.espeak import Espeak

# Stress, length marks between syllables, and word breaks.
_NO_SOUND = re.compile(r"[',%=;|]")
_VOWELS = {
    "a": "AE", "aa": "AE", "a#": "AH", "A:": "AA", "A@": "AA R", "0": "AA", "E": "EH", "e": "EH",
    "e@": "EH R", "3": "ER", "3:": "ER", "I": "IH", "I#": "IH", "I2": "IH", "i": "IY", "i:": "IY",
    "i@": "IY AH", "i@3": "IH R", "@": "AH", "@-": "AH", "V": "AH", "@L": "AH L", "O": "AO",
    "O:": "AO", "O2": "AO", "O@": "AO R", "o@": "AO R", "U": "UH", "U@": "UH R", "u:": "UW",
    "aI": "AY", "aI@": "AY AH", "aI3": "AY ER", "aU": "AW", "eI": "EY", "oU": "OW", "OI": "OY",
}  # fmt: skip
_CONSONANTS = {
    "b": "B", "tS": "CH", "d": "D", "D": "DH", "f": "F", "g": "G", "h": "HH", "dZ": "JH", "k": "K",
    "x": "K", "l": "L", "l#": "L", "m": "M", "n": "N", "n-": "AH N", "N": "NG", "p": "P", "r": "R",
    "r-": "R", "s": "S", "S": "SH", "t": "T", "t#": "T", "t2": "T", "T": "TH", "v": "V", "w": "W",
    "j": "Y", "z": "Z", "Z": "ZH", "?": "", "": "",
}  # fmt: skip
_ARPABET = {**_VOWELS, **_CONSONANTS}


_SPEAKER = Espeak("en-us", words_per_minute=175, longest_s=5.0)


def phones_of(word: str) -> str | None:
    """The phones of a word, apart by blanks; None for one that has other sounds than English, or
    none. Starts a child and waits for it; raises UnavailableError."""
    phones = [_ARPABET.get(_NO_SOUND.sub("", each)) for each in _SPEAKER.phonemes_now(word)]
    known = [phone for phone in phones if phone is not None]
    return " ".join(filter(None, known)) or None if len(known) == len(phones) else None
