"""A release for the Pi, installed and imported in a Debian for arm64, which this machine emulates.

    python -m tests.arm64_install dist/voice-kiosk-VERSION-cp311-aarch64.tar

The commands are read from the role that installs a release, so that what is shown here is what
happens on a Pi. Only the processor is emulated: no sound card, no GPIO, no systemd. As root.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import jinja2
import yaml  # type: ignore[import-untyped]  # published without annotations

from tests.machines.trees import cache_dir

ROOT = Path(__file__).parent.parent
PROGRAM = ROOT / "deploy/roles/release/tasks/program.yml"
EMULATOR = Path("/proc/sys/fs/binfmt_misc/qemu-aarch64")
# Of each Python: its Debian, and what the kiosk's role installs there.
SUITES = {"cp311": ("bookworm", "libasound2"), "cp313": ("trixie", "libasound2t64")}
# Everything that is compiled, wherever it comes from, and the rooms above it.
KIOSK_IMPORTS = (
    "alsaaudio", "lgpio", "numpy", "pywebrtc_audio", "systemd.daemon", "systemd.journal",
    "webrtcvad", "websockets", "pydantic_core", "gpiozero", "kiosk.daemon.kiosk", "kiosk.doctor",
)  # fmt: skip
BACKEND_IMPORTS = ("asyncpg", "greenlet", "sqlalchemy", "fastapi", "kiosk.backend.server")

_ENTER = """
set -eu
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=$TREE,upperdir=$OVER/upper,workdir=$OVER/work" "$OVER/root"
mount -t proc proc "$OVER/root/proc"
mount -t devtmpfs devtmpfs "$OVER/root/dev" 2>/dev/null || mount --rbind /dev "$OVER/root/dev"
exec chroot "$OVER/root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \\
    LG_WD=/tmp sh -c 'cd "$1"; shift; exec "$@"' sh "$DIRECTORY" "$@"
"""


def missing() -> str | None:
    """Why this cannot be shown here, or None."""
    if os.geteuid() != 0:
        return "as root only"
    for program, package in (("mmdebstrap", "mmdebstrap"), ("arch-test", "arch-test")):
        if shutil.which(program) is None:
            return f"no {program}: apt-get install {package}"
    if os.uname().machine != "aarch64" and not EMULATOR.exists():
        return (
            "no emulation of arm64: apt-get install qemu-user-static binfmt-support, and where "
            f"{EMULATOR} is still not there: mount -t binfmt_misc binfmt_misc {EMULATOR.parent}"
            " && update-binfmts --enable qemu-aarch64"
        )
    return None


def tree(suite: str, library: str) -> Path:
    """The Debian for arm64, made now if it is not there yet (5 minutes where it is emulated)."""
    packages = ("python3-venv", library, "ca-certificates", "espeak-ng")
    digest = hashlib.sha256(" ".join(packages).encode()).hexdigest()[:8]
    path = cache_dir() / f"{suite}-arm64-{digest}"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        print(f"Making a Debian ({suite}) for arm64")
        subprocess.run(
            [
                "mmdebstrap", "--mode=root", "--variant=minbase", "--architecture=arm64", "--quiet",
                f"--include={','.join(packages)}", suite, str(part),
            ],
            check=True,
        )  # fmt: skip
        part.rename(path)
    return path


def installing(root: str, program: str, lock: str) -> Iterator[list[str]]:
    """The commands of the role, in their order, but for the sync."""
    names = {
        "ansible_facts": {"python": {"executable": "/usr/bin/python3"}},
        "release_root": root,
        "release_program": program,
        "release_lock": lock,
    }
    for task in yaml.safe_load(PROGRAM.read_text(encoding="utf-8")):
        argv = task.get("ansible.builtin.command", {}).get("argv", ["sync"])
        if argv != ["sync"]:
            yield [
                jinja2.Template(str(each), undefined=jinja2.StrictUndefined).render(names)
                for each in argv
            ]


class Machine:
    """The tree with a layer of its own, and what is run in it."""

    def __init__(self, tree: Path, over: Path) -> None:
        self._environment = {**os.environ, "TREE": str(tree), "OVER": str(over)}
        self._upper = over / "upper"
        for part in ("upper", "work", "root"):
            (over / part).mkdir()

    def unpack(self, build: Path, directory: str) -> None:
        with tarfile.open(build) as release:
            release.extractall(self._upper / directory.lstrip("/"), filter="data")

    def run(self, directory: str, *command: str, timeout_s: float = 900) -> str:
        began = time.monotonic()
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", _ENTER, "sh", *command],
            env={**self._environment, "DIRECTORY": directory},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=timeout_s, check=False,
        )  # fmt: skip
        print(f"{time.monotonic() - began:6.1f} s  {' '.join(command)[:80]}", flush=True)
        if done.returncode != 0:
            sys.exit(f"exit code {done.returncode}\n{done.stdout}")
        return done.stdout


def show(build: Path) -> None:
    platform = build.stem.split("-", 3)[-1]
    suite, library = SUITES[platform.partition("-")[0]]
    base = tree(suite, library)
    with tempfile.TemporaryDirectory(prefix="kiosk-arm64-") as name:
        machine = Machine(base, Path(name))
        print(f"{build.name} in {suite} for arm64")
        for lock, imports in (("kiosk.lock", KIOSK_IMPORTS), ("backend.lock", BACKEND_IMPORTS)):
            root = f"/opt/{lock.removesuffix('.lock')}"
            directory = f"{root}/programs/shown"
            machine.unpack(build, directory)
            for command in installing(root, "shown", lock):
                machine.run(directory, *command)
            print(machine.run(directory, "bin/kiosk", "--version").strip())
            machine.run(directory, "bin/python", "-c", f"import {', '.join(imports)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("build", type=Path, nargs="+")
    builds = parser.parse_args().build
    if (reason := missing()) is not None:
        sys.exit(reason)
    for build in builds:
        show(build)


if __name__ == "__main__":
    main()
