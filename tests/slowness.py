"""How slow this machine is now: limits of tests in its own time are scaled by it."""

import hashlib
import time
from functools import cache

_WORK = bytes(1_000_000)
_ROUNDS = 60
# Of a quiet core of 2020; a Raspberry Pi 4 takes four times as long.
_QUIET_S = 0.06
_MOST = 10.0


@cache
def slowness() -> float:
    """How many times longer than on a quiet core a piece of work takes, waiting included; 1 at
    least. Measured once a run, when it is first asked for."""
    began_s = time.perf_counter()
    for _ in range(_ROUNDS):
        hashlib.sha1(_WORK, usedforsecurity=False).digest()
    return min(_MOST, max(1.0, (time.perf_counter() - began_s) / _QUIET_S))


def patient_s(seconds: float) -> float:
    """A limit for a quiet machine, as this one needs it now."""
    return seconds * slowness()
