"""The watcher's settings: one TOML file, checked as strictly as the kiosk's.

    [watch]
    journal = "/var/log/journal/remote"    # where systemd-journal-remote writes
    state_file = "/var/lib/.../state.json" # default: state.json in the service's StateDirectory
    kiosks = ["lobby", "shop"]             # these are missed when they fall silent
    silent_minutes = 15                    # a kiosk tells of itself every journal.alive_s
    calm_minutes = 15                      # so long after its end an alert is over
    poll_s = 2

    [visits]                               # alerts over the last visits of a kiosk
    of = 20                                # so many
    lost_percent = 10                      # more had no answer, and did not leave by themselves
    spoilt_percent = 30                    # more were spoilt
    answer_p95_ms = 3000                   # in one of twenty half of the answers took longer

    [[rule]]                               # the first that fits an entry counts
    cause = "microphone_lost"              # KIOSK_CAUSE, and/or
    message = "device_lost"                # KIOSK_EVENT, and/or
    priority = 3                           # so grave or graver (syslog: 3 error, 4 warning)
    count = 1                              # this many entries ...
    within_minutes = 10                    # ... in this time; and
    after_minutes = 0                      # what lasts has lasted for so long

    [email]
    host = "mail.example.org"
    port = 587
    tls = "starttls"                       # "implicit" (port 465), "none"
    user = "kiosks"                        # without: no login
    password_file = "/etc/..."             # default: the credential watch-smtp-password
    sender = "kiosks@example.org"
    to = ["operators@example.org"]

    [webhook]
    url_file = "/etc/..."                  # default: the credential watch-webhook-url

Without a [[rule]] those of RULES hold. At least one of [email] and [webhook] must be there.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from kiosk.base import service
from kiosk.base.name_fields import Name
from kiosk.causes import UNFIT
from kiosk.config.loading import load_table
from kiosk.config.tables import Table
from kiosk.errors import ConfigError
from kiosk.watch.entries import CAUSES, NAMES, SAFETY

WEBHOOK_CREDENTIAL = "watch-webhook-url"
PASSWORD_CREDENTIAL = "watch-smtp-password"  # noqa: S105  the name of a file

Minutes = Annotated[float, Field(ge=0, le=10_080)]
Address = Annotated[
    str,
    Field(
        pattern=r"^[^@\s<>,]+@[^@\s<>,]+$",
        description="must be one mail address, such as staff@example.org",
    ),
]


class WatchTable(Table):
    """What is watched."""

    journal: Path = Path("/var/log/journal/remote")
    state_file: Path | None = None
    kiosks: tuple[Name, ...] = ()
    silent_minutes: float = Field(default=15, gt=0, le=10_080)
    calm_minutes: Minutes = 15
    poll_s: float = Field(default=2, gt=0, le=60)


class RuleTable(Table):
    """When an alert is raised."""

    cause: str | None = None
    message: str | None = None
    priority: int | None = Field(default=None, ge=0, le=7)
    count: int = Field(default=1, ge=1, le=1000)
    within_minutes: float = Field(default=10, gt=0, le=1440)
    after_minutes: Minutes = 0

    @model_validator(mode="after")
    def _names_something(self) -> "RuleTable":
        if self.cause is None and self.message is None and self.priority is None:
            raise ValueError("a rule needs a cause, a message or a priority")
        if self.cause is not None and self.cause not in CAUSES:
            raise ValueError(f"cause: {self.cause!r} is none of {', '.join(sorted(CAUSES))}")
        if self.message is not None and self.message not in NAMES:
            raise ValueError(f"message: {self.message!r} is none of {', '.join(sorted(NAMES))}")
        return self


class VisitsTable(Table):
    """When the last visits of a kiosk are an alert together."""

    of: int = Field(default=20, ge=5, le=1000)
    lost_percent: float = Field(default=10, ge=0, le=100)
    spoilt_percent: float = Field(default=30, ge=0, le=100)
    answer_p95_ms: float = Field(default=3000, gt=0, le=60_000)


class EmailTable(Table):
    """Alerts by mail."""

    host: str = Field(min_length=1)
    port: int = Field(default=587, ge=1, le=65_535)
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    user: str = ""
    password_file: Path | None = None
    sender: Address
    to: tuple[Address, ...] = Field(min_length=1)


class WebhookTable(Table):
    """Alerts by HTTP: a POST of one JSON object each. The address is a secret."""

    url_file: Path | None = None


# A kiosk that is unfit for less than this has started, or its router has.
_UNFIT_MINUTES = 5
RULES = (
    *(RuleTable(cause=cause, after_minutes=_UNFIT_MINUTES) for cause in UNFIT),
    RuleTable(cause="service_failed"),
    # What staff should look at, though nothing is broken.
    RuleTable(cause="morning_check_failed"),
    RuleTable(message="guardrail"),
    RuleTable(cause=SAFETY),
    RuleTable(priority=3),
)


class WatchSettings(Table):
    """The whole file."""

    watch: WatchTable = WatchTable()
    visits: VisitsTable = VisitsTable()
    rule: tuple[RuleTable, ...] = RULES
    email: EmailTable | None = None
    webhook: WebhookTable | None = None

    @model_validator(mode="after")
    def _tells_somebody(self) -> "WatchSettings":
        if self.email is None and self.webhook is None:
            raise ValueError("[email] or [webhook] is needed, or nobody hears of an alert")
        return self


def load_watch_settings(path: Path) -> WatchSettings:
    """Raises ConfigError."""
    return load_table(path, WatchSettings, "kiosk/watch/settings.py lists them all")


def state_file(settings: WatchSettings) -> Path:
    """Where the watcher keeps what it must not forget; raises ConfigError."""
    if settings.watch.state_file is not None:
        return settings.watch.state_file
    directory = service.state_directory()
    if directory is None:
        raise ConfigError("watch.state_file: set it, or give the service StateDirectory=")
    return directory / "state.json"


def secret(file: Path | None, credential: str, setting: str) -> str:
    """One line, from the named file or the systemd credential; raises ConfigError."""
    file = file or service.credential(credential)
    if file is None:
        raise ConfigError(
            f"{setting}: set it, or give the service LoadCredentialEncrypted={credential}:"
            f"kiosk-watch.{credential.removeprefix('watch-')} (`systemd-creds encrypt "
            f"--name={credential} FILE /etc/credstore.encrypted/...`)"
        )
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(f"{setting}: cannot read {file}: {reason}") from error
    if not text or "\n" in text:
        raise ConfigError(f"{setting}: {file} does not hold one line")
    return text
