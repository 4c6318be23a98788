"""The backend's settings: defaults <- environment <- command line. Opens no database, no socket.

The API key is not a setting: it is read from a file when the server starts, and never stands in
the environment, on a command line, in a log or in a repr.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from kiosk.backend.books.database import DEFAULT_TENANT, parse_url
from kiosk.base import service
from kiosk.base.mistakes import in_words
from kiosk.base.name_fields import AgentIdOrEmpty, RoleOrEmpty
from kiosk.base.names import RECORD_NAME
from kiosk.errors import ConfigError

PREFIX = "KIOSK_BACKEND_"
KEY_CREDENTIAL = "elevenlabs-api-key"
WEBHOOK_CREDENTIAL = "elevenlabs-webhook-secret"
LLM_CREDENTIAL = "llm-secret"
MODEL_CREDENTIAL = "model-key"
_SQLITE = "sqlite:///"


def _default_database() -> str:
    return _SQLITE + str((service.state_directory() or Path()) / "kiosk-backend.db")


class BackendSettings(BaseSettings):
    """Everything an operator can set; environment variables carry the prefix `KIOSK_BACKEND_`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    database: str = Field(default_factory=_default_database)
    tenant: str = Field(
        default=DEFAULT_TENANT,
        pattern=f"^{RECORD_NAME.pattern}$",
        description="may have letters, digits, dots, hyphens and underscores, up to 64, and begins "
        "with a letter or a digit",
    )
    serving_role: RoleOrEmpty = ""
    provider_url: str = "https://api.elevenlabs.io"
    agent_id: AgentIdOrEmpty = ""
    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=8080, ge=0, le=65535)
    include_conversation_id: bool = True
    api_key_file: Path | None = None
    webhook_secret_file: Path | None = None
    characters_dir: Path | None = None
    # A flow of the package's, or a file of your own: a flow, or a persona.
    mind: str = Field(default="", max_length=500)
    llm_secret_file: Path | None = None
    model_key_file: Path | None = None
    store_transcripts: bool = False
    visit_days: int = Field(default=400, ge=35, le=36500)
    transcript_days: int = Field(default=30, ge=1, le=3650)
    # Credits that a tenant may use in a month; 0: nothing is held against it.
    monthly_budget: int = Field(default=0, ge=0, le=10**12)
    backup_dir: Path | None = None
    backup_keep: int = Field(default=14, ge=1, le=10000)
    backup_role: RoleOrEmpty = ""

    @field_validator("database")
    @classmethod
    def _is_known(cls, url: str) -> str:
        parse_url(url)
        return url

    @field_validator("provider_url")
    @classmethod
    def _is_base_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be http://HOST or https://HOST, with an optional path")
        if parts.query or parts.fragment or parts.username is not None:
            raise ValueError("must have no query, no fragment and no user name")
        return url.rstrip("/")

    @property
    def database_url(self) -> sa.URL:
        """Where the rows are; a relative path starts at the working directory."""
        return parse_url(self.database)


def load_settings(given: Mapping[str, object] | None = None) -> BackendSettings:
    """Settings with `given` (from the command line) on top; raises ConfigError naming the key."""
    _refuse_unknown_variables()
    chosen: dict[str, Any] = {k: v for k, v in (given or {}).items() if v is not None}
    try:
        return BackendSettings(**chosen)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False)
        lines = []
        for mistake in in_words(found, BackendSettings.model_json_schema()):
            key = mistake.keys[0] if mistake.keys else "settings"
            where = f"--{key.replace('_', '-')}" if key in chosen else f"{PREFIX}{key.upper()}"
            lines.append(f"{where}: {mistake.what}")
        raise ConfigError("\n".join(lines)) from None


def read_api_key(settings: BackendSettings) -> SecretStr:
    """The key from `api_key_file`, else from systemd's credentials; raises ConfigError."""
    path = settings.api_key_file or service.credential(KEY_CREDENTIAL)
    if path is None:
        raise ConfigError(
            f"no ElevenLabs API key: give systemd the credential {KEY_CREDENTIAL} "
            f"(LoadCredential=), or set {PREFIX}API_KEY_FILE to a file that holds it"
        )
    keys = _read_secrets(path)
    if len(keys) != 1:
        raise ConfigError(f"{path} does not hold an API key: one line of printable ASCII")
    return keys[0]


def read_webhook_secrets(settings: BackendSettings) -> list[SecretStr]:
    """The secrets of webhooks, one a line, from `webhook_secret_file`, else from systemd's
    credentials; none if there is no such file: then no webhook is believed. Raises ConfigError."""
    return _secrets_of(settings.webhook_secret_file, WEBHOOK_CREDENTIAL, "webhook secrets")


def read_llm_secrets(settings: BackendSettings) -> list[SecretStr]:
    """What a custom LLM's questions may show, one a line, from `llm_secret_file`, else from
    systemd's credentials; none: nothing is answered at that door. Raises ConfigError."""
    return _secrets_of(settings.llm_secret_file, LLM_CREDENTIAL, "a custom LLM's secrets")


def read_model_key(settings: BackendSettings) -> SecretStr | None:
    """The key of the model behind a mind, from `model_key_file`, else from systemd's credentials;
    None if there is no such file. Raises ConfigError."""
    keys = _secrets_of(settings.model_key_file, MODEL_CREDENTIAL, "a model's key")
    if len(keys) > 1:
        raise ConfigError("a model's key is one line of printable ASCII, and there are several")
    return keys[0] if keys else None


def _secrets_of(path: Path | None, credential: str, what: str) -> list[SecretStr]:
    path = path or service.credential(credential)
    if path is None:
        return []
    found = _read_secrets(path)
    if not found:
        raise ConfigError(f"{path} does not hold {what}: lines of printable ASCII")
    return found


def _read_secrets(path: Path) -> list[SecretStr]:
    """The lines; none if any is not a secret, which must not be quoted. Raises ConfigError."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    lines = [line.strip() for line in lines if line.strip()]
    # A header value is printable ASCII; anything else is the wrong file.
    if not all(0x21 <= byte <= 0x7E for line in lines for byte in line):
        return []
    return [SecretStr(line.decode("ascii")) for line in lines]


def require_agent(settings: BackendSettings) -> None:
    """Raises ConfigError unless an agent is set: the one thing without a sensible default."""
    if not settings.agent_id:
        raise ConfigError(f"no agent: set {PREFIX}AGENT_ID or give --agent-id")


def _refuse_unknown_variables() -> None:
    # pydantic-settings overlooks a misspelt variable; an operator would wonder for a long time.
    for name in os.environ:
        if (
            name.startswith(PREFIX)
            and name.removeprefix(PREFIX).lower() not in BackendSettings.model_fields
        ):
            known = ", ".join(PREFIX + field.upper() for field in BackendSettings.model_fields)
            raise ConfigError(f"{name} is not a setting; these are: {known}")
