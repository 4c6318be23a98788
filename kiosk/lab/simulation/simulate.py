"""One simulation from its first row to its report: kiosks, provider, server, traffic."""

import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from kiosk.backend.books.store import open_store
from kiosk.lab.child_server import ChildServer, Cost
from kiosk.lab.simulation.arrivals import Run, plan
from kiosk.lab.simulation.population import let_in
from kiosk.lab.simulation.process import serving
from kiosk.lab.simulation.provider import AGENT_ID, provider
from kiosk.lab.simulation.report import SimulationReport, percentile, routes
from kiosk.lab.simulation.traffic import PRESS, Traffic

_LOOK_S = 1.0


async def simulate(
    database: sa.URL, run: Run, url: str | None = None, python: Sequence[str] = (sys.executable,)
) -> SimulationReport:
    """Play a fleet against a server of its own, or against the one at `url`, which uses the same
    database. Raises KioskError.

    Only its own server is known to ask a provider that is played; `python` runs it.
    """
    async with open_store(database) as store:
        fleet = await let_in(store, run.kiosks, run.under_way, datetime.now(UTC))
    with tempfile.TemporaryDirectory(prefix="kiosk-simulation-") as directory:
        async with _at(url, database, Path(directory), python) as server:
            traffic = Traffic(server if isinstance(server, str) else server.url, run, fleet)
            watch = _Watch(None if isinstance(server, str) else server)
            began_s, own_s = time.monotonic(), _own_cpu_s()
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(watch.look())
                await traffic.play(plan(run))
                watching.cancel()
            took_s, own_s = time.monotonic() - began_s, _own_cpu_s() - own_s
    return _report(run, traffic, watch, took_s, own_s)


@asynccontextmanager
async def _at(
    url: str | None, database: sa.URL, directory: Path, python: Sequence[str]
) -> AsyncIterator[ChildServer | str]:
    if url is not None:
        yield url
        return
    # As it was given: the server chooses its driver.
    text = database.set(drivername=database.get_backend_name()).render_as_string()
    async with (
        provider() as provider_url,
        serving(text, provider_url, AGENT_ID, directory, python=python) as server,
    ):
        yield server


@dataclass
class _Watch:
    """What the server costs, second by second; nothing of somebody else's."""

    server: ChildServer | None
    seen: list[tuple[float, Cost]] = field(default_factory=list)

    async def look(self) -> None:
        """Until cancelled."""
        while self.server is not None:
            cost = self.server.cost()
            if cost is not None:
                self.seen.append((time.monotonic(), cost))
            await asyncio.sleep(_LOOK_S)

    def cpu_percent(self) -> float | None:
        """Of a core, on average."""
        if len(self.seen) < 2:
            return None
        (began_s, first), (ended_s, last) = self.seen[0], self.seen[-1]
        return 100 * (last.cpu_s - first.cpu_s) / (ended_s - began_s)

    def memory_mb(self) -> float | None:
        """At most."""
        return max((cost.memory_mb for _, cost in self.seen), default=None)

    def growth_mb(self) -> float | None:
        """Once everything that is asked for has been asked for often."""
        if len(self.seen) < 3:
            return None
        return self.seen[-1][1].memory_mb - self.seen[len(self.seen) // 3][1].memory_mb


def _own_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _report(
    run: Run, traffic: Traffic, watch: _Watch, took_s: float, own_s: float
) -> SimulationReport:
    records = traffic.records
    asked = [many for name, many in records.latencies_s.items() if name != PRESS]
    return SimulationReport(
        kiosks=run.kiosks,
        seconds=run.duration_s,
        requests=sum(map(len, asked)),
        routes=routes(records.latencies_s),
        errors=dict(records.errors),
        visits_begun=records.begun,
        visits_refused=dict(records.refused),
        lag_p99_ms=1000 * percentile(records.lags_s, 99),
        simulator_cpu_percent=100 * own_s / took_s,
        server_cpu_percent=watch.cpu_percent(),
        server_memory_mb=watch.memory_mb(),
        memory_growth_mb=watch.growth_mb(),
    )
