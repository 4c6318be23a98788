"""Many visits from one seed; a visit that breaks something is shrunk to what it takes."""

import hashlib
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kiosk.audio.pcm import INTERNAL_RATE_HZ, Samples
from kiosk.lab.virtual_loop import run_in_lockstep
from kiosk.visit.speech import Voice
from tests.soak.memory import in_use_kb
from tests.soak.visitors import Visit, random_visit
from tests.soak.world import MODES, Broken, World
from tests.virtual_kiosk import tones_for_sentences

# A kiosk is started anew so often, with another way of using the button.
LIFE_VISITS = 250
# From here on nothing may grow.
WARM_VISITS = 1000
_MOST_TRIES = 150


@dataclass(frozen=True)
class Failure:
    """What broke, and the least that breaks it: the visits of one kiosk, the last one it shows."""

    broken: Broken
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


@dataclass(frozen=True)
class Material:
    """What every kiosk has, made once."""

    directory: Path
    voice: Voice
    speech: Samples


async def material(directory: Path) -> Material:
    from kiosk.agent.voice import Voice as Spoken

    voice = Voice("en", "en", 160, tones_for_sentences(directory), None)
    await voice.prepare()
    speech = await Spoken("en-gb").render("where are the toilets please", INTERNAL_RATE_HZ)
    return Material(directory, voice, speech)


def soak(
    visits: int, seed: int, tell: Callable[[str], None], *, first_only: bool = False
) -> Result:
    """Hold so many visits; failures are shrunk as they come."""
    result, began_s = Result(), time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="kiosk-soak-") as directory:
        what = run_in_lockstep(material(Path(directory)))
        warm: dict[str, int] = {}
        for life in range(-(-visits // LIFE_VISITS)):
            left = min(LIFE_VISITS, visits - life * LIFE_VISITS)
            its_seed = seed * 100_000 + life
            mode, plays = life % len(MODES), _random_visits(left, its_seed)
            _live(result, what, mode, its_seed, plays, tell, first_only=first_only)
            del plays  # or they would count as growth
            if first_only and result.failures:
                break
            if not warm and result.visits >= min(WARM_VISITS, visits // 2):
                warm = _resources()
        result.growth = {name: now - warm.get(name, now) for name, now in _resources().items()}
        result.growth["tasks"] = max(result.tasks)
    result.seconds = time.perf_counter() - began_s
    return result


def _random_visits(count: int, seed: int) -> list[Visit]:
    rng = random.Random(seed)
    return [random_visit(rng) for _ in range(count)]


def _live(
    result: Result,
    what: Material,
    mode: int,
    seed: int,
    plays: Sequence[Visit],
    tell: Callable[[str], None],
    *,
    first_only: bool,
) -> None:
    """One kiosk's visits; after a failure another goes on."""
    done = 0
    while done < len(plays):
        played, broken, world = _played(what, mode, seed, plays[done:])
        result.visits += played
        result.endings += world.endings
        result.tasks.append(world.tasks)
        result.trace = hashlib.sha256(
            f"{result.trace}{world.trace.hexdigest()}".encode()
        ).hexdigest()
        if broken is None:
            return
        tell(f"visit {result.visits}: {broken.what}: {broken.detail}")
        result.failures.append(shrunk(what, mode, seed, plays[done : done + played], broken))
        if first_only:
            return
        done += played


def _played(
    what: Material, mode: int, seed: int, plays: Sequence[Visit]
) -> tuple[int, Broken | None, World]:
    """How many visits were held, up to the first that broke something, on one kiosk."""

    async def live() -> tuple[int, Broken | None, World]:
        world = World(what.directory, what.voice, what.speech, MODES[mode], seed)
        async with world.running():
            for number, visit in enumerate(plays, 1):
                await world.play(visit)
                if world.broken:
                    return number, world.broken[0], world
        return len(plays), None, world

    return run_in_lockstep(live())


def shrunk(what: Material, mode: int, seed: int, plays: Sequence[Visit], broken: Broken) -> Failure:
    """The same fault with fewer visits, acts and no script, if it shows without them."""
    tries = iter(range(_MOST_TRIES))

    def shows(fewer: Sequence[Visit]) -> bool:
        if not fewer or next(tries, None) is None:
            return False
        _, again, _ = _played(what, mode, seed, fewer)
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
    return Failure(broken, mode, seed, tuple(best))


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


def _resources() -> dict[str, int]:
    return {
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "threads": threading.active_count(),
        "memory_kb": in_use_kb(),
    }
