"""Rendered parts of the page, shared by all who look: a busy fleet is drawn so often, and no more,
however many watch it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

# Drawing takes a tenth of the time at most.
_LEAST_LIFE_S, _LIFE_OF_COST = 0.5, 10
_MOST = 1000


@dataclass(slots=True)
class _Part:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    text: str = ""
    good_until_s: float = 0.0


class RenderedParts:
    """One for each tenant and role."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._parts: dict[tuple[str, str], _Part] = {}

    async def get(self, tenant: str, role: str, draw: Callable[[], Awaitable[str]]) -> str:
        """The part as it was a moment ago, at most, or drawn anew."""
        if len(self._parts) >= _MOST:
            self._parts.clear()
        part = self._parts.setdefault((tenant, role), _Part())
        async with part.lock:
            began_s = self._now_s()
            if began_s >= part.good_until_s:
                part.text = await draw()
                ended_s = self._now_s()
                life_s = max(_LEAST_LIFE_S, _LIFE_OF_COST * (ended_s - began_s))
                part.good_until_s = ended_s + life_s
            return part.text

    def anew_in_s(self, tenant: str, role: str) -> float:
        """When it is drawn anew for whoever asks: what changes now is seen only then."""
        part = self._parts.get((tenant, role))
        return 0.0 if part is None else max(0.0, part.good_until_s - self._now_s())

    def forget(self, tenant: str) -> None:
        """Something of this tenant's was changed by whoever looks."""
        for (of, _), part in self._parts.items():
            if of == tenant:
                part.good_until_s = 0.0
