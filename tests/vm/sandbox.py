"""Runs something else under the lines of the installed unit: a weaker unit is a failed test."""

import re
from dataclasses import dataclass

from tests.machines.machine import Machine

_NAME = "kiosk-instead"
_OUTPUT = f"/run/{_NAME}.out"
# What makes it a service of its own; the rest, and so the whole sandbox, stays as installed.
_OWN = (
    "Type", "NotifyAccess", "ExecStart", "ExecReload", "Restart", "RestartSec", "WatchdogSec",
    "RestartMode", "RestartPreventExitStatus", "TimeoutStartSec", "RuntimeDirectory", "OnFailure",
    "Wants", "After",
)  # fmt: skip


@dataclass(frozen=True)
class Instead:
    """What came of it: systemd's word for how it ended, and what it printed."""

    result: str
    output: str


def run_instead(machine: Machine, script: str, *arguments: str) -> Instead:
    """A Python script in the kiosk's place, under the unit as it is installed, drop-ins and all."""
    path = f"/usr/local/lib/{_NAME}.py"
    machine.run(f"tee {path}", stdin=script)
    installed = machine.run("systemctl cat kiosk.service")
    kept = re.sub(rf"^({'|'.join(_OWN)})=.*\n", "", installed, flags=re.MULTILINE)
    command = " ".join(("/usr/bin/python3", path, *arguments))
    own = f"[Service]\nType=oneshot\nExecStart={command}\nStandardOutput=truncate:{_OUTPUT}\n"
    unit = kept.replace("[Service]\n", own, 1)
    machine.run(f"tee /run/systemd/system/{_NAME}.service && systemctl daemon-reload", stdin=unit)
    machine.try_run(f"systemctl start {_NAME}.service", timeout_s=300)
    result = machine.run(f"systemctl show -P Result {_NAME}.service").strip()
    machine.run(f"systemctl reset-failed {_NAME}.service 2>/dev/null; true")
    return Instead(result, machine.run(f"cat {_OUTPUT}"))
