"""Barge-in, this side of it: the loudspeaker steps back the moment a visitor speaks over it.

Whether the agent gives way is the server's decision, and takes a round trip and more. Until then
the agent is ducked, for `duck_s` at most: somebody may only have coughed.
"""

import asyncio
import time

from kiosk.devices.ports import Speaker
from kiosk.visit.timeline import Moment, Observer, What


class BargeIn:
    """Used in one event loop."""

    def __init__(self, speaker: Speaker, duck_s: float, observe: Observer) -> None:
        self._speaker = speaker
        self._duck_s = duck_s
        self._observe = observe
        self._restoring: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """The visitor speaks while the loudspeaker does."""
        self._forget()
        self._restoring = asyncio.get_running_loop().call_later(self._duck_s, self.over)
        self._speaker.duck(on=True)
        self._observe(Moment(What.DUCKED, time.monotonic()))

    def over(self) -> None:
        """It came to nothing, or the agent has given way: as loud as before."""
        if self._restoring is not None:
            self._forget()
            self._speaker.duck(on=False)

    def _forget(self) -> None:
        if self._restoring is not None:
            self._restoring.cancel()
            self._restoring = None
