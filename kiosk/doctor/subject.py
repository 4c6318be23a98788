"""Subject of an examination: the settings, and the kiosk that runs with them, if one does."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kiosk.config import Settings, load_settings
from kiosk.errors import ConfigError, KioskError, UnavailableError
from kiosk.ops.control import request_within
from kiosk.visit.languages import load_language

UNIT = "kiosk.service"
_TELLS = ("ActiveState", "SubState", "Result", "User", "SupplementaryGroups")
_SYSTEMCTL_S = 2.0
_STATUS_S = 2.0


@dataclass(frozen=True, slots=True)
class Service:
    """The kiosk that answers on the control socket. `status` None: none does; `trouble` then says
    why one may run all the same, and what it holds must be left alone."""

    status: Mapping[str, object] | None = None
    trouble: str | None = None
    unit: Mapping[str, str] = field(default_factory=dict)  # systemd's account of it, if it has one


@dataclass(frozen=True, slots=True)
class Subject:
    """Where `mistake` says why the settings cannot be used, they are the defaults."""

    settings: Settings
    path: Path | None
    service: Service
    mistake: ConfigError | None = None
    in_use: bool = False  # the settings are those of the running kiosk, whatever the file says now

    @property
    def name(self) -> str | None:
        return None if self.mistake else self.settings.kiosk.name


def admit(path: Path | None) -> Subject:
    """Read the settings and ask the kiosk how it is. Takes its time: call it in a thread."""
    try:
        settings = load_settings(path)
        for language in settings.languages:
            load_language(language, settings.kiosk.sentences_dir)
    except ConfigError as mistake:
        return Subject(Settings.model_construct(), path, Service(), mistake)
    return Subject(settings, path, _service(settings.control.socket))


def in_use(settings: Settings) -> Subject:
    """The running kiosk, by its own settings. To be called in a thread, as above."""
    return Subject(settings, None, _service(settings.control.socket), in_use=True)


def _service(socket: Path) -> Service:
    unit = systemd_shows(UNIT, *_TELLS)
    try:
        return Service(request_within(_STATUS_S, socket, "status"), unit=unit)
    except UnavailableError as error:
        return Service(trouble=_trouble(socket, error.__cause__, unit), unit=unit)
    except KioskError as error:
        return Service(trouble=str(error), unit=unit)


def _trouble(socket: Path, error: BaseException | None, unit: Mapping[str, str]) -> str | None:
    match error:
        case PermissionError():
            return f"this user may not ask on {socket}"
        case FileNotFoundError() | ConnectionRefusedError():
            starting = unit.get("ActiveState") == "activating" and unit.get("SubState") == "start"
            return "the kiosk is just being started" if starting else None
        case _:
            return f"no sensible answer on {socket} ({error})"


def systemd_shows(unit: str, *names: str) -> dict[str, str]:
    """These properties of a unit, by systemd's account; nothing where there is no such unit."""
    if not Path("/run/systemd/system").is_dir():
        return {}
    command = ["systemctl", "show", unit, "--property=" + ",".join(("LoadState", *names))]
    try:
        done = subprocess.run(  # noqa: S603  our own command
            command, capture_output=True, text=True, timeout=_SYSTEMCTL_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    said = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    return said if said.get("LoadState") == "loaded" else {}
