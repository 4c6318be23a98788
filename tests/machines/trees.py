"""Debian systems as directory trees: what a blank card with Raspberry Pi OS Lite has, and no more.

Made once by mmdebstrap and kept in the user's cache under a name that tells what is in it; nothing
boots in the tree itself, guests lay their own changes over it.
"""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

# As on Raspberry Pi OS Lite: systemd, Python, ssh, sudo. What the kiosk needs, its roles install.
BASE_PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "udev", "libpam-systemd", "python3", "ca-certificates",
    "iproute2", "openssh-server", "sudo", "procps", "systemd-timesyncd",
)  # fmt: skip

_MAKING_TIMEOUT_S = 600


def missing() -> str | None:
    """Why no guest can boot here, or None."""
    if os.geteuid() != 0:
        return "guests boot as root only: sudo make boot-test"
    for program, package in (
        ("mmdebstrap", "mmdebstrap"),
        ("systemd-nspawn", "systemd-container"),
        ("ssh", "openssh-client"),
    ):
        if shutil.which(program) is None:
            return f"no {program}: apt-get install {package}"
    return None


def cache_dir() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "voice-kiosk" / "trees"


def tree(suite: str, extra: tuple[str, ...] = ()) -> Path:
    """The tree of a Debian suite, made now if it is not there yet (20 to 60 s)."""
    packages = (*BASE_PACKAGES, *extra)
    digest = hashlib.sha256(" ".join(packages).encode()).hexdigest()[:8]
    path = cache_dir() / f"{suite}-{digest}"
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    subprocess.run(
        [
            "mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(packages)}",
            "--quiet", suite, str(part),
        ],
        check=True,
        timeout=_MAKING_TIMEOUT_S,
    )  # fmt: skip
    # mmdebstrap leaves none, and then not even localhost has an address.
    (part / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n", encoding="ascii")
    part.rename(path)
    return path
