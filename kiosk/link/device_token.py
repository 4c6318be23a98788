"""The device token that requests show, in one event loop: `DeviceTokens` without waiting for its
files where there is nothing to read or write."""

from kiosk.base.files import OneAtATime
from kiosk.link.token_file import DeviceTokens


class CurrentToken:
    """Which token to show, and what came of it."""

    def __init__(self, tokens: DeviceTokens) -> None:
        self._tokens = tokens
        self._files = OneAtATime()
        self._current: str | None = None
        self._settled: str | None = None  # accepted, and nothing happened since

    @property
    def can_rotate(self) -> bool:
        return self._tokens.can_rotate

    async def token(self) -> str:
        """The one to show."""
        return self._current or await self._first()

    async def accepted(self, token: str) -> None:
        """The backend knows it."""
        if token == self._settled:
            return  # a visitor waits for most answers, and a disk may be slow
        await self._files.do(lambda: self._tokens.accepted(token))
        if token == self._current:
            self._settled = token

    async def rejected(self, token: str) -> str | None:
        """The backend does not know it: the one to try next, None if there is none."""
        self._settled = None
        following = await self._files.do(lambda: self._tokens.rejected(token))
        if self._current == token:
            self._current = following
        return following

    async def adopt(self, token: str) -> bool:
        """Keep a new one, and show it from now on; False: the old one stays."""
        kept = await self._files.do(lambda: self._tokens.adopt(token))
        if kept:
            self._current, self._settled = token, None
        return kept

    async def _first(self) -> str:
        first, *_ = await self._files.do(self._tokens.candidates)
        self._current = self._current or first
        return self._current
