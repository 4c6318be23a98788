"""Arrivals of a fleet's requests: the plan of a run, made before it begins. No I/O, no clock.

Arrivals do not wait for answers (the load is open): a server that stalls finds as many kiosks at
its door as there would be.
"""

import math
import random
from dataclasses import dataclass
from enum import StrEnum

# A busy day: so many visits to a kiosk, within so many hours, and three times as many in the
# busiest hour as in the mean.
_VISITS_A_DAY = 20
_OPEN_S = 12 * 3600.0
_BUSY_FACTOR = 3
# A lease is renewed before it expires.
_WARM_EVERY_S = 780.0
# How far a heartbeat strays from its time, of the interval.
_JITTER = 0.1


class ArrivalKind(StrEnum):
    """What a kiosk does of itself; the steps of a visit follow from each other."""

    HEARTBEAT = "heartbeat"
    LEASE = "lease"  # ahead, for a press that is to come
    VISIT = "visit"  # somebody presses
    END = "end"  # of a visit that was under way when the run began


@dataclass(frozen=True, slots=True)
class Run:
    """What is simulated. `warm`: every kiosk keeps a lease at hand, else it asks at the press;
    `herd`: the power comes back, and all ask for a lease and tell how they are within one
    interval of heartbeats."""

    kiosks: int
    duration_s: float = 60.0
    heartbeat_s: float = 60.0
    warm: bool = False
    herd: bool = False
    talk_s: float = 120.0
    seed: int = 1

    @property
    def visits_per_s(self) -> float:
        """Of the fleet, in its busiest hour."""
        return self.kiosks * _VISITS_A_DAY * _BUSY_FACTOR / _OPEN_S

    @property
    def under_way(self) -> int:
        """The visits that are going on when the run begins."""
        return 0 if self.herd else min(self.kiosks, round(self.visits_per_s * self.talk_s))


@dataclass(frozen=True, slots=True, order=True)
class Arrival:
    """This kiosk, by its number, does this so long after the run began."""

    at_s: float
    kiosk: int
    what: ArrivalKind


def plan(run: Run) -> list[Arrival]:
    """Everything that happens of itself in a run, in order; the same for the same run."""
    chance = random.Random(run.seed)
    arrivals = _heartbeats(run, chance)
    if run.herd:
        first: dict[int, Arrival] = {}
        for arrival in sorted(arrivals):
            first.setdefault(arrival.kiosk, arrival)
        arrivals += [Arrival(each.at_s, each.kiosk, ArrivalKind.LEASE) for each in first.values()]
        return sorted(arrivals)
    arrivals += _visits(run, chance)
    if run.warm:
        arrivals += [
            Arrival(at_s, kiosk, ArrivalKind.LEASE)
            for kiosk in range(run.kiosks)
            if (at_s := chance.uniform(0, _WARM_EVERY_S)) < run.duration_s
        ]
    return sorted(arrivals)


def _heartbeats(run: Run, chance: random.Random) -> list[Arrival]:
    """Every kiosk's own, from anywhere in the interval."""
    arrivals = []
    for kiosk in range(run.kiosks):
        at_s = chance.uniform(0, run.heartbeat_s)
        while at_s < run.duration_s:
            arrivals.append(Arrival(at_s, kiosk, ArrivalKind.HEARTBEAT))
            at_s += run.heartbeat_s * chance.uniform(1 - _JITTER, 1 + _JITTER)
    return arrivals


def _visits(run: Run, chance: random.Random) -> list[Arrival]:
    """Presses at random (Poisson), and the ends of what is under way. Kiosks take turns, beginning
    after those that talk already."""
    arrivals = [
        Arrival(at_s, kiosk, ArrivalKind.END)
        for kiosk in range(run.under_way)
        if (at_s := chance.uniform(0, run.talk_s)) < run.duration_s
    ]
    number, at_s = run.under_way, _gap_s(run, chance)
    while at_s < run.duration_s:
        arrivals.append(Arrival(at_s, number % run.kiosks, ArrivalKind.VISIT))
        number, at_s = number + 1, at_s + _gap_s(run, chance)
    return arrivals


def _gap_s(run: Run, chance: random.Random) -> float:
    return -math.log(1.0 - chance.random()) / run.visits_per_s
