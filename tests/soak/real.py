"""Whole kiosks in the machine's own time: threads, sockets, and agent and backend as processes."""

import asyncio
import contextlib
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

from kiosk.endings import Kind
from kiosk.lab.demo.servers import servers
from tests.soak.material import Material, material
from tests.soak.runs import Failure, Recipe, Result, played, random_visits, resources
from tests.soak.sounded import NO_OFFICE, SoundedWorld
from tests.soak.visitors import SCRIPTS
from tests.soak.world import MODES

# They share one interpreter.
_AT_ONCE = 6
# The loop is that of all.
_STALLS = frozenset({"stall", "listener_stalls", "listener_ok"})


class RealWorld(SoundedWorld):
    """Short visits; the agent's process has one script for all of a kiosk's life."""

    level = "real"
    life = 10
    without = NO_OFFICE | _STALLS
    hurry = 4.0
    # The backend gives six leases at once, and then one in three minutes: here a kiosk uses up, by
    # being started anew and by connecting anew, what else it does in a day.
    usual = frozenset({Kind.BUSY})
    limits = {"max_s": 25, "warning_s": 5, "idle_s": 3, "answer_s": 5, "queue_s": 8}  # noqa: RUF012
    lamp_turns = (2, 0.5)

    def __init__(self, what: Material, mode: int, seed: int) -> None:
        super().__init__(what, mode, seed)
        self.script = self._rng.choice((None, *SCRIPTS))

    @contextlib.asynccontextmanager
    async def _site(self) -> AsyncIterator[None]:
        self._move_in()
        options = [] if self.script is None else ["--scenario", self.script]
        async with servers(self._directory, options, lambda _: None) as running:
            credentials = {
                "mode": "backend",
                "backend_url": running.backend_url,
                "device_token_file": running.device_token_file,
            }
            self._settings = self._made("wss://api.elevenlabs.io", credentials=credentials)
            yield

    def _plays(self, script: str | None) -> None:
        """It was said when its process was started."""


def soak_in_real_time(
    visits: int, seed: int, tell: Callable[[str], None], level: type[RealWorld] = RealWorld
) -> Result:
    """Hold so many visits, on some kiosks at once; what fails here is not shrunk."""
    result, began_s = Result(), time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="kiosk-soak-", dir="/tmp") as directory:
        before = resources()
        with _hooks_kept():
            asyncio.run(_hold(result, Path(directory), visits, seed, tell, level))
        result.growth = {name: now - before[name] for name, now in resources().items()}
    result.growth["tasks"] = max(result.tasks)
    result.seconds = time.perf_counter() - began_s
    return result


async def _hold(
    result: Result,
    directory: Path,
    visits: int,
    seed: int,
    tell: Callable[[str], None],
    level: type[RealWorld],
) -> None:
    what, room = await material(directory), asyncio.Semaphore(_AT_ONCE)

    async def live(life: int) -> None:
        recipe = Recipe(what, level, life % len(MODES), seed * 100_000 + life)
        world = level(what, recipe.mode, recipe.seed)
        count = min(level.life, visits - life * level.life)
        plays = [replace(each, script=world.script) for each in random_visits(count, recipe.seed)]
        async with room:
            count, broken, _ = await played(world, plays)
        result.add(world, count)
        if broken is not None:
            tell(f"kiosk {life}, visit {count}: {broken.what}: {broken.detail}")
            failed = tuple(plays[:count])
            result.failures.append(Failure(broken, level.level, recipe.mode, recipe.seed, failed))

    async with asyncio.TaskGroup() as tasks:
        for life in range(-(-visits // level.life)):
            tasks.create_task(live(life), name=f"kiosk {life}")
    result.tasks = [len(asyncio.all_tasks()) - 1]


@contextlib.contextmanager
def _hooks_kept() -> Iterator[None]:
    """A daemon has its process to itself; here several put back what they found in any order."""
    hook = threading.excepthook
    yield
    threading.excepthook = hook
