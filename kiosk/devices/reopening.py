"""Opening a card again and again, and noticing when only a new process could.

A process may never see a card that was plugged in after it started: libasound keeps what it read
when it opened its first device. Such a card is there for the kernel and cannot be opened, for as
long as the process lives.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from kiosk.base.clock import REAL
from kiosk.devices.ports import CardRefusedError, StuckError
from kiosk.errors import DeviceError

P = TypeVar("P")

STUCK_S = 30.0


class Opener(Generic[P]):
    """Opens a card; raises DeviceError, and StuckError once a card that was open, or was plugged in
    since, has been there for `STUCK_S` and could not be opened in all that time. One that was there
    from the start and never opened is wrongly set, or broken: a new process fares no better.
    `present` tells whether the kernel knows the card; None: it cannot be known."""

    def __init__(
        self,
        open_card: Callable[[], P],
        present: Callable[[], bool | None],
        clock: Callable[[], float] = REAL.now_s,
    ) -> None:
        self._open_card = open_card
        self._present = present
        self._clock = clock
        self._refused_since_s: float | None = None
        self._came = False  # it was open, or away, in this process's time

    def __call__(self) -> P:
        try:
            card = self._open_card()
        except CardRefusedError as error:
            if self._stuck():
                raise StuckError(
                    f"{error}; the card has been there for {STUCK_S:g} s: "
                    "only starting the kiosk again can help"
                ) from error
            raise
        except DeviceError:
            # Busy, forbidden, or named badly: a new process would fare no better.
            self._refused_since_s = None
            raise
        self._refused_since_s = None
        self._came = True
        return card

    def _stuck(self) -> bool:
        there = self._present()
        if not there:
            self._came = self._came or there is False
            self._refused_since_s = None
            return False
        now_s = self._clock()
        if self._refused_since_s is None:
            self._refused_since_s = now_s
        return self._came and now_s - self._refused_since_s >= STUCK_S
