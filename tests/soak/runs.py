"""Many visits from one seed; a visit that breaks something is shrunk to what it takes."""

import hashlib
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kiosk.lab.virtual_loop import run_in_lockstep
from tests.soak.counted import CountedWorld
from tests.soak.material import Material, material
from tests.soak.memory import in_use_kb, is_counted
from tests.soak.visitors import Visit, random_visit
from tests.soak.world import MODES, Broken, World

# From here on nothing may grow.
WARM_VISITS = 1000
_MOST_TRIES = 150


@dataclass(frozen=True)
class Recipe:
    """What a kiosk is made of, again and again."""

    what: Material
    level: type[World]
    mode: int
    seed: int

    def world(self) -> World:
        return self.level(self.what, self.mode, self.seed)


@dataclass(frozen=True)
class Failure:
    """What broke, and the least that breaks it: the visits of one kiosk, the last one it shows."""

    broken: Broken
    level: str
    mode: int
    seed: int
    visits: tuple[Visit, ...]

    @property
    def events(self) -> int:
        return sum(len(visit.acts) + (visit.script is not None) for visit in self.visits)


@dataclass
class Result:
    """What came of a run."""

    visits: int = 0
    seconds: float = 0.0
    failures: list[Failure] = field(default_factory=list)
    endings: Counter[str] = field(default_factory=Counter)
    growth: dict[str, int] = field(default_factory=dict)
    tasks: list[int] = field(default_factory=list)  # more at the end of each kiosk's life
    trace: str = ""  # a digest of every moment

    def add(self, world: World, visits: int) -> None:
        self.visits += visits
        self.endings += world.endings
        self.tasks.append(world.tasks)
        self.trace = hashlib.sha256(f"{self.trace}{world.trace.hexdigest()}".encode()).hexdigest()


def soak(
    visits: int,
    seed: int,
    tell: Callable[[str], None],
    level: type[World] = CountedWorld,
    *,
    first_only: bool = False,
) -> Result:
    """Hold so many visits in virtual time; failures are shrunk as they come."""
    result, began_s = Result(), time.perf_counter()
    others = set(threading.enumerate())
    with tempfile.TemporaryDirectory(prefix="kiosk-soak-", dir="/tmp") as directory:
        what = run_in_lockstep(material(Path(directory)))
        warm: dict[str, int] = {}
        for life in range(-(-visits // level.life)):
            recipe = Recipe(what, level, life % len(MODES), seed * 100_000 + life)
            plays = random_visits(min(level.life, visits - life * level.life), recipe.seed)
            _live(result, recipe, plays, tell, first_only=first_only)
            del plays  # or they would count as growth
            if first_only and result.failures:
                break
            if not warm and result.visits >= min(WARM_VISITS, visits // 2):
                warm = resources(others)
        result.growth = {name: now - warm.get(name, now) for name, now in resources(others).items()}
        result.growth["tasks"] = max(result.tasks)
    result.seconds = time.perf_counter() - began_s
    return result


def random_visits(count: int, seed: int) -> list[Visit]:
    rng = random.Random(seed)
    return [random_visit(rng) for _ in range(count)]


def _live(
    result: Result,
    recipe: Recipe,
    plays: Sequence[Visit],
    tell: Callable[[str], None],
    *,
    first_only: bool,
) -> None:
    """One kiosk's visits; after a failure another goes on."""
    done = 0
    while done < len(plays):
        played, broken, world = _played(recipe, plays[done:])
        result.add(world, played)
        if broken is None:
            return
        tell(f"visit {result.visits}: {broken.what}: {broken.detail}")
        result.failures.append(shrunk(recipe, plays[done : done + played], broken))
        if first_only:
            return
        done += played


def _played(recipe: Recipe, plays: Sequence[Visit]) -> tuple[int, Broken | None, World]:
    """How many visits were held, up to the first that broke something, on one kiosk."""
    return run_in_lockstep(played(recipe.world(), plays))


async def played(world: World, plays: Sequence[Visit]) -> tuple[int, Broken | None, World]:
    """The same, in the loop that runs."""
    async with world.running():
        for number, visit in enumerate(plays, 1):
            await world.play(visit)
            if world.broken:
                return number, world.broken[0], world
    return len(plays), None, world


def shrunk(recipe: Recipe, plays: Sequence[Visit], broken: Broken) -> Failure:
    """The same fault with fewer visits, acts and no script, if it shows without them."""
    tries = iter(range(_MOST_TRIES))

    def shows(fewer: Sequence[Visit]) -> bool:
        if not fewer or next(tries, None) is None:
            return False
        _, again, _ = _played(recipe, fewer)
        return again is not None and again.what == broken.what

    best = list(plays)
    for count in (1, 2, 5, 20):
        if count < len(best) and shows(best[-count:]):
            best = best[-count:]
            break
    smaller = True
    while smaller:
        smaller = False
        for fewer in _fewer(best):
            if shows(fewer):
                best, smaller = list(fewer), True
                break
    return Failure(broken, recipe.level.level, recipe.mode, recipe.seed, tuple(best))


def _fewer(visits: list[Visit]) -> Iterator[list[Visit]]:
    """Everything that has one part less, the largest parts first."""
    for at in range(len(visits) - 1):
        yield [*visits[:at], *visits[at + 1 :]]
    for at, visit in enumerate(visits):
        before, after = visits[:at], visits[at + 1 :]
        if visit.script is not None:
            yield [*before, Visit(None, visit.acts), *after]
        size = max(1, len(visit.acts) // 2)
        while size:
            for start in range(0, len(visit.acts), size):
                acts = (*visit.acts[:start], *visit.acts[start + size :])
                if acts:
                    yield [*before, Visit(visit.script, acts), *after]
            size //= 2


def resources(others: Collection[threading.Thread] = ()) -> dict[str, int]:
    """What is held. `others`: threads that are none of the soak's, and go on."""
    for thread in threading.enumerate():
        if thread not in others and thread is not threading.current_thread():
            thread.join(1.0)  # it may be about to end
    return {
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "threads": threading.active_count(),
        # In a process that holds a whole test suite a look takes seconds, and tells nothing.
        "memory_kb": in_use_kb() if is_counted() else 0,
    }
