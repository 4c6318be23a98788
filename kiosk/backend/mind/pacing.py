"""Pacing of a mind's answer: nobody waits in silence for a model that is slow, or gone."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from enum import StrEnum

from kiosk.backend.mind.port import Mind, MindError, MindTurn
from kiosk.base.clock import loop_now_s

log = logging.getLogger(__name__)

# A mind may take so long to put down what it was doing; the next turn does not wait for more.
_ENDS_WITHIN_S = 0.5
_ending: set[asyncio.Task[None]] = set()  # a task that nobody holds may vanish


@dataclass(frozen=True, slots=True)
class Pace:
    """What is said when there is nothing to say yet. Dots and a space: the voice draws breath."""

    filler_after_s: float = 0.7
    filler: str = "... "
    apology_after_s: float = 8.0
    apology: str = "I am sorry, I cannot think of an answer just now. Please ask me again."


class MindResult(StrEnum):
    """What became of an answer."""

    ANSWERED = "answered"
    FAILED = "failed"
    LATE = "late"  # nothing came for too long
    EMPTY = "empty"
    CUT = "cut"  # whoever asked has gone


# Result, and seconds until the first text came; None: none did.
Told = Callable[[MindResult, float | None], None]


async def paced(mind: Mind, turn: MindTurn, pace: Pace, told: Told) -> AsyncGenerator[str, None]:
    """The mind's pieces, with a filler before the first if it lets wait, and an apology if none
    comes, or none any more. Closed, it ends what stands behind it. `told` is called at the end."""
    pieces, result, first_s = _pieces(mind, turn), MindResult.CUT, None
    limit_s, may_breathe, began_s = pace.filler_after_s, True, loop_now_s()
    waiting = asyncio.ensure_future(_next(pieces))
    try:
        while True:
            await asyncio.wait((waiting,), timeout=limit_s)
            if not waiting.done() and may_breathe:
                yield pace.filler
                limit_s, may_breathe = pace.apology_after_s - pace.filler_after_s, False
                continue
            if not waiting.done():
                log.warning("a mind has said nothing for %g s", pace.apology_after_s)
                result = MindResult.LATE
                break
            if (fault := _fault(waiting)) is not None:
                log.warning("a mind failed: %s", fault)
                result = MindResult.FAILED
                break
            piece = waiting.result()
            if piece is None:
                result = MindResult.EMPTY if first_s is None else MindResult.ANSWERED
                break
            if first_s is None and piece.strip():
                first_s = loop_now_s() - began_s
            yield piece
            limit_s, may_breathe = pace.apology_after_s, False
            waiting = asyncio.ensure_future(_next(pieces))
        if result is not MindResult.ANSWERED:
            yield pace.apology
    finally:
        told(result, first_s)
        ending = asyncio.ensure_future(_end(waiting, pieces))
        _ending.add(ending)
        ending.add_done_callback(_ended)
        await asyncio.wait((ending,), timeout=_ENDS_WITHIN_S)


async def _pieces(mind: Mind, turn: MindTurn) -> AsyncGenerator[str, None]:
    async with contextlib.aclosing(mind.answer(turn)) as pieces:
        async for piece in pieces:
            yield piece


async def _next(pieces: AsyncGenerator[str, None]) -> str | None:
    return await anext(pieces, None)


async def _end(waiting: "asyncio.Future[str | None]", pieces: AsyncGenerator[str, None]) -> None:
    waiting.cancel()
    await asyncio.wait((waiting,))
    if not waiting.cancelled():
        waiting.exception()  # it is known, or nobody wants to know it any more
    await pieces.aclose()


def _ended(ending: asyncio.Task[None]) -> None:
    _ending.discard(ending)
    if (fault := _fault(ending)) is not None:
        log.warning("a mind failed when it was ended: %s", fault)


def _fault(done: "asyncio.Future[str | None] | asyncio.Task[None]") -> str | None:
    """What went wrong, for the log: of a mistake of the mind's own without its text, which may hold
    what was said."""
    error = asyncio.CancelledError() if done.cancelled() else done.exception()
    if error is None or isinstance(error, MindError):
        return None if error is None else str(error)
    return type(error).__name__
