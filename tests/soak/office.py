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
    """What became of one: `spent` by a press, or its end was told; `forgotten` by the kiosk."""

    given_s: float
    spent: bool = False
    ended: bool = False
    forgotten: bool = False
    press_id: str | None = None


class Office:
    """`mode` is OK, DOWN, SLOW, or one of REFUSALS."""

    def __init__(self, agent_url: str) -> None:
        self.mode = OK
        self.leases: dict[str, Lease] = {}
        self.untrue: list[str] = []  # what was told and cannot be
        self.saw_forgotten = False  # a spent lease was shown again: its disk had not taken that
        # When the wall clock last jumped, and when the kiosk was last started anew.
        self.jumped_s = self.restarted_s = float("-inf")
        self._agent_url = agent_url
        self._given = 0

    async def fetch(self, request_id: str, language: str | None = None) -> Grant:
        """Another one each time: none of its answers is lost on the way."""
        await self._answer()
        if self.mode in REFUSALS:
            raise CredentialError(self.mode, reason=self.mode, retry_after_s=5.0)
        self._given += 1
        visit_id = f"visit-{self._given}"
        url = f"{self._agent_url}/v1/convai/conversation?agent_id=agent_local&lease={self._given}"
        grant = Grant(LIFE_S, signed_url=url, single_use=True, visit_id=visit_id)
        self.leases[visit_id] = Lease(loop_now_s())
        return grant

    async def start(self, visit_id: str, start: StartVisit) -> None:
        await self._answer()
        if self.mode in REFUSALS:
            raise DeniedError(self.mode)
        lease = self.leases.get(visit_id)
        if lease is None:
            raise DeniedError("visit-unknown")
        if lease.press_id not in (None, start.press_id) or lease.ended:
            self.saw_forgotten |= lease.forgotten
            raise DeniedError("visit-spent")
        lease.spent, lease.press_id = True, start.press_id

    async def live(self, visit_id: str, live: LiveVisit) -> None:
        await self._answer()

    async def end(self, visit_id: str, end: EndVisit) -> None:
        await self._answer()
        if visit_id not in self.leases:
            raise DeniedError("visit-unknown")
        lease, age_s = self.leases[visit_id], loop_now_s() - self.leases[visit_id].given_s
        # Across a restart the age of a report is counted by the wall clock.
        excused = min(self.jumped_s, self.restarted_s) > lease.given_s
        if end.ago_s > age_s + 0.1 and not excused:
            self.untrue.append(f"ended {end.ago_s:.0f} s ago, and was given {age_s:.0f} s ago")
        lease.ended = True

    def lost(self, in_hand: int) -> int:
        """How many leases are neither spent nor ended nor expired nor in hand."""
        now_s = loop_now_s()
        settled = ("spent", "ended", "forgotten")
        open_ = [e for e in self.leases.values() if not any(getattr(e, name) for name in settled)]
        return sum(now_s < each.given_s + LIFE_S for each in open_) - in_hand

    def write_off(self) -> None:
        """Nobody knows of the leases in hand any more; they expire."""
        for each in self.leases.values():
            each.forgotten = True

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
