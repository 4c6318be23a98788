"""Three hundred visits hold what must hold, and what does not is found and shrunk."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from kiosk.convai.endings import Ending, Kind
from kiosk.link.keeper import CredentialKeeper
from kiosk.visit import core as core_module
from kiosk.visit.core import VisitCore
from kiosk.visit.effects import StopCapture
from kiosk.visit.host import Host
from kiosk.visit.states import Event, State
from tests.soak.__main__ import replay_line
from tests.soak.devices import Lamps
from tests.soak.runs import Failure, Result, soak
from tests.soak.visitors import Visit

SEED = 1


def run(visits: int, seed: int = SEED) -> Result:
    return soak(visits, seed, lambda _: None)


def test_three_hundred_visits_break_nothing() -> None:
    result = run(300)
    assert [(each.broken, replay_line(each)) for each in result.failures] == []
    assert result.visits == 300
    assert sum(result.endings.values()) > 250
    assert len(result.endings) > 10


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ten_thousand_visits_break_nothing_and_leave_nothing_behind() -> None:
    result = run(10_000)
    assert [(each.broken, replay_line(each)) for each in result.failures] == []
    assert {name: result.growth[name] for name in ("descriptors", "threads", "tasks")} == {
        "descriptors": 0,
        "threads": 0,
        "tasks": 0,
    }
    assert result.growth["memory_kb"] <= 256


# --- one seed, one sequence of moments ----------------------------------------------------------


def test_two_processes_with_one_seed_see_the_same_moments() -> None:
    traces = set()
    for hash_seed in ("1", "2"):
        ran = subprocess.run(
            [sys.executable, "-m", "tests.soak", "--visits", "25", "--seed", "7"],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            check=True,
        )
        traces.add(json.loads(ran.stdout.splitlines()[-1])["trace"])
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
    monkeypatch.setitem(core_module._ENDINGS, Event.ABANDONED, Kind.QUOTA)


def _leases_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither that a lease is used nor how its visit ended."""

    async def silent(*_: Any) -> None:
        pass

    monkeypatch.setattr(CredentialKeeper, "spend", silent)
    monkeypatch.setattr(CredentialKeeper, "account_for", lambda *_: None)


@pytest.mark.parametrize(
    ("plant", "what"),
    [
        (_card_runs_on, "lamp"),
        (_lamp_stays_dark, "lamp"),
        (_goodbye_never_ends, "wedged"),
        (_deaf_to_presses, "wedged"),
        (_hanging_up_is_a_quota, "unexplained"),
        (_leases_are_not_told, "lease"),
    ],
)
def test_a_planted_bug_is_found_and_shrunk(
    plant: Plant, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    failure = _first_failure(60)
    assert failure.broken.what == what
    assert failure.events <= 20
    assert all(isinstance(visit, Visit) for visit in failure.visits)
    assert json.loads(replay_line(failure).split("'")[1])["visits"]


def _first_failure(visits: int) -> Failure:
    result = soak(visits, SEED, lambda _: None, first_only=True)
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
