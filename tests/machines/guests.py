"""Guests: a tree booted with its own systemd and journald, in a container of its own.

The guest sees the machine's network, its own processes, and cgroups of version 2 only, as on a Pi.
Its changes lie over the tree, in memory of the mount namespace alone: when the guest is gone,
nothing is left mounted. Limits by cgroup controllers and raised rlimits do not hold in it; the
virtual machine is for those.
"""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.machines.machine import Machine

_BOOT_TIMEOUT_S = 60.0
_HALT_TIMEOUT_S = 60.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_ENTER = """
set -eu
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=$TREE,upperdir=$OVER/upper,workdir=$OVER/work" "$OVER/root"
umount -l /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p "/sys/fs/cgroup/$NAME"
echo $$ > "/sys/fs/cgroup/$NAME/cgroup.procs"
exec systemd-nspawn --quiet --directory="$OVER/root" --machine="$NAME" --hostname="$NAME" \\
    --register=no --keep-unit --kill-signal=SIGRTMIN+3 --console=pipe --boot
"""


@dataclass
class Guest(Machine):
    """One machine. `over` holds its changes; boot it again and they are there."""

    name: str
    tree: Path
    over: Path
    ssh_port: int
    _process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)
    _leader: int = field(default=0, init=False)

    def prepare(self, public_key: str, sudo_password: str = "") -> None:
        """What somebody does with a blank card: a user who may use sudo, by a password perhaps, ssh
        with a key. The journal stays in memory, as Raspberry Pi OS has it."""
        for part in ("upper", "work", "root"):
            (self.over / part).mkdir(parents=True, exist_ok=True)
        upper = self.over / "upper"
        ssh = upper / "etc/ssh/sshd_config.d"
        ssh.mkdir(parents=True)
        (ssh / "port.conf").write_text(
            f"Port {self.ssh_port}\nListenAddress 127.0.0.1\n", encoding="ascii"
        )
        sudoers = upper / "etc/sudoers.d"
        sudoers.mkdir(parents=True)
        trust = "" if sudo_password else "NOPASSWD: "
        (sudoers / "pi").write_text(f"pi ALL=(ALL) {trust}ALL\n", encoding="ascii")
        journald = upper / "usr/lib/systemd/journald.conf.d"
        journald.mkdir(parents=True)
        (journald / "40-volatile.conf").write_text(
            "[Journal]\nStorage=volatile\n", encoding="ascii"
        )
        (upper / "etc/hostname").write_text(f"{self.name}\n", encoding="ascii")
        self._public_key, self._password = public_key, sudo_password

    def boot(self) -> None:
        """Returns when systemd has started everything; raises TimeoutError or RuntimeError."""
        environment = {
            **os.environ, "TREE": str(self.tree), "OVER": str(self.over), "NAME": self.name,
        }  # fmt: skip
        with (self.over / "console.log").open("ab") as console:
            self._process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", _ENTER],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        deadline_s = time.monotonic() + _BOOT_TIMEOUT_S
        while time.monotonic() < deadline_s:
            if self._process.poll() is not None:
                raise RuntimeError(f"{self.name} did not boot:\n{self._console()}")
            self._leader = self._leader or _leader_of(self._process.pid)
            if self._leader:
                state = self.try_run("systemctl is-system-running").stdout.strip()
                if state in ("running", "degraded"):
                    break
            time.sleep(0.1)
        else:
            raise TimeoutError(f"{self.name} did not come up:\n{self._console()}")
        if self.try_run("id pi").returncode != 0:
            self._add_user()

    def _add_user(self) -> None:
        self.run("useradd --create-home --shell /bin/bash pi")
        if self._password:
            self.run("chpasswd", stdin=f"pi:{self._password}\n")
        self.run("mkdir -m 700 /home/pi/.ssh")
        self.run("tee /home/pi/.ssh/authorized_keys", stdin=self._public_key)
        self.run("chown -R pi: /home/pi/.ssh")

    def _through(self) -> list[str]:
        return [
            "nsenter", "-t", str(self._leader), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w",
            "--", "env", "-i", f"PATH={_PATH}", "LANG=C.UTF-8", "sh", "-c",
        ]  # fmt: skip

    def file(self, path: str) -> Path:
        """The guest's file, seen from here, while it runs."""
        return Path(f"/proc/{self._leader}/root{path}")

    def poweroff(self) -> None:
        if self._process is None:
            return
        self.try_run("systemctl poweroff")
        try:
            self._process.wait(_HALT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self._gone()

    def kill(self) -> None:
        """As when the power goes."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                if self._leader:  # the guest's process 1 outlives nspawn otherwise
                    os.kill(self._leader, signal.SIGKILL)
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(_HALT_TIMEOUT_S)
            self._gone()

    def _gone(self) -> None:
        self._process, self._leader = None, 0

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self.over, ignore_errors=True)

    def _console(self) -> str:
        return (self.over / "console.log").read_text(encoding="utf-8", errors="replace")[-4000:]


def _leader_of(nspawn: int) -> int:
    """The guest's process 1, as numbered here; 0 while there is none."""
    for child in _children(nspawn):
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{child}/status").read_text(encoding="ascii", errors="replace")
            numbers = next(line for line in status.splitlines() if line.startswith("NSpid:"))
            if numbers.split()[-1] == "1" and len(numbers.split()) > 2:
                return child
    return 0


def _children(pid: int) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            yield from (int(each) for each in (task / "children").read_text().split())


@dataclass(frozen=True)
class Key:
    """The control machine's ssh key."""

    path: Path

    @classmethod
    def made_in(cls, directory: Path) -> "Key":
        path = directory / "id_ed25519"
        command = f"ssh-keygen -q -t ed25519 -N '' -C boot-test -f {shlex.quote(str(path))}"
        subprocess.run(["sh", "-c", command], check=True, timeout=30)
        return cls(path)

    @property
    def public(self) -> str:
        return self.path.with_suffix(".pub").read_text(encoding="ascii")
