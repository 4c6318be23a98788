"""Tests of whole kiosks in virtual time: no busy machine makes them fail, and nobody waits."""

import functools
from collections.abc import Callable, Coroutine
from typing import ParamSpec, TypeVar

from kiosk.lab.virtual_loop import run_in_lockstep

T = TypeVar("T")
P = ParamSpec("P")

_MARK = "in_lockstep"


def in_lockstep(test: Callable[P, Coroutine[object, object, T]]) -> Callable[P, T]:
    """Makes an async test one whose loop, sound threads and network share a virtual clock."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return run_in_lockstep(test(*args, **kwargs))

    run.__dict__[_MARK] = True
    return run


def is_in_lockstep(test: object) -> bool:
    """Whether a test function was made so."""
    return _MARK in getattr(test, "__dict__", {})
