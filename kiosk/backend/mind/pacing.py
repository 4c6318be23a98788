"""Pacing of a mind's answer: nobody waits in silence for a model that is slow, or gone."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from kiosk.backend.mind.port import MindError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """What is said when there is nothing to say yet. Dots and a space: the voice draws breath."""

    filler_after_s: float = 0.7
    filler: str = "... "
    apology_after_s: float = 8.0
    apology: str = "I am sorry, I cannot think of an answer just now. Please ask me again."


async def paced(pieces: AsyncGenerator[str, None], pace: Pace) -> AsyncGenerator[str, None]:
    """The pieces, with a filler before the first if it lets wait, and an apology if none comes, or
    none any more. Closed, it cancels what stands behind it."""
    limit_s, may_breathe = pace.filler_after_s, True
    waiting = asyncio.ensure_future(_next(pieces))
    try:
        while True:
            await asyncio.wait((waiting,), timeout=limit_s)
            if not waiting.done():
                if not may_breathe:
                    log.warning("a mind has said nothing for %g s", pace.apology_after_s)
                    yield pace.apology
                    return
                yield pace.filler
                limit_s, may_breathe = pace.apology_after_s - pace.filler_after_s, False
                continue
            piece = _result(waiting, pace.apology)
            if piece is None:
                return
            yield piece
            limit_s, may_breathe = pace.apology_after_s, False
            waiting = asyncio.ensure_future(_next(pieces))
    finally:
        waiting.cancel()
        await asyncio.wait((waiting,))
        await pieces.aclose()


async def _next(pieces: AsyncGenerator[str, None]) -> str | None:
    return await anext(pieces, None)


def _result(waiting: "asyncio.Future[str | None]", apology: str) -> str | None:
    error = waiting.exception()
    if error is None:
        return waiting.result()
    if isinstance(error, MindError):
        log.warning("a mind failed: %s", error)
    else:  # a mistake of the mind's own, without its text: it may hold what was said
        log.error("a mind has a fault: %s", type(error).__name__)
    return apology
