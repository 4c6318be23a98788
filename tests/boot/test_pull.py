"""What `deploy/pull` goes over to, and what it refuses, on real repositories.

What it then builds and plays is in the fleet's story; here a small project stands in, which writes
down how far it came.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
UNIT = ROOT / "deploy/roles/kiosk/templates/kiosk-pull.service.j2"
STEPS = {
    ".gitignore": "/.venv-deploy/\n/dist/\n/came\n",
    "Makefile": "packages control:\n\t@echo $@ >> came\n",
    "deploy/build-release": '#!/bin/sh\necho "build $*" >> came\n',
    "playbook": '#!/bin/sh\necho "play $*" >> ../came\n',
}
CAME = [
    "packages",
    "control",
    "build /usr/bin/python3",
    "play --inventory inventory.here --extra-vars @/etc/kiosk/answers.yml site.yml",
]


class Pulled:
    """What is published, whoever signs it, and root's clone of it."""

    def __init__(self, directory: Path) -> None:
        self.home = directory / "home"
        self.work = directory / "work"
        self.published = directory / "published.git"
        self.clone = directory / "checkout"
        self.home.mkdir()
        for name in ("trusted", "unknown"):
            self._run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.home / name)
        public = (self.home / "trusted.pub").read_text("ascii")
        (self.home / "signers").write_text(f"maker@localhost {public}", encoding="ascii")
        for key, value in {
            "user.name": "maker",
            "user.email": "maker@localhost",
            "gpg.format": "ssh",
            "gpg.ssh.allowedSignersFile": str(self.home / "signers"),
        }.items():
            self._run("git", "config", "--global", key, value)
        self._run("git", "init", "-q", "--bare", "-b", "main", self.published)
        self._run("git", "init", "-q", "-b", "main", self.work)
        for name, text in STEPS.items():
            (self.work / name).parent.mkdir(exist_ok=True)
            (self.work / name).write_text(text, encoding="utf-8")
            (self.work / name).chmod(0o755)
        shutil.copy2(ROOT / "deploy/pull", self.work / "deploy/pull")
        self._run("git", "add", "-A", cwd=self.work)
        for what in ("nothing", "first"):
            self.publish(what)
        self._run("git", "clone", "-q", self.published, self.clone)
        programs = self.clone / ".venv-deploy/bin"
        programs.mkdir(parents=True)
        (programs / "ansible-playbook").symlink_to(self.clone / "playbook")

    def publish(
        self, what: str, *, signed_by: str | None = None, anew: bool = False, also: str = "what"
    ) -> None:
        """A commit more, or in the place of the last, of `what` and another file."""
        (self.work / "what").write_text(what, encoding="utf-8")
        self._run("git", "add", "what", also, cwd=self.work)
        commit = ["git", "commit", "-q", "-m", what]
        if signed_by is not None:
            commit.append(f"-S{self.home / signed_by}")
        if anew:
            commit.append("--amend")
        self._run(*commit, cwd=self.work)
        self._run("git", "push", "-q", "-f", self.published, "HEAD:main", cwd=self.work)

    def take_back(self) -> None:
        """The last commit, as if it had never been."""
        self._run("git", "push", "-q", "-f", self.published, "HEAD~:main", cwd=self.work)

    def pull(self, signed: str = "no") -> "subprocess.CompletedProcess[str]":
        """What the unit does: its commands one after the other, as long as they succeed."""
        unit = UNIT.read_text("utf-8").replace("{{ kiosk_root }}/fetch", str(ROOT / "deploy/fetch"))
        unit = unit.replace("{{ kiosk_pull_checkout }}", str(self.clone))
        for command in re.findall(r"^ExecStart(?:Pre)?=(.*)$", unit, re.MULTILINE):
            run = subprocess.run(
                command.split(),
                env={
                    **self._environment(),
                    "KIOSK_PULL_FROM": str(self.published),
                    "KIOSK_PULL_BRANCH": "main",
                    "KIOSK_PULL_SIGNED": signed,
                },
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )
            if run.returncode != 0:
                break
        return run

    @property
    def has(self) -> str:
        return (self.clone / "what").read_text("utf-8")

    @property
    def came(self) -> list[str]:
        """How far it came, in all pulls together."""
        told = self.clone / "came"
        return told.read_text("utf-8").splitlines() if told.exists() else []

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.home), "LC_ALL": "C.UTF-8"}

    def _run(self, *command: str | Path, cwd: Path | None = None) -> None:
        subprocess.run(command, cwd=cwd, env=self._environment(), timeout=30, check=True)


@pytest.fixture
def pulled(tmp_path: Path) -> Pulled:
    return Pulled(tmp_path)


def test_what_is_newer_is_built_and_played(pulled: Pulled) -> None:
    pulled.publish("second")
    run = pulled.pull()
    assert run.returncode == 0, run.stderr
    assert pulled.has == "second"
    assert pulled.came == CAME


@pytest.mark.parametrize("signer", [None, "unknown"])
def test_a_commit_of_somebody_unknown_is_refused(pulled: Pulled, signer: str | None) -> None:
    pulled.publish("second", signed_by=signer)
    run = pulled.pull(signed="yes")
    assert run.returncode != 0
    assert "signature" in run.stderr
    assert pulled.has == "first"
    assert pulled.came == []


def test_what_is_here_must_be_signed_too(pulled: Pulled) -> None:
    run = pulled.pull(signed="yes")
    assert run.returncode != 0
    assert "signature" in run.stderr
    assert pulled.came == []


def test_a_commit_signed_by_somebody_trusted_is_taken(pulled: Pulled) -> None:
    pulled.publish("second", signed_by="trusted")
    run = pulled.pull(signed="yes")
    assert run.returncode == 0, run.stderr
    assert pulled.has == "second"
    assert pulled.came == CAME


def test_a_branch_that_is_behind_is_no_update(pulled: Pulled) -> None:
    pulled.publish("second")
    assert pulled.pull().returncode == 0
    pulled.take_back()
    run = pulled.pull()
    assert run.returncode == 1
    assert "main of" in run.stderr
    assert f"sudo rm -r {pulled.clone}" in run.stderr
    assert pulled.came == CAME


def test_a_version_that_cannot_even_begin_is_replaced_by_the_next(pulled: Pulled) -> None:
    script = pulled.work / "deploy/pull"
    good = script.read_text("utf-8")
    script.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    pulled.publish("second", also="deploy/pull")
    assert pulled.pull().returncode == 1
    script.write_text(good, encoding="utf-8")
    pulled.publish("third", also="deploy/pull")
    run = pulled.pull()
    assert run.returncode == 0, run.stderr
    assert pulled.has == "third"
    assert pulled.came == CAME


def test_what_a_cut_in_the_merge_left_is_no_obstacle(pulled: Pulled) -> None:
    (pulled.work / "another").write_text("new", encoding="utf-8")
    pulled.publish("second", also="another")
    for name in (".git/index.lock", ".git/refs/heads/main.lock"):
        (pulled.clone / name).touch()
    (pulled.clone / "what").write_text("second", encoding="utf-8")
    (pulled.clone / "another").touch()
    run = pulled.pull()
    assert run.returncode == 0, run.stderr
    assert pulled.has == "second"
    assert pulled.came == CAME


def test_files_that_a_cut_emptied_are_whole_again(pulled: Pulled) -> None:
    for name in ("deploy/pull", "what", "Makefile"):
        (pulled.clone / name).write_text("", encoding="utf-8")
    run = pulled.pull()
    assert run.returncode == 0, run.stderr
    assert pulled.has == "first"
    assert pulled.came == CAME


def test_of_former_builds_the_newest_stays(pulled: Pulled) -> None:
    dist = pulled.clone / "dist"
    dist.mkdir()
    for age_s, version in ((300, "0.1.0"), (100, "0.3.0"), (200, "0.2.0")):
        build = dist / f"voice-kiosk-{version}-cp311-aarch64.tar"
        build.touch()
        os.utime(build, (1_790_000_000 - age_s,) * 2)
    assert pulled.pull().returncode == 0
    assert [path.name for path in dist.iterdir()] == ["voice-kiosk-0.3.0-cp311-aarch64.tar"]


def test_a_history_that_was_written_anew_is_refused(pulled: Pulled) -> None:
    pulled.publish("second", anew=True)
    run = pulled.pull()
    assert run.returncode != 0
    assert pulled.has == "first"
    assert pulled.came == []
