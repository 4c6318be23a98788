"""Permissions of the kiosk's user: sound cards, GPIO chips, its configuration and its token.

Asked of the running kiosk if there is one; otherwise it is the service's user that matters, and
where there is no service, whoever asks.
"""

import contextlib
import grp
import os
import pwd
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kiosk.config import Settings
from kiosk.doctor.findings import Finding, failed, passed, skipped, warned
from kiosk.doctor.subject import Subject

_CHECK = "permissions"
_SERVICE_USER = "kiosk"
_READ, _WRITE, _ENTER = 4, 2, 1
# How a group looks from within a user namespace that has no name for it (PrivateUsers=).
_UNMAPPED = 65534


@dataclass(frozen=True, slots=True)
class Who:
    """A user, with the groups it runs in."""

    name: str
    uid: int
    gids: frozenset[int]

    def may(self, path: Path, want: int) -> bool | None:
        """By the bits of the mode; None where there is no such path. Raises PermissionError where
        whoever looks may not."""
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if self.uid == 0:
            return True
        mode = stat.S_IMODE(found.st_mode)
        if found.st_uid == self.uid:
            return mode >> 6 & want == want
        return mode >> (3 if found.st_gid in self.gids else 0) & want == want

    def may_read(self, path: Path) -> bool | None:
        """With every directory on the way."""
        ways = [self.may(parent, _ENTER) for parent in path.absolute().parents]
        return self.may(path, _READ) if all(way is not False for way in ways) else False


def look(subject: Subject, dev: Path = Path("/dev")) -> Iterator[Finding]:
    who, settings = whose(subject), subject.settings
    lacking = [group for group, nodes in _nodes(settings, dev) if not _any_of(who, nodes)]
    names = ", ".join(_group_name(gid) for gid in sorted(who.gids)) or "no group"
    value = f"{who.name} ({names})"
    if lacking:
        groups = ",".join(lacking)
        step = f"`sudo usermod -aG {groups} {who.name}`, then log in or start the service anew"
        yield failed(_CHECK, f"{value} lacks {' and '.join(lacking)}", step)
        return
    files = {"the configuration": subject.path, "the token": settings.credentials.device_token_file}
    for what, path in files.items():
        if path is not None and (finding := _file(who, what, path)) is not None:
            yield finding
            return
    yield passed(_CHECK, f"{value}: sound, GPIO and files as it needs them")


def whose(subject: Subject) -> Who:
    """The user that matters."""
    unit = subject.service.unit
    if subject.service.status is not None:
        if (told := _told(subject.service.status)) is not None:
            if _UNMAPPED in told.gids:
                # It is in groups that it cannot name: they are the user's and the unit's.
                with contextlib.suppress(KeyError):
                    return _named(told.name, unit.get("SupplementaryGroups", ""))
            return told
    elif unit or os.getuid() == 0:
        # Without such a user root runs the kiosk itself.
        with contextlib.suppress(KeyError):
            return _named(unit.get("User") or _SERVICE_USER, unit.get("SupplementaryGroups", ""))
    gids = frozenset((os.getgid(), *os.getgroups()))
    return Who(_user_name(os.getuid()), os.getuid(), gids)


def _told(status: Mapping[str, object]) -> Who | None:
    uid, gids = status.get("uid"), status.get("gids")
    if not isinstance(uid, int) or not isinstance(gids, str):
        return None
    return Who(_user_name(uid), uid, frozenset(map(int, gids.split())))


def _named(name: str, beside: str) -> Who:
    """With the groups that the service's unit gives it; raises KeyError."""
    user = pwd.getpwnam(name)
    given = [group.gr_gid for group in grp.getgrall() if group.gr_name in beside.split()]
    return Who(name, user.pw_uid, frozenset((*os.getgrouplist(name, user.pw_gid), *given)))


def _nodes(settings: Settings, dev: Path) -> Iterator[tuple[str, list[Path]]]:
    if "alsa" in (settings.capture.driver, settings.playback.driver):
        yield "audio", sorted(dev.glob("snd/controlC*"))
    if "gpio" in (settings.button.driver, settings.indicator.driver):
        yield "gpio", sorted(dev.glob("gpiochip*"))


def _any_of(who: Who, nodes: list[Path]) -> bool:
    """Whether one of them may be used; with none there is nothing to lack a right to."""
    return not nodes or any(who.may(node, _READ | _WRITE) for node in nodes)


def _file(who: Who, what: str, path: Path) -> Finding | None:
    try:
        readable = who.may_read(path)
    except PermissionError:
        step = "ask again as root: `sudo kiosk doctor`"
        return skipped(_CHECK, f"this user may not look at {what}, {path}", step)
    if readable is None:
        step = f"put {what} there, or correct the line that names it"
        return failed(_CHECK, f"{what}, {path}, is not there", step)
    if not readable:
        step = f"`sudo chgrp {who.name} {path} && sudo chmod 640 {path}`"
        return failed(_CHECK, f"{who.name} cannot read {what}, {path}", step)
    if what == "the token" and path.stat().st_mode & stat.S_IROTH:
        return warned(_CHECK, f"anybody can read {what}, {path}", f"`sudo chmod o-r {path}`")
    return None


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
