"""`python -m tests.bench`: every figure of the project in one run, ours beside the peer's.

Latencies are measured first, while nothing else runs. Exit code 0 only if every bar is met.
"""

import argparse
import json
import multiprocessing
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests import rig
from tests.bench.figures import Figure, Measurement, table
from tests.bench.registry import PARTS, SWEEPS, timed

_SIDE_BY_SIDE = 2
_QUIET_LOAD = 1.0


def main() -> int:
    args = _parser().parse_args()
    if reason := rig.missing():
        print(reason, file=sys.stderr)
        return 69
    if (load := os.getloadavg()[0]) > _QUIET_LOAD:
        print(f"this machine is busy (load {load:.1f}): latencies will show it", file=sys.stderr)
    began_s = time.monotonic()
    figures = [*_one_by_one(_chosen(PARTS, args.only)), *_together(_chosen(SWEEPS, args.only))]
    print("\n".join(table(figures)))
    missed = sum(not figure.ok for figure in figures)
    minutes = (time.monotonic() - began_s) / 60
    print(f"\n{len(figures)} figures in {minutes:.1f} minutes; bars missed: {missed}")
    rows = ",\n".join(json.dumps(figure.as_json()) for figure in figures)
    args.json.write_text(f"[\n{rows}\n]\n", encoding="utf-8")
    return 0 if figures and not missed else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--only",
        default="",
        metavar="PATTERN",
        help=f"the parts whose name a regular expression finds: {', '.join(PARTS | SWEEPS)}",
    )
    parser.add_argument("--json", type=Path, default=Path("bench.json"), metavar="PATH")
    return parser


def _chosen(parts: Mapping[str, Measurement], pattern: str) -> dict[str, Measurement]:
    return {name: part for name, part in parts.items() if re.search(pattern, name)}


def _one_by_one(parts: Mapping[str, Measurement]) -> Iterator[Figure]:
    for name, measurement in parts.items():
        yield from timed(name, measurement)


def _together(sweeps: Mapping[str, Measurement]) -> Iterator[Figure]:
    # Spawned: what was measured before has left threads, which a fork would copy in mid-step.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(_SIDE_BY_SIDE, context) as pool:
        results = [pool.submit(timed, name, sweep) for name, sweep in sweeps.items()]
        for result in results:
            yield from result.result()


if __name__ == "__main__":
    sys.exit(main())
