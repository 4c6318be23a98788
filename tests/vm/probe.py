"""Runs within the kiosk's sandbox, and as root outside of it: tries what the sandbox must refuse.

Each row of the table comes back with what it got, or raises OSError with one of the errnos that are
a refusal. Nothing of the project is used: this file is copied to the machine as it is. Where a try
could do harm outside, it goes no further than the question of permission. Files are such as anybody
may read or write, so that it is the sandbox that refuses.

    probe.py OTHER_PID OTHER_KEY      prints one JSON object: what came of each
"""

import ctypes
import errno
import json
import mmap
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

# A process of another user, and a key in root's keyring.
_OTHER, _KEY = (int(word) for word in sys.argv[1:3]) if len(sys.argv) == 3 else (0, 0)
# Made before: directories that anybody may write to, with a letter in each that anybody may read.
OPEN = (
    "/root/open", "/home/pi/open", "/srv/open", "/mnt/open", "/opt/open", "/usr/local/open",
    "/var/open",
)  # fmt: skip
SETUID_PROGRAM = "/usr/local/bin/whoami-as-root"
STATE = Path("/var/lib/kiosk")

_HIDDEN = ("ENOENT", "EACCES")
_READ_ONLY = ("EROFS", "EACCES")
_PERM = ("EPERM",)

_NUMBERS = {
    "ptrace": 101, "syslog": 103, "personality": 135, "mknod": 133, "pivot_root": 155,
    "chroot": 161, "settimeofday": 164, "mount": 165, "swapon": 167, "reboot": 169,
    "sethostname": 170, "iopl": 172, "init_module": 175, "clock_settime": 227, "kexec_load": 246,
    "keyctl": 250, "unshare": 272, "perf_event_open": 298, "open_by_handle_at": 304, "setns": 308,
    "process_vm_readv": 310, "bpf": 321, "userfaultfd": 323,
}  # fmt: skip


@dataclass(frozen=True)
class Probe:
    """One try. `refused`: the errnos by which the sandbox may answer; outside it is any other."""

    name: str
    attempt: Callable[[], object]
    refused: tuple[str, ...]


def _call(name: str, *arguments: object) -> int:
    """A system call by its number. Raises OSError."""
    library = ctypes.CDLL(None, use_errno=True)
    longs = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    result: int = library.syscall(ctypes.c_long(_NUMBERS[name]), *longs)
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


def _read(path: str) -> Callable[[], object]:
    def attempt() -> object:
        if Path(path).is_dir():
            return len(list(Path(path).iterdir()))
        with Path(path).open("rb", buffering=0) as file:
            return len(file.read(1))

    return attempt


def _create_in(directory: str) -> Callable[[], object]:
    def attempt() -> object:
        made = Path(directory) / "made-by-probe"
        made.write_text("")
        made.unlink()
        return None

    return attempt


def _make_in(directory: str) -> Callable[[], object]:
    def attempt() -> object:
        made = Path(directory) / "made-by-probe"
        made.mkdir()
        made.rmdir()
        return None

    return attempt


def _open(path: str, flags: int = os.O_RDONLY) -> Callable[[], object]:
    return lambda: os.close(os.open(path, flags | os.O_NONBLOCK))


def _socket(family: int, kind: int, protocol: int = 0) -> Callable[[], object]:
    return lambda: socket.socket(family, kind, protocol).close()


def _called(name: str, *arguments: object) -> Callable[[], object]:
    return lambda: _call(name, *arguments)


def _read_memory() -> object:
    """One byte of another process, from where nothing is: refused, or else a bad address."""
    buffer = ctypes.create_string_buffer(1)
    vector = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 1)
    remote = (ctypes.c_void_p * 2)(8, 1)
    return _call("process_vm_readv", _OTHER, vector, 1, remote, 1, 0)


def _writable_code() -> object:
    flags = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
    mmap.mmap(-1, mmap.PAGESIZE, prot=flags).close()
    return None


def _become_code() -> object:
    library = ctypes.CDLL(None, use_errno=True)
    library.mmap.restype = ctypes.c_void_p
    page = library.mmap(None, mmap.PAGESIZE, 3, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    if library.mprotect(ctypes.c_void_p(page), mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC):
        raise OSError(ctypes.get_errno(), "mprotect")
    return None


def _own_setuid() -> object:
    path = STATE / "setuid-probe"
    path.write_text("")
    try:
        path.chmod(stat.S_ISUID | 0o700)
    finally:
        path.unlink()
    return None


def _setuid_program() -> object:
    """`id -u`, owned by root with its setuid bit: does it make a root of the caller?"""
    done = subprocess.run([SETUID_PROGRAM, "-u"], capture_output=True, check=False, text=True)
    if done.stdout.strip() != "0":
        raise PermissionError(errno.EPERM, done.stdout)
    return None


def _priority(priority: int) -> Callable[[], object]:
    def attempt() -> object:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        return None

    return attempt


def _personality() -> object:
    before = _call("personality", 0xFFFFFFFF)
    _call("personality", before | 0x0400000)
    return _call("personality", before)


def _systemd() -> object:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect("/run/systemd/private")
    return None


def _files() -> Iterator[Probe]:
    for path in ("/etc/shadow", "/etc/ssh/sshd_config", "/etc/credstore.encrypted", "/boot",
                 "/var/lib/systemd/credential.secret", "/var/spool", "/root/open/letter",
                 "/home/pi/open/letter", "/srv/open/letter", "/mnt/open/letter",
                 "/media", "/proc/kcore", f"/proc/{_OTHER or 'OTHER'}/cmdline"):  # fmt: skip
        name = path.replace(str(_OTHER), "OTHER") if _OTHER else path
        yield Probe(f"read {name}", _read(path), (*_HIDDEN, "EPERM"))
    for path in ("/etc", "/usr", "/opt", "/opt/kiosk", "/opt/kiosk/current", "/var/log", "/boot",
                 "/var/lib", "/run", "/run/lock", "/dev/shm", "/opt/open", "/usr/local/open",
                 "/var/open"):  # fmt: skip
        refused = ("EROFS",) if path.endswith("open") else _READ_ONLY
        yield Probe(f"write in {path}", _create_in(path), refused)
    yield Probe("make a cgroup", _make_in("/sys/fs/cgroup"), _READ_ONLY)
    for path in ("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/sys/power/state"):
        yield Probe(f"write {path}", _open(path, os.O_WRONLY), _READ_ONLY)


def _devices() -> Iterator[Probe]:
    for path in ("/dev/mem", "/dev/port", "/dev/kmsg", "/dev/vda", "/dev/ttyS0", "/dev/hwrng",
                 "/dev/input", "/dev/rtc0", "/dev/loop-control", "/dev/net/tun", "/dev/fuse",
                 "/dev/cpu_dma_latency"):  # fmt: skip
        attempt = _read(path) if path == "/dev/input" else _open(path)
        yield Probe(f"open {path}", attempt, _HIDDEN)
    node = str(STATE / "node-probe").encode()

    def make_node() -> object:
        _call("mknod", node, stat.S_IFBLK | 0o600, os.makedev(254, 0))
        Path(os.fsdecode(node)).unlink()
        return None

    yield Probe("make a device node", make_node, _PERM)


def _sockets() -> Iterator[Probe]:
    yield Probe("raw socket", _socket(socket.AF_INET, socket.SOCK_RAW, 1), _PERM)
    for name, family in (("packet", socket.AF_PACKET), ("netlink", socket.AF_NETLINK)):
        yield Probe(f"{name} socket", _socket(family, socket.SOCK_RAW), ("EAFNOSUPPORT",))
    yield Probe("systemd's own socket", _systemd, (*_HIDDEN, "EPERM"))


def _processes() -> Iterator[Probe]:
    yield Probe("attach to a process", _called("ptrace", 0x4206, _OTHER, 0, 0), _PERM)
    yield Probe("read a process's memory", _read_memory, _PERM)
    yield Probe("signal process 1", lambda: os.kill(1, 0), _PERM)
    yield Probe("signal a process", lambda: os.kill(_OTHER, 0), _PERM)
    yield Probe("enter a namespace", _called("setns", -1, 0), _PERM)
    for name, flag in (("mount", 0x20000), ("user", 0x10000000), ("network", 0x40000000)):
        yield Probe(f"new {name} namespace", _unshare(flag), _PERM)
    yield Probe("run a setuid program", _setuid_program, _PERM)
    yield Probe("make a setuid program", _own_setuid, _PERM)
    yield Probe("memory to write and to execute", _writable_code, _PERM)
    yield Probe("turn memory into code", _become_code, _PERM)
    yield Probe("another personality", _personality, _PERM)
    yield Probe("go before every other program", _priority(99), _PERM)
    yield Probe("a key of root's", _called("keyctl", 6, _KEY, 0, 0), ("EACCES", "EPERM", "ENOKEY"))


def _unshare(flag: int) -> Callable[[], object]:
    """In a child, which ends with it."""

    def attempt() -> object:
        child = os.fork()
        if child == 0:
            try:
                _call("unshare", flag)
            except OSError as error:
                os._exit(error.errno or 255)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if code := os.waitstatus_to_exitcode(status):
            raise OSError(code, "unshare")
        return None

    return attempt


def _kernel() -> Iterator[Probe]:
    # Where root would be let through, the arguments are such that nothing comes of it.
    for name, call, arguments in (
        ("mount", "mount", (b"none", b"/nowhere", b"tmpfs", 0, 0)),
        ("chroot", "chroot", (b"/nowhere",)),
        ("another root", "pivot_root", (b"/nowhere", b"/nowhere")),
        ("load a module", "init_module", (0, 0, b"")),
        ("set the clock", "clock_settime", (0, 0)),
        ("set the time of day", "settimeofday", (1, 0)),
        ("name the machine", "sethostname", (0, -1)),
        ("bpf", "bpf", (0, 0, 0)),
        ("perf events", "perf_event_open", (0, 0, -1, -1, 0)),
        ("kexec", "kexec_load", (0, 1 << 20, 0, 0)),
        ("reboot", "reboot", (0, 0, 0, 0)),
        ("swap", "swapon", (b"/nowhere", 0)),
        ("kernel log", "syslog", (10, 0, 0)),
        ("I/O ports", "iopl", (3,)),
        ("page faults", "userfaultfd", (0,)),
        ("open by handle", "open_by_handle_at", (-1, 0, 0)),
    ):
        yield Probe(name, _called(call, *arguments), _PERM)


PROBES = (*_files(), *_devices(), *_sockets(), *_processes(), *_kernel())


def _outcome(probe: Probe) -> str:
    try:
        probe.attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "done"


if __name__ == "__main__":
    print(json.dumps({probe.name: _outcome(probe) for probe in PROBES}))
