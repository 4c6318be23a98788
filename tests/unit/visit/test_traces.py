"""Traces: a visit that was is played again, effect for effect, and a difference is found."""

import json
import random
from pathlib import Path

import pytest

from kiosk.cli import main
from kiosk.endings import Ending, Kind
from kiosk.errors import KioskError
from kiosk.visit import core, inputs, replay
from kiosk.visit.effects import Effect
from kiosk.visit.states import Event, State
from kiosk.visit.traces import MOST_INPUTS, MOST_VISITS, Trace, Traces
from tests.unit.visit.test_core import LIMITS, Kiosk
from tests.unit.visit.test_core_invariants import _PLANS, World


class Traced(World):
    """Random visits with a trace of each."""

    def __init__(self, number: int) -> None:
        self.traces = Traces()
        super().__init__(_PLANS[number], seed=number)

    def _handle(self, happened: inputs.Input) -> list[Effect]:
        self.traces.before(self.core, happened, self.now_s)
        effects = super()._handle(happened)
        self.traces.after(self.core, f"press-{sum(self.endings.values())}")
        return effects


def text_of(trace: Trace | None) -> str:
    assert trace is not None
    return "\n".join(replay.lines(trace))


def a_visit() -> str:
    """The text of one that a visitor held and ended."""
    kiosk, traces = Kiosk(), Traces()
    for seconds, happened in (
        (0.0, inputs.OperatorPress()),
        (1.0, inputs.Happened(Event.CONNECTED)),
        (30.0, inputs.Happened(Event.AGENT_STARTED)),
        (31.0, inputs.OperatorPress()),
        (31.1, inputs.ConversationOver(Ending(Kind.STOPPED))),
        (31.2, inputs.OwnSound()),
    ):
        now_s = 1000.0 + seconds
        traces.before(kiosk.core, happened, now_s)
        kiosk.core.handle(happened, now_s)
        traces.after(kiosk.core, "4711")
    assert kiosk.state() is State.IDLE
    return text_of(traces.of("4711"))


@pytest.mark.parametrize("number", range(len(_PLANS)))
def test_any_visit_is_played_again_effect_for_effect(number: int) -> None:
    world = Traced(number)
    for _ in range(3000):
        world.goes_on()
    newest = sum(world.endings.values())
    found = [world.traces.of(f"press-{count}") for count in range(newest - MOST_VISITS + 1, newest)]
    assert all(found)
    for trace in found:
        assert replay.difference(text_of(trace)) is None


def test_only_the_last_visits_are_kept_and_of_each_so_many_inputs() -> None:
    world = Traced(0)
    for _ in range(3000):
        world.goes_on()
    assert world.traces.of("press-0") is None
    trace = Trace(LIMITS, Kiosk().core.kept)
    for number in range(MOST_INPUTS + 5):
        trace.add(inputs.Wake(), float(number))
    assert (len(trace.inputs), trace.dropped) == (MOST_INPUTS, 5)
    assert json.loads(text_of(trace).splitlines()[0])["dropped"] == 5


def test_the_last_visit_needs_no_name() -> None:
    world = Traced(1)
    assert world.traces.of(None) is None
    while not world.endings:
        world.goes_on()
    assert world.traces.of(None) is not None
    assert world.traces.of("of nobody") is None


def test_another_rule_is_found_by_the_first_line_that_it_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = a_visit()
    assert replay.difference(text) is None
    assert '["Notify",["VisitEnded",{"at_s":1031.2,"words":null,"kind":"hung_up",' in text
    monkeypatch.setattr(core, "NERVOUS_S", 60.0)
    differs = replay.difference(text)
    assert differs is not None
    assert differs.startswith("line 5: OperatorPress at 1031.000 s")
    assert "StopCapture" in differs.split("now:")[0]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "line 1: not a kiosk's trace"),
        ("[]", "line 1: not a kiosk's trace"),
        ("hello", "line 1: not a kiosk's trace"),
        ('{"trace": 99}', "line 1: a trace of format 99; 3 is known"),
        ('{"trace": 1}', "line 1: a trace of format 1; 3 is known"),
        ('{"trace": 3}', "line 1: not a kiosk's trace"),
    ],
)
def test_what_is_no_trace_is_refused_with_its_line(text: str, why: str) -> None:
    with pytest.raises(KioskError, match=why):
        replay.difference(text)


@pytest.mark.parametrize("seed", range(30))
def test_a_damaged_trace_is_refused_or_differs_and_never_breaks(seed: int) -> None:
    rng = random.Random(seed)
    lines = a_visit().splitlines()
    number = rng.randrange(len(lines))
    line, damage = lines[number], rng.choice(['"', "}", "", "9", "[null"])
    at = rng.randrange(len(line))
    lines[number] = line[:at] + damage + line[at + 1 :]
    refused = None
    try:
        replay.difference("\n".join(lines))
    except KioskError as error:
        refused = str(error)
    assert refused is None or f"line {number + 1}" in refused


def test_the_command_says_whether_it_is_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "visit.trace"
    file.write_text(a_visit())
    assert main(["replay", str(file)]) == 0
    assert capsys.readouterr().out == "the same\n"
    monkeypatch.setattr(core, "NERVOUS_S", 60.0)
    assert main(["replay", str(file)]) == 1
    assert "line 5" in capsys.readouterr().out
    file.write_text("{}")
    assert main(["replay", str(file)]) == 1
    assert f"{file}: line 1: not a kiosk's trace" in capsys.readouterr().err
    assert main(["replay", str(tmp_path / "absent")]) == 1
    assert "No such file" in capsys.readouterr().err
