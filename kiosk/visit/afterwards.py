"""Effects first: whoever listens hears of a moment when what is under way has been done."""

import asyncio
from collections import deque

from kiosk.visit.timeline import Moment, Observer


class Afterwards:
    """Hands every moment on, in order, in the loop's next turn: a listener that takes its time then
    keeps neither a lamp dark nor a sound waiting of the event that it is told of."""

    def __init__(self, pass_on: Observer) -> None:
        self._pass_on = pass_on
        self._moments: deque[Moment] = deque()

    def observe(self, moment: Moment) -> None:
        if not self._moments:
            asyncio.get_running_loop().call_soon(self._deliver)
        self._moments.append(moment)

    def _deliver(self) -> None:
        for _ in range(len(self._moments)):
            self._pass_on(self._moments.popleft())
        if self._moments:  # a listener's own doing
            asyncio.get_running_loop().call_soon(self._deliver)
