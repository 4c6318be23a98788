"""Outbox of alerts: each is kept until its channel has taken it, and tried again.

One channel that is down holds up no other.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from pydantic import BaseModel

from kiosk.base.backoff import backoff_s
from kiosk.causes import fault
from kiosk.watch.alerts import Notice
from kiosk.watch.channels import Channel, DeliveryError

log = logging.getLogger(__name__)

_FIRST_RETRY_S = 1.0
_LAST_RETRY_S = 300.0
# More than that and the watcher reads no further: what it has not read, the journal keeps.
LIMIT = 1000


class Waiting(BaseModel):
    """A notice, and which channels have not taken it."""

    notice: Notice
    channels: list[str]


class AlertOutbox:
    """`run` is the task; `changed` is called whenever something was taken."""

    def __init__(
        self,
        channels: Sequence[Channel],
        waiting: Iterable[Waiting],
        changed: Callable[[], None],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._channels = channels
        self._changed = changed
        self._jitter = jitter
        names = {channel.name for channel in channels}
        # A channel that is not there any more is not waited for.
        self._waiting = deque(each for each in waiting if names.intersection(each.channels))
        self._added = asyncio.Condition()

    @property
    def waiting(self) -> list[Waiting]:
        return list(self._waiting)

    @property
    def full(self) -> bool:
        return len(self._waiting) >= LIMIT

    async def add(self, notices: Iterable[Notice]) -> None:
        names = [channel.name for channel in self._channels]
        async with self._added:
            self._waiting.extend(Waiting(notice=notice, channels=list(names)) for notice in notices)
            self._added.notify_all()

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for channel in self._channels:
                tasks.create_task(self._serve(channel), name=channel.name)

    async def _serve(self, channel: Channel) -> None:
        failures = 0
        while True:
            async with self._added:
                await self._added.wait_for(lambda: self._first(channel.name) is not None)
            first = self._first(channel.name)
            assert first is not None
            try:
                await channel.send(first.notice)
            except DeliveryError as error:
                failures += 1
                told = log.warning if failures == 1 else log.debug
                told("an alert is not delivered: %s", error, extra=fault(error.cause))
                limit_s = backoff_s(failures, _FIRST_RETRY_S, _LAST_RETRY_S)
                await asyncio.sleep(limit_s * (0.5 + 0.5 * self._jitter()))
                continue
            failures = 0
            first.channels.remove(channel.name)
            self._waiting = deque(each for each in self._waiting if each.channels)
            self._changed()

    def _first(self, channel: str) -> Waiting | None:
        return next((each for each in self._waiting if channel in each.channels), None)
