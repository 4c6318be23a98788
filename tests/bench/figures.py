"""What a benchmark says: figures, each with the peer's beside it and the bar it must meet."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Sense = Literal["at most", "at least"]


@dataclass(frozen=True, slots=True)
class Bar:
    """What must hold: of our own value, or of the ratio to the peer's."""

    limit: float
    sense: Sense = "at most"
    of_ratio: bool = False

    def __str__(self) -> str:
        sign = "<=" if self.sense == "at most" else ">="
        return f"{'ratio ' if self.of_ratio else ''}{sign} {self.limit:g}"

    def met_by(self, value: float | None) -> bool:
        if value is None or math.isnan(value):  # what could not be measured meets nothing
            return False
        return value <= self.limit if self.sense == "at most" else value >= self.limit


@dataclass(frozen=True, slots=True)
class Figure:
    """One row. `ours` None: it could not be measured; `peer` None: there is none."""

    name: str
    unit: str
    ours: float | None
    bar: Bar | None = None
    peer: float | None = None

    @property
    def ratio(self) -> float | None:
        """The peer's over ours: how many times less ours is."""
        return self.peer / self.ours if self.peer is not None and self.ours else None

    @property
    def ok(self) -> bool:
        if self.bar is None:
            return True
        return self.bar.met_by(self.ratio if self.bar.of_ratio else self.ours)

    def as_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "unit": self.unit,
            "ours": _rounded(self.ours),
            "peer": _rounded(self.peer),
            "ratio": _rounded(self.ratio),
            "bar": None if self.bar is None else str(self.bar),
            "ok": self.ok,
        }


Measurement = Callable[[], Iterable[Figure]]

AT_MOST = Bar  # reads well: bar=AT_MOST(50)


def at_least(limit: float) -> Bar:
    return Bar(limit, "at least")


def times_better(limit: float) -> Bar:
    """Than the peer."""
    return Bar(limit, "at least", of_ratio=True)


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The nearest-rank percentile; None without values."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def table(figures: Sequence[Figure]) -> list[str]:
    """The rows as aligned text, under a heading."""
    heading = ("figure", "unit", "ours", "peer", "ratio", "bar", "")
    rows = [heading, *map(_cells, figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heading))]
    lines = []
    for row in rows:
        left = row[0].ljust(widths[0]) + "  " + row[1].ljust(widths[1])
        numbers = (row[column].rjust(widths[column]) for column in (2, 3, 4))
        lines.append(f"{left}  {'  '.join(numbers)}  {row[5].ljust(widths[5])}  {row[6]}".rstrip())
    return lines


def _cells(figure: Figure) -> tuple[str, ...]:
    return (
        figure.name,
        figure.unit,
        "not measured" if figure.ours is None else _text(figure.ours),
        _text(figure.peer),
        _text(figure.ratio),
        "" if figure.bar is None else str(figure.bar),
        "" if figure.bar is None else "ok" if figure.ok else "MISSED",
    )


def _text(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _rounded(value: float | None) -> float | None:
    # JSON has no word for infinity.
    return None if value is None or not math.isfinite(value) else round(value, 4)
