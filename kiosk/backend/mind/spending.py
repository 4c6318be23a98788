"""Spending of a model's tokens: what a visit and a day may take. Pure: the day is an argument, a
number of its own.

Each server counts for itself, from its start.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from kiosk.backend.mind.persona import Budget

# Where nobody counts: fewer than of most languages, so that a budget is not overrun.
CHARACTERS_PER_TOKEN = 3
# More visits than are open at a time; of one that is forgotten the day's budget still knows.
_MOST_VISITS = 10_000


@dataclass(frozen=True, slots=True)
class Tokens:
    """What an answer took: `read` from us, `cached` of the same read before, `written` by the
    model."""

    read: int = 0
    cached: int = 0
    written: int = 0

    @property
    def total(self) -> int:
        """All of them alike: a budget is a bound, and no bill."""
        return self.read + self.cached + self.written


# By whom, told once an answer has ended, however it did: the conversation's id, and what it took.
Spent = Callable[[str, Tokens], None]


class Spending:
    """What was spent so far."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._day = 0
        self._of_the_day = 0
        self._of_visits: OrderedDict[str, int] = OrderedDict()

    def add(self, conversation_id: str, tokens: Tokens, today: int) -> None:
        """Count them. A conversation that has no id counts for the day only."""
        self._turn_page(today)
        self._of_the_day += tokens.total
        if conversation_id:
            spent = self._of_visits.pop(conversation_id, 0) + tokens.total
            self._of_visits[conversation_id] = spent
            if len(self._of_visits) > _MOST_VISITS:
                self._of_visits.popitem(last=False)

    def refuses(self, conversation_id: str, today: int) -> str:
        """Why nothing more may be spent, for the log; empty: it may."""
        self._turn_page(today)
        if self._of_the_day >= self._budget.day_tokens:
            return "the day's tokens are spent (budget.day_tokens)"
        if self._of_visits.get(conversation_id, 0) >= self._budget.visit_tokens:
            return "the visit's tokens are spent (budget.visit_tokens)"
        return ""

    def _turn_page(self, today: int) -> None:
        if today != self._day:
            self._day, self._of_the_day = today, 0
