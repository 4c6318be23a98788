"""What the virtual machine has for hardware, and how a test lays hands on it.

Three sound cards are loops (snd-aloop): what is played into the far end of one is heard at its near
end, and the other way round. The header is gpio-sim's: pulling a line is wiring it.
"""

import shutil
from pathlib import Path

from tests.machines.virtual import VirtualMachine

MICROPHONE, SPEAKER = "Mic", "Speaker"
BUTTON, LAMP, RECORDING_LAMP = 17, 27, 22
_DRIVER = "/sys/bus/platform/drivers/snd_aloop"
LINES = "/sys/devices/platform/gpio-sim.0/gpiochip0"

_CARDS = f"options snd-aloop enable=1,1 id={MICROPHONE},{SPEAKER} pcm_substreams=1,1\n"

# The network that QEMU gives, and a header with as many lines as a Pi's.
_SETTING_UP = """#!/bin/sh
set -eu
ip link set lo up
ip link set eth0 up
ip address add 10.0.2.15/24 dev eth0
mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
bank=/sys/kernel/config/gpio-sim/header/bank0
mkdir -p $bank
echo 54 > $bank/num_lines
echo 1 > /sys/kernel/config/gpio-sim/header/live
"""

_UNIT = """[Unit]
Description=The machine's hardware
DefaultDependencies=no
After=systemd-modules-load.service systemd-udevd.service systemd-remount-fs.service
Before=sysinit.target ssh.service

[Service]
Type=oneshot
ExecStart=/usr/local/sbin/vm-hardware
RemainAfterExit=yes

[Install]
WantedBy=sysinit.target
"""

# Nothing of it has to do with a kiosk, and each costs seconds at every boot.
_MASKED = (
    "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer",
    "fstrim.timer", "e2scrub_reap.service", "getty@tty1.service", "serial-getty@ttyS0.service",
    "systemd-timesyncd.service", "systemd-update-utmp.service", "console-getty.service",
    "systemd-update-utmp-runlevel.service",
)  # fmt: skip


def put_into(upper: Path, name: str, kernel: str, modules: list[Path], public_key: str) -> None:
    """Write it beside what a tree has; `depmod` and enabling the unit are the guest's."""
    for path, text in {
        # Its own name has to be there: nobody answers who would know it.
        "etc/hosts": f"127.0.0.1 localhost {name}\n::1 localhost\n",
        "etc/modules-load.d/vm.conf": "virtio_net\nsnd-aloop\ngpio-sim\nboard\n",
        "etc/modprobe.d/vm.conf": _CARDS,
        "etc/systemd/system/vm-hardware.service": _UNIT,
        "usr/local/sbin/vm-hardware": _SETTING_UP,
        # Without PAM no session is made for every connection.
        "etc/ssh/sshd_config.d/port.conf": "PermitRootLogin prohibit-password\nUsePAM no\n",
        "root/.ssh/authorized_keys": public_key,
    }.items():
        target = upper / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="ascii")
    (upper / "usr/local/sbin/vm-hardware").chmod(0o755)
    (upper / "root/.ssh").chmod(0o700)
    extra = upper / f"usr/lib/modules/{kernel}/extra"
    extra.mkdir(parents=True, exist_ok=True)
    for module in modules:
        shutil.copy2(module, extra)


def taken_over(kernel: str) -> str:
    """The shell command by which a guest takes it over."""
    return (
        f"chmod 700 /root /root/.ssh && depmod {kernel} && usermod -p '*' pi && usermod -p '*' root"
        f" && systemctl enable vm-hardware.service && systemctl mask {' '.join(_MASKED)}"
    )


# --- hands ----------------------------------------------------------------------------------------


def wire(machine: VirtualMachine, line: int, *, high: bool) -> None:
    """Connect a line to 3.3 V or to ground."""
    machine.run(f"echo pull-{'up' if high else 'down'} > {LINES}/sim_gpio{line}/pull")


def level(machine: VirtualMachine, line: int) -> int:
    return int(machine.run(f"cat {LINES}/sim_gpio{line}/value"))


def press(machine: VirtualMachine) -> None:
    """The button, to ground and back, as long as a finger stays."""
    pull = f"{LINES}/sim_gpio{BUTTON}/pull"
    machine.run(f"echo pull-down > {pull}; sleep 0.3; echo pull-up > {pull}")


def unplug(machine: VirtualMachine, card: str) -> None:
    """The kernel lets the card go at once, and its driver when whoever has it open has noticed."""
    machine.run(f"echo {_device(card)} > {_DRIVER}/unbind", timeout_s=60)


def plug_in(machine: VirtualMachine, card: str) -> None:
    machine.run(f"echo {_device(card)} > {_DRIVER}/bind", timeout_s=60)


def _device(card: str) -> str:
    return f"snd_aloop.{(MICROPHONE, SPEAKER).index(card)}"
