"""Named timers on the loop's clock: setting one again replaces it."""

import asyncio
import logging
from collections.abc import Callable, Coroutine

from kiosk.faults import fault

log = logging.getLogger(__name__)


class Timers:
    """The timers of one owner."""

    def __init__(self) -> None:
        self._handles: dict[str, asyncio.TimerHandle] = {}

    def set(self, name: str, after_s: float, callback: Callable[[], None]) -> None:
        self.cancel(name)
        loop = asyncio.get_running_loop()
        self._handles[name] = loop.call_later(after_s, callback)

    def cancel(self, *names: str) -> None:
        for name in names:
            if (handle := self._handles.pop(name, None)) is not None:
                handle.cancel()

    def clear(self) -> None:
        self.cancel(*tuple(self._handles))


async def at_most(limit_s: float, waited: Coroutine[None, None, None]) -> None:
    """Wait for something, but not for ever; being late is logged, not raised."""
    try:
        async with asyncio.timeout(limit_s):
            await waited
    except TimeoutError:
        log.warning(
            "playback did not end in %g s; going on", limit_s, extra=fault("playback_stuck")
        )
