"""The morning check: once a day, before the first visitor comes, everything a visit needs is looked
at, the sound is measured, and what is wrong is logged, which alerts who watches the fleet."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from typing import TypeAlias

from kiosk.base.clock import clock_was_set
from kiosk.causes import fault
from kiosk.config import Settings
from kiosk.daemon.sound_check import SoundCheck
from kiosk.doctor.examination import examine
from kiosk.doctor.findings import Finding, Result
from kiosk.doctor.subject import in_use

log = logging.getLogger(__name__)

# Looked at so often, since a machine's clock may jump.
_LOOK_S = 20.0
# A machine that was just switched on is still finding its cards, its network and its lease.
_SETTLE_S = 60.0
# A kiosk that was switched on later, or was busy, is still checked in this time.
_LATE = timedelta(minutes=30)
# What has changed is a warning to who asks, and an alert where nobody did.
_ALERTS = ("sound_reference",)

Look: TypeAlias = Callable[[], Awaitable[Sequence[Finding]]]


class MorningCheck:
    """`run` is its task. `now`: local time. `look`: finds how all but the sound is; None: the
    doctor's examination."""

    def __init__(
        self,
        settings: Settings,
        sound: SoundCheck,
        now: Callable[[], datetime] = datetime.now,
        look: Look | None = None,
    ) -> None:
        self._settings = settings
        self._at = time.fromisoformat(settings.sound.check_at)
        self._sound = sound
        self._now = now
        self._look = look or self._examined

    async def run(self) -> None:
        """Check once a day, until cancelled."""
        done: date | None = None
        await asyncio.sleep(_SETTLE_S)
        while True:
            now = self._now()
            due = clock_was_set(now.timestamp()) and is_due(now, self._at, done)
            if due and self._sound.idle and await self._checked():
                done = now.date()
            await asyncio.sleep(_LOOK_S)

    async def _checked(self) -> bool:
        """Whether it was made to its end: a visitor may have come."""
        sounded = await self._sound.measured("sound")
        if not self._sound.idle:
            return False
        if wrong := list(faults((*sounded.findings, *await self._look()))):
            log.warning("morning check: %s", "; ".join(wrong), extra=fault("morning_check_failed"))
        else:
            log.info("morning check: all is well")
        return True

    async def _examined(self) -> Sequence[Finding]:
        return (await examine(lambda: in_use(self._settings)))[1]


def is_due(now: datetime, at: time, done: date | None) -> bool:
    """Whether it is to be made now; `done`: the day of the last one."""
    begins = datetime.combine(now.date(), at, now.tzinfo)
    return done != now.date() and begins <= now < begins + _LATE


def faults(findings: Iterable[Finding]) -> Iterator[str]:
    """What is worth an alert, in a line each."""
    for finding in findings:
        changed = finding.result is Result.WARN and finding.id in _ALERTS
        if changed or finding.result is Result.FAIL:
            yield f"{finding.id}: {finding.value}"
