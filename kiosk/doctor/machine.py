"""The machine: its clock, its power, its room. `Path` arguments are where the kernel tells."""

import ctypes
import os
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from kiosk.base.clock import clock_was_set
from kiosk.config import state_dir
from kiosk.doctor.findings import Finding, failed, passed, skipped, warned
from kiosk.doctor.subject import Subject
from kiosk.errors import ConfigError

_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_SERVICE_STATE = Path("/var/lib/kiosk")
_MB = 1_000_000
_DISK_FAIL_MB, _DISK_WARN_MB = 50, 300
_MEMORY_FAIL_MB, _MEMORY_WARN_MB = 25, 80
# Of the firmware's word, now and since the start (vcgencmd get_throttled).
_THROTTLED = ("too little voltage", "frequency capped", "throttled", "too hot")
_SUPPLY = "use the board's own power supply and a short cable; a hot board needs air"


def look_at_clock(_: Subject) -> Iterator[Finding]:
    check, now = "clock", datetime.fromtimestamp(time.time(), UTC)
    value = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    step = "`timedatectl set-ntp true`, and let the network pass NTP (UDP 123)"
    if not clock_was_set():
        yield failed(check, f"{value}: was never set", step)
        return
    match _synchronised():
        case True:
            yield passed(check, f"{value}, synchronised")
        case False:
            yield warned(check, f"{value}, not synchronised", step)
        case None:
            yield passed(check, f"{value}; whether synchronised cannot be read")


def _synchronised() -> bool | None:
    """As the kernel keeps it, whoever sets the clock; None if it does not tell."""
    libc = ctypes.CDLL(None, use_errno=True)
    room = ctypes.create_string_buffer(512)  # more than any struct timex; all zero only reads
    answer = libc.adjtimex(room)
    return None if answer < 0 else answer != _TIME_ERROR


def look_at_power(_: Subject, sys: Path = Path("/sys")) -> Iterator[Finding]:
    check = "power"
    word = _throttled(sys)
    if word is None:
        alarm = _undervoltage_alarm(sys)
        if alarm is None:
            yield skipped(check, "this machine does not tell: not a Raspberry Pi")
        elif alarm:
            yield warned(check, "too little voltage", _SUPPLY)
        else:
            yield passed(check, "enough voltage")
        return
    for shift, when in ((0, "now"), (16, "since the start")):
        if wrong := [what for bit, what in enumerate(_THROTTLED) if word >> (bit + shift) & 1]:
            yield warned(check, f"{', '.join(wrong)} {when} ({word:#x})", _SUPPLY)
            return
    yield passed(check, "enough voltage, not throttled")


def _throttled(sys: Path) -> int | None:
    for path in sorted(sys.glob("devices/platform/soc*/*firmware*/get_throttled")):
        try:
            return int(path.read_text(), 16)
        except (OSError, ValueError):
            continue
    return None


def _undervoltage_alarm(sys: Path) -> bool | None:
    for name in sorted(sys.glob("class/hwmon/hwmon*/name")):
        try:
            if name.read_text().strip() == "rpi_volt":
                return (name.parent / "in0_lcrit_alarm").read_text().strip() == "1"
        except OSError:
            continue
    return None


def look_at_room(subject: Subject, meminfo: Path = Path("/proc/meminfo")) -> Iterator[Finding]:
    """Disk and memory."""
    yield _storage(_places(subject))
    yield _memory(meminfo)


def _places(subject: Subject) -> list[Path]:
    try:
        state = state_dir(subject.settings) or _SERVICE_STATE
    except ConfigError:
        state = _SERVICE_STATE
    return [path for path in (Path("/"), state) if path.is_dir()]


def _storage(places: list[Path]) -> Finding:
    check, free_mb, value = "storage", {}, []
    for path in places:
        free_mb[path] = shutil.disk_usage(path).free // _MB
        value.append(f"{path} {free_mb[path]} MB free")
    tightest = min(free_mb, key=lambda path: free_mb[path])
    step = "`sudo du -xh / | sort -h | tail` names the largest; `sudo journalctl --vacuum-size=50M`"
    if free_mb[tightest] < _DISK_FAIL_MB:
        return failed(check, ", ".join(value), step)
    if free_mb[tightest] < _DISK_WARN_MB:
        return warned(check, ", ".join(value), step)
    state = places[-1]
    if state != Path("/") and os.statvfs(state).f_flag & os.ST_RDONLY:
        step = "a card that fails is mounted read-only: look at `dmesg`, and replace it"
        return warned(check, f"{', '.join(value)}; {state} is read-only", step)
    return passed(check, ", ".join(value))


def _memory(meminfo: Path) -> Finding:
    check = "memory"
    try:
        lines = meminfo.read_text().splitlines()
        kilobytes = next(int(each.split()[1]) for each in lines if each.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return skipped(check, f"{meminfo} does not tell")
    available_mb = kilobytes * 1024 // _MB
    value, step = f"{available_mb} MB available", "`ps aux --sort=-rss | head` names the largest"
    if available_mb < _MEMORY_FAIL_MB:
        return failed(check, value, step)
    if available_mb < _MEMORY_WARN_MB:
        return warned(check, value, step)
    return passed(check, value)
