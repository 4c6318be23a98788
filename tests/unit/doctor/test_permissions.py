import grp
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kiosk.doctor import permissions
from kiosk.doctor.findings import Finding, Result
from kiosk.doctor.permissions import Who
from kiosk.doctor.subject import Service, Subject
from tests.unit.doctor.subjects import is_good_form, settings

UID, GID = 1234, 4321
GPIO = {"driver": "gpio"}


@pytest.fixture
def machine() -> Iterator[Path]:
    """Devices of this user's group, and files, where anybody may look."""
    directory = Path(tempfile.mkdtemp(prefix="kiosk-", dir="/tmp"))
    yield _filled(directory)
    shutil.rmtree(directory)


def _filled(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    for name in ("dev/snd/controlC0", "dev/gpiochip0", "config.toml", "token"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        path.chmod(0o640)
    for node in ("dev/snd/controlC0", "dev/gpiochip0"):
        (tmp_path / node).chmod(0o660)
    return tmp_path


def look(machine: Path, *gids: int, uid: int = UID) -> Finding:
    its = settings(
        capture={"driver": "alsa"},
        button=GPIO,
        credentials={
            "mode": "backend",
            "backend_url": "http://x",
            "device_token_file": machine / "token",
        },
    )
    told: dict[str, object] = {"uid": uid, "gids": " ".join(map(str, gids))}
    of = Subject(its, machine / "config.toml", Service(told))
    [found] = permissions.look(of, machine / "dev")
    assert is_good_form(found)
    return found


def test_a_kiosk_in_the_right_groups_passes(machine: Path) -> None:
    assert look(machine, os.getgid()).result is Result.PASS


def test_groups_that_a_user_namespace_hides_are_looked_up(machine: Path) -> None:
    """PrivateUsers= shows a service each of its groups as nobody's."""
    found = look(machine, 65534, uid=os.getuid())
    assert "nogroup" not in found.value
    assert found.result is Result.PASS


def test_the_groups_that_are_lacking_are_named_with_the_command(machine: Path) -> None:
    found = look(machine, GID)
    assert found.result is Result.FAIL
    assert "lacks audio and gpio" in found.value
    assert "usermod -aG audio,gpio" in str(found.next_step)
    (machine / "dev/gpiochip0").chmod(0o666)
    assert look(machine, GID).value.endswith("lacks audio")


def test_devices_that_are_not_there_need_no_group(machine: Path) -> None:
    (machine / "dev/gpiochip0").unlink()
    (machine / "dev/snd/controlC0").unlink()
    for name in ("config.toml", "token"):
        (machine / name).chmod(0o644)
    assert look(machine, GID).result is Result.WARN


def test_a_token_that_the_kiosk_cannot_read_fails(machine: Path) -> None:
    (machine / "token").chmod(0o600)
    found = look(machine, os.getgid())
    assert found.result is Result.FAIL
    assert "cannot read the token" in found.value
    assert f"chmod 640 {machine / 'token'}" in str(found.next_step)


def test_a_token_that_anybody_can_read_is_warned_of(machine: Path) -> None:
    (machine / "token").chmod(0o644)
    found = look(machine, os.getgid())
    assert found.result is Result.WARN
    assert "anybody can read the token" in found.value


def test_a_token_that_is_not_there_is_named(machine: Path) -> None:
    (machine / "token").unlink()
    assert str(machine / "token") in look(machine, os.getgid()).value


def test_a_directory_on_the_way_counts(machine: Path) -> None:
    (machine / "etc").mkdir(mode=0o700)
    (machine / "etc" / "config.toml").touch()
    (machine / "etc" / "config.toml").chmod(0o644)
    assert Who("x", UID, frozenset((GID,))).may_read(machine / "etc" / "config.toml") is False


def test_root_may_everything(machine: Path) -> None:
    (machine / "token").chmod(0)
    assert look(machine, GID, uid=0).result is Result.PASS


def test_root_looks_on_behalf_of_the_services_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 0)
    unit = {"User": "nobody", "SupplementaryGroups": "audio"}
    who = permissions.whose(Subject(settings(), None, Service(unit=unit)))
    assert who.name == "nobody"
    assert grp.getgrnam("audio").gr_gid in who.gids


def test_anybody_else_looks_for_himself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: UID)
    who = permissions.whose(Subject(settings(), None, Service()))
    assert (who.uid, who.name) == (UID, str(UID))


def test_a_file_that_whoever_asks_may_not_look_at_is_not_judged(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Who, "may_read", forbidden)
    assert look(machine, os.getgid()).result is Result.SKIP
