"""Answers to what many visitors ask first: the same words again need no model. Pure.

Only the first question of a talk: what a later one means hangs on what was said before. What is
kept of a question cannot be read, and nothing outlives the process.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

from kiosk.backend.mind.words import words_of
from kiosk.convai.speech_engine import Said

_MOST = 1000


class CommonAnswers:
    """The newest of them. What is asked for again stays."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._answers: OrderedDict[bytes, str] = OrderedDict()

    def find(self, talk: Sequence[Said]) -> str | None:
        """What this was answered with before."""
        key = _key(talk)
        if key is None or key not in self._answers:
            return None
        self._answers.move_to_end(key)
        return self._answers[key]

    def keep(self, talk: Sequence[Said], answer: str) -> None:
        """Remember a whole answer."""
        key = _key(talk)
        if key is None or not answer.strip():
            return
        self._answers[key] = answer
        if len(self._answers) > self._most:
            self._answers.popitem(last=False)


def _key(talk: Sequence[Said]) -> bytes | None:
    """The same for what is spelled alike after the same greeting; None: no first question."""
    if not talk or talk[-1].role != "user" or any(said.role == "user" for said in talk[:-1]):
        return None
    words = words_of(talk[-1].content)
    if not words:
        return None
    greeting = "\n".join(said.content for said in talk[:-1])
    return hashlib.sha256(f"{greeting}\0{' '.join(words)}".encode()).digest()
