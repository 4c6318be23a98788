"""Traces as text, and visits played again from it: JSON lines, the first of them a header.

Every other line is one input: when the core was given it, what it was, and the effects it had.
"""

import json
from collections.abc import Iterator
from dataclasses import fields
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError

from kiosk import __version__
from kiosk.convai.client_messages import Initiation
from kiosk.errors import KioskError
from kiosk.visit.core import VisitCore
from kiosk.visit.effects import Notify
from kiosk.visit.inputs import Input
from kiosk.visit.plan import Plan
from kiosk.visit.states import TABLES
from kiosk.visit.traces import Trace
from kiosk.visit.visit import Kept

_FORMAT = 3
_INPUTS: dict[str, type] = {each.__name__: each for each in get_args(Input)}
_ADAPTERS: dict[type, TypeAdapter[Any]] = {}  # made when they are first needed
# What the core does not look at, and a trace does not hold.
_NOT_TRACED = {"table", "initiation", "approved_mcp_tools", "compat"}
_TRACED = [each.name for each in fields(Plan) if each.name not in _NOT_TRACED]


def lines(trace: Trace) -> Iterator[str]:
    """A trace as text, a line at a time. The effects are found by playing it again."""
    core = VisitCore(trace.plan, trace.kept.copy())
    plan = {name: getattr(trace.plan, name) for name in _TRACED}
    button = next(name for name, table in TABLES.items() if table is trace.plan.table)
    yield _line({
        "trace": _FORMAT,
        "version": __version__,
        "press_id": trace.press_id,
        "dropped": trace.dropped,
        "plan": {"button": button, **plan},
        "kept": _adapter(Kept).dump_python(trace.kept, mode="json"),
    })  # fmt: skip
    for at_s, happened in trace.inputs:
        yield _line({
            "at_s": at_s,
            "input": _named(happened),
            "effects": [_named(effect) for effect in core.handle(happened, at_s)],
        })  # fmt: skip


def difference(text: str) -> str | None:
    """The first line on which this version does something else, and what; None: none.

    Raises KioskError for what is not a trace.
    """
    numbered = iter(enumerate(text.splitlines(), 1))
    core = _core(*next(numbered, (1, "")))
    for number, line in numbered:
        try:
            body = json.loads(line)
            name, values = body["input"]
            happened = _adapter(_INPUTS[name]).validate_python(values)
            at_s, then = float(body["at_s"]), body["effects"]
        except (ValueError, KeyError, TypeError) as error:
            raise _not_a_trace(number, error) from error
        now = [_named(effect) for effect in core.handle(happened, at_s)]
        if now != then:
            return (
                f"line {number}: {name} at {at_s:.3f} s\n"
                f"  then: {_line(then)}\n"
                f"  now:  {_line(now)}"
            )
    return None


def _core(number: int, line: str) -> VisitCore:
    try:
        header = json.loads(line)
        if header["trace"] != _FORMAT:
            raise KioskError(f"line 1: a trace of format {header['trace']}; {_FORMAT} is known")
        plan = {name: header["plan"][name] for name in _TRACED}
        table = TABLES[header["plan"]["button"]]
        kept = _adapter(Kept).validate_python(header["kept"])
        return VisitCore(Plan(table=table, initiation=Initiation(), **plan), kept)
    except (ValueError, KeyError, TypeError) as error:
        raise _not_a_trace(number, error) from error


def _not_a_trace(number: int, error: Exception) -> KioskError:
    why = "a value is wrong" if isinstance(error, ValidationError) else type(error).__name__
    return KioskError(f"line {number}: not a kiosk's trace ({why}); `kiosk trace` writes one")


def _named(what: Any) -> list[Any]:
    """Its name and its values, as they stand in JSON."""
    if isinstance(what, Notify):
        return [Notify.__name__, _named(what.moment)]
    return [type(what).__name__, _adapter(type(what)).dump_python(what, mode="json")]


def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def _line(body: object) -> str:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))
