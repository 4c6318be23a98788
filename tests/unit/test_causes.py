"""Every fault that is logged is in the table, and none is logged without its cause."""

import ast
import re
from collections.abc import Iterator

from kiosk.causes import CAUSES, ERROR, NOTHING, NOTICE, WARNING, fault
from kiosk.endings import Kind
from kiosk.errors import KioskError
from kiosk.listeners.verdicts import SIGNS, VISITOR_LEFT
from kiosk.ops.messages import MESSAGES
from kiosk.visit.fitness import Cause
from kiosk.visit.languages import load_language
from tests.unit.test_architecture import MODULES

# The rooms of other processes than the daemon's and the watcher's.
_ELSEWHERE = (
    "kiosk.agent",
    "kiosk.backend",
    "kiosk.lab.demo",
    "kiosk.lab.simulation",
    "kiosk.doctor",
)

# The causes that an entry of their own tells.
LOGGED = {name for name, meaning in CAUSES.items() if meaning.id}


def _calls(tree: ast.Module) -> Iterator[ast.Call]:
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _of_the_daemon() -> Iterator[tuple[str, ast.Module]]:
    yield from ((name, tree) for name, tree in MODULES.items() if not name.startswith(_ELSEWHERE))


def test_every_warning_and_error_tells_its_cause() -> None:
    silent = [
        f"{module}:{call.lineno}"
        for module, tree in _of_the_daemon()
        for call in _calls(tree)
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in {"warning", "error", "exception", "critical"}
        and ast.unparse(call.func.value) in {"log", "logging.getLogger('kiosk')"}
        and not any(keyword.arg == "extra" for keyword in call.keywords)
    ]
    assert silent == []


def test_every_cause_that_is_logged_is_in_the_table() -> None:
    named = {
        argument.value
        for _, tree in _of_the_daemon()
        for call in _calls(tree)
        if ast.unparse(call.func) == "fault"
        for argument in call.args
        if isinstance(argument, ast.Constant)
    }
    assert named <= LOGGED
    assert len(named) > 15


def test_every_error_that_ends_a_process_has_its_cause() -> None:
    def kinds(of: type[KioskError]) -> Iterator[type[KioskError]]:
        yield of
        for kind in of.__subclasses__():
            yield from kinds(kind)

    import kiosk.devices.ports  # noqa: F401  where one more is defined

    ours = [kind for kind in kinds(KioskError) if kind.__module__.startswith("kiosk.")]
    assert [kind.__name__ for kind in ours if kind.cause not in LOGGED] == []


def test_a_cause_is_a_stable_name() -> None:
    causes = {*CAUSES, *(cause for message in MESSAGES.values() for cause in message.causes)}
    assert [cause for cause in causes if not re.fullmatch(r"[a-z]+(_[a-z]+)*", cause)] == []
    assert not LOGGED & set(MESSAGES)


def test_a_fault_gives_an_entry_its_id_and_its_cause() -> None:
    assert fault("token_refused") == {
        "journal": {
            "MESSAGE_ID": CAUSES["token_refused"].id,
            "KIOSK_EVENT": "token_refused",
            "KIOSK_CAUSE": "token_refused",
        }
    }


def test_every_cause_that_is_named_anywhere_is_a_row_and_every_row_is_named() -> None:
    named = {cause for message in MESSAGES.values() for cause in message.causes}
    judged = {*(sign.cause for sign in SIGNS), VISITOR_LEFT}
    assert {*LOGGED, *named, *Kind, *Cause, *judged} == set(CAUSES)


def test_a_visitor_hears_only_what_there_is_a_sentence_for() -> None:
    said = {meaning.sentence for meaning in CAUSES.values()} - {None}
    assert said <= set(load_language("en").sentences)
    assert all(CAUSES[cause].sentence for cause in Cause)


def test_what_should_not_be_so_has_a_remedy() -> None:
    for name, meaning in CAUSES.items():
        assert (meaning.remedy == NOTHING) == (meaning.severity >= NOTICE), name


def test_a_cause_is_logged_as_gravely_as_its_row_says() -> None:
    levels = {"warning": WARNING, "error": ERROR, "exception": ERROR}
    differs = [
        f"{module}:{call.lineno}"
        for module, tree in _of_the_daemon()
        for call in _calls(tree)
        if isinstance(call.func, ast.Attribute) and call.func.attr in levels
        for keyword in call.keywords
        if keyword.arg == "extra" and isinstance(keyword.value, ast.Call)
        for argument in keyword.value.args
        if isinstance(argument, ast.Constant)
        and CAUSES[str(argument.value)].severity != levels[call.func.attr]
    ]
    assert differs == []
