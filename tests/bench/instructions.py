"""What each stage of the sound costs for every 20 ms in instructions, which no other load changes.

Counted by valgrind, as the difference of a longer run and a shorter one: what a start costs falls
out. The bar is the table beside this file, and one part in twenty. After a change that is meant:

    python -m tests.bench.instructions --write
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.bench.figures import AT_MOST, Figure
from tests.bench.stages import stages

TABLE = Path(__file__).with_name("instructions.json")
_SHORT, _LONG = 100, 300
_MAY_GROW = 1.05
_VALGRIND = ("valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null")
_COUNTED = re.compile(r"I +refs: +([\d,]+)")
_TIMEOUT_S = 300.0


def figures() -> Iterator[Figure]:
    if shutil.which("valgrind") is None:
        print("no instructions are counted: there is no `valgrind`", file=sys.stderr)
        return
    bars: dict[str, int] = json.loads(TABLE.read_text("utf-8"))
    for name, thousands in _thousands().items():
        bar = AT_MOST(round(bars[name] * _MAY_GROW)) if name in bars else None
        yield Figure(f"20 ms of sound, {name}: instructions", "thousand", thousands, bar)


def _thousands() -> dict[str, int]:
    """Of each stage, for one chunk."""
    names = [name for name, _ in stages()]
    runs = [(name, rounds) for name in names for rounds in (_SHORT, _LONG)]
    with ThreadPoolExecutor(os.cpu_count()) as beside:
        counted = dict(zip(runs, beside.map(_counted, runs), strict=True))
    each = _LONG - _SHORT
    return {
        name: round((counted[name, _LONG] - counted[name, _SHORT]) / each / 1000) for name in names
    }


def _counted(run: tuple[str, int]) -> int:
    name, rounds = run
    command = [*_VALGRIND, sys.executable, "-m", "tests.bench.instructions", name, str(rounds)]
    # One thread, and the same hashes: the same instructions each time.
    env = {**os.environ, "PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"}
    ran = subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True
    )
    found = _COUNTED.search(ran.stderr)
    if found is None:
        raise RuntimeError(f"valgrind counted nothing: {ran.stderr[-500:]}")
    return int(found[1].replace(",", ""))


def _run(name: str, rounds: int) -> None:
    stage = dict(stages())[name]
    for number in range(rounds):
        stage(number)


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        TABLE.write_text(json.dumps(_thousands(), indent=2) + "\n", encoding="utf-8")
    else:
        _run(sys.argv[1], int(sys.argv[2]))
