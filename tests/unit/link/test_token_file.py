"""The kiosk still holds a token that the backend accepts, wherever it was stopped."""

import asyncio
import errno
import logging
import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kiosk.link.token_file import DeviceTokens


def token(number: int) -> str:
    return f"kdk_{number:016x}_{number:064x}"


PROVISIONED, FIRST, SECOND, THIRD = map(token, range(4))
STEPS = ("unlink", "open", "write", "fsync", "replace", "open directory", "fsync directory")
# From here on the file has its new contents, though perhaps not for good.
REPLACED = STEPS.index("open directory")


class KilledError(BaseException):
    """The process ends here: no `except OSError` sees it."""


@contextmanager
def failing(step: str, trouble: Callable[[], BaseException]) -> Iterator[None]:
    """Of the steps of one `adopt`, this one fails."""

    def wrapped(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            called = name
            if name in ("open", "fsync") and _names_directory(args[0]):
                called = f"{name} directory"
            if called == step:
                raise trouble()
            return real(*args, **kwargs)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in ("unlink", "open", "fsync", "replace"):
            patch.setattr(os, name, wrapped(name, getattr(os, name)))
        patch.setattr(os, "fdopen", _short_of_space(trouble) if step == "write" else os.fdopen)
        yield


def _names_directory(what: object) -> bool:
    if isinstance(what, int):
        return stat.S_ISDIR(os.fstat(what).st_mode)
    assert isinstance(what, str | os.PathLike)
    return Path(what).is_dir()


def _short_of_space(trouble: Callable[[], BaseException]) -> Callable[..., object]:
    real = os.fdopen

    def fdopen(*args: object, **kwargs: object) -> object:
        opened = real(*args, **kwargs)  # type: ignore[call-overload]

        def write(text: str) -> int:
            os.write(opened.fileno(), text.encode()[:40])  # half a token
            raise trouble()

        opened.write = write
        return opened

    return fdopen


def disk_error() -> OSError:
    return OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "device-token"


def test_without_a_state_file_there_is_the_provisioned_token() -> None:
    tokens = DeviceTokens(PROVISIONED, None)
    assert tokens.candidates() == [PROVISIONED]
    assert not tokens.can_rotate
    assert not tokens.adopt(FIRST)
    tokens.accepted(PROVISIONED)
    assert tokens.rejected(PROVISIONED) is None
    assert tokens.candidates() == [PROVISIONED]


def test_a_new_token_comes_first_and_outlives_the_process(path: Path) -> None:
    tokens = DeviceTokens(PROVISIONED, path)
    assert tokens.can_rotate
    tokens.accepted(PROVISIONED)
    assert tokens.adopt(FIRST)
    assert tokens.candidates() == [FIRST, PROVISIONED]
    tokens.accepted(FIRST)
    assert tokens.adopt(SECOND)
    assert DeviceTokens(PROVISIONED, path).candidates() == [SECOND, FIRST, PROVISIONED]
    assert path.read_text() == f"{SECOND}\n{FIRST}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_what_was_in_use_stays_and_not_what_nobody_used(path: Path) -> None:
    tokens = DeviceTokens(PROVISIONED, path)
    tokens.accepted(PROVISIONED)
    assert tokens.adopt(FIRST)
    assert tokens.adopt(SECOND)  # asked again, and FIRST was never used
    assert tokens.candidates() == [SECOND, PROVISIONED]


def test_a_refused_token_is_followed_by_the_next(path: Path) -> None:
    path.write_text(f"{SECOND}\n{FIRST}\n")
    tokens = DeviceTokens(PROVISIONED, path)
    assert tokens.rejected(SECOND) == FIRST
    assert tokens.rejected(FIRST) == PROVISIONED
    assert tokens.rejected(PROVISIONED) is None
    # A proxy may have refused them: nothing is lost.
    assert tokens.candidates() == [SECOND, FIRST, PROVISIONED]
    assert tokens.rejected(THIRD) == SECOND  # not one of them any more


def test_a_kiosk_enrolled_anew_forgets_its_stale_tokens(path: Path) -> None:
    path.write_text(f"{SECOND}\n{FIRST}\n")
    tokens = DeviceTokens(PROVISIONED, path)
    tokens.rejected(SECOND)
    tokens.rejected(FIRST)
    tokens.accepted(PROVISIONED)
    assert not path.exists()
    assert tokens.adopt(THIRD)
    assert DeviceTokens(PROVISIONED, path).candidates() == [THIRD, PROVISIONED]


def test_the_provisioned_token_may_be_the_one_before(path: Path) -> None:
    path.write_text(f"{FIRST}\n{PROVISIONED}\n")
    tokens = DeviceTokens(PROVISIONED, path)
    assert tokens.rejected(FIRST) == PROVISIONED
    tokens.accepted(PROVISIONED)
    assert not path.exists()


def test_a_late_answer_to_the_old_token_throws_nothing_away(path: Path) -> None:
    tokens = DeviceTokens(PROVISIONED, path)
    tokens.accepted(PROVISIONED)
    assert tokens.adopt(FIRST)
    tokens.accepted(PROVISIONED)
    assert DeviceTokens(PROVISIONED, path).candidates() == [FIRST, PROVISIONED]
    tokens.accepted(FIRST)
    tokens.accepted(PROVISIONED)
    assert tokens.adopt(SECOND)
    assert tokens.candidates() == [SECOND, FIRST, PROVISIONED]
    # Unless the new one is refused: then it is no late answer, but the old one is good again.
    tokens.accepted(SECOND)
    assert tokens.rejected(SECOND) == FIRST
    tokens.accepted(FIRST)
    assert tokens.adopt(THIRD)
    assert tokens.candidates() == [THIRD, FIRST, PROVISIONED]


def test_a_stale_file_that_cannot_be_removed_is_borne(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_text(f"{FIRST}\n")
    tokens = DeviceTokens(PROVISIONED, path)
    tokens.rejected(FIRST)
    with failing("unlink", disk_error):
        tokens.accepted(PROVISIONED)
    assert caplog.messages == [f"cannot remove the stale {path}: Input/output error"]
    assert tokens.candidates() == [FIRST, PROVISIONED]
    tokens.accepted(PROVISIONED)
    assert not path.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        FIRST[:-1].encode(),
        FIRST.upper().encode(),
        f"{FIRST}0\n".encode(),
        f" {FIRST}".encode(),
        b"\x00" * 85,  # what some filesystems leave after a power cut
        b"\xff\xfe",
    ],
)
def test_a_file_that_is_not_well_formed_counts_for_nothing(
    path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(content)
    tokens = DeviceTokens(PROVISIONED, path)
    assert tokens.candidates() == [PROVISIONED]
    assert caplog.messages == [f"{path} holds no device token"]
    tokens.accepted(PROVISIONED)
    assert tokens.adopt(FIRST)
    assert tokens.candidates() == [FIRST, PROVISIONED]


def test_a_file_that_cannot_be_read_is_reported(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.mkdir()
    assert DeviceTokens(PROVISIONED, path).candidates() == [PROVISIONED]
    assert caplog.messages == [f"cannot read the device token in {path}: Is a directory"]


@pytest.mark.parametrize("text", ["", "kdk_", FIRST + "\n", FIRST[:-1], f"{FIRST}\n{SECOND}"])
def test_a_malformed_token_is_not_adopted(
    path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert not DeviceTokens(PROVISIONED, path).adopt(text)
    assert not path.exists()
    assert caplog.messages == ["the backend's new device token is malformed: the old one stays"]


def test_no_token_in_the_log_or_in_a_repr(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    tokens = DeviceTokens(PROVISIONED, path)
    tokens.accepted(PROVISIONED)
    for step in STEPS:
        with failing(step, disk_error):
            assert not tokens.adopt(FIRST)
    assert caplog.messages == [
        f"cannot keep a new device token in {path}, the old one stays: Input/output error"
    ] * len(STEPS)
    assert "kdk_" not in caplog.text + repr(tokens)


async def test_it_may_be_called_from_threads(path: Path) -> None:
    tokens = DeviceTokens(PROVISIONED, path)
    await asyncio.to_thread(tokens.accepted, PROVISIONED)
    assert await asyncio.to_thread(tokens.adopt, FIRST)
    assert await asyncio.to_thread(tokens.candidates) == [FIRST, PROVISIONED]


def test_true_is_said_only_when_it_is_on_the_disk(path: Path) -> None:
    tokens = DeviceTokens(PROVISIONED, path)
    done: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        real_fsync, real_replace = os.fsync, os.replace

        def fsync(number: int) -> None:
            done.append("fsync directory" if _names_directory(number) else "fsync")
            real_fsync(number)

        def replace(source: Path, target: Path) -> None:
            assert source.parent == target.parent
            assert source.read_text() == f"{FIRST}\n{PROVISIONED}\n"
            assert stat.S_IMODE(source.stat().st_mode) == 0o600
            done.append("replace")
            real_replace(source, target)

        patch.setattr(os, "fsync", fsync)
        patch.setattr(os, "replace", replace)
        assert tokens.adopt(FIRST)
    assert done == ["fsync", "replace", "fsync directory"]


def test_what_may_be_lost_is_not_used_first(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.write_text(f"{SECOND}\n{FIRST}\n")
    tokens = DeviceTokens(PROVISIONED, path)
    with failing("fsync directory", disk_error):
        assert tokens.candidates() == [FIRST, SECOND, PROVISIONED]
    assert caplog.messages == [f"{path} may not outlive a power cut: Input/output error"]
    assert tokens.rejected(FIRST) == SECOND
    assert tokens.candidates() == [SECOND, FIRST, PROVISIONED]
    tokens.accepted(SECOND)
    with failing("fsync directory", disk_error):
        assert not tokens.adopt(THIRD)
        assert tokens.candidates() == [SECOND, THIRD, PROVISIONED]


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_fails_keeps_the_old_token(path: Path, step: str) -> None:
    tokens = DeviceTokens(PROVISIONED, path)
    tokens.accepted(PROVISIONED)
    assert tokens.adopt(FIRST)
    tokens.accepted(FIRST)
    with failing(step, disk_error):
        assert not tokens.adopt(SECOND)
    assert FIRST in tokens.candidates()
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert tokens.adopt(THIRD)
    assert tokens.candidates() == [THIRD, FIRST, PROVISIONED]


_KILLED_IN = """
import os, signal, sys
from pathlib import Path
import kiosk.link.token_file as module
from tests.unit.link.test_token_file import failing

def die():
    os.kill(os.getpid(), signal.SIGKILL)

path, step, provisioned, first, second = sys.argv[1:]
tokens = module.DeviceTokens(provisioned, Path(path))
tokens.accepted(first)
with failing(step, die):
    tokens.adopt(second)
"""


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_any_step_leaves_a_good_file(path: Path, step: str) -> None:
    before = f"{FIRST}\n{PROVISIONED}\n"
    path.write_text(before)
    given = [str(path), step, PROVISIONED, FIRST, SECOND]
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED_IN, *given], cwd=Path(__file__).parents[3], check=False
    )
    assert killed.returncode == -signal.SIGKILL
    replaced = STEPS.index(step) >= REPLACED
    assert path.read_text() == (f"{SECOND}\n{FIRST}\n" if replaced else before)
    # What lies about is in nobody's way.
    tokens = DeviceTokens(PROVISIONED, path)
    tokens.accepted(FIRST)
    assert tokens.adopt(THIRD)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@dataclass
class Backend:
    """The rule: the old token stays good until the new one is first used; two at most are good;
    a rotation asked again replaces the one that was never used."""

    good: str
    unused: str | None = None
    issued: int = 0

    def accepts(self, shown: str) -> bool:
        if shown == self.unused:
            self.good, self.unused = shown, None
        return shown == self.good

    def rotate(self) -> str:
        self.issued += 1
        self.unused = token(self.issued)
        return self.unused

    def enroll(self) -> str:
        """Anew, by the operator: nothing from before is good."""
        self.issued += 1
        self.good, self.unused = token(self.issued), None
        return self.good


class Rotations(RuleBasedStateMachine):
    """A kiosk that follows the protocol, on a disk and in a process that fail at any step."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory(prefix="kiosk-token-")
        self.path = Path(self.directory.name) / "device-token"
        self.backend = Backend(token(0))
        self.provisioned = token(0)
        self.lasting: bytes | None = None  # what a power cut leaves of the file
        self.patch = pytest.MonkeyPatch()
        real = os.fsync

        def fsync(number: int) -> None:
            real(number)
            if _names_directory(number):
                self.lasting = self._content()

        self.patch.setattr(os, "fsync", fsync)
        self._start()

    def teardown(self) -> None:
        self.patch.undo()
        self.directory.cleanup()

    def _start(self) -> None:
        self.tokens = DeviceTokens(self.provisioned, self.path)
        self.shown = self.tokens.candidates()[0]

    def _ask(self) -> None:
        """Any request, with another token for as long as they are refused."""
        tried = []
        while not self.backend.accepts(self.shown):
            tried.append(self.shown)
            following = self.tokens.rejected(self.shown)
            assert following is not None or len(tried) < 4, "shut out"
            self.shown = following or self.tokens.candidates()[0]
        self.tokens.accepted(self.shown)

    def _content(self) -> bytes | None:
        return self.path.read_bytes() if self.path.exists() else None

    @rule()
    def request(self) -> None:
        self._ask()

    @rule()
    def rotate(self) -> None:
        self._ask()
        new = self.backend.rotate()
        assert self.tokens.adopt(new)
        self.shown = new

    @rule(step=st.sampled_from(STEPS))
    def rotate_on_a_bad_disk(self, step: str) -> None:
        self._ask()
        new = self.backend.rotate()
        with failing(step, disk_error):
            assert not self.tokens.adopt(new)

    @rule(step=st.sampled_from(STEPS))
    def killed_while_rotating(self, step: str) -> None:
        self._ask()
        new = self.backend.rotate()
        with failing(step, KilledError), pytest.raises(KilledError):
            self.tokens.adopt(new)
        self._start()

    @rule(step=st.sampled_from(STEPS))
    def killed_while_rotating_on_a_bad_disk(self, step: str) -> None:
        self._ask()
        new = self.backend.rotate()
        with failing(step, KilledError), pytest.raises(KilledError):
            self.tokens.adopt(new)
        with failing("fsync directory", disk_error):
            self._start()
            self._ask()

    @rule()
    def answer_to_a_rotation_lost(self) -> None:
        self._ask()
        self.backend.rotate()

    @rule()
    def a_proxy_refuses(self) -> None:
        self.shown = self.tokens.rejected(self.shown) or self.tokens.candidates()[0]

    @rule()
    def killed(self) -> None:
        self._start()

    @rule()
    def power_cut(self) -> None:
        if self.lasting is None:
            self.path.unlink(missing_ok=True)
        else:
            self.path.write_bytes(self.lasting)
        self._start()

    @rule()
    def enrolled_anew(self) -> None:
        self.provisioned = self.backend.enroll()
        self._start()

    @invariant()
    def a_good_token_is_at_hand(self) -> None:
        good = {self.backend.good, self.backend.unused}
        for content in (self._content(), self.lasting):
            kept = (content or b"").decode().split()
            assert good.intersection((*kept, self.provisioned))


TestRotations = Rotations.TestCase
TestRotations.settings = settings(max_examples=150, stateful_step_count=20, deadline=None)
