"""`make soak`: prints a line for each failure and, last, one JSON object."""

import argparse
import asyncio
import json
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

from kiosk.lab.virtual_loop import run_in_lockstep
from tests.soak.counted import CountedWorld
from tests.soak.material import material
from tests.soak.memory import start_counted
from tests.soak.real import RealWorld, soak_in_real_time
from tests.soak.runs import Failure, Recipe, Result, played, soak
from tests.soak.sounded import SoundedWorld
from tests.soak.visitors import Visit
from tests.soak.world import World

LEVELS: dict[str, type[World]] = {
    level.level: level for level in (CountedWorld, SoundedWorld, RealWorld)
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak")
    parser.add_argument("--level", choices=LEVELS, default="counted")
    parser.add_argument("--visits", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--replay", metavar="JSON", help="what a failure's line says")
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    if args.replay is not None:
        return _replay(json.loads(args.replay))
    if args.level == "real":
        result = soak_in_real_time(args.visits, args.seed, _tell)
    else:
        result = soak(args.visits, args.seed, _tell, LEVELS[args.level])
    for failure in result.failures:
        print(f"{failure.broken.what}: {failure.broken.detail}: {replay_line(failure)}")
    print(json.dumps(summary(result, args.level, args.seed)))
    return 1 if result.failures else 0


def _tell(line: str) -> None:
    print(line, flush=True)


def replay_line(failure: Failure) -> str:
    visits = [json.loads(visit.to_json()) for visit in failure.visits]
    body = {"level": failure.level, "mode": failure.mode, "seed": failure.seed, "visits": visits}
    return f"python -m tests.soak --replay '{json.dumps(body)}'"


def summary(result: Result, level: str, seed: int) -> dict[str, object]:
    """The last line's object."""
    kinds = [failure.broken.what for failure in result.failures]
    return {
        "level": level,
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


def _replay(body: dict[str, Any]) -> int:
    visits = [Visit.from_json(json.dumps(each)) for each in body["visits"]]
    level = LEVELS[body["level"]]

    async def live(directory: Path) -> World:
        recipe = Recipe(await material(directory), level, body["mode"], body["seed"])
        return (await played(recipe.world(), visits))[2]

    with tempfile.TemporaryDirectory(prefix="kiosk-soak-", dir="/tmp") as directory:
        run = asyncio.run if body["level"] == "real" else run_in_lockstep
        world = run(live(Path(directory)))
    for broken in world.broken:
        print(f"{broken.what}: {broken.detail}")
    return 1 if world.broken else 0


if __name__ == "__main__":
    start_counted("tests.soak", sys.argv[1:])
    sys.exit(main())
