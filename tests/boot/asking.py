"""What a test asks of a machine, and waits for."""

import json
import time
from collections.abc import Callable
from typing import TypeVar

from tests.machines.guests import Guest

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


def shown(guest: Guest, *names: str) -> dict[str, str]:
    """Properties of the kiosk's unit."""
    wanted = " ".join(f"-p {name}" for name in names)
    lines = guest.run(f"systemctl show kiosk.service {wanted}").splitlines()
    return dict(line.split("=", 1) for line in lines)


def is_serving(guest: Guest) -> bool:
    return shown(guest, "ActiveState")["ActiveState"] == "active"


def restarts(guest: Guest) -> int:
    return int(shown(guest, "NRestarts")["NRestarts"])


def main_pid(guest: Guest) -> int:
    return int(shown(guest, "MainPID")["MainPID"])


def status(guest: Guest) -> dict[str, object]:
    """What the kiosk says of itself; empty while none answers."""
    asked = guest.try_run("kiosk status --json")
    if asked.returncode != 0:
        return {}
    answer: dict[str, object] = json.loads(asked.stdout)
    return answer


def state(guest: Guest) -> object:
    return status(guest).get("state")


def entries(guest: Guest, *matches: str, directory: str = "") -> list[dict[str, str]]:
    """Journal entries with these fields, oldest first."""
    where = f"--directory={directory}" if directory else ""
    quoted = " ".join(f"'{match}'" for match in matches)
    lines = guest.run(f"journalctl {where} --no-pager --output=json --all {quoted}").splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def release(guest: Guest) -> str:
    return guest.run("readlink /opt/kiosk/current").strip().removeprefix("releases/")


def await_state(guest: Guest, *states: str, timeout_s: float) -> None:
    until(lambda: state(guest) in states, timeout_s, f"{guest.name} {' or '.join(states)}")


def await_failed(guest: Guest, *, timeout_s: float) -> None:
    def failed() -> bool:
        return shown(guest, "ActiveState")["ActiveState"] == "failed"

    until(failed, timeout_s, f"{guest.name}'s unit failed")


def await_restart(guest: Guest, pid: int, *, timeout_s: float) -> None:
    """Until the unit's process is another one than this."""
    until(lambda: main_pid(guest) not in (0, pid), timeout_s, f"another process at {guest.name}")


def await_entries(
    guest: Guest, *matches: str, timeout_s: float, directory: str = ""
) -> list[dict[str, str]]:
    def found() -> list[dict[str, str]]:
        return entries(guest, *matches, directory=directory)

    return until(found, timeout_s, f"{matches} in {guest.name}'s journal")
