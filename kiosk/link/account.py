"""The kiosk's account with its backend: which lease a press spends, and how its visit went.

A backend that does not answer stops no visit: the lease in hand opens it, and what happened is told
when the backend is back.
"""

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import Callable
from typing import Protocol

from kiosk.contract import MAX_REPORT_AGE_S, EndVisit, StartVisit
from kiosk.errors import CredentialError

log = logging.getLogger(__name__)

_FIRST_RETRY_S = 1.0
_LAST_RETRY_S = 60.0
# Days of an outage; what is over it is dropped, the oldest first.
_REPORTS_LIMIT = 500
_LAST_TRY_S = 0.5


class DeniedError(Exception):
    """The backend refuses this visit. `reason` is the slug of its problem document."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Bookkeeper(Protocol):
    """Who keeps the account: the backend."""

    async def start(self, visit_id: str, start: StartVisit) -> None:
        """Raises DeniedError, and CredentialError when there is no answer."""
        ...

    async def end(self, visit_id: str, end: EndVisit) -> None:
        """Raises DeniedError, and CredentialError when there is no answer."""
        ...


class Account:
    """Tells the bookkeeper. `run` is its task."""

    def __init__(self, bookkeeper: Bookkeeper, jitter: Callable[[], float] = random.random) -> None:
        self.dropped_reports = 0
        self._bookkeeper = bookkeeper
        self._jitter = jitter
        # With the moment it was given.
        self._reports: deque[tuple[str, EndVisit, float]] = deque(maxlen=_REPORTS_LIMIT)
        self._ready = asyncio.Event()

    async def start(self, visit_id: str, press_id: str) -> None:
        """Spend the lease on this press; raises DeniedError. No answer is no refusal."""
        try:
            await self._bookkeeper.start(visit_id, StartVisit(press_id=press_id))
        except CredentialError as error:
            log.warning("the visit goes on without the backend's word: %s", error)

    def ended(self, visit_id: str, end: EndVisit) -> None:
        """To be told as soon as the backend answers."""
        if len(self._reports) == self._reports.maxlen:
            self.dropped_reports += 1
            log.warning("the backend was away for too long: a visit's end is dropped, untold")
        self._reports.append((visit_id, end, _now_s()))
        self._ready.set()

    async def run(self) -> None:
        """Tell what is to be told until cancelled."""
        failures = 0
        while True:
            while self._reports:
                try:
                    await self._tell_first()
                    failures = 0
                except CredentialError as error:
                    failures += 1
                    (log.warning if failures == 1 else log.debug)("a visit is untold: %s", error)
                    limit_s = min(_LAST_RETRY_S, _FIRST_RETRY_S * 2.0 ** min(failures - 1, 10))
                    await asyncio.sleep(max(0.2, self._jitter() * limit_s))
            self._ready.clear()
            await self._ready.wait()

    async def close(self) -> None:
        """The process ends: a last try for what is untold, when `run` is over."""
        with contextlib.suppress(TimeoutError, CredentialError):
            async with asyncio.timeout(_LAST_TRY_S):
                while self._reports:
                    await self._tell_first()
        if self._reports:
            log.warning("the backend was not told how %d visit(s) ended", len(self._reports))

    async def _tell_first(self) -> None:
        """Raises CredentialError; another's turn is next then, so that none holds up the rest."""
        report = self._reports[0]
        visit_id, end, given_s = report
        ago_s = min(_now_s() - given_s, MAX_REPORT_AGE_S)
        done = False
        try:
            await self._bookkeeper.end(visit_id, end.model_copy(update={"ago_s": ago_s}))
            done = True
        except DeniedError as denied:
            log.warning("the backend does not take the end of visit %s: %s", visit_id, denied)
            done = True
        finally:
            # Not there any more if it was dropped meanwhile.
            if self._reports and self._reports[0] is report:
                if done:
                    self._reports.popleft()
                else:
                    self._reports.rotate(-1)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
