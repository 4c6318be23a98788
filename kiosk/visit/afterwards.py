"""Effects first: whoever listens hears of a moment when what is under way has been done."""

import asyncio
from collections import deque

from kiosk.moments import Moment, Observer


class Afterwards:
    """Hands every moment on, in order, in the loop's next turn: a listener that takes its time then
    keeps neither a lamp dark nor a sound waiting of the event that it is told of."""

    def __init__(self, pass_on: Observer) -> None:
        self._pass_on = pass_on
        self._moments: deque[Moment] = deque()

    def observe(self, moment: Moment) -> None:
        self._moments.append(moment)
        # One at a time: a listener that fails keeps the others' moments from nobody.
        asyncio.get_running_loop().call_soon(self._deliver)

    def deliver_all(self) -> None:
        """Hand on what waits, now: somebody asks what the listeners know."""
        while self._moments:
            self._deliver()

    def _deliver(self) -> None:
        if self._moments:
            self._pass_on(self._moments.popleft())
