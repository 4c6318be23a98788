"""The ledger against a model of it: whatever is asked, in whatever order, and however often."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kiosk.backend.ledger import SUPERSEDED, Lease, Ledger, Refusal, Scope
from kiosk.backend.migrate import upgrade
from kiosk.backend.store import open_store
from kiosk.backend.tokens import new_token
from kiosk.contract import EndVisit, StartVisit

T = TypeVar("T")
KIOSKS = ("lobby", "attic")
LIFE = timedelta(seconds=900)
kiosks = st.sampled_from(KIOSKS)
keys = st.sampled_from(("lease-1", "lease-2", "lease-3"))
presses = st.sampled_from(("press-1", "press-2"))


class LedgerModel(RuleBasedStateMachine):
    """Every step opens the database anew: a backend that was killed between any two of them."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory(prefix="kiosk-ledger-")
        self.path = str(Path(self.directory.name) / "kiosk.db")
        self.now = datetime(2026, 11, 21, 12, tzinfo=UTC)
        self.visit_ids: dict[tuple[str, str], str] = {}
        self.state: dict[str, str] = {}
        self.press: dict[str, str | None] = {}
        self.expires: dict[str, datetime] = {}
        self.outcome: dict[str, str] = {}
        self.paused: set[str] = set()
        upgrade(self.path)
        self.ids = asyncio.run(self._enrolled())

    def teardown(self) -> None:
        self.directory.cleanup()

    async def _enrolled(self) -> dict[str, str]:
        ids = {}
        async with open_store(self.path) as store:
            for name in KIOSKS:
                token = new_token()
                assert await store.enroll(name, "north", token, self.now)
                kiosk = await store.authenticate(token, self.now)
                assert kiosk is not None
                ids[name] = kiosk.id
        return ids

    def _own(self, kiosk: str) -> list[str]:
        return [visit for (owner, _), visit in self.visit_ids.items() if owner == kiosk]

    @rule(seconds=st.integers(1, 1200))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(kiosk=kiosks, key=keys)
    def lease(self, kiosk: str, key: str) -> None:
        async def ask(ledger: Ledger) -> str | None:
            if not await ledger.may_lease(self.ids[kiosk], key):
                return None
            expires = self.now + LIFE
            return await ledger.lease(Lease(self.ids[kiosk], key, None, self.now, expires))

        got = self._ask(ask)
        for visit in self._own(kiosk):
            if got and self.state[visit] == "leased" and self.expires[visit] < self.now:
                self.state[visit] = "expired"
        known = self.visit_ids.get((kiosk, key))
        if known is not None and self.state[known] in ("admitted", "closed"):
            assert got is None
            return
        assert got is not None
        assert known in (None, got)
        self.visit_ids[kiosk, key] = got
        self.state[got], self.press[got], self.expires[got] = "leased", None, self.now + LIFE

    @rule(kiosk=kiosks, owner=kiosks, key=keys, press=presses)
    def start(self, kiosk: str, owner: str, key: str, press: str) -> None:
        visit = self.visit_ids.get((owner, key), "0" * 16)
        said = self._ask(
            lambda ledger: ledger.start(
                self.ids[kiosk], visit, StartVisit(press_id=press), self.now
            )
        )
        if visit not in self._own(kiosk):
            assert said is Refusal.UNKNOWN
        elif self.state[visit] == "admitted" and self.press[visit] == press:
            assert said is None
        elif self.state[visit] in ("admitted", "closed"):
            assert said is Refusal.SPENT
        elif self.expires[visit] <= self.now:
            assert said is Refusal.EXPIRED
        elif self.paused & {"", "north", kiosk}:
            assert said is Refusal.PAUSED
        else:
            assert said is None
            for other in self._own(kiosk):
                if self.state[other] == "admitted":
                    self.state[other], self.outcome[other] = "closed", SUPERSEDED
            self.state[visit], self.press[visit] = "admitted", press

    @rule(kiosk=kiosks, key=keys, press=presses, outcome=st.sampled_from(("hung_up", "time_up")))
    def end(self, kiosk: str, key: str, press: str, outcome: str) -> None:
        visit = self.visit_ids.get((kiosk, key), "0" * 16)
        report = EndVisit(press_id=press, outcome=outcome, duration_s=10)
        said = self._ask(lambda ledger: ledger.end(self.ids[kiosk], visit, report, self.now))
        if visit not in self.state:
            assert said is Refusal.UNKNOWN
            return
        if self.press[visit] not in (None, press):
            assert said is Refusal.SPENT
            return
        assert said is None
        if self.state[visit] != "closed" or self.outcome[visit] == SUPERSEDED:
            self.state[visit], self.outcome[visit] = "closed", outcome
            self.press[visit] = self.press[visit] or press

    @rule(name=st.sampled_from(("", "north", *KIOSKS)), on=st.booleans())
    def pause(self, name: str, on: bool) -> None:
        scope = {"": Scope.FLEET, "north": Scope.SITE}.get(name, Scope.KIOSK)
        if on:
            done = self._ask(lambda ledger: ledger.pause(scope, name, self.now))
            assert done == (name not in self.paused)
            self.paused.add(name)
        else:
            assert self._ask(lambda ledger: ledger.resume(scope, name)) == (name in self.paused)
            self.paused.discard(name)

    @invariant()
    def the_books_are_right(self) -> None:
        lines = {line.id: line for line in self._ask(lambda ledger: ledger.latest(100))}
        used = {v: s for v, s in self.state.items() if s in ("admitted", "closed")}
        assert {visit: line.state.value for visit, line in lines.items()} == used
        assert {v: line.press_id for v, line in lines.items()} == {v: self.press[v] for v in used}
        closed = {v: line.outcome for v, line in lines.items() if line.outcome}
        assert closed == self.outcome
        for kiosk in KIOSKS:
            admitted = [v for v in self._own(kiosk) if self.state[v] == "admitted"]
            assert len(admitted) <= 1

    def _ask(self, what: Callable[[Ledger], Awaitable[T]]) -> T:
        async def run() -> T:
            async with open_store(self.path) as store:
                return await what(store.ledger)

        return asyncio.run(run())


TestLedgerModel = LedgerModel.TestCase
# Not shrunk: every step opens a database, and a failure would take minutes to be told.
TestLedgerModel.settings = settings(
    max_examples=15,
    stateful_step_count=25,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
