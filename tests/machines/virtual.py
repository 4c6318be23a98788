"""Virtual machines: a kernel of their own, real /dev/snd, /dev/gpiochip0 and cgroups, by QEMU.

Emulated in software, so ten to twenty times slower than this machine. The guest is reached by ssh
on a loopback port, and finds loopback ports of this machine at its own loopback; it has no other
way out. One ssh connection carries everything, the kiosk's control socket too.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from kiosk.errors import UnavailableError
from kiosk.ops.control import request
from tests.machines.disks import Cut, all_written, power_cut
from tests.machines.guests import Key
from tests.machines.machine import Machine

_BOOT_TIMEOUT_S = 240.0
_HALT_TIMEOUT_S = 120.0
# The oldest that the wheels of numpy run on: newer instructions are slow to emulate.
_PROCESSOR = "Westmere"
_KERNEL_LINE = "root=/dev/vda rootfstype=ext4 rw console=ttyS0 quiet net.ifnames=0 mitigations=off"
SSH_OPTIONS = (
    "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
    "-o", "BatchMode=yes",
)  # fmt: skip


def missing() -> str | None:
    """Why no virtual machine can run here, or None."""
    for program, package in (
        ("qemu-system-x86_64", "qemu-system-x86"),
        ("qemu-img", "qemu-utils"),
        ("mke2fs", "e2fsprogs"),
    ):
        if shutil.which(program) is None:
            return f"no {program}: apt-get install {package}"
    return None


@dataclass
class VirtualMachine(Machine):
    """One machine. `directory` holds root.raw, its disk, and vmlinuz and initrd."""

    name: str
    directory: Path
    ssh_port: int
    key: Key
    reaches: tuple[int, ...]
    _qemu: "subprocess.Popen[bytes] | None" = field(default=None, init=False)
    _ssh: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    # --- on and off -----------------------------------------------------------------------------

    def boot(self, timeout_s: float = _BOOT_TIMEOUT_S) -> float:
        """Returns, when commands can be given, how many seconds it took; or raises TimeoutError."""
        began_s = time.monotonic()
        self._start_qemu()
        while not self._connected():
            if self._qemu is None or self._qemu.poll() is not None:
                raise RuntimeError(f"{self.name} ended:\n{self.console()}")
            if time.monotonic() - began_s > timeout_s:
                raise TimeoutError(f"{self.name} did not come up:\n{self.console()}")
        return time.monotonic() - began_s

    def poweroff(self) -> None:
        if self._qemu is None:
            return
        self.try_run("systemctl poweroff")
        try:
            self._qemu.wait(_HALT_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"{self.name} did not end:\n{self.console()}") from error
        finally:
            self._kill()
        all_written(self._disk, self._log)

    def cut(self, chance: random.Random) -> Cut:
        """The power goes, now."""
        self._kill()
        return power_cut(self._disk, self._log, chance)

    def keep(self) -> None:
        """Switched off as it is, keep what the disk was at boot and all that was written since, to
        have the power go at many moments of the same session."""
        self._kill()
        self._disk.rename(self._kept_disk)
        self._log.rename(self._kept_log)

    def cut_in_kept(self, chance: random.Random, share: float) -> Cut:
        """The power goes in the session that was kept, when it had written this share."""
        self._kill()
        subprocess.run(
            ["cp", "--sparse=always", self._kept_disk, self._disk], check=True, timeout=120
        )
        return power_cut(self._disk, self._kept_log, chance, share)

    def remove(self) -> None:
        self._kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def console(self) -> str:
        path = self.directory / "console.log"
        return path.read_text("utf-8", errors="replace")[-4000:] if path.exists() else ""

    # --- using it -------------------------------------------------------------------------------

    def ask(self, command: str) -> dict[str, object]:
        """A command over the kiosk's control socket; empty while it does not answer."""
        try:
            return request(self._control, command)
        except UnavailableError:
            return {}

    # --- within ---------------------------------------------------------------------------------

    @property
    def _disk(self) -> Path:
        return self.directory / "root.raw"

    @property
    def _log(self) -> Path:
        return self.directory / "writes.log"

    @property
    def _kept_disk(self) -> Path:
        return self.directory / "kept.raw"

    @property
    def _kept_log(self) -> Path:
        return self.directory / "kept.log"

    @property
    def _master(self) -> Path:
        return self.directory / "ssh"

    @property
    def _control(self) -> Path:
        return self.directory / "control"

    def _through(self) -> list[str]:
        """ssh by the connection that is there, and no other."""
        only = ("-o", "ProxyCommand=false", "-S", str(self._master))
        return ["ssh", *SSH_OPTIONS, *only, "root@guest"]

    def _start_qemu(self) -> None:
        # The guest writes into `session`, which is thrown away; its disk is made from the log.
        session = self.directory / "session.qcow2"
        create = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(self._disk)]
        subprocess.run([*create, str(session)], check=True, timeout=30)
        self._log.write_bytes(b"")
        nodes = (
            f"driver=file,node-name=file,filename={session},cache.no-flush=on",
            "driver=qcow2,node-name=session,file=file",
            f"driver=file,node-name=log,filename={self._log},cache.no-flush=on",
            "driver=blklogwrites,node-name=disk,file=session,log=log",
        )
        net = f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{self.ssh_port}-10.0.2.15:22"
        with (self.directory / "qemu.log").open("ab") as log:
            self._qemu = subprocess.Popen(
                [
                    "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", _PROCESSOR,
                    "-smp", "2", "-m", "2G", "-display", "none", "-nodefaults", "-no-reboot",
                    "-kernel", str(self.directory / "vmlinuz"),
                    "-initrd", str(self.directory / "initrd"), "-append", _KERNEL_LINE,
                    "-serial", f"file:{self.directory / 'console.log'}",
                    *(word for node in nodes for word in ("-blockdev", node)),
                    "-device", "virtio-blk-pci,drive=disk,write-cache=on",
                    "-device", "virtio-rng-pci",
                    "-netdev", net, "-device", "virtio-net-pci,netdev=net,romfile=",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def _connected(self) -> bool:
        """Try to connect once, for a few seconds."""
        forwards = [f"-R127.0.0.1:{port}:127.0.0.1:{port}" for port in self.reaches]
        self._end_ssh()
        self._ssh = subprocess.Popen(
            [
                "ssh", *SSH_OPTIONS, "-M", "-N", "-S", str(self._master), "-i", str(self.key.path),
                "-o", "ConnectTimeout=4", "-o", "ExitOnForwardFailure=yes",
                "-o", "StreamLocalBindUnlink=yes", "-L", f"{self._control}:/run/kiosk/control.sock",
                *forwards, "-p", str(self.ssh_port), "root@127.0.0.1",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        while self._ssh.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                if self._master.exists() and self.try_run("true", timeout_s=30).returncode == 0:
                    return True
            time.sleep(0.1)
        time.sleep(0.3)
        return False

    def _end_ssh(self) -> None:
        if self._ssh is not None:
            self._ssh.kill()
            self._ssh.wait(10)
            self._ssh = None
        self._master.unlink(missing_ok=True)

    def _kill(self) -> None:
        if self._qemu is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._qemu.pid, signal.SIGKILL)
            self._qemu.wait(10)
            self._qemu = None
        self._end_ssh()
