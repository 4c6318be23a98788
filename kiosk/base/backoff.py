"""Backoff: how long to wait before the next attempt. Pure: no clock, no chance."""

# More doublings than any limit takes, and few enough for a float.
_MOST_DOUBLINGS = 30


def backoff_s(failures: int, first_s: float, last_s: float) -> float:
    """The longest wait after so many failures in a row, from 1 on: doubled each time up to
    `last_s`. Whoever waits takes a random share of it, so that a fleet does not come at once."""
    return min(last_s, first_s * 2.0 ** min(failures - 1, _MOST_DOUBLINGS))
