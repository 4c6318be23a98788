"""What a test asks of a machine, and waits for."""

import json
import time
from collections.abc import Callable
from typing import TypeVar

from tests.machines.machine import Machine

Found = TypeVar("Found")


def until(found: Callable[[], Found], timeout_s: float, what: str) -> Found:
    """The first value that is not None, False or empty; raises AssertionError after the time."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        value = found()
        if value:
            return value
        assert time.monotonic() < deadline_s, f"{what}: not within {timeout_s:.0f} s"
        time.sleep(0.2)


def shown(machine: Machine, *names: str) -> dict[str, str]:
    """Properties of the kiosk's unit."""
    wanted = " ".join(f"-p {name}" for name in names)
    lines = machine.run(f"systemctl show kiosk.service {wanted}").splitlines()
    return dict(line.split("=", 1) for line in lines)


def is_serving(machine: Machine) -> bool:
    return shown(machine, "ActiveState")["ActiveState"] == "active"


def restarts(machine: Machine) -> int:
    return int(shown(machine, "NRestarts")["NRestarts"])


def main_pid(machine: Machine) -> int:
    return int(shown(machine, "MainPID")["MainPID"])


def status(machine: Machine) -> dict[str, object]:
    """What the kiosk says of itself; empty while none answers."""
    asked = machine.try_run("kiosk status --json")
    if asked.returncode != 0:
        return {}
    answer: dict[str, object] = json.loads(asked.stdout)
    return answer


def state(machine: Machine) -> object:
    return status(machine).get("state")


def entries(machine: Machine, *matches: str, directory: str = "") -> list[dict[str, str]]:
    """Journal entries with these fields, oldest first."""
    where = f"--directory={directory}" if directory else ""
    quoted = " ".join(f"'{match}'" for match in matches)
    lines = machine.run(f"journalctl {where} --no-pager --output=json --all {quoted}").splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def release(machine: Machine) -> str:
    return machine.run("readlink /opt/kiosk/current").strip().removeprefix("releases/")


def await_state(machine: Machine, *states: str, timeout_s: float) -> None:
    until(lambda: state(machine) in states, timeout_s, f"{machine.name} {' or '.join(states)}")


def await_failed(machine: Machine, *, timeout_s: float) -> None:
    def failed() -> bool:
        return shown(machine, "ActiveState")["ActiveState"] == "failed"

    until(failed, timeout_s, f"{machine.name}'s unit failed")


def await_restart(machine: Machine, pid: int, *, timeout_s: float) -> None:
    """Until the unit's process is another one than this."""
    until(
        lambda: main_pid(machine) not in (0, pid), timeout_s, f"another process at {machine.name}"
    )


def await_entries(
    machine: Machine, *matches: str, timeout_s: float, directory: str = ""
) -> list[dict[str, str]]:
    def found() -> list[dict[str, str]]:
        return entries(machine, *matches, directory=directory)

    return until(found, timeout_s, f"{matches} in {machine.name}'s journal")
