"""Memory of one visit's turns: sound and words of both sides. Pure: no I/O, no clock.

It is in memory only, bounded, and gone with the visit. Out of it an answer goes on that a noise has
cut, and a new conversation learns what the lost one was about: what was said, and the visitor's
last turn as sound if nobody has answered it.
"""

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from kiosk.audio.levels import pause_before
from kiosk.audio.pcm import CHUNK_MS, INTERNAL_RATE_HZ, Samples, ms_to_samples, silence

_VISITOR_S = 30.0
_ANSWER_S = 120.0
_TURNS = 8
_TEXT_CHARS = 300
# Between two stretches of speech, so that they stay two.
_BETWEEN = silence(ms_to_samples(300, INTERNAL_RATE_HZ))
# What ends a turn for a server that listens for it: a third of a second was often too short.
_TAIL = (silence(ms_to_samples(CHUNK_MS, INTERNAL_RATE_HZ)),) * (1500 // CHUNK_MS)
# Less sound than this is no rest of an answer.
_LEAST_REST_S = 0.4
# Where a sentence has no pause before it, it goes on this far back.
_BACK_S = 2.0
_FARTHEST_BACK_S = 12.0

_RECAP = "This conversation goes on where the last one broke off. "
_NO_GREETING = "Do not greet the visitor again."
_SO_FAR = " So far was said:"
_VISITOR, _AGENT = "Visitor", "You"


@dataclass(slots=True)
class _Answer:
    """The agent's newest turn. `heard`: samples, when it was cut; `whole`: all of it came; `first`:
    of the visit."""

    rate_hz: int
    sound: list[Samples] = field(default_factory=list)
    samples: int = 0
    heard: int = 0
    whole: bool = False
    first: bool = False
    cut: bool = False

    def rest(self) -> Samples | None:
        """From the beginning of the sentence that was cut; None if too little is left."""
        if self.samples - self.heard < _LEAST_REST_S * self.rate_hz:
            return None
        everything = np.concatenate(self.sound)
        earliest = max(0, self.heard - round(_FARTHEST_BACK_S * self.rate_hz))
        pause = pause_before(everything[earliest : self.heard], self.rate_hz)
        if pause is not None:
            return everything[earliest + pause :]
        back = 0 if not earliest else self.heard - round(_BACK_S * self.rate_hz)
        return everything[back:]


@dataclass(frozen=True, slots=True)
class AnswerRest:
    """The rest of an answer, from the beginning of the sentence that was cut. `samples` None: too
    little of it came, or all was heard. `whole`: no more of it was to come."""

    samples: Samples | None
    rate_hz: int
    whole: bool


class TurnMemory:
    """What a visit remembers of its turns."""

    def __init__(self) -> None:
        self._visitor: deque[Samples] = deque(maxlen=round(_VISITOR_S * 1000 / CHUNK_MS))
        self._pause = False  # since the visitor's last sound
        self._answer: _Answer | None = None
        self._words: deque[tuple[str, str]] = deque(maxlen=_TURNS)

    def forget(self) -> None:
        """The visit is over."""
        self._visitor.clear()
        self._words.clear()
        self._pause, self._answer = False, None

    @property
    def has_begun(self) -> bool:
        """Whether the agent was heard in this visit, or has understood the visitor."""
        answer = self._answer
        unheard = answer is None or (answer.first and answer.cut and not answer.heard)
        return not unheard or any(who == _VISITOR for who, _ in self._words)

    # --- the visitor ----------------------------------------------------------------------------

    def visitor_spoke(self, chunk: Samples) -> None:
        """20 ms of the visitor's speech, 16 kHz, in order."""
        if self._pause and self._visitor:
            size = len(chunk)
            self._visitor.extend(_BETWEEN[at : at + size] for at in range(0, len(_BETWEEN), size))
        self._pause = False
        self._visitor.append(chunk)

    def visitor_paused(self) -> None:
        """A stretch of speech ended."""
        self._pause = True

    def answered(self) -> None:
        """An answer to what the visitor said began."""
        self._visitor.clear()

    @property
    def unanswered(self) -> tuple[Samples, ...]:
        """The visitor's last turn in chunks, if nobody has answered it; with the silence that ends
        a turn, if the visitor speaks no more."""
        return (*self._visitor, *(_TAIL if self._visitor and self._pause else ()))

    # --- the agent ------------------------------------------------------------------------------

    def agent_began(self, rate_hz: int) -> None:
        """A turn of the agent's, whose sound has this rate."""
        self._answer = _Answer(rate_hz, first=not self.has_begun)

    def agent_spoke(self, samples: Samples) -> None:
        """The next sound of the agent's turn."""
        answer = self._answer
        if answer is not None and answer.samples < _ANSWER_S * answer.rate_hz:
            answer.sound.append(samples)
            answer.samples += len(samples)

    def agent_was_cut(self, heard: int, *, whole: bool) -> None:
        """Of the agent's turn so many samples were heard; `whole`: no more of it was to come."""
        if self._answer is not None:
            self._answer.heard, self._answer.whole, self._answer.cut = heard, whole, True

    def rest_of_answer(self) -> AnswerRest:
        """What a cut answer goes on with; from then on that is the answer."""
        answer = self._answer
        if answer is None:
            return AnswerRest(None, 0, whole=True)
        rest = answer.rest()
        if rest is not None:
            self._answer = _Answer(answer.rate_hz, [rest], len(rest), 0, answer.whole)
        return AnswerRest(rest, answer.rate_hz, answer.whole)

    # --- words ----------------------------------------------------------------------------------

    def visitor_said(self, text: str) -> None:
        """The text of a turn of the visitor's, once it is known."""
        self._remember(_VISITOR, text)

    def agent_said(self, text: str) -> None:
        """The text of a turn of the agent's."""
        self._remember(_AGENT, text)

    def agent_was_corrected(self, text: str) -> None:
        """The text of the agent's last turn, as far as it was spoken."""
        if self._words and self._words[-1][0] == _AGENT:
            self._words.pop()
        self.agent_said(text)

    def recap(self) -> str:
        """What a new conversation has to know of the lost one."""
        turns = "".join(f"\n{who}: {text}" for who, text in self._words)
        return _RECAP + _NO_GREETING + (_SO_FAR + turns if turns else "")

    def _remember(self, who: str, text: str) -> None:
        line = " ".join(text.split())
        if line:
            self._words.append((who, line[:_TEXT_CHARS]))
