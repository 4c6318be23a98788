"""Loading the settings: defaults <- TOML file <- environment; secrets by systemd credentials.

A mistake becomes a ConfigError that names the key and the line of the file (or the environment
variable).
"""

import json
import os
import re
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_settings import SettingsError

from kiosk.base import service
from kiosk.base.mistakes import Schema, in_words, keys_with_kinds
from kiosk.base.toml_lines import line_of, parse_toml
from kiosk.config.tables import ENVIRONMENT_PREFIX, ControlTable, Settings
from kiosk.errors import ConfigError, DeviceTokenError

M = TypeVar("M", bound=BaseModel)

DEVICE_TOKEN_CREDENTIAL = "device-token"  # noqa: S105  the name of a file
_ENROLL = "`kiosk backend enroll NAME --code` gives a code for one"
_NO_TOKEN = (
    f"no device token: on the backend {_ENROLL}; here `kiosk enroll | sudo systemd-creds encrypt "
    f"--name={DEVICE_TOKEN_CREDENTIAL} - /etc/credstore.encrypted/kiosk.device-token` stores it "
    "for the service; a kiosk that is not a service reads credentials.device_token_file"
)


def load_settings(path: Path | None) -> Settings:
    """Read the file (none: defaults) and the environment; raises ConfigError."""
    return _settings_of(path, "" if path is None else read_text(path))


def check_text(path: Path, text: str) -> None:
    """Raises ConfigError if this file could not be read with this text in it."""
    _settings_of(path, text)


def _settings_of(path: Path | None, text: str) -> Settings:
    values = parse_toml(str(path), text)
    try:
        return Settings(**values)
    except ValidationError as error:
        raise ConfigError(_explain(error, text, path, Settings.model_json_schema())) from error
    except SettingsError as error:  # its text names only the table
        raise ConfigError(_explain_environment()) from error


def control_socket(path: Path | None) -> Path:
    """Where the running kiosk answers, also while its file is being edited and holds a mistake;
    raises ConfigError where nothing of it can be read."""
    try:
        return load_settings(path).control.socket
    except ConfigError:
        pass
    named = os.environ.get(f"{ENVIRONMENT_PREFIX}CONTROL__SOCKET")
    if named is None and path is not None:
        named = _socket_in(read_text(path))
    return ControlTable().socket if named is None else Path(named)


def _socket_in(text: str) -> str | None:
    """What `[control] socket` says in a file, whatever else in it is wrong."""
    table = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            table = line.split("]")[0].strip("[ ")
        found = re.match(r"(?:control\.)?socket\s*=\s*[\"']([^\"']+)[\"']", line)
        if found and (table == "control" or (not table and line.startswith("control."))):
            return found[1]
    return None


def load_table(path: Path, model: type[M], documented: str) -> M:
    """Another file of settings, as strictly, without the environment; raises ConfigError.
    `documented` tells where its settings are listed."""
    text = read_text(path)
    values = parse_toml(str(path), text)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        schema = model.model_json_schema()
        raise ConfigError(_explain(error, text, path, schema, documented)) from error


def compat_api_key(settings: Settings) -> str | None:
    """The key that goes into the query, where `convai.compat` asks for it; raises ConfigError."""
    path = settings.convai.compat.api_key_file
    return None if path is None else read_text(path).strip()


def device_token(settings: Settings) -> str:
    """The device token, from the named file or the systemd credential; raises ConfigError."""
    path = settings.credentials.device_token_file or service.credential(DEVICE_TOKEN_CREDENTIAL)
    if path is None:
        raise DeviceTokenError(_NO_TOKEN)
    try:
        token = read_text(path).strip()
    except ConfigError as error:
        raise DeviceTokenError(f"{error}; {_ENROLL}") from error
    if not token or not token.isascii() or any(map(str.isspace, token)):
        raise DeviceTokenError(f"{path}: not a device token; {_ENROLL}")
    return token


def state_dir(settings: Settings) -> Path | None:
    """Where what must outlive the process is kept: the named directory, or the service's; None
    where there is neither. Raises ConfigError."""
    named = settings.credentials.state_dir
    if named is not None:
        if not named.is_dir():
            raise ConfigError(f"credentials.state_dir: {named} is not a directory")
        return named
    return service.state_directory()


def read_text(path: Path) -> str:
    """A file's text; raises ConfigError, from the OSError where there is one."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(f"cannot read {path}: {reason}") from error


def _explain(
    error: ValidationError,
    text: str,
    path: Path | None,
    schema: Schema,
    documented: str = "config.example.toml lists them all",
) -> str:
    """One line for each mistake: where it is, which key, what is wrong."""
    lines = []
    errors = error.errors(include_url=False, include_input=False)
    for mistake in in_words(errors, schema, f"no such setting; {documented}"):
        keys, what = list(mistake.keys), mistake.what
        name = ".".join(keys)
        if (variable := _variable_with(keys)) is not None:
            lines.append(f"environment {variable}: {what}")
            continue
        line = line_of(text, keys)
        where = f"{path}, line {line}" if path and line else str(path or "configuration")
        lines.append(f"{where}: {name}: {what}" if name else f"{where}: {what}")
    return "\n".join(lines)


def _variable_with(keys: list[str]) -> str | None:
    """The environment variable that says so: the key's own, or that of a table above it; there the
    key's name belongs to it."""
    for length in range(len(keys), 0, -1):
        wanted = ENVIRONMENT_PREFIX + "__".join(keys[:length]).upper()
        for variable, text in os.environ.items():
            if variable.upper() != wanted:
                continue
            if length == len(keys):
                return variable
            if _holds(text, keys[length:]):
                return f"{variable}: {'.'.join(keys)}"
    return None


def _holds(text: str, keys: list[str]) -> bool:
    try:
        value = json.loads(text)
    except ValueError:
        return False
    for key in keys:
        if not isinstance(value, dict) or key not in value:
            return isinstance(value, list)
        value = value[key]
    return True


def _explain_environment() -> str:
    """The variables that should hold a table or a list as JSON and do not."""
    tables = {
        (ENVIRONMENT_PREFIX + "__".join(keys)).upper()
        for keys, kinds in keys_with_kinds(Settings.model_json_schema())
        if kinds & {"object", "array"}
    }
    wrong = [name for name in os.environ if name.upper() in tables and not _is_json(name)]
    return "\n".join(f"environment {name}: tables and lists are written as JSON" for name in wrong)


def _is_json(variable: str) -> bool:
    try:
        json.loads(os.environ[variable])
    except ValueError:
        return False
    return True
