"""Other versions of the kiosk, for a test of what an update does: same libraries, another kiosk."""

import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

BROKEN_START = 'raise RuntimeError("this version cannot start")\n'


def other_version(checkout: Path, version: str, broken: bool = False) -> None:
    """Put builds of another version beside those in `checkout`/dist. A broken one installs, knows
    its configuration, and its daemon dies at once."""
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory) / "source"
        source.mkdir()
        for name in ("kiosk", "pyproject.toml", "README.md", "LICENSE"):
            copy = shutil.copytree if (checkout / name).is_dir() else shutil.copy2
            copy(checkout / name, source / name)
        _replace(source / "pyproject.toml", r'^version = ".*"', f'version = "{version}"')
        _replace(source / "kiosk/__init__.py", r'__version__ = ".*"', f'__version__ = "{version}"')
        if broken:
            daemon = source / "kiosk/daemon/kiosk.py"
            daemon.write_text(BROKEN_START + daemon.read_text("utf-8"), encoding="utf-8")
        subprocess.run(
            [
                sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps",
                "--wheel-dir", directory, str(source),
            ],
            check=True,
            timeout=120,
        )  # fmt: skip
        (wheel,) = Path(directory).glob("*.whl")
        for build in (checkout / "dist").glob("voice-kiosk-0.1.0-*.tar"):
            _rebuild(build, version, wheel)


def _rebuild(build: Path, version: str, wheel: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        with tarfile.open(build) as old:
            old.extractall(directory, filter="data")
        (former,) = (directory / "wheels").glob("voice_kiosk-*.whl")
        former.unlink()
        shutil.copy2(wheel, directory / "wheels")
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        for lock in directory.glob("*.lock"):
            _replace(lock, r"^voice_kiosk==.*", f"voice_kiosk=={version} --hash=sha256:{digest}")
        (directory / "VERSION").write_text(f"{version}\n", encoding="ascii")
        platform = build.name.removeprefix("voice-kiosk-0.1.0-")
        with tarfile.open(build.with_name(f"voice-kiosk-{version}-{platform}"), "w") as new:
            new.add(directory, ".")


def _replace(path: Path, pattern: str, new: str) -> None:
    text, count = re.subn(pattern, new, path.read_text("utf-8"), flags=re.MULTILINE)
    assert count == 1, (path, pattern)
    path.write_text(text, encoding="utf-8")
