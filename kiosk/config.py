"""Settings of the daemon: defaults <- TOML file <- environment; secrets by systemd credentials.

Everything is frozen and checked before anything runs. A mistake becomes a ConfigError that names
the key and the line of the file (or the environment variable); secrets are never settings, only the
paths of the files that hold them.
"""

import json
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from kiosk.errors import ConfigError

ENVIRONMENT_PREFIX = "KIOSK_"
DEVICE_TOKEN_CREDENTIAL = "device-token"  # noqa: S105  the name of a file

# The header pins that an I2S sound card occupies.
I2S_PINS = range(18, 22)

Seconds = Annotated[float, Field(gt=0, le=7200)]
Pin = Annotated[int, Field(ge=0, le=27)]
Scalar = str | int | float | bool


class Table(BaseModel):
    """A TOML table: unknown keys are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class KioskTable(Table):
    """Who this kiosk is."""

    name: str = Field(default="kiosk", pattern=r"^[A-Za-z0-9._-]{1,64}$")
    site: str = ""
    language: Literal["en"] = "en"


class AgentTable(Table):
    """The ConvAI agent."""

    id: str = ""
    url: str = Field(default="wss://api.elevenlabs.io", pattern=r"^wss?://")
    overrides: dict[str, Any] = {}
    variables: dict[str, Scalar] = {}


class CredentialsTable(Table):
    """How a conversation is opened."""

    mode: Literal["backend", "public"] = "backend"
    backend_url: str = Field(default="http://127.0.0.1:8080", pattern=r"^https?://")
    device_token_file: Path | None = None
    policy: Literal["warm", "on_press"] = "warm"


class ButtonTable(Table):
    """What the visitor presses."""

    driver: Literal["gpio", "keyboard", "none"] = "gpio"
    pin: Pin = 17
    pull_up: bool = True
    debounce_ms: int = Field(default=30, ge=0, le=500)
    mode: Literal["toggle", "hold"] = "toggle"
    while_speaking: Literal["hang_up", "cut_turn"] = "hang_up"


class IndicatorTable(Table):
    """The lamps."""

    driver: Literal["gpio", "none"] = "gpio"
    pin: Pin = 27
    recording_pin: Pin | None = 22


class CaptureTable(Table):
    """The microphone."""

    driver: Literal["alsa", "virtual"] = "alsa"
    device: str = "default"
    rate_hz: int = Field(default=48_000, ge=8000, le=192_000)
    channels: int = Field(default=1, ge=1, le=8)
    period_ms: int = Field(default=20, ge=5, le=100)
    file: Path | None = None


class PlaybackTable(Table):
    """The loudspeaker."""

    driver: Literal["alsa", "virtual"] = "alsa"
    device: str = "default"
    rate_hz: int = Field(default=48_000, ge=8000, le=192_000)
    channels: int = Field(default=2, ge=1, le=8)
    period_ms: int = Field(default=20, ge=5, le=40)
    buffer_ms: int = Field(default=80, ge=20, le=80)


class GateTable(Table):
    """What counts as speech."""

    mode: Literal["vad", "open"] = "vad"
    aggressiveness: int = Field(default=3, ge=0, le=3)
    onset_ms: int = Field(default=60, ge=20, le=500)
    preroll_ms: int = Field(default=300, ge=0, le=1000)
    hangover_ms: int = Field(default=600, ge=100, le=3000)
    room_tone_ms: int = Field(default=1500, ge=1500, le=10_000)


class VisitTable(Table):
    """Limits of a visit, and what the kiosk itself says."""

    max_s: Seconds = 570
    warning_s: Seconds = 30
    idle_s: Seconds = 20
    answer_s: Seconds = 20
    connect_s: Seconds = 15
    reconnects: int = Field(default=3, ge=0, le=10)
    disclosure: bool = True
    voice: str = Field(default="en-gb+f2", pattern=r"^[A-Za-z0-9+_-]{1,64}$")
    words_per_minute: int = Field(default=160, ge=80, le=400)
    messages_dir: Path | None = None

    @model_validator(mode="after")
    def _warning_fits(self) -> "VisitTable":
        if self.warning_s >= self.max_s:
            raise ValueError("warning_s must be less than max_s")
        return self


class ControlTable(Table):
    """The local control socket."""

    socket: Path = Path("/run/kiosk/control.sock")


class JournalTable(Table):
    """Logging."""

    level: Literal["debug", "info", "notice", "warning", "error"] = "info"


class Settings(BaseSettings):
    """The whole configuration, one field a table."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=ENVIRONMENT_PREFIX,
        env_nested_delimiter="__",
    )

    kiosk: KioskTable = KioskTable()
    agent: AgentTable = AgentTable()
    credentials: CredentialsTable = CredentialsTable()
    button: ButtonTable = ButtonTable()
    indicator: IndicatorTable = IndicatorTable()
    capture: CaptureTable = CaptureTable()
    playback: PlaybackTable = PlaybackTable()
    gate: GateTable = GateTable()
    visit: VisitTable = VisitTable()
    control: ControlTable = ControlTable()
    journal: JournalTable = JournalTable()

    @model_validator(mode="after")
    def _agent_is_named(self) -> "Settings":
        if self.credentials.mode == "public" and not self.agent.id:
            raise ValueError('agent.id is needed when credentials.mode = "public"')
        return self

    @model_validator(mode="after")
    def _pins_are_free(self) -> "Settings":
        pins = {}
        if self.button.driver == "gpio":
            pins["button.pin"] = self.button.pin
        if self.indicator.driver == "gpio":
            pins["indicator.pin"] = self.indicator.pin
            if self.indicator.recording_pin is not None:
                pins["indicator.recording_pin"] = self.indicator.recording_pin
        for key, pin in pins.items():
            if twins := [other for other, its in pins.items() if its == pin and other != key]:
                raise ValueError(f"{key} and {twins[0]} are both GPIO {pin}")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (env_settings, init_settings)


def load_settings(path: Path | None) -> Settings:
    """Read the file (none: defaults) and the environment; raises ConfigError."""
    text = "" if path is None else _read(path)
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from error
    try:
        return Settings(**values)
    except ValidationError as error:
        raise ConfigError(_explain(error, text, path)) from error
    except SettingsError as error:  # its text names only the table
        raise ConfigError(_explain_environment()) from error


def device_token(settings: Settings) -> str:
    """The device token, from the named file or the systemd credential; raises ConfigError."""
    path = settings.credentials.device_token_file
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if path is None and directory:
        path = Path(directory) / DEVICE_TOKEN_CREDENTIAL
    if path is None:
        raise ConfigError(
            "no device token: set credentials.device_token_file, or give the service "
            f"LoadCredential={DEVICE_TOKEN_CREDENTIAL}:PATH; `kiosk backend enroll` makes one"
        )
    token = _read(path).strip()
    if not token or not token.isascii() or any(map(str.isspace, token)):
        raise ConfigError(f"{path}: not a device token; `kiosk backend enroll` makes one")
    return token


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(f"cannot read {path}: {reason}") from error


def _explain(error: ValidationError, text: str, path: Path | None) -> str:
    """One line for each mistake: where it is, which key, what is wrong."""
    lines = []
    for mistake in error.errors(include_url=False, include_input=False):
        keys = [str(part) for part in mistake["loc"]]
        name = ".".join(keys)
        what = mistake["msg"].removeprefix("Value error, ")
        if mistake["type"] == "extra_forbidden":
            what = "no such setting; config.example.toml lists them all"
        variable = ENVIRONMENT_PREFIX + "__".join(keys).upper()
        if variable in os.environ:
            lines.append(f"environment {variable}: {what}")
            continue
        line = _line_of(text, keys)
        where = f"{path}, line {line}" if path and line else str(path or "configuration")
        lines.append(f"{where}: {name}: {what}" if name else f"{where}: {what}")
    return "\n".join(lines)


def _explain_environment() -> str:
    """The variables that should hold a table as JSON and do not."""
    tables = {f"{ENVIRONMENT_PREFIX}{name}".upper() for name in Settings.model_fields}
    tables |= {f"{ENVIRONMENT_PREFIX}AGENT__{name}" for name in ("OVERRIDES", "VARIABLES")}
    wrong = [name for name in os.environ if name.upper() in tables and not _is_json(name)]
    return "\n".join(f"environment {name}: a whole table is written as JSON" for name in wrong)


def _is_json(variable: str) -> bool:
    try:
        json.loads(os.environ[variable])
    except ValueError:
        return False
    return True


def _line_of(text: str, keys: list[str]) -> int | None:
    """The line on which a key stands, its table's heading if the key itself is not there."""
    heading_line, table, wanted = None, "", ".".join(keys)
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if stripped.startswith("["):
            table = stripped.strip("[] ").split("#")[0].strip("[] ")
            if keys and table == keys[0]:
                heading_line = number
            if table == wanted:
                return number
        elif "=" in stripped and not stripped.startswith("#"):
            key = stripped.split("=")[0].strip().strip('"')
            full = f"{table}.{key}" if table else key
            # Inside a free table, such as agent.variables, the mistake is deeper than the key.
            if wanted == full or ("." in full and wanted.startswith(f"{full}.")):
                return number
    return heading_line
