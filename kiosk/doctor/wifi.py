"""Wi-Fi power saving, which costs tenths of a second now and then, read as the driver tells it."""

import fcntl
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

from kiosk.doctor.findings import Finding, passed, skipped, warned
from kiosk.doctor.subject import Subject

_CHECK = "wifi_power_save"
# SIOCGIWPOWER of linux/wireless.h: an interface's name, then a struct iw_param.
_GET_POWER = 0x8B2D
_REQUEST = struct.Struct("16siBBH8x")
_IW_S = 2.0


def look(_: Subject, sys: Path = Path("/sys")) -> Iterator[Finding]:
    names = [path.parent.name for path in sorted(sys.glob("class/net/*/phy80211"))]
    if not names:
        yield passed(_CHECK, "no Wi-Fi")
        return
    up = [name for name in names if _operstate(sys, name) != "down"]
    if not up:
        yield passed(_CHECK, f"{', '.join(names)}: not in use")
        return
    yield _of_interface(up[0])


def _operstate(sys: Path, name: str) -> str:
    try:
        return (sys / "class/net" / name / "operstate").read_text().strip()
    except OSError:
        return "unknown"


def _of_interface(name: str) -> Finding:
    sleeps = _by_ioctl(name)
    if sleeps is None:
        sleeps = _by_iw(name)
    if sleeps is None:
        step = f"`sudo apt install iw`, then `iw dev {name} get power_save`"
        return skipped(_CHECK, f"{name}: its driver does not tell, and there is no iw", step)
    if not sleeps:
        return passed(_CHECK, f"{name}: off")
    step = (
        f"`sudo iw dev {name} set power_save off`; for good: wifi.powersave = 2 under [connection] "
        "in a file of /etc/NetworkManager/conf.d"
    )
    return warned(_CHECK, f"{name}: on", step)


def _by_ioctl(name: str) -> bool | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        asked = _REQUEST.pack(name.encode()[:15], 0, 0, 0, 0)
        try:
            answer = fcntl.ioctl(any_socket, _GET_POWER, asked)
        except OSError:
            return None
    _, _, _, disabled, _ = _REQUEST.unpack(answer)
    return not disabled


def _by_iw(name: str) -> bool | None:
    program = shutil.which("iw", path="/usr/sbin:/usr/bin:/sbin:/bin")
    if program is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603  our own command
            [program, "dev", name, "get", "power_save"],
            capture_output=True,
            text=True,
            timeout=_IW_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    said = done.stdout.casefold()
    return None if "power save:" not in said else "on" in said.split("power save:")[1].split()
