"""Breaker: while the provider fails, it is asked now and then only. Pure: no I/O, no clock.

It opens after several failures in a short time. Then one question is let through after a while, and
after twice as long each time that it fails; the first that is answered closes it.
"""

from collections import deque

FAILURES = 5
WITHIN_S = 10.0
FIRST_WAIT_S = 5.0
LONGEST_WAIT_S = 60.0


class Breaker:
    """One provider's. Times are seconds of one clock that never goes back."""

    def __init__(self) -> None:
        self._failed_at: deque[float] = deque(maxlen=FAILURES)
        self._wait_s = FIRST_WAIT_S
        self._asks_at: float | None = None
        self._is_trying = False

    @property
    def is_open(self) -> bool:
        """Whether it is asked now and then only."""
        return self._asks_at is not None

    def wait_s(self, now_s: float) -> float:
        """0 if the provider may be asked: then it must be, and `answered` or `failed` called."""
        if self._asks_at is None:
            return 0.0
        if now_s < self._asks_at:
            return self._asks_at - now_s
        # This question is the trial, and no other is asked meanwhile.
        self._asks_at = now_s + self._wait_s
        self._is_trying = True
        return 0.0

    def answered(self) -> None:
        """The provider works."""
        self._failed_at.clear()
        self._is_trying = False
        self._wait_s = FIRST_WAIT_S
        self._asks_at = None

    def failed(self, now_s: float) -> None:
        """It does not. Questions that were under way when it opened say nothing new."""
        if self._asks_at is not None:
            if self._is_trying:
                self._is_trying = False
                self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)
                self._asks_at = now_s + self._wait_s
            return
        self._failed_at.append(now_s)
        if len(self._failed_at) == FAILURES and now_s - self._failed_at[0] <= WITHIN_S:
            self._asks_at = now_s + self._wait_s
