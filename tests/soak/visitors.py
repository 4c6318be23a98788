"""Random visits: what visitors do and what goes wrong, as lists that can be played again."""

import json
import random
from dataclasses import asdict, dataclass, replace

from kiosk.agent.scenario import scenario_names
from tests.soak.devices import BUSY, LOST, STUCK
from tests.soak.devices import SLOW as SLOW_CARD
from tests.soak.office import DOWN, REFUSALS, SLOW

# Those that go wrong at a provider's REST address have nobody here who asks there.
SCRIPTS = tuple(name for name in scenario_names() if not name.startswith("rest_"))


@dataclass(frozen=True)
class Act:
    """Something that somebody does `at_s` after the visit's beginning."""

    at_s: float
    do: str
    value: float | str = 0.0


@dataclass(frozen=True)
class Visit:
    """A script of the agent's (None: it behaves), and everything that is done."""

    script: str | None
    acts: tuple[Act, ...]

    def at_level(self, without: frozenset[str], hurry: float) -> "Visit":
        """Without what cannot be done there, and so much sooner."""
        acts = (act for act in self.acts if act.do not in without)
        return replace(self, acts=tuple(replace(act, at_s=act.at_s / hurry) for act in acts))

    def to_json(self) -> str:
        return json.dumps(
            {"script": self.script, "acts": [list(asdict(a).values()) for a in self.acts]}
        )

    @classmethod
    def from_json(cls, text: str) -> "Visit":
        body = json.loads(text)
        return cls(body["script"], tuple(Act(*act) for act in body["acts"]))


def random_visit(rng: random.Random) -> Visit:
    acts = [Act(0.0, "press")]
    rng.choice(_VISITORS)(rng, acts)
    script = None
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        if script is None and rng.random() < 0.35:
            script = rng.choice(SCRIPTS)
        else:
            rng.choice(_FAULTS)(rng, acts)
    return Visit(script, tuple(sorted(acts, key=lambda act: act.at_s)))


# --- visitors -----------------------------------------------------------------------------------


def _asks(rng: random.Random, acts: list[Act]) -> None:
    at_s = rng.choice((0.1, rng.uniform(0.5, 9.0)))
    for _ in range(rng.randint(1, 3)):
        acts.append(Act(at_s, "say", rng.uniform(0.8, 2.5)))
        at_s += rng.uniform(3.0, 12.0)
    if rng.random() < 0.5:
        acts.append(Act(at_s, rng.choice(("press", "goodbye"))))


def _leaves(rng: random.Random, acts: list[Act]) -> None:
    if rng.random() < 0.3:
        acts.append(Act(rng.uniform(15.0, 50.0), "press"))


def _mashes(rng: random.Random, acts: list[Act]) -> None:
    at_s = 0.0
    for _ in range(rng.randint(2, 12)):
        at_s += rng.uniform(0.05, 1.6)
        acts.append(Act(at_s, "press"))


def _holds(rng: random.Random, acts: list[Act]) -> None:
    acts[0] = Act(0.0, "down")
    acts.append(Act(rng.uniform(0.1, 14.0), "up"))
    if rng.random() < 0.7:
        acts.append(Act(rng.uniform(0.1, 2.0), "say", rng.uniform(0.5, 9.0)))
    if rng.random() < 0.5:
        acts.append(Act(rng.uniform(15.0, 30.0), "down"))
        acts.append(Act(rng.uniform(30.0, 32.0), "up"))


def _chooses_a_language(rng: random.Random, acts: list[Act]) -> None:
    keys = ("de", "fr", "en")
    if rng.random() < 0.6:
        acts[0] = Act(0.0, "key", rng.choice(keys))
    at_s = 0.0
    for _ in range(rng.randint(1, 4)):
        at_s += rng.choice((rng.uniform(0.1, 1.5), rng.uniform(2.0, 12.0)))
        acts.append(Act(at_s, "key", rng.choice(keys)))
        if rng.random() < 0.6:
            acts.append(Act(at_s + rng.uniform(0.2, 3.0), "say", rng.uniform(0.8, 1.5)))


def _talks_over(rng: random.Random, acts: list[Act]) -> None:
    at_s = 0.3
    for _ in range(rng.randint(2, 5)):
        at_s += rng.uniform(1.0, 3.0)
        acts.append(Act(at_s, rng.choice(("say", "say", "noise")), rng.uniform(0.3, 1.5)))


def _makes_noise(rng: random.Random, acts: list[Act]) -> None:
    acts += [
        Act(rng.uniform(0.1, 40.0), "noise", rng.uniform(0.1, 4.0))
        for _ in range(rng.randint(1, 6))
    ]


_VISITORS = (
    _asks, _asks, _leaves, _mashes, _holds, _chooses_a_language, _talks_over, _makes_noise,
)  # fmt: skip


# --- what goes wrong ----------------------------------------------------------------------------


def _for_a_while(
    rng: random.Random, acts: list[Act], do: str, undo: str, value: float | str = ""
) -> None:
    at_s = rng.choice((-1.0, 0.0, rng.uniform(0.0, 20.0)))
    acts.append(Act(at_s, do, value))
    acts.append(Act(at_s + rng.uniform(0.1, 30.0), undo))


def _backend(rng: random.Random, acts: list[Act]) -> None:
    _for_a_while(rng, acts, "backend", "backend_ok", rng.choice((DOWN, DOWN, SLOW, *REFUSALS)))


def _microphone(rng: random.Random, acts: list[Act]) -> None:
    how = rng.choice((LOST, LOST, BUSY, STUCK, SLOW_CARD))
    _for_a_while(rng, acts, f"microphone_{how}", "microphone_back", rng.uniform(0.2, 2.0))


def _speaker(rng: random.Random, acts: list[Act]) -> None:
    _for_a_while(rng, acts, f"speaker_{rng.choice((LOST, LOST, BUSY, STUCK))}", "speaker_back")


def _stall(rng: random.Random, acts: list[Act]) -> None:
    acts.append(Act(rng.uniform(0.0, 20.0), "stall", rng.choice((0.05, 0.5, 2.0, 6.0))))


def _operator(rng: random.Random, acts: list[Act]) -> None:
    acts.append(Act(rng.uniform(0.0, 20.0), rng.choice(("end", "end", "pause"))))


def _stop(rng: random.Random, acts: list[Act]) -> None:
    acts.append(Act(rng.uniform(0.0, 25.0), "stop"))


def _listener(rng: random.Random, acts: list[Act]) -> None:
    _for_a_while(rng, acts, "listener_stalls", "listener_ok", rng.choice((0.02, 0.2)))


def _disk(rng: random.Random, acts: list[Act]) -> None:
    _for_a_while(rng, acts, rng.choice(("disk_gone", "disk_full")), "disk_back")


def _network(rng: random.Random, acts: list[Act]) -> None:
    _for_a_while(rng, acts, "network_gone", "network_back")


def _wall_clock(rng: random.Random, acts: list[Act]) -> None:
    """It is set when the network comes back."""
    at_s = rng.uniform(5.0, 60.0)
    days = rng.choice((-1, 1)) * rng.uniform(0.1, 200.0)
    acts.append(Act(rng.choice((-1.0, rng.uniform(0.0, at_s))), "backend", DOWN))
    acts.append(Act(at_s, "clock", days * 86_400.0))
    acts.append(Act(at_s + rng.uniform(0.0, 5.0), "backend_ok"))


_FAULTS = (
    _backend, _backend, _microphone, _microphone, _speaker, _stall, _operator, _stop, _listener,
    _disk, _wall_clock, _network,
)  # fmt: skip
