"""Small working implementations of what lies around the tested code."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from kiosk.audio.pcm import Samples
from kiosk.devices.ports import Began, Clip, Drained, Flushed, Source

_Played: TypeAlias = Began | Drained | Flushed


def hears_all(_rate_hz: int) -> Callable[[Samples], bool]:
    """An ear to which all that the agent sends is voice: for sound that is counted."""
    return lambda _: True


class LoopSpeaker:
    """A `Speaker` that plays on the loop's clock. `heard`: every clip, and how long it sounded.

    `ducked`: when it was told to play more softly, or as loud as before."""

    def __init__(self) -> None:
        self.heard: list[tuple[Clip, float]] = []
        self.ducked: list[tuple[float, bool]] = []
        self.levels_db: list[float] = []
        self._loop = asyncio.get_running_loop()
        self._handlers: list[Callable[[_Played], None]] = []
        self._waiting: deque[Clip] = deque()
        self._sounding: tuple[Clip, float, asyncio.TimerHandle] | None = None
        self._given = 0

    def tell(self, handler: Callable[[_Played], None]) -> None:
        """Another one who wants to know what is heard."""
        self._handlers.append(handler)

    def play(self, clip: Clip) -> int:
        self._given += 1
        self._waiting.append(clip)
        if self._sounding is None:
            self._next()
        return self._given

    def flush(self, *sources: Source) -> None:
        gone = sources or tuple(Source)
        self._waiting = deque(clip for clip in self._waiting if clip.source not in gone)
        if self._sounding is not None and self._sounding[0].source in gone:
            self._sounding[2].cancel()
            self._report(Flushed(self._loop.time()))
            self._over()

    def duck(self, *, on: bool) -> None:
        self.ducked.append((self._loop.time(), on))

    def set_level(self, level_db: float) -> None:
        self.levels_db.append(level_db)

    @property
    def sounds(self) -> bool:
        return self._sounding is not None

    def seconds_of(self, source: Source) -> float:
        return sum(seconds for clip, seconds in self.heard if clip.source is source)

    def _next(self) -> None:
        clip, now_s = self._waiting.popleft(), self._loop.time()
        ends = self._loop.call_later(len(clip.samples) / clip.rate_hz, self._over)
        self._sounding = (clip, now_s, ends)
        self._report(Began(clip, now_s))

    def _over(self) -> None:
        assert self._sounding is not None
        clip, began_s, _ = self._sounding
        self.heard.append((clip, self._loop.time() - began_s))
        self._sounding = None
        if self._waiting:
            self._next()
        else:
            self._report(Drained(self._given, self._loop.time()))

    def _report(self, event: _Played) -> None:
        # Like the real one's: never inside the call that caused it.
        for handler in self._handlers:
            self._loop.call_soon(handler, event)


@dataclass
class Wire:
    """The far end of a socket: keeps what is sent, while it is taking anything."""

    sent: list[bytes] = field(default_factory=list)
    taking: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.taking.set()

    async def send(self, audio: bytes) -> None:
        await self.taking.wait()
        self.sent.append(audio)
