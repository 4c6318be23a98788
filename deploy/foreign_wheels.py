"""Every library of a lock as a wheel for a Raspberry Pi, on a machine that is none.

    python deploy/foreign_wheels.py --python 3.13 requirements.txt            # could it be done?
    python deploy/foreign_wheels.py --python 3.13 requirements.txt DIRECTORY  # do it

Wheels that are published are downloaded. The few libraries that publish none for this Python
(RECIPES) are compiled by Debian's cross compiler, against headers and libraries of the Debian that
has this Python. Nothing is emulated, and this machine's own Python may be another one.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

# An environment that `python -m venv` makes has nothing else that reads markers.
from pip._vendor.packaging.requirements import Requirement

ARCHITECTURE, DEBIAN = "aarch64", "arm64"
COMPILER = f"{ARCHITECTURE}-linux-gnu-gcc"


@dataclass(frozen=True)
class Target:
    """What a kiosk runs: one Debian, its Python, and its glibc 2.x."""

    suite: str
    python: str
    glibc: int

    @property
    def short(self) -> str:
        return ".".join(self.python.split(".")[:2])

    @property
    def tag(self) -> str:
        return "cp" + self.short.replace(".", "")

    @property
    def markers(self) -> dict[str, str]:
        return {
            "python_version": self.short,
            "python_full_version": self.python,
            "implementation_version": self.python,
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
            "platform_machine": ARCHITECTURE,
            "platform_system": "Linux",
            "sys_platform": "linux",
            "os_name": "posix",
        }


TARGETS = {
    each.short: each for each in (Target("bookworm", "3.11.2", 36), Target("trixie", "3.13.5", 41))
}


@dataclass(frozen=True)
class Recipe:
    """A library without wheels: for which Pythons, and what of Debian it is compiled against."""

    pythons: tuple[str, ...]
    packages: tuple[str, ...] = ()


RECIPES = {
    "lgpio": Recipe(("3.13",)),
    "pyalsaaudio": Recipe(("3.11", "3.13"), ("libasound2-dev",)),
    "systemd-python": Recipe(("3.11", "3.13"), ("libsystemd-dev",)),
}

# A program, and the Debian package that has it.
TOOLS = {
    COMPILER: f"gcc-{ARCHITECTURE}-linux-gnu",
    "mmdebstrap": "mmdebstrap",
    "pkg-config": "pkg-config",
    "swig": "swig",
}


class BuildError(Exception):
    """Told to whoever runs this; no fault of the program."""


# --- the lock -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pin:
    """A line of the lock that holds for the target."""

    name: str
    version: str
    hashes: str

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"


def pins(lock: Path, target: Target) -> list[Pin]:
    """What of the lock this target needs. pip would ask this machine's Python instead."""
    text = lock.read_text(encoding="ascii").replace("\\\n", " ")
    found = []
    for line in filter(None, (line.partition("#")[0].strip() for line in text.splitlines())):
        wanted, *hashes = line.split(" --hash=")
        requirement = Requirement(wanted.strip())
        if requirement.marker is None or requirement.marker.evaluate(target.markers):
            version = str(requirement.specifier).removeprefix("==")
            options = " ".join(f"--hash={each.strip()}" for each in hashes)
            found.append(Pin(requirement.name, version, options))
    return found


def is_compiled(pin: Pin, target: Target) -> bool:
    return pin.name in RECIPES and target.short in RECIPES[pin.name].pythons


# --- pip ------------------------------------------------------------------------------------------


def pip(*arguments: str | Path, environment: dict[str, str] | None = None) -> None:
    """Raises BuildError with what pip said."""
    done = subprocess.run(  # noqa: S603  our own command
        [sys.executable, "-m", "pip", *map(str, arguments), "--disable-pip-version-check"],
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BuildError(f"pip {arguments[0]} failed:\n{done.stdout}{done.stderr}")


def platforms(target: Target) -> list[str]:
    """pip's words for this target. A newer glibc runs what was built for an older one."""
    tags = [f"manylinux_2_{minor}_{ARCHITECTURE}" for minor in range(target.glibc, 16, -1)]
    tags += [f"manylinux2014_{ARCHITECTURE}", f"linux_{ARCHITECTURE}"]
    return [
        "--no-deps", "--only-binary=:all:", "--implementation=cp",
        f"--python-version={target.short}", *(f"--platform={tag}" for tag in tags),
    ]  # fmt: skip


def requirements(directory: Path, wanted: list[Pin]) -> list[str]:
    path = directory / "wanted.txt"
    path.write_text("".join(f"{pin} {pin.hashes}\n" for pin in wanted), encoding="ascii")
    return ["--require-hashes", f"--requirement={path}"]


def download(wanted: list[Pin], target: Target, directory: Path) -> list[Pin]:
    """Fetch the wheels into the directory; those for which there is none."""
    missing: list[Pin] = []
    with tempfile.TemporaryDirectory() as name:
        # pip stops at the first that is missing: it is asked again without that one.
        while left := [pin for pin in wanted if pin not in missing]:
            try:
                options = (*platforms(target), *requirements(Path(name), left))
                pip("download", "--quiet", f"--dest={directory}", *options)
                break
            except BuildError as failure:
                named = re.search(r"No matching distribution found for ([\w.-]+)==", str(failure))
                lost = [pin for pin in left if named and pin.name == named.group(1)]
                if not lost:
                    raise
                missing += lost
    return missing


def fetch(lock: Path, target: Target, directory: Path) -> list[Pin]:
    """Fetch the wheels that are published; what is left to compile. Raises BuildError, naming every
    library that can be had neither way."""
    wanted = pins(lock, target)
    compiled = [pin for pin in wanted if is_compiled(pin, target)]
    lost = download([pin for pin in wanted if pin not in compiled], target, directory)
    where = f"for {target.tag} on {ARCHITECTURE} with glibc 2.{target.glibc}"
    found = [
        f"{lock.name}: {pin} has no wheel {where}: pin a version that has one, or say in RECIPES "
        "how it is compiled"
        for pin in lost
    ]
    with tempfile.TemporaryDirectory() as name:
        still = download(compiled, target, Path(name))
    found += [
        f"{lock.name}: {pin} has a wheel {where} now: take {target.short} out of its row in RECIPES"
        for pin in compiled
        if pin not in still
    ]
    if found:
        raise BuildError("\n".join(found))
    return compiled


# --- compiling ------------------------------------------------------------------------------------


def headers(target: Target) -> Path:
    """Headers and libraries of the target's Debian, unpacked, not installed: nothing of it is run.
    Kept in the user's cache."""
    packages = sorted(
        {"libc6-dev", f"libpython{target.short}-dev"}
        | {package for recipe in RECIPES.values() for package in recipe.packages}
    )
    digest = hashlib.sha256(" ".join(packages).encode()).hexdigest()[:8]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = cache / "voice-kiosk" / "trees" / f"{target.suite}-{DEBIAN}-headers-{digest}"
    if path.exists():
        return path
    print(f"Fetching the headers of {target.suite} for {DEBIAN}")  # noqa: T201
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as name:
        part, packed = Path(name) / "tree", Path(name) / "tree.tar"
        part.mkdir()
        mode = "root" if os.geteuid() == 0 else "chrootless"  # nothing of it is run
        make = [
            "mmdebstrap", "--quiet", "--variant=extract", f"--mode={mode}",
            f"--architecture={DEBIAN}", f"--include={','.join(packages)}",
            target.suite, str(packed),
        ]  # fmt: skip
        unpack = ["tar", "--extract", "--exclude=./dev", f"--file={packed}", f"--directory={part}"]
        for command in (make, [*unpack, "--no-same-owner"]):
            done = subprocess.run(  # noqa: S603  our own command
                command, capture_output=True, text=True, check=False
            )
            if done.returncode != 0:
                raise BuildError(f"{command[0]} failed:\n{done.stderr}")
        if not (part / "lib").exists():  # Debian 13 leaves this link to a package we do not unpack
            (part / "lib").symlink_to("usr/lib")
        part.rename(path)
    return path


def describe(target: Target, tree: Path, directory: Path) -> dict[str, str]:
    """An environment in which this machine's Python believes that it compiles for the target's."""
    origin = tree / f"usr/lib/python{target.short}/_sysconfigdata__{ARCHITECTURE}-linux-gnu.py"
    data = origin.read_text(encoding="utf-8")
    data += f'build_time_vars["py_version_nodot"] = "{target.tag.removeprefix("cp")}"\n'
    (directory / "_sysconfigdata_target.py").write_text(data, encoding="utf-8")
    compiler = f"{COMPILER} --sysroot={tree}"
    # Before the headers of this machine's Python, which setuptools names too.
    include = f"-I{tree}/usr/include/python{target.short} -I{tree}/usr/include"
    return {
        "PYTHONPATH": str(directory),
        "_PYTHON_SYSCONFIGDATA_NAME": "_sysconfigdata_target",
        "_PYTHON_HOST_PLATFORM": f"linux-{ARCHITECTURE}",
        "CC": f"{compiler} {include}",
        "LDSHARED": f"{compiler} -shared",
        "PKG_CONFIG_SYSROOT_DIR": str(tree),
        "PKG_CONFIG_LIBDIR": f"{tree}/usr/lib/{ARCHITECTURE}-linux-gnu/pkgconfig",
        "PYPI": "1",  # lgpio builds from source only when told that it stands alone
    }


def compile_wheels(wanted: list[Pin], tool: Pin, target: Target, directory: Path) -> None:
    tree = headers(target)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        # The setuptools of the lock, by its hash, and no other.
        pip("install", "--quiet", "--no-deps", f"--target={work}", *requirements(work, [tool]))
        pip(
            "wheel", "--quiet", "--no-deps", "--use-pep517", "--no-build-isolation",
            "--no-binary=:all:", "--no-cache-dir", f"--wheel-dir={directory}",
            *requirements(work, wanted), environment=describe(target, tree, work),
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--python", choices=sorted(TARGETS), required=True)
    parser.add_argument("lock", type=Path)
    parser.add_argument("directory", type=Path, nargs="?", help="without it nothing is kept")
    chosen = parser.parse_args()
    target = TARGETS[chosen.python]
    if chosen.directory is None:
        with tempfile.TemporaryDirectory() as name:
            fetch(chosen.lock, target, Path(name))
        return
    lacking = sorted(package for name, package in TOOLS.items() if shutil.which(name) is None)
    if lacking:
        raise BuildError(f"not installed here: apt-get install {' '.join(lacking)}")
    # Compiled twice, a library would have two hashes.
    there = {
        path.name.partition("-")[0].replace("_", "-") for path in chosen.directory.glob("*.whl")
    }
    compiled = [
        pin for pin in fetch(chosen.lock, target, chosen.directory) if pin.name not in there
    ]
    if compiled:
        tool = next(pin for pin in pins(chosen.lock, target) if pin.name == "setuptools")
        compile_wheels(compiled, tool, target, chosen.directory)


if __name__ == "__main__":
    try:
        main()
    except BuildError as failure:
        sys.exit(str(failure))
