"""What stands in files beside the code and must agree with it."""

import re
from pathlib import Path

import pytest

from kiosk.audio.earcons import Earcon
from kiosk.causes import CAUSES, WARNING
from kiosk.daemon.commands import OperatorCommands
from kiosk.devices.ports import Pattern
from kiosk.listeners.events import KINDS
from kiosk.ops.messages import catalog
from kiosk.visit.feedback import LAMPS, UNFIT_LAMP
from kiosk.visit.languages import load_language
from kiosk.visit.states import TOGGLE, TOGGLE_HELD, Action, Event, State, Transitions, step
from kiosk.visit.visit import HOLD_S, LEFT_S, NERVOUS_S

ROOT = Path(__file__).parent.parent


def state_table() -> str:
    """The README's table of states, from the code."""
    rows = [
        f"| {state} | {event} | {then} | {', '.join(actions).replace('_', ' ')} |"
        for state, cells in TOGGLE.items()
        for event, (then, actions) in cells.items()
    ]
    return "\n".join(rows)


def test_the_readmes_table_of_states_is_the_codes() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"|---|---|---|---|\n{state_table()}\n<!-- end of the table -->" in readme, (
        "paste this into README.md:\n" + state_table()
    )


# What staff and visitors call what a press does, by the state that it leads to and what is done.
_DEEDS: dict[tuple[State, tuple[Action, ...]], str] = {
    (State.OPENING, (Action.START_CAPTURE, Action.OPEN)): "begins a visit",
    (State.IDLE, (Action.SAY_CAUSE,)): "is told why not",
    (State.IDLE, (Action.SAY_TOO_SOON,)): "is asked to wait",
    (State.CLOSING, (Action.CLOSE,)): "ends the visit",
    (State.CLOSING, (Action.REMEMBER_PRESS,)): "begins the next visit",
    (State.CLOSING, (Action.REMEMBER_PRESS, Action.CLOSE)): "begins a new visit",
    (State.LISTENING, (Action.CUT_TURN,)): "cuts the answer",
    (State.OPENING, (Action.CHANGE_LANGUAGE,)): "changes the language",
}
_COLUMNS = (State.IDLE, State.OPENING, State.QUEUED, State.LISTENING, State.THINKING,
            State.SPEAKING, State.CLOSING)  # fmt: skip
_GESTURES: tuple[tuple[str, Transitions, Event], ...] = (
    ("press", TOGGLE, Event.PRESS),
    ("press, while no visit can be held", TOGGLE, Event.PRESS_UNFIT),
    ("press, after two visits of seconds without a word", TOGGLE, Event.PRESS_MASHED),
    ("press, after the warning that time is nearly up", TOGGLE, Event.PRESS_WARNED),
    (f"press, after {LEFT_S:g} s in which nobody spoke", TOGGLE, Event.PRESS_LEFT),
    ("press of another language's key", TOGGLE, Event.PRESS_LANGUAGE),
    ("press, by who spoke with the button held at first", TOGGLE_HELD, Event.PRESS),
)


def gesture_table() -> str:
    """The README's table of gestures and states, from the code."""
    rows = []
    for name, table, event in _GESTURES:
        cells = [_deed(table, state, event) for state in _COLUMNS]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    nothing = " | ".join("nothing" for _ in _COLUMNS)
    rows.append(f"| second press within {NERVOUS_S:g} s | {nothing} |")
    held = ["report to staff", *["ends the visit; report to staff"] * 5, "report to staff"]
    rows.append(f"| held for {HOLD_S:g} s from idle on, without a word | {' | '.join(held)} |")
    return "\n".join(rows)


def _deed(table: Transitions, state: State, event: Event) -> str:
    if event not in table[state]:
        return "as any press"
    then, actions = step(table, state, event)
    if Action.EXTEND in actions:
        return "gives more time"
    return _DEEDS.get((then, actions), "is listened to")


def test_the_readmes_table_of_gestures_is_the_codes() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert (
        f"|---|---|---|---|---|---|---|---|\n{gesture_table()}\n<!-- end of the gestures -->"
        in (readme)
    ), "paste this into README.md:\n" + gesture_table()


_LAMP_MEANS = {
    State.IDLE: "press me",
    State.OPENING: "one moment: it connects, and listens already",
    State.QUEUED: "please wait for your turn",
    State.LISTENING: "speak",
    State.THINKING: "it thinks",
    State.SPEAKING: "it speaks",
    State.CLOSING: "the visit is over",
}


def lamp_table() -> str:
    """The legend of lamps, from the code."""
    rows = [f"| {_rhythm(LAMPS[state])} | {means} |" for state, means in _LAMP_MEANS.items()]
    return "\n".join(
        [
            *rows,
            f"| {_rhythm(UNFIT_LAMP)} | it cannot talk now, or could not lately; a press tells |",
        ]
    )


def _rhythm(pattern: Pattern) -> str:
    if len(pattern) == 1:
        return "steady"
    return ", ".join(f"{'on' if lit else 'off'} {seconds:g} s" for lit, seconds in pattern)


_CHIME_MEANS = {
    Earcon.PRESSED: ("one note", "your press was noticed"),
    Earcon.READY: ("two rising notes", "speak"),
    Earcon.TICK: ("the same note twice, short", "the connection was lost; it is opened again"),
    Earcon.HANG_UP: ("two falling notes", "the visit is over"),
    Earcon.SORRY: ("a low note twice", "not now; the reason follows"),
}


def chime_table() -> str:
    """The legend of chimes: every one of the code's."""
    return "\n".join(f"| {_CHIME_MEANS[e][0]} | {_CHIME_MEANS[e][1]} |" for e in Earcon)


def test_the_staffs_page_has_the_lamps_and_chimes_of_the_code() -> None:
    page = (ROOT / "deploy" / "staff.md").read_text(encoding="utf-8")
    for table, end in ((lamp_table(), "lamps"), (chime_table(), "chimes")):
        assert f"|---|---|\n{table}\n<!-- end of the {end} -->" in page, table


def cause_table() -> str:
    """The README's table of apologies, from the table of causes and the English sentences."""
    sentences, rows = load_language("en").sentences, dict[tuple[str, str], list[str]]()
    for cause, meaning in CAUSES.items():
        if meaning.sentence is not None and meaning.severity <= WARNING:
            rows.setdefault((sentences[meaning.sentence], meaning.remedy), []).append(cause)
    return "\n".join(
        f"| {sentence} | {' '.join(f'`{cause}`' for cause in causes)} | {remedy} |"
        for (sentence, remedy), causes in sorted(rows.items())
    )


def test_the_readmes_table_of_apologies_is_the_codes() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"|---|---|---|\n{cause_table()}\n<!-- end of the causes -->" in readme, (
        "paste this into README.md:\n" + cause_table()
    )


def _first_column(page: str, table: str) -> list[str]:
    """The names in code in the first column of one of a page's tables."""
    _, _, rest = page.partition(f"<!-- the table of {table}: ")
    rows = rest.partition(f"<!-- end of the {table} -->")[0].splitlines()
    return [found[1] for row in rows if (found := re.match(r"\| `(\w+)` \|", row))]


def test_the_page_of_the_control_socket_has_every_command_and_event() -> None:
    page = (ROOT / "deploy" / "control.md").read_text(encoding="utf-8")
    commands = OperatorCommands.table(OperatorCommands.__new__(OperatorCommands))
    assert sorted(_first_column(page, "commands")) == sorted(commands)
    assert _first_column(page, "events") == list(KINDS)


def test_the_journal_catalog_is_made_from_the_table_of_messages() -> None:
    assert (ROOT / "systemd" / "kiosk.catalog").read_text(encoding="utf-8") == catalog()


@pytest.mark.parametrize(
    ("name", "fewest"),
    [
        ("requirements.txt", 11),
        ("requirements-dev.txt", 11),
        ("requirements-webrtc.txt", 12),
        ("requirements-bench.txt", 1),
        ("requirements-browser.txt", 3),
        ("tests/clients/requirements-next.txt", 1),
    ],
)
def test_a_lock_has_hashes_and_no_addresses(name: str, fewest: int) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert "://" not in text
    pinned = re.findall(r"^[a-z0-9-]+==.*(?:\n    .*)*", text, flags=re.MULTILINE)
    assert len(pinned) >= fewest
    assert all("--hash=sha256:" in requirement for requirement in pinned)


def test_the_other_roads_library_is_installed_only_where_it_is_chosen() -> None:
    plain, chosen = (
        (ROOT / f"requirements{name}.txt").read_text(encoding="utf-8") for name in ("", "-webrtc")
    )
    assert "livekit" not in plain
    added = set(re.findall(r"^[a-z0-9-]+==", chosen, re.M)) - set(
        re.findall(r"^[a-z0-9-]+==", plain, re.M)
    )
    assert added == {"aiofiles==", "livekit==", "protobuf==", "types-protobuf=="}


def test_the_readme_shows_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "    make demo\n" in readme
    assert "    make test " in readme


PAGES = sorted(
    page
    for pattern in ("*.md", "deploy/**/*.md", "tests/**/*.md")
    for page in ROOT.glob(pattern)
    if "node_modules" not in page.parts
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_links_to_is_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s#]+)[^)]*\)", page.read_text("utf-8"))
    local = [link for link in links if not re.match(r"[a-z]+:", link)]
    assert [link for link in local if not (page.parent / link).exists()] == []
