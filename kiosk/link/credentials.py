"""The credential that opens a conversation: fetched ahead, renewed before it expires.

Time is the loop's clock, which is monotonic: a Pi's wall clock jumps by months when NTP arrives. A
credential's life counts from the moment its request was sent. An outage of the backend costs
nothing while a credential is valid, and one request at most is in flight.
"""

import asyncio
import logging
import random
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, Protocol
from urllib.parse import urlencode

from kiosk.contract import EndVisit, Grant
from kiosk.errors import CredentialError
from kiosk.link.account import Account

log = logging.getLogger(__name__)

_FIRST_RETRY_S = 1.0
_LAST_RETRY_S = 60.0
# A refused kiosk asks on, in case it is enrolled again, but seldom.
_REFUSED_RETRY_S = 300.0


@dataclass(frozen=True, slots=True)
class Opening:
    """What opens one conversation. The URL is a secret. `request_id` is the press's id too."""

    url: str
    request_id: str
    visit_id: str | None = None  # the backend's, where it keeps an account

    def __repr__(self) -> str:
        return f"Opening(url=***, request_id={self.request_id!r})"


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether the next press could open a conversation: for the kiosk's fitness."""

    ready: bool
    refused: bool = False


class Credentials(Protocol):
    """Where the visit gets its openings."""

    def next_press_id(self) -> str:
        """The id of the next press: that of the waiting credential, if one was fetched for it."""
        ...

    async def take(self, press_id: str) -> Opening:
        """An opening to use now; raises CredentialError."""
        ...

    def hurry(self) -> None:
        """Somebody needs a credential: do not wait out a retry interval."""
        ...

    def refused(self, opening: Opening) -> None:
        """The agent did not accept it: it must not be used again."""
        ...

    async def spend(self, opening: Opening, press_id: str) -> None:
        """Tell the backend that it is used; raises DeniedError if the visit may not go on."""
        ...

    def account_for(self, opening: Opening, end: EndVisit) -> None:
        """How the conversation that it opened went."""
        ...

    async def run(self, on_standing: Callable[[Standing], None]) -> None:
        """The task that keeps one at hand and tells how things stand."""
        ...


def renewal_lead_s(life_s: float) -> float:
    """How long before its expiry a credential is renewed: two minutes or 15 % of its life, if that
    is more, but never more than half of it."""
    return min(max(120.0, 0.15 * life_s), 0.5 * life_s)


@dataclass(slots=True)
class _Held:
    grant: Grant
    signed_url: str
    request_id: str
    expires_s: float
    renew_s: float
    used: bool = False


class CredentialKeeper:
    """Keeps a signed URL at hand (`warm`), or fetches one at each press (`on_press`)."""

    def __init__(
        self,
        fetch: Callable[[str], Awaitable[Grant]],
        policy: Literal["warm", "on_press"],
        jitter: Callable[[], float] = random.random,
        account: Account | None = None,
    ) -> None:
        self._account = account
        self._fetch = fetch
        self._policy = policy
        self._jitter = jitter
        self._held: _Held | None = None
        self._refused = False
        self._in_flight = asyncio.Lock()
        self._changed = asyncio.Event()

    async def run(self, on_standing: Callable[[Standing], None]) -> None:
        """Renew for ever; ends by cancellation, or at once when there is nothing to do."""
        async with asyncio.TaskGroup() as tasks:
            if self._account is not None:
                tasks.create_task(self._account.run(), name="account")
            await self._keep(on_standing)

    async def _keep(self, on_standing: Callable[[Standing], None]) -> None:
        if self._policy == "on_press":
            on_standing(Standing(ready=True))
            return
        failures = 0
        while True:
            self._changed.clear()
            if self._is_due():
                try:
                    await self._renew(uuid.uuid4().hex, self._held)
                    failures = 0
                except CredentialError as error:
                    failures += 1
                    (log.warning if failures == 1 else log.debug)("no new credential: %s", error)
            ready = self._valid() is not None
            on_standing(Standing(ready, refused=self._refused and not ready))
            try:
                async with asyncio.timeout(self._pause_s(failures)):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def next_press_id(self) -> str:
        held = self._valid()
        return uuid.uuid4().hex if held is None or held.used else held.request_id

    async def take(self, press_id: str) -> Opening:
        held = self._valid() if self._policy == "warm" else None
        if held is None:
            held = await self._renew(press_id, self._held)
        held.used = True
        if held.grant.single_use or held.grant.visit_id is not None:
            self._held = None
            self._changed.set()  # the next visit needs another
        return Opening(held.signed_url, held.request_id, held.grant.visit_id)

    def hurry(self) -> None:
        if self._valid() is None:
            self._changed.set()

    def refused(self, opening: Opening) -> None:
        if self._held is not None and self._held.signed_url == opening.url:
            self._held = None
            self._changed.set()

    async def spend(self, opening: Opening, press_id: str) -> None:
        if self._account is not None and opening.visit_id is not None:
            await self._account.start(opening.visit_id, press_id)

    def account_for(self, opening: Opening, end: EndVisit) -> None:
        if self._account is not None and opening.visit_id is not None:
            self._account.ended(opening.visit_id, end)

    async def _renew(self, request_id: str, replacing: _Held | None) -> _Held:
        """Fetch, unless somebody else just did; what is returned is valid."""
        async with self._in_flight:
            held = self._valid()
            if held is not None and held is not replacing:
                return held
            asked_s = _now_s()
            try:
                grant = await self._fetch(request_id)
                signed_url = _signed_url(grant)
            except CredentialError as error:
                self._refused = not error.retryable
                raise
            self._refused = False
            lead_s = renewal_lead_s(grant.life_s)
            expires_s = asked_s + grant.life_s
            if _now_s() >= expires_s:
                raise CredentialError("the backend's credential had expired when it arrived")
            # Jitter only ever renews earlier, so that a fleet's requests spread.
            renew_s = expires_s - lead_s * (1 + 0.2 * self._jitter())
            self._held = _Held(grant, signed_url, request_id, expires_s, renew_s)
            return self._held

    def _valid(self) -> _Held | None:
        held = self._held
        return held if held is not None and _now_s() < held.expires_s else None

    def _is_due(self) -> bool:
        held = self._valid()
        return held is None or _now_s() >= held.renew_s

    def _pause_s(self, failures: int) -> float:
        held = self._valid()
        if failures:
            limit_s = min(_LAST_RETRY_S, _FIRST_RETRY_S * 2.0 ** min(failures - 1, 10))
            if self._refused:
                limit_s = _REFUSED_RETRY_S
            # Full jitter, with a floor that keeps a refusing server from being hammered.
            wait_s: float = max(0.2, self._jitter() * limit_s)
            # Whoever can no longer open a conversation says so when that begins.
            return wait_s if held is None else min(wait_s, held.expires_s - _now_s())
        return max(0.2, 0.0 if held is None else held.renew_s - _now_s())


def _signed_url(grant: Grant) -> str:
    if grant.signed_url is None:
        raise CredentialError(
            "the backend answers with conversation tokens, which open WebRTC only; "
            "this kiosk needs signed URLs",
            retryable=False,
        )
    return grant.signed_url


class PublicAgent:
    """Credentials of a public agent: its id is enough, no server is needed.

    `api_key` puts the account's key into the address. No contract knows this, and addresses end up
    in logs: it is for development, against servers that want it.
    """

    def __init__(self, agent_url: str, agent_id: str, api_key: str | None = None) -> None:
        query = {"agent_id": agent_id} | ({} if api_key is None else {"xi-api-key": api_key})
        self._url = f"{agent_url.rstrip('/')}/v1/convai/conversation?{urlencode(query)}"

    def next_press_id(self) -> str:
        return uuid.uuid4().hex

    async def take(self, press_id: str) -> Opening:
        return Opening(self._url, press_id)

    def hurry(self) -> None:
        """Nothing is ever missing."""

    def refused(self, opening: Opening) -> None:
        """There is no other address to use next time."""

    async def spend(self, opening: Opening, press_id: str) -> None:
        """Nobody keeps an account."""

    def account_for(self, opening: Opening, end: EndVisit) -> None:
        """Nobody keeps an account."""

    async def run(self, on_standing: Callable[[Standing], None]) -> None:
        on_standing(Standing(ready=True))


def _now_s() -> float:
    now_s: float = asyncio.get_running_loop().time()
    return now_s
