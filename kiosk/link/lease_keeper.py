"""The credentials that open conversations: fetched ahead, renewed before they expire.

Time is the loop's clock, which is monotonic: a Pi's wall clock jumps by months when NTP arrives. A
credential's life counts from the moment its request was sent. An outage of the backend costs
nothing while a credential is valid, and one request at most is in flight.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

from kiosk.base.backoff import backoff_s
from kiosk.base.clock import loop_now_s
from kiosk.base.files import OneAtATime
from kiosk.base.ids import NewId, random_id
from kiosk.causes import fault
from kiosk.contract import MAX_LIFE_S, EndVisit, Grant, LeasePolicy, LiveVisit
from kiosk.errors import CredentialError
from kiosk.link.account import Account
from kiosk.link.credentials import Availability, Opening, Rooms
from kiosk.link.lease_file import LeaseFile
from kiosk.link.leases import Lease, Leases

log = logging.getLogger(__name__)

_FIRST_RETRY_S = 1.0
_LAST_RETRY_S = 60.0
# A refused kiosk asks on, in case it is enrolled again, but seldom.
_REFUSED_RETRY_S = 300.0
# Who was told when to ask again asks a little later, so that a site's kiosks do not come at once.
_SPREAD_S = 5.0
# Who wants another language than the one that waits is not kept waiting for longer.
_PATIENCE_S = 3.0
# A younger one that opens nothing would not open anything if it were fetched anew.
STALE_S = 30.0


def renewal_lead_s(life_s: float) -> float:
    """How long before its expiry a credential is renewed: two minutes or 15 % of its life, if that
    is more, but never more than half of it."""
    return min(max(120.0, 0.15 * life_s), 0.5 * life_s)


class Fetch(Protocol):
    """Asks a backend for one conversation, in a language that is not the kiosk's own; raises
    CredentialError."""

    def __call__(self, request_id: str, language: str | None = None) -> Awaitable[Grant]: ...


class LeaseKeeper:
    """Keeps signed URLs at hand (`warm`), while the site is open (`open_hours`), or fetches one at
    each press (`on_press`). `leases`: how many, where each opens one conversation only. `file`:
    what is in hand outlives the daemon there. Those that wait are for the kiosk's own language;
    for another one a credential is fetched at the press. `rooms`: where conversations over WebRTC
    are held; None: over the WebSocket. A credential opens one of the two only."""

    def __init__(
        self,
        fetch: Fetch,
        policy: LeasePolicy,
        jitter: Callable[[], float] = random.random,
        account: Account | None = None,
        leases: int = 1,
        file: LeaseFile | None = None,
        new_id: NewId = random_id,
        rooms: Rooms | None = None,
    ) -> None:
        self._new_id = new_id
        self._rooms = rooms
        self._account = account
        self._file = file
        self._files = OneAtATime()
        self._fetch = fetch
        self._configured: LeasePolicy = policy
        self._policy: LeasePolicy = policy
        self._jitter = jitter
        self._leases = Leases(leases)
        self._failures = 0
        self._trouble: CredentialError | None = None  # that of the newest request
        self._not_before_s = 0.0  # as the backend told us
        self._in_flight = asyncio.Lock()
        self._changed = asyncio.Event()

    @property
    def fetches_ahead(self) -> bool:
        """Whether a lease should be in hand before anybody presses."""
        return self._policy != "on_press"

    @property
    def in_hand(self) -> int:
        """How many conversations can be opened without the backend, as far as is known."""
        return len(self._leases.valid(loop_now_s()))

    def follow(self, policy: LeasePolicy | None) -> None:
        """As the backend wants it from now on; None: as configured."""
        wanted = policy or self._configured
        if wanted != self._policy:
            log.info("the policy of credentials is %s from now on", wanted)
            self._policy = wanted
            if wanted == "on_press":
                self._leases.clear()
            self._not_before_s = 0.0
            self._changed.set()

    async def run(self, on_standing: Callable[[Availability], None]) -> None:
        """Renew for ever; ends by cancellation."""
        async with asyncio.TaskGroup() as tasks:
            if self._account is not None:
                tasks.create_task(self._account.run(), name="account")
            await self._load()
            while True:
                self._changed.clear()
                await self._renew_if_due()
                await self._keep()
                on_standing(self._standing())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._pause_s()):
                        await self._changed.wait()

    def next_press_id(self, language: str | None = None) -> str:
        lease = None if language is not None else self._leases.oldest(loop_now_s())
        return self._new_id() if lease is None or lease.used else lease.request_id

    async def take(self, press_id: str, language: str | None = None) -> Opening:
        if self._policy == "on_press":
            async with self._in_flight:
                return self._opening(await self._fetched(press_id, language), language)
        if language is not None:
            waits = self._leases.oldest(loop_now_s()) is not None
            try:
                async with asyncio.timeout(_PATIENCE_S if waits else None), self._in_flight:
                    return self._opening(await self._fetched(press_id, language), language)
            except TimeoutError:
                log.info("no credential in another language in %g s", _PATIENCE_S)
            except CredentialError as error:
                # Better in the language of the site than not at all.
                refused = error.reason not in (None, "too-many-leases")
                if refused or self._leases.oldest(loop_now_s()) is None:
                    raise
        lease = self._leases.oldest(loop_now_s())
        if lease is None:
            async with self._in_flight:
                lease = self._leases.oldest(loop_now_s())  # for somebody else's may just have come
                if lease is None:
                    lease = await self._fetched(press_id)
                    self._leases.add(lease, loop_now_s())
                    self._changed.set()  # what was waited for is here
        lease.used = True
        if not lease.reusable:
            self._leases.remove(lease)
        self._changed.set()  # the next visit needs another, and the file is out of date
        kept = loop_now_s() - lease.asked_s > STALE_S
        return replace(self._opening(lease), kept=kept)

    def hurry(self) -> None:
        if self._leases.oldest(loop_now_s()) is None:
            self._changed.set()

    def refused(self, opening: Opening) -> None:
        removed = self._leases.remove_secret(opening.secret)
        if opening.kept:  # what was fetched as long ago is as stale
            removed |= self._leases.remove_asked_before(loop_now_s() - STALE_S)
        if removed:
            self._changed.set()

    async def spend(self, opening: Opening, press_id: str) -> None:
        if self._account is not None and opening.visit_id is not None:
            await self._account.start(opening.visit_id, press_id)

    async def live(self, opening: Opening, press_id: str, conversation_id: str | None) -> None:
        if self._account is not None and opening.visit_id is not None:
            live = LiveVisit(press_id=press_id, conversation_id=conversation_id)
            await self._account.live(opening.visit_id, live)

    def account_for(self, opening: Opening, end: EndVisit) -> None:
        if self._account is not None and opening.visit_id is not None:
            self._account.ended(opening.visit_id, end)

    def _opening(self, lease: Lease, language: str | None = None) -> Opening:
        grant, rooms = lease.grant, self._rooms
        return Opening(
            lease.secret if rooms is None else rooms.url,
            lease.request_id,
            grant.visit_id,
            grant.overrides,
            grant.dynamic_variables,
            grant.max_s,
            language=language,
            token="" if rooms is None else lease.secret,
            rooms=rooms,
        )

    async def _load(self) -> None:
        if self._file is None or self._policy == "on_press":
            return
        kept, now_s = await self._files.do(self._file.load), loop_now_s()
        for lease in kept:
            if now_s < lease.expires_s <= now_s + MAX_LIFE_S:
                self._leases.add(lease, now_s)

    async def _keep(self) -> None:
        file, held = self._file, self._leases.held
        if file is not None:
            await self._files.do(lambda: file.save(held))

    async def _renew_if_due(self) -> None:
        if not self._is_due():
            return
        try:
            async with self._in_flight:
                if self._is_due():  # nobody else has just fetched it
                    self._leases.add(await self._fetched(self._new_id()), loop_now_s())
        except CredentialError as error:
            self._failures += 1
            self._not_before_s = self._told_s(error)
            # That a site is closed, or paused, is nothing to warn of.
            level = logging.WARNING if error.reason is None else logging.INFO
            extra = fault(error.cause) if error.reason is None else None
            level = level if self._failures == 1 else logging.DEBUG
            log.log(level, "no new credential: %s", error, extra=extra)

    async def _fetched(self, request_id: str, language: str | None = None) -> Lease:
        """A new one; raises CredentialError. The caller holds `_in_flight`."""
        asked_s = loop_now_s()
        try:
            grant = await self._fetch(request_id, language)
            secret = _secret(grant, self._rooms)
            expires_s = asked_s + grant.life_s
            if loop_now_s() >= expires_s:
                raise CredentialError("the backend's credential had expired when it arrived")
        except CredentialError as error:
            self._trouble = error
            raise
        self._trouble, self._failures, self._not_before_s = None, 0, 0.0
        # Jitter only ever renews earlier, so that a fleet's requests spread.
        renew_s = expires_s - renewal_lead_s(grant.life_s) * (1 + 0.2 * self._jitter())
        return Lease(grant, secret, request_id, expires_s, renew_s)

    def _is_due(self) -> bool:
        now_s = loop_now_s()
        due_s = max(self._leases.due_s(now_s), self._not_before_s)
        return self._policy != "on_press" and due_s <= now_s

    def _standing(self) -> Availability:
        trouble = self._trouble
        # A backend that gives its reason gives it to the visitor too: a press asks again.
        asks = self._policy == "on_press" or (trouble is not None and trouble.reason is not None)
        ready = asks or self._leases.oldest(loop_now_s()) is not None
        return Availability(
            ready, refused=trouble is not None and not trouble.retryable and not ready
        )

    def _pause_s(self) -> float | None:
        """How long nothing is to be done, None: until something changes."""
        if self._policy == "on_press":
            return None
        now_s = loop_now_s()
        if not self._failures:
            return max(0.2, self._leases.due_s(now_s) - now_s)
        wait_s = max(self._retry_s(), self._not_before_s - now_s)
        # Whoever can no longer open a conversation says so when that begins.
        until_s = self._leases.last_until_s(now_s)
        return wait_s if until_s is None else min(wait_s, until_s - now_s)

    def _retry_s(self) -> float:
        """How long until the backend is asked again after it gave nothing."""
        limit_s = backoff_s(self._failures, _FIRST_RETRY_S, _LAST_RETRY_S)
        if self._trouble is not None and not self._trouble.retryable:
            limit_s = _REFUSED_RETRY_S
        # Full jitter, with a floor that keeps a refusing server from being hammered.
        return max(0.2, self._jitter() * limit_s)

    def _told_s(self, error: CredentialError) -> float:
        """Not before then does the backend want to be asked again."""
        if error.reason is None or error.retry_after_s is None:
            return 0.0
        closed = self._policy == "open_hours" and error.reason == "closed"
        most_s = MAX_LIFE_S if closed else _REFUSED_RETRY_S
        return loop_now_s() + min(error.retry_after_s + _SPREAD_S * self._jitter(), most_s)


def _secret(grant: Grant, rooms: Rooms | None) -> str:
    if rooms is None and grant.signed_url is not None:
        return grant.signed_url
    if rooms is not None and grant.conversation_token is not None:
        return grant.conversation_token
    if rooms is None:
        text = "conversation tokens, which open WebRTC only; this kiosk needs signed URLs"
    else:
        text = "signed URLs, which open no WebRTC; a kiosk with it needs conversation tokens"
    raise CredentialError(f"the backend answers with {text}", retryable=False)
