"""Three hundred visits hold what must hold, and what does not is found and shrunk."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from kiosk.contract import EndVisit
from kiosk.endings import Ending, Kind
from kiosk.link.account import Account, _Report
from kiosk.link.lease_keeper import LeaseKeeper
from kiosk.visit import visit as visit_module
from kiosk.visit.core import VisitCore
from kiosk.visit.effects import StopCapture
from kiosk.visit.host import Host
from kiosk.visit.states import Event, State
from tests.slowness import patient_s
from tests.soak.__main__ import replay_line
from tests.soak.devices import Lamps
from tests.soak.runs import Failure, Result, soak
from tests.soak.visitors import Visit

SEED = 1

# Half a minute of processor each: on a busy machine that is not the minute that other tests have.
pytestmark = pytest.mark.timeout(600)


def run(visits: int, seed: int = SEED) -> Result:
    return soak(visits, seed, lambda _: None)


def run_command(*arguments: str, **environment: str) -> dict[str, Any]:
    """The last line of `make soak` in a process of its own."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.soak", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )
    last: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    print(ran.stdout)  # with a line for each failure
    return last


@pytest.mark.timeout(600)  # of real time: a busy machine is only slow
def test_three_hundred_visits_break_nothing() -> None:
    result = run(300)
    assert [(each.broken, replay_line(each)) for each in result.failures] == []
    assert result.visits == 300
    assert sum(result.endings.values()) > 250
    assert len(result.endings) > 10


def assert_nothing_broke(last: dict[str, Any]) -> None:
    assert (last["wedged"], last["unexplained"]) == (0, 0)
    growth = {name: last[f"{name}_growth"] for name in ("descriptors", "threads", "tasks")}
    assert growth == {"descriptors": 0, "threads": 0, "tasks": 0}


@pytest.mark.wide
@pytest.mark.timeout(900)
def test_twenty_visits_with_sound_and_threads_break_nothing() -> None:
    last = run_command("--level", "sounded", "--visits", "20", "--seed", str(SEED))
    assert_nothing_broke(last)
    assert last["visits"] == 20


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_hundred_visits_in_real_time_break_nothing() -> None:
    last = run_command("--level", "real", "--visits", "100", "--seed", str(SEED))
    assert_nothing_broke(last)
    assert last["visits"] == 100


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ten_thousand_visits_break_nothing_and_leave_nothing_behind() -> None:
    last = run_command("--visits", "10000", "--seed", str(SEED))
    assert_nothing_broke(last)
    assert last["memory_growth_kb"] <= 256
    assert last["seconds"] <= patient_s(1200.0)


def test_memory_that_is_kept_is_counted_to_the_kilobyte() -> None:
    """Large things and small ones."""
    keeping = (
        "from tests.soak.memory import in_use_kb\n"
        "before_kb = in_use_kb()\n"
        "kept = [bytes(300_000), [object() for _ in range(10_000)]]\n"
        "print(in_use_kb() - before_kb)"
    )
    environment = {**os.environ, "PYTHONMALLOC": "malloc"}
    command = [sys.executable, "-c", keeping]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert int(ran.stdout) == pytest.approx((300_000 + 10_000 * (32 + 8)) / 1024, abs=16)


# --- one seed, one sequence of moments ----------------------------------------------------------


def test_two_processes_with_one_seed_see_the_same_moments() -> None:
    traces = set()
    for hash_seed in ("1", "2"):
        last = run_command("--visits", "25", "--seed", "7", PYTHONHASHSEED=hash_seed)
        traces.add(last["trace"])
    assert len(traces) == 1


# --- planted bugs -------------------------------------------------------------------------------

Plant = Callable[[pytest.MonkeyPatch], None]


def _card_runs_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The microphone is not stopped when a visit ends."""
    monkeypatch.setattr(Host, "_stop_capture", lambda *_: None)


def _lamp_stays_dark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lamps, "recording", lambda self, on: None)


def _goodbye_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kiosk waits for ever for its own last word, where there is one."""
    leave = VisitCore._leave_if_done

    def never(core: VisitCore) -> None:
        if core.visit is None or core.visit.ending != Ending(Kind.ABANDONED):
            leave(core)

    monkeypatch.setattr(VisitCore, "_leave_if_done", never)


def _deaf_to_presses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A press while idle does nothing once an apology was said."""
    step = VisitCore._step
    said: set[int] = set()

    def forgetful(core: VisitCore, event: Event, ending: Ending | None = None) -> None:
        if event is Event.PRESS_UNFIT:
            said.add(id(core))
        if event is Event.PRESS and core.state is State.IDLE and id(core) in said:
            return
        step(core, event, ending)

    monkeypatch.setattr(VisitCore, "_step", forgetful)


def _hanging_up_is_a_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(visit_module.ENDINGS, Event.ABANDONED, Kind.QUOTA)


def _leases_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither that a lease is used nor how its visit ended."""

    async def silent(*_: Any) -> None:
        pass

    monkeypatch.setattr(LeaseKeeper, "spend", silent)
    monkeypatch.setattr(LeaseKeeper, "account_for", lambda *_: None)


def _ages_go_by_the_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long ago a visit ended is counted by a clock that jumps."""

    def ended(account: Account, visit_id: str, end: EndVisit) -> None:
        account._reports.append(_Report(visit_id, end, given_at=account._wall_s()))
        account._ready.set()

    monkeypatch.setattr(Account, "ended", ended)


@pytest.mark.parametrize(
    ("plant", "what", "seed"),
    [
        (_card_runs_on, "lamp", SEED),
        (_lamp_stays_dark, "lamp", SEED),
        (_goodbye_never_ends, "wedged", SEED),
        # With the first seed it shows late, and takes more tries to shrink than there are.
        (_deaf_to_presses, "wedged", 2),
        (_hanging_up_is_a_quota, "unexplained", SEED),
        (_leases_are_not_told, "lease", SEED),
        # An outage over a visit's end in which the clock jumps is rare; this seed has it early.
        (_ages_go_by_the_wall, "lease", SEED),
    ],
)
def test_a_planted_bug_is_found_and_shrunk(
    plant: Plant, what: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    failure = _first_failure(60, seed)
    assert failure.broken.what == what
    assert failure.events <= 20
    assert all(isinstance(visit, Visit) for visit in failure.visits)
    assert json.loads(replay_line(failure).split("'")[1])["visits"]


def _first_failure(visits: int, seed: int) -> Failure:
    result = soak(visits, seed, lambda _: None, first_only=True)
    assert result.failures, "the bug was not found"
    return result.failures[0]


def test_a_task_that_stays_behind_is_growth(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = Host._stop_capture
    kept: list[asyncio.Task[bool]] = []

    def leaking(host: Host, effect: StopCapture) -> None:
        kept.append(asyncio.get_running_loop().create_task(asyncio.Event().wait()))
        stop(host, effect)

    monkeypatch.setattr(Host, "_stop_capture", leaking)
    assert run(40).growth["tasks"] > 0
