"""From nothing to a virtual machine with the kiosk on it, by the playbooks.

A blank tree is set up as a container first, with virtual devices, for a processor of its own speed
installs the libraries ten times faster; it becomes a disk, and in the virtual machine an update
brings the settings for the real sound cards and the real header. The backend has a machine of its
own, which no power cut reaches.
"""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.machines.control import Control, Provider, copy_checkout
from tests.machines.disks import make_disk
from tests.machines.guests import Guest, Key
from tests.machines.modules import header_modules, kernel_of, small_initrd
from tests.machines.trees import tree
from tests.machines.virtual import VirtualMachine
from tests.vm import hardware

API_KEY = "sk_vm_test_0123456789"
AGENT_ID = "agent_vm"
KIOSK_SSH, SERVER_SSH, BACKEND_PORT, PROVIDER_PORT = 18501, 18502, 18571, 18572

# A kernel; and what the roles would fetch, so that only the first run needs the network.
_PACKAGES = (
    "linux-image-amd64", "initramfs-tools", "zstd", "kmod", "alsa-utils", "espeak-ng", "libasound2",
    "python3-venv", "openssl",
)  # fmt: skip
_DISK_GIB = 3

Tables = dict[str, dict[str, object]]

_VIRTUAL: Tables = {
    "capture": {"driver": "virtual"},
    "playback": {"driver": "virtual"},
    "button": {"driver": "none"},
    "indicator": {"driver": "none"},
}
# An emulated processor has time for the sound if nothing is converted: the loops take what comes,
# and have no echo to cancel.
_REAL: Tables = {
    "capture": {"device": hardware.MICROPHONE, "rate_hz": 16_000, "period_ms": 40},
    "playback": {"device": hardware.SPEAKER, "rate_hz": 16_000, "channels": 1, "period_ms": 40},
    "echo": {"mode": "off"},
    "gate": {"detector": "webrtcvad"},
    "gain": {"mode": "fixed"},
    "visit": {"connect_s": 60, "answer_s": 60, "idle_s": 60},
    "journal": {"alive_s": 20},
}


@dataclass
class Place:
    """A kiosk, the server it belongs to, the agent, and the laptop of whoever looks after them."""

    kiosk: VirtualMachine
    server: Guest
    control: Control
    provider: Provider


@contextmanager
def installed(directory: Path) -> Iterator[Place]:
    """Everything, running; gone again at the end."""
    with ExitStack() as stack:
        key = Key.made_in(directory)
        base = tree("bookworm", _PACKAGES)
        modules = header_modules(kernel_of(base))
        control = Control(directory, key)
        copy_checkout(control.checkout)
        blank = Guest("vm-lobby", base, directory / "lobby", KIOSK_SSH)
        server = Guest("vm-server", tree("bookworm"), directory / "server", SERVER_SSH)
        for guest in (blank, server):
            stack.callback(guest.remove)
            guest.prepare(key.public)
            guest.boot()
        provider = Provider(directory, PROVIDER_PORT, AGENT_ID, API_KEY)
        stack.callback(provider.close)
        _inventory(control, _VIRTUAL)
        built = control.typed("./build-release python3")
        assert built.returncode == 0, built.output
        control.played("ansible-playbook site.yml")

        kiosk = VirtualMachine(
            "lobby", directory / "vm", KIOSK_SSH, key, (BACKEND_PORT, PROVIDER_PORT)
        )
        stack.callback(kiosk.remove)
        _become_virtual(blank, kiosk, modules)
        kiosk.boot()
        _inventory(control, _REAL, user="root")
        control.played("ansible-playbook update.yml --limit lobby")
        yield Place(kiosk, server, control, provider)


def _inventory(control: Control, settings: Tables, user: str = "pi") -> None:
    """As root, the emulated machine is spared a sudo a task."""

    def host(port: int) -> dict[str, object]:
        return {"ansible_host": "127.0.0.1", "ansible_port": port}

    control.write_inventory(
        {
            "kiosks": {"hosts": {"lobby": host(KIOSK_SSH)}},
            "backend": {"hosts": {"server": host(SERVER_SSH)}},
        },
        {
            "ansible_user": user,
            "backend_agent_id": AGENT_ID,
            "backend_api_key": API_KEY,
            "backend_port": BACKEND_PORT,
            "backend_settings": {"PROVIDER_URL": f"http://127.0.0.1:{PROVIDER_PORT}"},
            "kiosk_backend_url": f"http://127.0.0.1:{BACKEND_PORT}",
            "kiosk_site": "lobby",
            "kiosk_settings": settings,
        },
    )


def _become_virtual(blank: Guest, kiosk: VirtualMachine, modules: list[Path]) -> None:
    """Turn the container into the virtual machine's disk."""
    kernel = kernel_of(blank.tree)
    blank.poweroff()
    upper = blank.over / "upper"
    hardware.put_into(upper, blank.name, kernel, modules, kiosk.key.public)
    blank.boot()
    blank.run(hardware.taken_over(kernel))
    blank.poweroff()
    kiosk.directory.mkdir()
    make_disk(kiosk.directory / "root.raw", blank.tree, upper, blank.over / "root", _DISK_GIB)
    small_initrd(blank.tree, kiosk.directory / "initrd")
    shutil.copy2(blank.tree / f"boot/vmlinuz-{kernel}", kiosk.directory / "vmlinuz")
    shutil.rmtree(blank.over)
