"""A fleet that is played: as busy as it should be, in a place of its own, and never with money."""

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kiosk.backend.books.store import open_store
from kiosk.errors import ConfigError, KioskError
from kiosk.lab.simulation.arrivals import ArrivalKind, Run, plan
from kiosk.lab.simulation.commands import add_simulate_command, run_simulate
from kiosk.lab.simulation.population import TENANT, let_in
from kiosk.lab.simulation.report import SimulationReport, percentile, routes
from kiosk.lab.simulation.simulate import simulate

from .conftest import Place, enrolled

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def command(*words: str) -> list[str]:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--database")
    common.add_argument("--tenant")
    parser = argparse.ArgumentParser()
    add_simulate_command(parser.add_subparsers(), common)
    said: list[str] = []
    run_simulate(parser.parse_args(["simulate", *words]), said.append)
    return said


def test_the_largest_fleet_is_as_busy_as_the_arithmetic_says() -> None:
    run = Run(20_000, duration_s=60, heartbeat_s=300)
    arrivals = plan(run)
    assert arrivals == plan(run) == sorted(arrivals)
    counts = {what: sum(each.what is what for each in arrivals) for what in ArrivalKind}
    assert run.visits_per_s == pytest.approx(27.8, abs=0.1)
    assert counts[ArrivalKind.VISIT] / 60 == pytest.approx(28, rel=0.1)
    assert counts[ArrivalKind.HEARTBEAT] / 60 == pytest.approx(67, rel=0.1)
    # As many end as begin, or the fleet would not be in the middle of its hour.
    assert counts[ArrivalKind.END] / 60 == pytest.approx(28, rel=0.1)
    assert run.under_way == 3333
    assert not counts[ArrivalKind.LEASE]


def test_a_herd_comes_back_within_one_interval() -> None:
    arrivals = plan(Run(500, duration_s=60, heartbeat_s=60, herd=True))
    leases = [each for each in arrivals if each.what is ArrivalKind.LEASE]
    assert {each.kiosk for each in leases} == set(range(500))
    assert len(leases) == 500
    assert not any(each.what in (ArrivalKind.VISIT, ArrivalKind.END) for each in arrivals)


async def test_kiosks_are_let_in_at_once_and_again(place: Place) -> None:
    async with open_store(place.url) as store:
        first = await let_in(store, 50, 5, NOW)
        again = await let_in(store, 60, 0, NOW)
        assert await store.registry.authenticate(first[0].token, NOW) is None
        kiosk = await store.registry.authenticate(again[-1].token, NOW)
        assert kiosk is not None
        assert (kiosk.tenant, kiosk.name) == (TENANT, "kiosk-00059")
    assert [each.visit_id is not None for each in first] == [True] * 5 + [False] * 45
    assert await place.sql("select count(*) from kiosks") == [(60,)]
    assert await place.sql("select count(*) from visits") == [(0,)]


async def test_nothing_is_played_where_other_kiosks_are(place: Place) -> None:
    async with open_store(place.url) as store:
        await enrolled(store)
        with pytest.raises(ConfigError, match="kiosks of the tenant default"):
            await let_in(store, 1, 0, NOW)
    assert await place.sql("select count(*) from kiosks") == [(1,)]


async def test_a_short_run_is_answered_without_an_error(place: Place) -> None:
    run = Run(30, duration_s=2, heartbeat_s=1, warm=True, talk_s=0.5, seed=2)
    report = await simulate(place.url, run)
    assert report.errors == {}
    heartbeat = report.route("heartbeat")
    assert heartbeat is not None
    assert 40 <= heartbeat.count <= 80
    assert report.server_memory_mb is not None


def test_the_command_says_what_came_of_it() -> None:
    report = json.loads(
        command("--kiosks", "5", "--duration", "1", "--heartbeat", "1", "--json")[0]
    )
    assert report["kiosks"] == 5
    assert report["errors"] == {}
    assert report["kept_up"] is True


def test_a_server_of_somebody_elses_is_not_asked_by_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="costs money"):
        command("--kiosks", "5", "--url", "http://127.0.0.1:1")
    with pytest.raises(ConfigError, match="of the tenant simulation"):
        command("--kiosks", "5", "--tenant", "aquarium")
    with pytest.raises(KioskError, match="kiosk backend init"):
        command("--kiosks", "5", "--database", f"sqlite:///{tmp_path / 'none.db'}")
    assert list(tmp_path.iterdir()) == []


def test_a_simulator_that_was_late_says_so() -> None:
    rows = routes({"heartbeat": [0.001, 0.002, 0.5]})
    assert (rows[0].p50_ms, rows[0].worst_ms) == (2.0, 500.0)
    report = SimulationReport(1, 1.0, 3, rows, {}, 0, {}, 80.0, 1.0, None, None, None)
    assert not report.kept_up
    assert "did not keep up" in list(report.lines())[-1]
    assert percentile([], 99) == 0
