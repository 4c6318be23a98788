"""What installs Debian packages waits for who is installing already: a fresh machine does so by
itself, for minutes."""

import fcntl
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent.parent / ".ci" / "debian-packages"
APT = shutil.which("apt-get")
ABSENT = "no-such-package-of-the-kiosks"

# The lists are the real apt-get's, in a root of the test's own; nothing is installed for real.
APT_GET = f"""#!/bin/sh
printf '%s\n' "$*" >>"$APT_ROOT/asked"
case "$*" in
*update*) APT_CONFIG=$APT_ROOT/apt.conf exec {APT} "$@" ;;
esac
[ -e "$APT_ROOT/refused" ] || exit 0
cat "$APT_ROOT/refused" >&2
rm "$APT_ROOT/refused"
exit 100
"""
REFUSED = (
    "E: Could not get lock /var/cache/apt/archives/lock. It is held by process 1 (apt-get)\n"
    "E: Unable to lock the download directory\n"
)

pytestmark = pytest.mark.skipif(APT is None, reason="no Debian")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root for apt, and the programs that lead there."""
    beside = ("apt.conf", "auth.conf", "preferences", "sources.list", "trusted.gpg")
    for name in (
        *(f"etc/apt/{name}.d" for name in beside),
        "lists/partial",
        "cache/archives/partial",
        "programs",
    ):
        (tmp_path / name).mkdir(parents=True)
    for name in ("etc/apt/sources.list", "status"):
        (tmp_path / name).touch()
    (tmp_path / "apt.conf").write_text(
        f'Dir "{tmp_path}";\nDir::State::lists "{tmp_path}/lists";\n'
        f'Dir::State::status "{tmp_path}/status";\nDir::Cache "{tmp_path}/cache";\n'
        f'Dir::Etc "{tmp_path}/etc/apt";\n'
    )
    programs = {"apt-get": APT_GET, "sudo": '#!/bin/sh\nexec "$@"\n'}
    for name, text in programs.items():
        (tmp_path / "programs" / name).write_text(text)
        (tmp_path / "programs" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'programs'}:/usr/bin:/bin")
    monkeypatch.setenv("APT_ROOT", str(tmp_path))
    return tmp_path


@contextmanager
def installing() -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [str(PROGRAM), ABSENT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def asked(root: Path) -> list[str]:
    return (root / "asked").read_text().splitlines()


def test_the_lock_of_the_lists_is_waited_for(root: Path) -> None:
    with (root / "lists" / "lock").open("w") as lists:
        fcntl.lockf(lists, fcntl.LOCK_EX)  # as apt does it
        with installing() as process:
            assert process.stdout is not None
            assert "Installing" in process.stdout.readline()
            assert "waiting" in process.stdout.readline()
            fcntl.lockf(lists, fcntl.LOCK_UN)
            said, complaint = process.communicate(timeout=30)
    assert (process.returncode, said, complaint) == (0, "", "")
    assert f"install -y -qq --no-install-recommends {ABSENT}" in asked(root)[-1]


def test_the_lock_of_the_archives_is_waited_for_and_dpkgs_by_apt_itself(root: Path) -> None:
    (root / "refused").write_text(REFUSED)
    with installing() as process:
        _, complaint = process.communicate(timeout=30)
    assert (process.returncode, complaint) == (0, "")
    assert len([line for line in asked(root) if "install" in line]) == 2
    assert all("DPkg::Lock::Timeout=600" in line for line in asked(root))


def test_what_is_no_lock_is_told_at_once(root: Path) -> None:
    (root / "refused").write_text(f"E: Unable to locate package {ABSENT}\n")
    with installing() as process:
        _, complaint = process.communicate(timeout=30)
    assert process.returncode != 0
    assert f"Unable to locate package {ABSENT}" in complaint
    assert len([line for line in asked(root) if "install" in line]) == 1
