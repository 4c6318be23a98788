"""Endings, and what of a visit explains them."""

import itertools
from collections.abc import Callable

from kiosk.agent.scenario import load_scenario
from kiosk.agent.talk import NO_WORDS_S
from kiosk.endings import Kind, classify_denial
from kiosk.visit.visit import MEANT_S
from tests.soak.devices import BUSY, LOST, STUCK
from tests.soak.office import DOWN, REFUSALS
from tests.soak.visitors import Act, Visit

_ALWAYS = frozenset({Kind.ABANDONED, Kind.TIME_UP})
_JOINED_S = 1.0  # a pause of less ends no turn
_LINE = frozenset({Kind.PEER_DEAD, Kind.NETWORK_LOST, Kind.UNREACHABLE, Kind.NO_METADATA})


def explained(visit: Visit, held: bool) -> set[Kind]:
    """The endings that what was done and what went wrong in this visit explain."""
    kinds = set(_ALWAYS)
    presses = sum(act.do in ("press", "down", "key") for act in visit.acts)
    if presses > 1 or any(act.do in ("end", "down") for act in visit.acts):
        kinds |= {Kind.HUNG_UP, Kind.ENDED_BY_OPERATOR}
    says = [act for act in visit.acts if act.do == "say"]
    for first, second in itertools.pairwise(says):
        if second.at_s - first.at_s - float(first.value) < _JOINED_S:
            kinds |= _by_say(Act(0.0, "say", MEANT_S))  # they are one
    for act in visit.acts:
        kinds |= _BY_ACT.get(act.do, _nothing)(act)
    if visit.script is not None:
        kinds |= _by_script(visit.script)
    return kinds


def _by_backend(act: Act) -> frozenset[Kind]:
    if act.value == DOWN:
        return frozenset({Kind.BACKEND_UNREACHABLE})
    if act.value in REFUSALS:
        return frozenset({classify_denial(str(act.value)).kind})
    return frozenset()


def _microphone_lost(_: Act) -> frozenset[Kind]:
    return frozenset({Kind.MICROPHONE_LOST})


def _speaker_lost(_: Act) -> frozenset[Kind]:
    return frozenset({Kind.SPEAKER_LOST})


def _by_say(act: Act) -> frozenset[Kind]:
    """So long the visitor means it, for the kiosk; and the local agent takes what it understands
    nothing of, over a turn of its own, for a noise."""
    taken_for_noise = MEANT_S - 0.1 <= float(act.value) <= NO_WORDS_S + 0.1
    return frozenset({Kind.NO_ANSWER}) if taken_for_noise else frozenset()


def _nothing(_: Act) -> frozenset[Kind]:
    return frozenset()


_BY_ACT: dict[str, Callable[[Act], frozenset[Kind]]] = {
    "goodbye": lambda _: frozenset({Kind.AGENT_ENDED}),
    "say": _by_say,
    "noise": lambda _: frozenset({Kind.NO_ANSWER}),
    "backend": _by_backend,
    **{f"microphone_{how}": _microphone_lost for how in (LOST, BUSY, STUCK)},
    **{f"speaker_{how}": _speaker_lost for how in (LOST, BUSY, STUCK)},
    "stall": lambda _: _LINE,
    "listener_stalls": lambda _: _LINE,
    # What was in hand may have been spent just before, and its file not written yet.
    "stop": lambda _: frozenset({Kind.LEASE_REFUSED}),
    "pause": lambda _: frozenset({Kind.PAUSED}),
}


def _by_script(name: str) -> frozenset[Kind]:
    return frozenset({Kind(load_scenario(name).ending)})
