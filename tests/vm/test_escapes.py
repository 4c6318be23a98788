"""The sandbox refuses, one by one, what somebody would try who has taken over the kiosk.

Every probe runs three times: within a unit that is the installed one but for what it starts; as the
kiosk's user without it; and as root, where another answer shows that the probe asks for something.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.vm import probe
from tests.vm.installation import Place
from tests.vm.sandbox import run_instead

pytestmark = [pytest.mark.timeout(2400)]

_OTHER = "kiosk-probe-other"
_ADD_KEY = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(libc.syscall(248, b"user", b"kiosk-probe", b"secret", 6, ctypes.c_long(-4)))
"""
# What the kiosk's user may do, and the kiosk may not.
_BY_THE_SANDBOX_ALONE = {
    "read /boot", "read /etc/ssh/sshd_config", "read /home/pi/open/letter", "read /srv/open/letter",
    "read /mnt/open/letter", "read /var/spool", "read /proc/OTHER/cmdline", "write in /run/lock",
    "write in /dev/shm", "write in /opt/open", "write in /usr/local/open", "write in /var/open",
    "open /dev/fuse", "open /dev/net/tun", "open /dev/kmsg", "open /dev/input", "packet socket",
    "netlink socket", "new user namespace", "another personality", "memory to write and to execute",
    "turn memory into code", "run a setuid program", "make a setuid program",
}  # fmt: skip
Outcomes = dict[str, str]


@dataclass(frozen=True)
class Tried:
    """What came of each probe: in the sandbox, as the kiosk's user without it, and as root."""

    inside: Outcomes
    without: Outcomes
    as_root: Outcomes


@pytest.fixture(scope="module")
def tried(place: Place) -> Tried:
    kiosk = place.kiosk
    for directory in probe.OPEN:
        kiosk.run(f"mkdir -p {directory} && chmod 1777 {directory} && date > {directory}/letter")
    kiosk.run(f"install -m 4755 /usr/bin/id {probe.SETUID_PROGRAM}")
    kiosk.run(f"systemd-run --quiet --unit={_OTHER} --uid=pi sleep 3600")
    other = kiosk.run(f"systemctl show -P MainPID {_OTHER}").strip()
    key = kiosk.run("python3 -", stdin=_ADD_KEY).strip()
    script = Path(probe.__file__).read_text("utf-8")
    inside = run_instead(kiosk, script, other, key)
    assert inside.result == "success", inside
    as_kiosk = "setpriv --reuid=kiosk --regid=kiosk --init-groups"
    without, as_root = (
        kiosk.run(f"{who} python3 - {other} {key}", stdin=script, timeout_s=300)
        for who in (as_kiosk, "")
    )
    kiosk.run(f"systemctl stop {_OTHER}; rm -r {' '.join(probe.OPEN)} {probe.SETUID_PROGRAM}")
    return Tried(json.loads(inside.output), json.loads(without), json.loads(as_root))


@pytest.mark.parametrize("each", probe.PROBES, ids=lambda each: each.name)
def test_the_sandbox_refuses(each: probe.Probe, tried: Tried) -> None:
    assert tried.inside[each.name] in each.refused


@pytest.mark.parametrize("each", probe.PROBES, ids=lambda each: each.name)
def test_root_outside_is_answered_otherwise(each: probe.Probe, tried: Tried) -> None:
    """So the probe asks for something that there is."""
    assert tried.as_root[each.name] not in each.refused


def test_much_of_it_the_sandbox_refuses_alone(tried: Tried) -> None:
    """The same user without the sandbox: the probes can tell whether the unit has one."""
    through = {each.name for each in probe.PROBES if tried.without[each.name] not in each.refused}
    assert through >= _BY_THE_SANDBOX_ALONE
