"""Every library that is locked can be had for a Raspberry Pi: as a wheel, or by a recipe."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOOL = ROOT / "deploy" / "foreign_wheels.py"
LOCKS = ("requirements.txt", "requirements-backend.txt", "requirements-webrtc.txt")
PYTHONS = ("3.11", "3.13")


def asked(python: str, lock: Path) -> "subprocess.CompletedProcess[str]":
    """Could it be done? Downloads the wheels, and keeps none."""
    return subprocess.run(
        [sys.executable, TOOL, "--python", python, lock],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def picked(python: str, lock: str) -> dict[str, str]:
    """What of a lock this Python on a Pi needs; asks nobody."""
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import foreign_wheels as tool\n"
        "for pin in tool.pins(pathlib.Path(sys.argv[2]), tool.TARGETS[sys.argv[3]]):\n"
        "    print(pin.name, pin.version, tool.is_compiled(pin, tool.TARGETS[sys.argv[3]]))"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", code, TOOL.parent, ROOT / lock, python],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    return {
        name: version + (" compiled" if made == "True" else "") for name, version, made in lines
    }


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("lock", LOCKS)
@pytest.mark.parametrize("python", PYTHONS)
def test_a_lock_can_be_had_for_the_pi(python: str, lock: str) -> None:
    done = asked(python, ROOT / lock)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_library_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    extra = (ROOT / "requirements-bench.txt").read_text(encoding="ascii")
    lock.write_text((ROOT / LOCKS[0]).read_text(encoding="ascii") + extra, encoding="ascii")
    done = asked("3.11", lock)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "lock.txt: pyaudio==0.2.14 has no wheel for cp311 on aarch64 with glibc 2.36: pin a "
    )
    assert len(done.stderr.splitlines()) == 1


def test_each_python_gets_its_own_lines_of_the_lock() -> None:
    bookworm, trixie = (picked(python, LOCKS[0]) for python in PYTHONS)
    assert bookworm["numpy"].startswith("2.4.")
    assert trixie["numpy"].startswith("2.5.")
    assert set(bookworm) == set(trixie)
    assert set(bookworm) <= set(picked("3.11", LOCKS[1]))


def test_lgpio_is_not_the_empty_stub() -> None:
    # With wheels only, pip would take 0.0.0.2, which imports and does nothing.
    assert picked("3.11", LOCKS[0])["lgpio"] == "0.2.2.0"
    assert picked("3.13", LOCKS[0])["lgpio"] == "0.2.2.0 compiled"
