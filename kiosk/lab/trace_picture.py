"""Picture of a trace: what a visit's core was told and what it wanted done. Pure: no I/O, no clock.

A trace holds no words and no sound: who spoke is a bar, and what happened a row of the table.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kiosk.errors import KioskError
from kiosk.lab.drawing import Drawing

# What the core is told again and again, and nobody wants to read.
_DULL = frozenset({"Wake", "LeaseAvailability"})
_BEGINS, _ENDS = "agent_started", frozenset({"drained", "interrupted", "lost", "ended"})


@dataclass(frozen=True, slots=True)
class _Step:
    """One input: seconds since the first, its name, its fields, and the effects it had."""

    at_s: float
    name: str
    fields: Mapping[str, Any]
    effects: Sequence[tuple[str, Mapping[str, Any]]]


def page(lines: Iterable[str]) -> str:
    """A trace's lines as HTML; raises KioskError for what is no trace."""
    try:
        header, *steps = [json.loads(line) for line in lines]
        press_id, hangover_s = str(header["press_id"]), float(header["plan"]["hangover_s"])
        found = list(_steps(steps))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise KioskError("this is no trace of `kiosk trace`") from error
    length_s = found[-1].at_s if found else 0.0
    drawing = Drawing(length_s)
    drawing.states([(step.at_s, str(state)) for step in found for state in _states(step)])
    visitor = list(_spans(found, _visitor, length_s))
    agent = list(_spans(found, _agent, length_s))
    drawing.bars("visitor", [(*span, "visitor", "the gate is open") for span in visitor])
    drawing.bars("agent", [(*span, "kiosk", "is heard") for span in agent])
    voice = _spans(found, _own_voice, length_s)
    drawing.bars("the kiosk's own voice", [(*span, "voice", "sounds") for span in voice])
    drawing.bars("waits", _waits(visitor, agent, hangover_s))
    return drawing.page(
        f"Visit {press_id}",
        "Under each question the wait for its answer, the network's and the agent's. `kiosk why` "
        "says what it was worth.",
        ("s", "happened", "wanted done"),
        [(f"{step.at_s:.2f}", *_told(step)) for step in found if step.name not in _DULL],
    )


def _steps(lines: Sequence[Any]) -> Iterator[_Step]:
    began_s = float(lines[0]["at_s"]) if lines else 0.0
    for line in lines:
        name, fields = line["input"]
        effects = [(str(kind), dict(its)) for kind, its in map(_effect, line["effects"])]
        yield _Step(float(line["at_s"]) - began_s, str(name), dict(fields), effects)


def _effect(effect: Any) -> tuple[str, Mapping[str, Any]]:
    """A notice is its moment."""
    kind, fields = effect
    return tuple(fields) if kind == "Notify" else (kind, fields)


def _states(step: _Step) -> Iterator[object]:
    yield from (fields["state"] for kind, fields in step.effects if kind == "StateChanged")


def _visitor(step: _Step) -> bool | None:
    return bool(step.fields["began"]) if step.name == "Speech" else None


def _agent(step: _Step) -> bool | None:
    event = step.fields.get("event") if step.name == "Happened" else None
    if event == _BEGINS:
        return True
    silenced = any(kind in ("SilenceAgent", "CutTurn") for kind, _ in step.effects)
    return False if event in _ENDS or silenced else None


def _own_voice(step: _Step) -> bool | None:
    return bool(step.fields["busy"]) if step.name == "OwnSound" else None


def _spans(steps: Sequence[_Step], speaks: Any, length_s: float) -> Iterator[tuple[float, float]]:
    """From each step that begins something to the one that ends it."""
    since_s: float | None = None
    for step in steps:
        now = speaks(step)
        if now is True and since_s is None:
            since_s = step.at_s
        elif now is False and since_s is not None:
            yield since_s, step.at_s
            since_s = None
    if since_s is not None:
        yield since_s, length_s


def _waits(
    visitor: Sequence[tuple[float, float]],
    agent: Sequence[tuple[float, float]],
    hangover_s: float,
) -> Iterator[tuple[float, float, str, str]]:
    """From the end of what was said, which is before the gate's closing, to the next answer."""
    for number, (_, closed_s) in enumerate(visitor):
        next_s = visitor[number + 1][0] if number + 1 < len(visitor) else float("inf")
        answers = [from_s for from_s, _ in agent if closed_s - hangover_s < from_s < next_s]
        if answers:
            wait_s = answers[0] - closed_s + hangover_s
            yield closed_s - hangover_s, answers[0], "agents", f"{1000 * wait_s:.0f} ms"


def _told(step: _Step) -> tuple[str, str]:
    wanted = [_words(kind, fields) for kind, fields in step.effects if kind != "Forget"]
    return _words(step.name, step.fields), ", ".join(wanted)


def _words(name: str, fields: Mapping[str, Any]) -> str:
    told = [
        str(value.get("kind") if isinstance(value, dict) else value)
        for key, value in fields.items()
        if key not in ("at_s", "words") and value not in (None, "", [], {}, False)
    ]
    return f"{name} {' '.join(told)}".strip()
