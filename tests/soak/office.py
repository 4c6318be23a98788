"""A backend that gives leases and keeps an account of them, and fails as a script says."""

import asyncio
from dataclasses import dataclass

from kiosk.base.clock import loop_now_s
from kiosk.contract import EndVisit, Grant, LiveVisit, StartVisit
from kiosk.errors import CredentialError
from kiosk.link.account import DeniedError

LIFE_S = 600.0
_ANSWERS_IN_S = 0.02
_SLOW_S = 3.0

OK, DOWN, SLOW = "ok", "down", "slow"
# What a backend may refuse with, as its problem documents name it.
REFUSALS = ("paused", "closed", "no-minutes-left", "busy", "too-many-presses")


@dataclass
class Lease:
    """What became of one: `spent` by a press, or its end was told."""

    given_s: float
    spent: bool = False
    ended: bool = False
    press_id: str | None = None


class Office:
    """`mode` is OK, DOWN, SLOW, or one of REFUSALS."""

    def __init__(self, agent_url: str) -> None:
        self.mode = OK
        self.leases: dict[str, Lease] = {}
        self._agent_url = agent_url
        self._given = 0
        self._by_request: dict[str, tuple[str, Grant]] = {}

    async def fetch(self, request_id: str) -> Grant:
        await self._answer()
        if self.mode in REFUSALS:
            raise CredentialError(self.mode, reason=self.mode, retry_after_s=5.0)
        if request_id in self._by_request:
            visit_id, grant = self._by_request[request_id]
            if not self.leases[visit_id].spent:
                return grant
        self._given += 1
        visit_id = f"visit-{self._given}"
        url = f"{self._agent_url}/v1/convai/conversation?agent_id=agent_local&lease={self._given}"
        grant = Grant(LIFE_S, signed_url=url, single_use=True, visit_id=visit_id)
        self.leases[visit_id] = Lease(loop_now_s())
        self._by_request = {request_id: (visit_id, grant)}
        return grant

    async def start(self, visit_id: str, start: StartVisit) -> None:
        await self._answer()
        if self.mode in REFUSALS:
            raise DeniedError(self.mode)
        lease = self.leases.get(visit_id)
        if lease is None:
            raise DeniedError("visit-unknown")
        if lease.press_id not in (None, start.press_id) or lease.ended:
            raise DeniedError("visit-spent")
        lease.spent, lease.press_id = True, start.press_id

    async def live(self, visit_id: str, live: LiveVisit) -> None:
        await self._answer()

    async def end(self, visit_id: str, end: EndVisit) -> None:
        await self._answer()
        if visit_id not in self.leases:
            raise DeniedError("visit-unknown")
        self.leases[visit_id].ended = True

    def lost(self, in_hand: int) -> int:
        """How many leases are neither spent nor ended nor expired nor in hand."""
        now_s = loop_now_s()
        open_ = [each for each in self.leases.values() if not (each.spent or each.ended)]
        return sum(now_s < each.given_s + LIFE_S for each in open_) - in_hand

    def write_off(self) -> None:
        """Nobody knows of the leases in hand any more; they expire."""
        for each in self.leases.values():
            each.ended = each.ended or not each.spent

    def forget_old(self) -> None:
        """Drop what is settled or long expired."""
        now_s = loop_now_s()
        self.leases = {
            name: each
            for name, each in self.leases.items()
            if not each.ended and now_s < each.given_s + 10 * LIFE_S
        }

    async def _answer(self) -> None:
        await asyncio.sleep(_SLOW_S if self.mode == SLOW else _ANSWERS_IN_S)
        if self.mode == DOWN:
            raise CredentialError("the backend does not answer")
