"""The picture of a trace: who spoke when, what was waited for, and what happened."""

import json
from typing import Any

import pytest

from kiosk.errors import KioskError
from kiosk.lab.trace_picture import page
from tests.unit.lab.test_picture import Page

HEADER = {"trace": 3, "press_id": "p<1>", "plan": {"hangover_s": 0.6}}


def step(at_s: float, name: str, /, *effects: list[Any], **fields: object) -> str:
    return json.dumps({"at_s": 1000 + at_s, "input": [name, fields], "effects": effects})


def state(name: str) -> list[Any]:
    return ["Notify", ["StateChanged", {"at_s": 0.0, "words": None, "state": name}]]


VISIT = [
    json.dumps(HEADER),
    step(0.0, "OperatorPress", state("opening"), ["Chime", {"earcon": "pressed"}], language=None),
    step(0.1, "OwnSound", busy=True, keys=[]),
    step(0.5, "Happened", state("listening"), event="connected", ending=None),
    step(0.6, "OwnSound", busy=False, keys=[]),
    step(1.0, "Speech", began=True, at_s=1001.0),
    step(4.0, "Speech", state("thinking"), began=False, at_s=1004.0),
    step(5.0, "Happened", state("speaking"), event="agent_started", ending=None),
    step(8.0, "Happened", state("listening"), event="drained", ending=None),
    step(8.5, "Wake"),
    step(9.0, "Happened", ["SilenceAgent", {}], state("closing"), event="hang_up", ending=None),
    step(10.0, "ConversationOver", state("idle"), ending={"kind": "hung_up", "code": 1000}),
]


def bars(found: Page) -> list[tuple[str, float, float]]:
    """Each of a side: whose, from and to, in seconds."""
    return [
        (its["class"] or "", float(its["x"] or 0) / 40, float(its["width"] or 0) / 40)
        for tag, its in found.tags
        if tag == "rect" and "class" in its
    ]


def test_who_spoke_and_what_was_waited_for_is_drawn() -> None:
    found = Page(page(VISIT))
    assert bars(found) == [
        ("visitor", 1.0, 3.0),
        ("kiosk", 5.0, 3.0),
        ("voice", pytest.approx(0.1), pytest.approx(0.5)),
        ("agents", pytest.approx(3.4), pytest.approx(1.6)),  # from the last voiced sample on
    ]
    assert "Visit p<1>" in found.words
    assert [word for word in found.words if word in ("opening", "thinking")]


def test_what_happened_is_a_row_with_what_was_wanted_done() -> None:
    words = Page(page(VISIT)).words
    at = words.index("Happened agent_started")
    assert (words[at - 1], words[at + 1]) == ("5.00", "StateChanged speaking")
    assert "Wake" not in words
    assert "ConversationOver hung_up" in words


def test_a_trace_of_a_press_that_began_nothing_has_a_picture_too() -> None:
    assert page(VISIT[:1]).startswith("<!doctype html>")


@pytest.mark.parametrize("lines", [[], ["{}"], ["[]"], ["x"], [VISIT[0], "{}"], [VISIT[0], "7"]])
def test_what_is_no_trace_is_refused(lines: list[str]) -> None:
    with pytest.raises(KioskError, match="no trace"):
        page(lines)
