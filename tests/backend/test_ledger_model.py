"""The ledger against a model of it: whatever is asked, in whatever order, and however often."""

import asyncio
import secrets
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import ClassVar, TypeVar

import pytest
import sqlalchemy as sa
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from kiosk.backend.books.admission import USUAL_VISIT_S, Refusal, VisitRefused
from kiosk.backend.books.buckets import Bucket, Rate, give_back, take
from kiosk.backend.books.conversations import VisitLease
from kiosk.backend.books.database import parse_url
from kiosk.backend.books.history import VisitLine
from kiosk.backend.books.ledger import SUPERSEDED, UNREPORTED
from kiosk.backend.books.rules import Kiosk, Scope
from kiosk.backend.books.schema import usage
from kiosk.backend.books.store import Store, open_store
from kiosk.contract import EndVisit, LiveVisit, StartVisit
from tests.backend.postgres import Cluster

from .conftest import copy, enrolled

T = TypeVar("T")
KIOSKS = ("lobby", "attic")
LIFE = timedelta(seconds=900)
LEASES = Rate(6, 180.0)
MINUTES, AT_ONCE = 35, 2
PRESSES = {"lobby": Rate(4, 30.0), "attic": Rate(4, 30.0), "": Rate(6, 20.0)}
kiosks = st.sampled_from(KIOSKS)
keys = st.sampled_from(("lease-1", "lease-2", "lease-3", "lease-4", "lease-5"))
presses = st.sampled_from(("press-1", "press-2"))
OPEN = ("admitted", "live")


class LedgerModel(RuleBasedStateMachine):
    """Every step opens the database anew: a backend that was killed between any two of them."""

    url: ClassVar[Callable[[], sa.URL]]

    def __init__(self) -> None:
        super().__init__()
        self.place = type(self).url()
        self.now = datetime(2026, 11, 21, 22, tzinfo=UTC)
        self.visit_ids: dict[tuple[str, str], str] = {}
        self.state: dict[str, str] = {}
        self.press: dict[str, str | None] = {}
        self.expires: dict[str, datetime] = {}
        self.admitted: dict[str, datetime] = {}
        self.minted: dict[str, datetime] = {}
        self.outcome: dict[str, str] = {}
        self.charged: dict[str, tuple[date, float]] = {}
        self.held: dict[str, float] = {}
        self.closed: dict[str, datetime] = {}
        self.leases: dict[str, Bucket] = {}
        self.presses: dict[str, Bucket] = {}
        self.paused: set[str] = set()
        self.kiosks = self._ask(self._enrolled)

    async def _enrolled(self, store: Store) -> dict[str, Kiosk]:
        rules = store.rules
        fleet = {"at_once": AT_ONCE, "presses_per_minute": 3, "minutes_per_day": None}
        await rules.set_limit("default", Scope.FLEET, "", fleet)
        each = {"minutes_per_day": MINUTES, "presses_per_minute": 2}
        await rules.set_limit("default", Scope.KIOSK, "", each)
        return {name: await enrolled(store, name) for name in KIOSKS}

    def _own(self, kiosk: str) -> list[str]:
        return [visit for (owner, _), visit in self.visit_ids.items() if owner == kiosk]

    @rule(seconds=st.integers(1, 1200))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(kiosk=kiosks, key=keys)
    def lease(self, kiosk: str, key: str) -> None:
        async def ask(store: Store) -> Refusal | str | None:
            who = self.kiosks[kiosk]
            refused = await store.ledger.may_lease(who, key, self.now)
            if refused is not None:
                return refused.refusal
            lease = VisitLease(key, None, self.now, self.now + LIFE)
            leased = await store.ledger.lease(who, lease)
            return None if leased is None else leased.visit_id

        got = self._ask(ask)
        known = self.visit_ids.get((kiosk, key))
        if known is not None and self.state[known] in (*OPEN, "closed"):
            assert got is Refusal.SPENT
            return
        if (shut := self._shut(kiosk)) is not None:
            assert got is shut
            return
        bucket, wait_s = take(self.leases.get(kiosk), LEASES, self.now)
        if wait_s:
            assert got is Refusal.TOO_MANY_LEASES
            return
        self.leases[kiosk] = bucket
        for visit in self._own(kiosk):
            if self.state[visit] == "leased" and self.expires[visit] < self.now:
                self.state[visit] = "expired"
        assert got is not None
        assert known in (None, got)
        self.visit_ids[kiosk, key] = got
        self.state[got], self.press[got], self.expires[got] = "leased", None, self.now + LIFE
        self.minted[got] = self.now

    @rule(kiosk=kiosks, owner=kiosks, key=keys, press=presses)
    def start(self, kiosk: str, owner: str, key: str, press: str) -> None:
        visit = self.visit_ids.get((owner, key), "0" * 16)
        start = StartVisit(press_id=press)
        said = self._ask(
            lambda store: store.ledger.start(self.kiosks[kiosk], visit, start, self.now)
        )
        expected = self._expected(kiosk, visit, press)
        assert (None if said is None else said.refusal) is expected
        if expected is not None or self.state[visit] in OPEN:
            return
        for name in (kiosk, ""):
            self.presses[name], _ = take(self.presses.get(name), PRESSES[name], self.now)
        self.leases[kiosk] = give_back(self.leases[kiosk], LEASES)
        for other in self._own(kiosk):
            if self.state[other] in OPEN:
                lasted_s = (self.now - self.admitted[other]).total_seconds()
                self.state[other], self.outcome[other] = "closed", SUPERSEDED
                lasted_s = min(lasted_s, USUAL_VISIT_S)
                self.charged[other] = self.charged[other][0], lasted_s
                self.held[other], self.closed[other] = USUAL_VISIT_S - lasted_s, self.now
        self.state[visit], self.press[visit], self.admitted[visit] = "admitted", press, self.now
        self.charged[visit] = self.now.date(), USUAL_VISIT_S

    def _expected(self, kiosk: str, visit: str, press: str) -> Refusal | None:
        if visit not in self._own(kiosk):
            return Refusal.UNKNOWN
        if self.state[visit] in OPEN and self.press[visit] == press:
            return None
        if self.state[visit] in (*OPEN, "closed"):
            return Refusal.SPENT
        if self.expires[visit] <= self.now:
            return Refusal.EXPIRED
        if self.paused & {"", "north", kiosk}:
            return Refusal.PAUSED
        others = [v for k in KIOSKS if k != kiosk for v in self._own(k) if self.state[v] in OPEN]
        if len(others) >= AT_ONCE:
            return Refusal.BUSY
        if self._shut(kiosk) is not None:
            return self._shut(kiosk)
        for name in ("", kiosk):
            if take(self.presses.get(name), PRESSES[name], self.now)[1]:
                return Refusal.TOO_MANY_PRESSES
        return None

    def _shut(self, kiosk: str) -> Refusal | None:
        if self.paused & {"", "north", kiosk}:
            return Refusal.PAUSED
        left_s = MINUTES * 60 - self._used(kiosk)[self.now.date()]
        return Refusal.NO_MINUTES if left_s < USUAL_VISIT_S else None

    def _used(self, kiosk: str) -> Counter[date]:
        used: Counter[date] = Counter()
        for visit in self._own(kiosk):
            if visit in self.charged:
                day, seconds = self.charged[visit]
                used[day] += seconds  # type: ignore[assignment]  # a float, as the table has it
                used[day] += self.held.get(visit, 0)  # type: ignore[assignment]
        return used

    @rule(kiosk=kiosks, key=keys, press=presses)
    def live(self, kiosk: str, key: str, press: str) -> None:
        visit = self.visit_ids.get((kiosk, key), "0" * 16)
        live = LiveVisit(press_id=press)
        said = self._ask(lambda store: store.ledger.live(self.kiosks[kiosk], visit, live))
        if visit not in self.state:
            assert said is not None
            assert said.refusal is Refusal.UNKNOWN
        elif self.press[visit] != press:
            assert said is not None
            assert said.refusal is Refusal.SPENT
        else:
            assert said is None
            if self.state[visit] == "admitted":
                self.state[visit] = "live"

    @rule(
        kiosk=kiosks,
        key=keys,
        press=presses,
        outcome=st.sampled_from(("hung_up", "time_up")),
        lasted_s=st.integers(0, 700),
    )
    def end(self, kiosk: str, key: str, press: str, outcome: str, lasted_s: int) -> None:
        visit = self.visit_ids.get((kiosk, key), "0" * 16)
        report = EndVisit(press_id=press, outcome=outcome, duration_s=lasted_s)
        said = self._ask(
            lambda store: store.ledger.end(self.kiosks[kiosk], visit, report, self.now)
        )
        if visit not in self.state:
            assert isinstance(said, VisitRefused)
            assert said.refusal is Refusal.UNKNOWN
            return
        if self.press[visit] not in (None, press):
            assert isinstance(said, VisitRefused)
            assert said.refusal is Refusal.SPENT
            return
        open_ = self.state[visit] != "closed"
        assert said is (open_ or self.outcome[visit] in (SUPERSEDED, UNREPORTED))
        if self.state[visit] != "closed" or self.outcome[visit] in (SUPERSEDED, UNREPORTED):
            began_at = self.admitted.get(visit, self.now - timedelta(seconds=lasted_s))
            self.admitted[visit] = began_at
            lasted_s = min(lasted_s, 600)
            self.state[visit], self.outcome[visit] = "closed", outcome
            self.press[visit] = self.press[visit] or press
            day = max(began_at, self.minted[visit]).date()
            self.charged[visit] = self.charged.get(visit, (day, 0))[0], lasted_s
            self.held[visit] = max(0.0, USUAL_VISIT_S - lasted_s)
            self.closed[visit] = max(self.now, began_at)

    @rule()
    def sweep(self) -> None:
        self._ask(lambda store: store.ledger.sweep("default", self.now))
        for visit, state in self.state.items():
            if state == "leased" and self.expires[visit] < self.now:
                self.state[visit] = "expired"
            if state in OPEN and self.now - self.admitted[visit] > timedelta(seconds=720):
                self.state[visit], self.outcome[visit] = "closed", UNREPORTED
        for visit, closed_at in self.closed.items():
            if self.now - closed_at > timedelta(minutes=30):
                self.held[visit] = 0.0

    @rule(name=st.sampled_from(("", "north", *KIOSKS)), on=st.booleans())
    def pause(self, name: str, on: bool) -> None:
        scope = {"": Scope.FLEET, "north": Scope.SITE}.get(name, Scope.KIOSK)
        if on:
            done = self._ask(lambda store: store.rules.pause("default", scope, name, self.now))
            assert done == (name not in self.paused)
            self.paused.add(name)
        else:
            done = self._ask(lambda store: store.rules.resume("default", scope, name))
            assert done == (name in self.paused)
            self.paused.discard(name)

    @invariant()
    def the_books_are_right(self) -> None:
        async def read(store: Store) -> tuple[list[VisitLine], dict[tuple[str, date], float]]:
            lines = await store.history.latest("default", 100)
            async with store.database.transaction("default") as db:
                rows = (await db.execute(sa.select(usage).where(usage.c.tenant == "default"))).all()
            return lines, {
                (row.name, row.day): row.seconds for row in rows if row.scope == Scope.KIOSK
            }

        found, charged = self._ask(read)
        lines = {line.id: line for line in found}
        used = {v: s for v, s in self.state.items() if s in (*OPEN, "closed")}
        assert {visit: line.state.value for visit, line in lines.items()} == used
        assert {v: line.press_id for v, line in lines.items()} == {v: self.press[v] for v in used}
        closed = {v: line.outcome for v, line in lines.items() if line.outcome}
        assert closed == self.outcome
        for kiosk in KIOSKS:
            assert sum(self.state[v] in OPEN for v in self._own(kiosk)) <= 1
            for day, seconds in self._used(kiosk).items():
                assert charged.get((kiosk, day), 0) == pytest.approx(seconds)

    def _ask(self, what: Callable[[Store], Awaitable[T]]) -> T:
        async def run() -> T:
            async with open_store(self.place) as store:
                return await what(store)

        return asyncio.run(run())


@pytest.mark.wide  # a quarter of a minute of processor
@pytest.mark.timeout(120)
def test_the_model_holds_on_sqlite(migrated: bytes) -> None:
    with tempfile.TemporaryDirectory(prefix="kiosk-ledger-") as directory:

        def fresh() -> sa.URL:
            path = Path(directory) / f"{secrets.token_hex(4)}.db"
            path.write_bytes(migrated)
            return parse_url(f"sqlite:///{path}")

        _run(fresh, examples=15)


@pytest.mark.wide  # a quarter of a minute of processor
@pytest.mark.timeout(120)
def test_the_model_holds_on_postgresql(postgres: Cluster) -> None:
    _run(lambda: copy(postgres).url, examples=8)


def _run(fresh: Callable[[], sa.URL], examples: int) -> None:
    machine = type("Machine", (LedgerModel,), {"url": staticmethod(fresh)})
    # Not shrunk: every step opens a database, and a failure would take minutes to be told.
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            phases=(Phase.explicit, Phase.reuse, Phase.generate),
        ),
    )
