"""`make soak`: prints a line for each failure and, last, one JSON object."""

import argparse
import json
import logging
import sys
import tempfile
from pathlib import Path

from kiosk.lab.virtual_loop import run_in_lockstep
from tests.soak.memory import start_counted
from tests.soak.runs import Failure, Result, material, soak
from tests.soak.visitors import Visit
from tests.soak.world import MODES, World


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak")
    parser.add_argument("--visits", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--replay", metavar="JSON", help="what a failure's line says")
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    if args.replay is not None:
        return _replay(json.loads(args.replay))
    result = soak(args.visits, args.seed, lambda line: print(line, flush=True))
    for failure in result.failures:
        print(f"{failure.broken.what}: {failure.broken.detail}: {replay_line(failure)}")
    print(json.dumps(summary(result, args.seed)))
    return 1 if result.failures else 0


def replay_line(failure: Failure) -> str:
    visits = [json.loads(visit.to_json()) for visit in failure.visits]
    body = {"mode": failure.mode, "seed": failure.seed, "visits": visits}
    return f"python -m tests.soak --replay '{json.dumps(body)}'"


def summary(result: Result, seed: int) -> dict[str, object]:
    """The last line's object."""
    kinds = [failure.broken.what for failure in result.failures]
    return {
        "level": "counted",
        "visits": result.visits,
        "seconds": round(result.seconds, 1),
        "wedged": len(kinds) - kinds.count("unexplained"),
        "unexplained": kinds.count("unexplained"),
        "endings": dict(result.endings.most_common()),
        "descriptors_growth": result.growth["descriptors"],
        "threads_growth": result.growth["threads"],
        "tasks_growth": result.growth["tasks"],
        "memory_growth_kb": result.growth["memory_kb"],
        "trace": result.trace[:16],
        "seed": seed,
    }


def _replay(body: dict[str, object]) -> int:
    visits = [Visit.from_json(json.dumps(each)) for each in body["visits"]]  # type: ignore[attr-defined]

    async def live(directory: Path) -> World:
        what = await material(directory)
        world = World(
            what.directory,
            what.voice,
            what.speech,
            MODES[int(str(body["mode"]))],
            int(str(body["seed"])),
        )
        async with world.running():
            for visit in visits:
                await world.play(visit)
        return world

    with tempfile.TemporaryDirectory() as directory:
        world = run_in_lockstep(live(Path(directory)))
    for broken in world.broken:
        print(f"{broken.what}: {broken.detail}")
    return 1 if world.broken else 0


if __name__ == "__main__":
    start_counted("tests.soak", sys.argv[1:])
    sys.exit(main())
