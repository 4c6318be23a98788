"""Plays a lamp's pattern with the loop's clock, over anything that can be switched."""

import asyncio
from collections.abc import Callable

from kiosk.devices.ports import Pattern


class PatternPlayer:
    """Switches a lamp through its pattern; a steady pattern costs nothing once set."""

    def __init__(self, switch: Callable[[bool], None], loop: asyncio.AbstractEventLoop) -> None:
        self._switch = switch
        self._loop = loop
        self._pattern: Pattern = ()
        self._timer: asyncio.TimerHandle | None = None

    def show(self, pattern: Pattern) -> None:
        """Change to this pattern at once, from its first step; the same one goes on undisturbed."""
        if pattern == self._pattern:
            return
        self.stop()
        self._pattern = pattern
        self._step(0)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._pattern = ()

    def _step(self, index: int) -> None:
        lit, duration_s = self._pattern[index]
        self._switch(lit)
        if len(self._pattern) > 1:
            following = (index + 1) % len(self._pattern)
            self._timer = self._loop.call_later(duration_s, self._step, following)
