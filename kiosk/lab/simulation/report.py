"""Report of a simulation. Pure: no I/O, no clock."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

# Where the plan is kept to within this, a late answer is the server's.
LATE_S = 0.05
_PERCENT = 99


@dataclass(frozen=True, slots=True)
class Route:
    """The answers of one route, counted from when they were due to be asked for."""

    name: str
    count: int
    p50_ms: float
    p99_ms: float
    worst_ms: float


@dataclass
class Records:
    """What is counted while it happens."""

    latencies_s: dict[str, list[float]] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)
    lags_s: list[float] = field(default_factory=list)
    begun: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def add(self, route: str, seconds: float) -> None:
        """An answer, good or bad."""
        self.latencies_s.setdefault(route, []).append(seconds)


@dataclass(frozen=True, slots=True)
class SimulationReport:
    """A run in figures. What is None was not to be had; `memory_growth_mb` is from a third of the
    run to its end."""

    kiosks: int
    seconds: float
    requests: int
    routes: tuple[Route, ...]
    errors: dict[str, int]
    visits_begun: int
    visits_refused: dict[str, int]
    lag_p99_ms: float
    simulator_cpu_percent: float
    server_cpu_percent: float | None
    server_memory_mb: float | None
    memory_growth_mb: float | None

    @property
    def kept_up(self) -> bool:
        """Whether the kiosks were on time; if not, the latencies are not the server's."""
        return self.lag_p99_ms <= LATE_S * 1000

    def route(self, name: str) -> Route | None:
        """One line."""
        return next((route for route in self.routes if route.name == name), None)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {**asdict(self), "kept_up": self.kept_up}

    def lines(self) -> Iterator[str]:
        """For people."""
        rate = self.requests / self.seconds
        yield f"{self.kiosks} kiosks, {self.seconds:.0f} s: {self.requests} requests, {rate:.1f}/s"
        yield f"{'':20} {'answers':>8} {'p50 ms':>8} {'p99 ms':>8} {'worst':>8}"
        for each in self.routes:
            yield (
                f"{each.name:20} {each.count:8} {each.p50_ms:8.1f} {each.p99_ms:8.1f} "
                f"{each.worst_ms:8.1f}"
            )
        yield f"visits begun: {self.visits_begun}; refused: {_counted(self.visits_refused)}"
        yield f"errors: {_counted(self.errors)}"
        if self.server_cpu_percent is not None and self.server_memory_mb is not None:
            growth = self.memory_growth_mb or 0.0
            yield (
                f"server: {self.server_cpu_percent:.0f} % of a core, "
                f"{self.server_memory_mb:.0f} MB ({growth:+.1f})"
            )
        yield (
            f"simulator: {self.simulator_cpu_percent:.0f} % of a core, "
            f"late by {self.lag_p99_ms:.0f} ms (p99)"
        )
        if not self.kept_up:
            yield "the simulator did not keep up: these latencies are its own, not the server's"


def routes(latencies_s: dict[str, list[float]]) -> tuple[Route, ...]:
    """A line for each, in the order of their names."""
    return tuple(
        Route(
            name,
            len(values),
            1000 * percentile(values, 50),
            1000 * percentile(values, _PERCENT),
            1000 * max(values),
        )
        for name, values in sorted(latencies_s.items())
    )


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest rank; 0 without values."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else 0.0


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"
