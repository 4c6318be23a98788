"""Is the first word whole: the sweep's answer for voices and sentences that chose nothing."""

from collections.abc import Iterator

from tests.bench.figures import AT_MOST, Figure
from tests.bench.gate_sweep import HELD_OUT, NOISES, onsets

_LEVELS_DBFS = (-40.0, -23.0)
_DISTANCE_DB = 10.0


def figures() -> Iterator[Figure]:
    """The worst of two loudnesses, and of the noises."""
    clean = max(onsets(HELD_OUT, level).clipped_share() for level in _LEVELS_DBFS)
    yield Figure("first word clipped, clean", "%", 100 * clean, AT_MOST(0))
    noisy = max(
        onsets(HELD_OUT, level, (noise, _DISTANCE_DB)).clipped_share()
        for level in _LEVELS_DBFS
        for noise in NOISES
    )
    name = f"first word clipped, {_DISTANCE_DB:g} dB above noise, the worst kind"
    yield Figure(name, "%", 100 * noisy, AT_MOST(5))
