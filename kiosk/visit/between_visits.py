"""The kiosk's voice between visits: a text that an operator gives it, and the report for staff."""

import asyncio
from collections.abc import Awaitable, Callable

from kiosk.visit.announcer import Announcer
from kiosk.visit.speech import Voice

LONGEST_TEXT = 600  # characters, which take a minute
_KEY = "bulletin"


class BetweenVisits:
    """`run` is its task. `compose` writes the report; `idle`: whether no visit is under way."""

    def __init__(
        self,
        announcer: Announcer,
        voice: Voice,
        compose: Callable[[], Awaitable[str]],
        idle: Callable[[], bool],
    ) -> None:
        self._announcer = announcer
        self._voice = voice
        self._compose = compose
        self._idle = idle
        self._wanted = asyncio.Event()

    async def say(self, text: str) -> str | None:
        """Say it now; returns why not, None if it is being said."""
        if not self._idle():
            return "a visit is under way"
        clip = await self._voice.spoken(text[:LONGEST_TEXT])
        if clip is None:
            return "espeak-ng says nothing: `kiosk doctor` tells why"
        if not self._idle():
            return "a visit has begun"
        self._announcer.say_clip(_KEY, clip)
        return None

    def report(self) -> None:
        """Look how the kiosk is, and say it."""
        self._wanted.set()

    def drop(self) -> None:
        """Be silent: somebody wants a visit. A report that is being composed is not said."""
        self._wanted.clear()
        self._announcer.hush(_KEY)

    async def run(self) -> None:
        """Report whenever it is wanted, until cancelled."""
        while True:
            await self._wanted.wait()
            self._announcer.say("one_moment")  # it takes some seconds to look
            text = await self._compose()
            if self._wanted.is_set():
                self._wanted.clear()
                await self.say(text)
