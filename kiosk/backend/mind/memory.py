"""Memory of talks, in the backend's database. Whoever talks waits for it a moment at most."""

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy.exc import DBAPIError

from kiosk.backend.books.database import DatabaseDownError
from kiosk.backend.books.talks import TalkPlace, Talks
from kiosk.convai.fields import Json

log = logging.getLogger(__name__)

_WITHIN_S = 0.3
# More conversations than are open at a time; one that is forgotten is looked up again.
_MOST = 3000
# A visit that goes on after so long is another.
_STANDING_LASTS = timedelta(hours=1)


class BookMemory:
    """Where talks stand, in the books. Handouts are kept for `handout_hours`. `now`: for tests."""

    def __init__(
        self,
        talks: Talks,
        handout_hours: int,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._talks = talks
        self._handout_lasts = timedelta(hours=handout_hours)
        self._now = now
        self._known: OrderedDict[str, _Known] = OrderedDict()

    async def recall(self, conversation_id: str) -> Mapping[str, Json] | None:
        """None also where no kiosk is known to have that conversation."""
        known = await self._look_up(conversation_id)
        return None if known.place is None else known.place.standing

    async def keep(
        self,
        conversation_id: str,
        standing: Mapping[str, Json],
        handout: Mapping[str, Json] | None,
    ) -> None:
        """Nothing where no kiosk is known to have that conversation."""
        known = await self._look_up(conversation_id)
        if known.place is None:
            return
        now = self._now()
        if handout is not None:
            known.keep_until = now + self._handout_lasts
        forget_at = max(now + _STANDING_LASTS, known.keep_until or now)
        with _patience():
            async with asyncio.timeout(_WITHIN_S):
                await self._talks.keep(known.place, standing, handout, now, forget_at)

    async def _look_up(self, conversation_id: str) -> "_Known":
        known = self._known.get(conversation_id)
        if known is None:
            known = _Known()
            if not conversation_id:
                return known
            with _patience():
                async with asyncio.timeout(_WITHIN_S):
                    known.place = await self._talks.place(conversation_id, self._now())
                known.keep_until = known.place.keep_until if known.place else None
                self._known[conversation_id] = known
            if len(self._known) > _MOST:
                self._known.popitem(last=False)
        return known


@dataclass(slots=True)
class _Known:
    """What is known of a conversation. `keep_until`: a handout was made, and promised."""

    place: TalkPlace | None = None
    keep_until: datetime | None = None


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    try:
        yield
    except (DBAPIError, DatabaseDownError, TimeoutError) as error:
        log.warning("a talk is not remembered: %s", type(error).__name__)
