"""The kiosk's account with its backend: which lease a press spends, and how its visit went.

A backend that does not answer stops no visit: the lease in hand opens it, and what happened is told
when the backend is back. Where there is a file for it, that outlives the process; it is written
only when a first try to tell has failed, so that in ordinary days no flash memory wears.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from kiosk.base.backoff import backoff_s
from kiosk.base.clock import loop_now_s
from kiosk.base.files import OneAtATime
from kiosk.causes import fault
from kiosk.contract import MAX_REPORT_AGE_S, EndVisit, LiveVisit, StartVisit
from kiosk.errors import CredentialError
from kiosk.link.report_file import KeptReport, ReportFile

log = logging.getLogger(__name__)

UNAUTHORIZED = "unauthorized"
_FIRST_RETRY_S = 1.0
_LAST_RETRY_S = 60.0
# Days of an outage; what is over it is dropped, the oldest first.
# After that nobody stands there who would want what was made in the visit.
_VISITOR_STAYS_S = 30.0
_REPORTS_LIMIT = 500
_LAST_TRY_S = 0.5


class DeniedError(Exception):
    """The backend refuses this visit. `reason` is the slug of its problem document."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


# The address of what was made for a visitor, and the press that began the visit.
OnHandout = Callable[[str, str], None]


class VisitReports(Protocol):
    """Who keeps the account: the backend."""

    async def start(self, visit_id: str, start: StartVisit) -> None:
        """Raises DeniedError, and CredentialError when there is no answer."""
        ...

    async def live(self, visit_id: str, live: LiveVisit) -> None:
        """Raises DeniedError, and CredentialError when there is no answer."""
        ...

    async def end(self, visit_id: str, end: EndVisit) -> str | None:
        """The address of what was made for the visitor, if anything was; raises DeniedError, and
        CredentialError when there is no answer."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class _Report:
    """What is to be told, with the moment it was given: on the loop's clock, or, from an earlier
    life of the kiosk's, on the wall's."""

    visit_id: str
    end: EndVisit
    given_s: float | None = None
    given_at: float = 0.0

    def ago_s(self, wall_s: float) -> float:
        ago_s = wall_s - self.given_at if self.given_s is None else loop_now_s() - self.given_s
        # A wall clock may have been wrong then, or be wrong now.
        return min(max(ago_s, 0.0), MAX_REPORT_AGE_S)

    def to_keep(self, wall_s: float) -> KeptReport:
        given_at = self.given_at if self.given_s is None else wall_s - self.ago_s(wall_s)
        return KeptReport(visit_id=self.visit_id, given_at=given_at, end=self.end)


class Account:
    """Reports visits to the backend. `run` is its task. `wall_s` is what lasts from one life of the
    kiosk's to the next, and jumps. `on_handout` is given the address of what was made for a
    visitor who may still be there, and the press."""

    def __init__(
        self,
        reports: VisitReports,
        jitter: Callable[[], float] = random.random,
        file: ReportFile | None = None,
        wall_s: Callable[[], float] = time.time,
        on_handout: OnHandout = lambda *_: None,
    ) -> None:
        self.dropped_reports = 0
        self._on_handout = on_handout
        self._visit_reports = reports
        self._jitter = jitter
        self._file = file
        self._wall_s = wall_s
        self._files = OneAtATime()
        self._read = file is None
        self._in_file: list[_Report] = []
        self._reports: deque[_Report] = deque(maxlen=_REPORTS_LIMIT)
        self._ready = asyncio.Event()

    @property
    def untold_reports(self) -> int:
        return len(self._reports)

    async def start(self, visit_id: str, press_id: str) -> None:
        """Spend the lease on this press; raises DeniedError. No answer is no refusal."""
        try:
            await self._visit_reports.start(visit_id, StartVisit(press_id=press_id))
        except CredentialError as error:
            log.warning(
                "the visit goes on without the backend's word: %s", error, extra=fault(error.cause)
            )

    async def live(self, visit_id: str, live: LiveVisit) -> None:
        """The conversation is open. Nothing depends on it: the visit's end is told again."""
        try:
            await self._visit_reports.live(visit_id, live)
        except (CredentialError, DeniedError) as error:
            log.debug("the backend does not know that visit %s is open: %s", visit_id, error)

    def ended(self, visit_id: str, end: EndVisit) -> None:
        """To be told as soon as the backend answers."""
        if len(self._reports) == self._reports.maxlen:
            self._dropped(1)
        self._reports.append(_Report(visit_id, end, loop_now_s()))
        self._ready.set()

    async def run(self) -> None:
        """Tell what is to be told until cancelled."""
        await self._recover()
        failures = 0
        while True:
            while self._reports:
                try:
                    await self._tell_first()
                    failures = 0
                except CredentialError as error:
                    failures += 1
                    told = log.warning if failures == 1 else log.debug
                    told("a visit is untold: %s", error, extra=fault(error.cause))
                    await self._keep()
                    limit_s = backoff_s(failures, _FIRST_RETRY_S, _LAST_RETRY_S)
                    await asyncio.sleep(max(0.2, self._jitter() * limit_s))
            self._ready.clear()
            await self._keep()
            await self._ready.wait()

    async def close(self) -> None:
        """The process ends: a last try for what is untold, when `run` is over."""
        with contextlib.suppress(TimeoutError, CredentialError):
            async with asyncio.timeout(_LAST_TRY_S):
                while self._reports:
                    await self._tell_first()
        if self._reports:
            log.warning(
                "the backend was not told how %d visit(s) ended",
                len(self._reports),
                extra=fault("visits_untold"),
            )
            await self._recover()  # or what another life of the kiosk's left would be lost
        await self._keep()

    async def _tell_first(self) -> None:
        """Raises CredentialError; another's turn is next then, so that none holds up the rest."""
        report = self._reports[0]
        done = False
        try:
            end = report.end.model_copy(update={"ago_s": report.ago_s(self._wall_s())})
            handout = await self._visit_reports.end(report.visit_id, end)
            done = True
            if handout is not None and report.ago_s(self._wall_s()) <= _VISITOR_STAYS_S:
                self._on_handout(handout, report.end.press_id)
        except DeniedError as denied:
            if denied.reason == UNAUTHORIZED:  # of the kiosk, and it may be enrolled again
                raise CredentialError("the backend does not accept this kiosk") from None
            log.warning(
                "the backend does not take the end of visit %s: %s",
                report.visit_id,
                denied,
                extra=fault("report_refused"),
            )
            done = True
        finally:
            # Not there any more if it was dropped meanwhile.
            if self._reports and self._reports[0] is report:
                if done:
                    self._reports.popleft()
                else:
                    self._reports.rotate(-1)

    def _dropped(self, count: int) -> None:
        self.dropped_reports += count
        log.warning(
            "the backend was away for too long: a visit's end is dropped, untold",
            extra=fault("report_dropped"),
        )

    async def _recover(self) -> None:
        """Take up what an earlier life of the kiosk's left untold."""
        if self._file is None or self._read:
            return
        kept = await self._files.do(self._file.load)
        self._read = True
        room = _REPORTS_LIMIT - len(self._reports)
        earlier = [_Report(each.visit_id, each.end, given_at=each.given_at) for each in kept]
        if len(earlier) > room:
            self._dropped(len(earlier) - room)
        self._in_file = earlier
        self._reports.extendleft(reversed(earlier[-room:] if room else []))

    async def _keep(self) -> None:
        """Make the file hold what is untold, unless it does."""
        file = self._file
        # Their order does not matter: each is told with its age.
        if file is None or not self._read or set(self._reports) == set(self._in_file):
            return
        self._in_file = list(self._reports)
        kept = [report.to_keep(self._wall_s()) for report in self._in_file]
        try:
            await self._files.do(lambda: file.save(kept))
        except OSError as error:
            log.warning(
                "what the backend was not told will not outlive a restart: %s",
                error.strerror,
                extra=fault("state_unwritable"),
            )
