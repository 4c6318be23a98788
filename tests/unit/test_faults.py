"""Every fault that is logged is in the table, and none is logged without its cause."""

import ast
import re
from collections.abc import Iterator

from kiosk.errors import KioskError
from kiosk.faults import FAULTS, fault
from kiosk.ops.messages import MESSAGES
from tests.unit.test_architecture import MODULES

# The rooms of other processes than the daemon's and the watcher's.
_ELSEWHERE = ("kiosk.agent", "kiosk.backend", "kiosk.demo", "kiosk.simulation", "kiosk.doctor")


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
    assert named <= set(FAULTS)
    assert len(named) > 15


def test_every_error_that_ends_a_process_has_its_cause() -> None:
    def kinds(of: type[KioskError]) -> Iterator[type[KioskError]]:
        yield of
        for kind in of.__subclasses__():
            yield from kinds(kind)

    import kiosk.devices.ports  # noqa: F401  where one more is defined

    ours = [kind for kind in kinds(KioskError) if kind.__module__.startswith("kiosk.")]
    assert [kind.__name__ for kind in ours if kind.cause not in FAULTS] == []


def test_a_cause_is_a_stable_name() -> None:
    causes = {*FAULTS, *(cause for message in MESSAGES.values() for cause in message.causes)}
    assert [cause for cause in causes if not re.fullmatch(r"[a-z]+(_[a-z]+)*", cause)] == []
    assert not set(FAULTS) & set(MESSAGES)


def test_a_fault_gives_an_entry_its_id_and_its_cause() -> None:
    assert fault("token_refused") == {
        "journal": {
            "MESSAGE_ID": FAULTS["token_refused"].id,
            "KIOSK_EVENT": "token_refused",
            "KIOSK_CAUSE": "token_refused",
        }
    }
