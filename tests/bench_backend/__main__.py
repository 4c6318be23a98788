"""`python -m tests.bench_backend`: what a fleet costs the backend, on both databases, and a mind.

Everything on this machine: the kiosks, the server, the database and the provider share its cores.
A row whose kiosks were late is not the server's, and counts as not measured. Exit code 0 only if
every bar is met.
"""

import argparse
import asyncio
import itertools
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from kiosk.backend.books.database import parse_url
from kiosk.backend.books.migrate import grant, upgrade
from kiosk.lab.simulation.arrivals import Run
from kiosk.lab.simulation.report import SimulationReport
from kiosk.lab.simulation.simulate import simulate
from tests.backend.postgres import OWNER, SERVING, cluster, programs
from tests.bench.figures import AT_MOST, Bar, Figure, table
from tests.bench_backend import mind

_QUIET_LOAD = 0.5
# Heartbeats come every minute, and of the largest fleet every five.
_FLEETS = {200: 60.0, 2000: 60.0, 20_000: 300.0}
_P99_MS = AT_MOST(250)
# The provider's own 150 ms are in these two; a press that has no lease takes both, and whoever
# pressed is told within a second.
_LEASE_P99_MS = AT_MOST(500)
_PRESS_P99_MS = AT_MOST(1000)
# After a power cut nobody has pressed yet.
_HERD_P99_MS = AT_MOST(2000)
# What SQLite is for (`deploy/backend.md`); what it does beyond is shown, and held to no latency.
_SQLITE_KIOSKS = 5000
_MEMORY_MB = AT_MOST(200)
_GROWTH_MB = AT_MOST(10)
_NONE = AT_MOST(0)
_ROUTES = ("heartbeat", "lease", "start", "live", "end", "press to go-ahead")
_BARS: dict[str, Bar] = {"lease": _LEASE_P99_MS, "press to go-ahead": _PRESS_P99_MS}


@dataclass(frozen=True, slots=True)
class Part:
    """One row of the table of runs."""

    database: str
    run: Run

    def bar(self, asked: str) -> Bar | None:
        """What the 99th percentile of these answers may be."""
        if self.database == "sqlite" and self.run.kiosks > _SQLITE_KIOSKS:
            return None
        return _HERD_P99_MS if self.run.herd else _BARS.get(asked, _P99_MS)

    @property
    def name(self) -> str:
        herd = ", all at once" if self.run.herd else ""
        return f"{self.database}, {self.run.kiosks} kiosks{herd}"


def main() -> int:
    args = _parser().parse_args()
    if (load := os.getloadavg()[0]) > _QUIET_LOAD:
        print(f"this machine is busy (load {load:.1f}): latencies will show it", file=sys.stderr)
    figures: list[Figure] = []
    for kind in ("sqlite", "postgresql"):
        chosen = [part for part in parts(kind, args.seconds) if re.search(args.only, part.name)]
        if not chosen:
            continue
        if kind == "postgresql" and programs() is None:
            print("no PostgreSQL here: Debian's package `postgresql` has it", file=sys.stderr)
            continue
        figures += _of_database(kind, chosen)
    if re.search(args.only, mind.NAME):
        figures += mind.figures(args.seconds)
    print("\n".join(table(figures)))
    missed = sum(not figure.ok for figure in figures)
    print(f"\n{len(figures)} figures; bars missed: {missed}")
    rows = ",\n".join(json.dumps(figure.as_json()) for figure in figures)
    args.json.write_text(f"[\n{rows}\n]\n", encoding="utf-8")
    return 0 if figures and not missed else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench_backend", description=__doc__)
    parser.add_argument(
        "--only",
        default="",
        metavar="PATTERN",
        help="the runs whose name a regular expression finds, as in `sqlite, 200 `",
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each takes (60)")
    parser.add_argument("--json", type=Path, default=Path("bench-backend.json"), metavar="PATH")
    return parser


def parts(kind: str, seconds: float) -> Iterator[Part]:
    """The busy hours, and what comes back after a power cut."""
    for kiosks, heartbeat_s in _FLEETS.items():
        yield Part(kind, Run(kiosks, seconds, heartbeat_s, warm=kiosks <= 500))
    for kiosks in (2000, 20_000):
        yield Part(kind, Run(kiosks, seconds, _FLEETS[kiosks], herd=True))


def _of_database(kind: str, chosen: Sequence[Part]) -> Iterator[Figure]:
    costs: dict[int, float] = {}
    with _places(kind) as place:
        for part in chosen:
            began_s = time.monotonic()
            report = asyncio.run(simulate(place(), part.run))
            took_s = time.monotonic() - began_s
            lines = "\n".join(report.lines())
            print(f"{part.name}, in {took_s:.0f} s\n{lines}\n", file=sys.stderr, flush=True)
            yield from figures_of(part, report)
            if not part.run.herd and report.server_cpu_percent is not None:
                costs[part.run.kiosks] = report.server_cpu_percent
    if len(costs) > 1:
        told = ", ".join(f"{cost:.1f} at {kiosks}" for kiosks, cost in costs.items())
        per = [1000 * cost / kiosks for kiosks, cost in costs.items()]
        print(
            f"{kind}: % of a core: {told}; for each 1000 kiosks "
            f"{per[0]:.1f} with the fewest and {per[-1]:.1f} with the most\n",
            file=sys.stderr,
        )


def figures_of(part: Part, report: SimulationReport) -> Iterator[Figure]:
    """The rows of one run; latencies are nobody's if the kiosks were late."""

    name = part.name

    def kept(value: float) -> float | None:
        return value if report.kept_up else None

    for asked in _ROUTES:
        route = report.route(asked)
        if route is None:
            continue
        yield Figure(f"{name}: {asked}, p50", "ms", kept(route.p50_ms))
        yield Figure(f"{name}: {asked}, p99", "ms", kept(route.p99_ms), part.bar(asked))
    yield Figure(f"{name}: kiosks late, p99", "ms", report.lag_p99_ms)
    yield Figure(f"{name}: errors", "", sum(report.errors.values()), _NONE)
    yield Figure(f"{name}: requests", "/s", report.requests / report.seconds)
    yield Figure(f"{name}: processor", "% of a core", report.server_cpu_percent)
    yield Figure(f"{name}: memory at most", "MB", report.server_memory_mb, _MEMORY_MB)
    yield Figure(f"{name}: memory more", "MB", report.memory_growth_mb, _GROWTH_MB)


@contextmanager
def _places(kind: str) -> Iterator[Callable[[], sa.URL]]:
    """Makes a fresh database, migrated, at every call."""
    numbers = itertools.count(1)
    with ExitStack() as stack:
        if kind == "sqlite":
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="kiosk-bench-"))

            def make() -> sa.URL:
                url = parse_url(f"sqlite:///{directory}/kiosk-{next(numbers)}.db")
                upgrade(url)
                return url

            yield make
            return
        server = stack.enter_context(cluster())

        def make_on_server() -> sa.URL:
            name = f"bench{next(numbers)}"
            server.psql("postgres", f"create database {name} owner {OWNER}")
            owner = parse_url(server.url(name, OWNER))
            upgrade(owner)
            grant(owner, SERVING)
            return parse_url(server.url(name))

        yield make_on_server


if __name__ == "__main__":
    sys.exit(main())
