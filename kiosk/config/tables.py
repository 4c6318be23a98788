"""The settings themselves: one frozen model a TOML table, with defaults, units and ranges."""

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from kiosk.base.name_fields import AgentIdOrEmpty, Name
from kiosk.contract import AgentEdition, LeasePolicy, Transport
from kiosk.convai.overrides import ConversationOverrides

ENVIRONMENT_PREFIX = "KIOSK_"

# hw:0, plughw:1,0, hw:CARD=0, sysdefault:1, plug:'hw:0', a bare number; hw alone is number 0.
_CARD_NUMBER = re.compile(
    r"""(^|['":=])\s*((plug)?hw|[a-z][a-z0-9_]{2,}):\s*\d+(?=$|[,'"\s])"""
    r"""|CARD=\d+(?=$|[,'"\s])|^\s*((plug)?hw|\d+)\s*$"""
)

LANGUAGE_CODE = r"^[a-z]{2}(-[a-z]{2})?$"
# As `espeak-ng --voices` has it, with a variant.
VOICE_NAME = r"^[A-Za-z0-9+_-]{1,64}$"

Seconds = Annotated[float, Field(gt=0, le=7200)]
Pin = Annotated[int, Field(ge=0, le=27)]
Scalar = str | int | float | bool

# Those that every kiosk has.
OWN_TOOLS = ("kiosk_info",)


class Table(BaseModel):
    """A TOML table: unknown keys are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _language(code: str) -> str:
    if not re.match(LANGUAGE_CODE, code):
        raise ValueError(
            f'{code!r} is no code of a language, such as "de" or "pt-br"; the README says which '
            "there are"
        )
    return code


LanguageCode = Annotated[str, AfterValidator(_language)]


class KioskTable(Table):
    """Who this kiosk is."""

    name: Name = "kiosk"
    site: str = ""
    language: LanguageCode = "en"
    languages: tuple[LanguageCode, ...] = Field(default=(), max_length=16)
    institution: str = Field(default="", max_length=100)
    sentences_dir: Path = Path("/etc/kiosk/sentences")


class AgentTable(Table):
    """The ConvAI agent."""

    id: AgentIdOrEmpty = ""
    url: str = Field(
        default="wss://api.elevenlabs.io",
        pattern=r"^wss?://",
        description="must begin with wss:// (or ws://)",
    )
    transport: Transport = "websocket"
    overrides: ConversationOverrides = ConversationOverrides()
    variables: dict[str, Scalar | list[Scalar]] = {}
    custom_llm_extra_body: dict[str, Any] = {}
    branch_id: Name | None = None
    version_id: Name | None = None
    environment: Name | None = None
    approved_mcp_tools: tuple[str, ...] = ()
    tool_timeout_s: Seconds = 10
    trial_calls: Literal["never", "gate", "always"] = "never"

    @property
    def edition(self) -> AgentEdition:
        """That of the agent which this kiosk talks with."""
        return AgentEdition(
            branch_id=self.branch_id, version_id=self.version_id, environment=self.environment
        )

    @field_validator("variables", "custom_llm_extra_body", mode="before")
    @classmethod
    def _can_be_sent(cls, value: Any) -> Any:
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"cannot be sent as JSON: {error}") from None
        return value

    @model_validator(mode="after")
    def _it_speaks(self) -> "AgentTable":
        conversation = self.overrides.conversation
        if conversation is not None and conversation.text_only:
            raise ValueError("overrides.conversation.text_only: a voice kiosk needs the voice")
        return self


class WebrtcTable(Table):
    """The other road to the agent, where `agent.transport` chooses it."""

    url: str = Field(
        default="",
        pattern=r"^(wss?://.*)?$",
        description="must begin with wss:// (or ws://), or be empty",
    )
    relay_only: bool = False
    single_peer_connection: bool = True


class CredentialsTable(Table):
    """How a conversation is opened."""

    mode: Literal["backend", "public"] = "backend"
    backend_url: str = Field(
        default="http://127.0.0.1:8080",
        pattern=r"^https?://",
        description="must begin with https:// (or http://)",
    )
    device_token_file: Path | None = None
    policy: LeasePolicy = "warm"
    leases: int = Field(default=1, ge=1, le=3)
    state_dir: Path | None = None


class ButtonTable(Table):
    """What the visitor presses."""

    driver: Literal["gpio", "keyboard", "none"] = "gpio"
    pin: Pin = 17
    pull_up: bool = True
    debounce_ms: int = Field(default=30, ge=0, le=500)
    mode: Literal["toggle", "hold"] = "toggle"
    while_speaking: Literal["hang_up", "cut_turn"] = "hang_up"


class KeyTable(Table):
    """A button beside the button. With a language it begins a visit in it, and changes to it; with
    a question it asks that, in a visit that it begins if there is none; or it changes how loud the
    visit is."""

    pin: Pin
    language: LanguageCode | None = None
    ask: str | None = Field(default=None, min_length=1, max_length=500)
    volume: Literal["up", "down"] | None = None

    @model_validator(mode="after")
    def _has_one_use(self) -> "KeyTable":
        uses = (self.language, self.ask, self.volume)
        if sum(use is not None for use in uses) != 1:
            raise ValueError("a key has one of language, ask and volume")
        return self


class ParameterTable(Table):
    """A parameter of a tool, as the agent must give it."""

    type: Literal["string", "number", "integer", "boolean"] = "string"
    choices: tuple[Scalar, ...] = ()
    least: float | None = None
    most: float | None = None
    longest: Annotated[int, Field(ge=1, le=2000)] = 200
    required: bool = True


class ToolTable(Table):
    """A command that the agent may call as a client tool of this name."""

    name: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$",
            description="may have letters, digits, hyphens and underscores, up to 64, and begins "
            "with a letter",
        ),
    ]
    command: Annotated[tuple[str, ...], Field(min_length=1, max_length=16)]
    timeout_s: Seconds = 5
    parameters: dict[str, ParameterTable] = {}

    @field_validator("command")
    @classmethod
    def _has_a_path(cls, command: tuple[str, ...]) -> tuple[str, ...]:
        if not command[0].startswith("/"):
            raise ValueError(f'{command[0]!r}: a whole path is wanted, as "/usr/local/bin/lights"')
        return command


class IndicatorTable(Table):
    """The lamps."""

    driver: Literal["gpio", "none"] = "gpio"
    pin: Pin = 27
    recording_pin: Pin | None = 22
    active_low: bool = False


def _named(device: str) -> str:
    """A card by its name: numbers change with every boot and every USB plug."""
    if _CARD_NUMBER.search(device):
        raise ValueError(
            f"{device!r} names a card by its number, which changes with every boot and every USB "
            'plug; write a part of its name, such as "USB PnP", or plughw:CARD=... ; '
            "`kiosk devices` lists them"
        )
    if not device.strip():
        raise ValueError('is empty: "default" is the system\'s own choice')
    return device


Device = Annotated[str, AfterValidator(_named)]
SampleFormat = Literal["auto", "S16_LE", "S24_LE", "S24_3LE", "S32_LE"]


class CaptureTable(Table):
    """The microphone."""

    driver: Literal["alsa", "virtual"] = "alsa"
    device: Device = "default"
    rate_hz: int = Field(default=48_000, ge=8000, le=192_000)
    channels: int | None = Field(default=None, ge=1, le=8)
    channel: int | None = Field(default=None, ge=1, le=8)
    format: SampleFormat = "auto"
    period_ms: int = Field(default=20, ge=5, le=100)
    volume: int | None = Field(default=None, ge=0, le=100)
    mixer: str = Field(default="auto", min_length=1)
    agc: bool | None = None
    file: Path | None = None

    @model_validator(mode="after")
    def _the_channel_is_there(self) -> "CaptureTable":
        if self.channel and self.channels and self.channel > self.channels:
            raise ValueError(
                f"channel = {self.channel} is none of the {self.channels}: set channels to how "
                "many the microphone has"
            )
        return self


class PlaybackTable(Table):
    """The loudspeaker."""

    driver: Literal["alsa", "virtual"] = "alsa"
    device: Device = "default"
    rate_hz: int = Field(default=48_000, ge=8000, le=192_000)
    channels: int = Field(default=2, ge=1, le=8)
    format: SampleFormat = "auto"
    period_ms: int = Field(default=20, ge=5, le=40)
    buffer_ms: int = Field(default=80, ge=20, le=80)
    wake_lead_ms: int = Field(default=0, ge=0, le=3000)
    keep_running: bool = False
    volume: int | None = Field(default=None, ge=0, le=100)
    mixer: str = Field(default="auto", min_length=1)


class EchoTable(Table):
    """How the agent's own voice is kept out of the microphone."""

    mode: Literal["auto", "cancel", "half_duplex", "off"] = "auto"
    duck_db: float = Field(default=12, ge=0, le=40)
    duck_fade_ms: int = Field(default=30, ge=1, le=500)
    duck_s: float = Field(default=0.8, ge=0.1, le=5)


class SoundTable(Table):
    """The morning check of the sound."""

    check_at: str = Field(
        default="",
        pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9])?$",
        description='must be a time of day such as "09:45", or empty for never',
    )


class GateTable(Table):
    """What counts as speech."""

    mode: Literal["vad", "open"] = "vad"
    detector: Literal["webrtcvad", "webrtcvad_and_suppressed"] = "webrtcvad_and_suppressed"
    aggressiveness: int = Field(default=3, ge=0, le=3)
    onset_ms: int = Field(default=60, ge=20, le=100)
    preroll_ms: int = Field(default=300, ge=0, le=1000)
    hangover_ms: int = Field(default=600, ge=100, le=3000)
    room_tone_ms: int = Field(default=1500, ge=1500, le=10_000)
    room_window_ms: int = Field(default=8000, ge=1000, le=30_000)
    longest_speech_ms: int = Field(default=30_000, ge=5000, le=600_000)


class GainTable(Table):
    """How loud the visitor leaves."""

    mode: Literal["auto", "fixed"] = "auto"
    fixed_db: float = Field(default=0, ge=-30, le=40)
    target_dbfs: float = Field(default=-23, ge=-40, le=-12)
    least_db: float = Field(default=-10, ge=-30, le=0)
    most_db: float = Field(default=30, ge=0, le=40)

    @model_validator(mode="after")
    def _auto_starts_in_its_range(self) -> "GainTable":
        if self.mode == "auto" and not self.least_db <= self.fixed_db <= self.most_db:
            raise ValueError("fixed_db, where auto starts, must be from least_db to most_db")
        return self


class VisitTable(Table):
    """Limits of a visit, and what the kiosk itself says."""

    max_s: Seconds = 570
    warning_s: Seconds = 30
    idle_s: Seconds = 20
    answer_s: Seconds = 20
    connect_s: Seconds = 15
    queue_s: Seconds = 120
    reconnects: int = Field(default=3, ge=0, le=10)
    disclosure: bool | Literal["sign"] = True
    voice: str | None = Field(
        default=None,
        pattern=VOICE_NAME,
        description="must be a voice of espeak-ng's, as `espeak-ng --voices` lists them",
    )
    words_per_minute: int = Field(default=160, ge=80, le=400)
    messages_dir: Path | None = None

    @model_validator(mode="after")
    def _warning_fits(self) -> "VisitTable":
        if self.warning_s >= self.max_s:
            raise ValueError("warning_s must be less than max_s")
        return self


class CompatTable(Table):
    """What servers want that were written after popular guides; the real service refuses it."""

    keep_alive: Literal["off", "space", "user_activity"] = "off"
    keep_alive_s: float = Field(default=18, ge=0.1, le=7200)
    end_of_stream: bool = False
    api_key_file: Path | None = None


class ConvaiTable(Table):
    """The wire."""

    compat: CompatTable = CompatTable()


class ControlTable(Table):
    """The local control socket."""

    socket: Path = Path("/run/kiosk/control.sock")
    read_socket: Path | None = None
    captions: bool = False


class ScreenTable(Table):
    """The page for a display beside the kiosk, which `kiosk screen` serves on this machine."""

    port: Annotated[int, Field(ge=1, le=65_535)] = 8470
    # Of whoever reads it, and of the display's picture: together they make the size of the type.
    reading_distance_m: Annotated[float, Field(ge=0.2, le=10)] = 0.8
    height_mm: Annotated[float, Field(ge=20, le=3000)] = 155.0


class MetricsTable(Table):
    """Metrics for Prometheus."""

    textfile: Path | None = None


class JournalTable(Table):
    """Logging."""

    level: Literal["debug", "info", "notice", "warning", "error"] = "info"
    alive_s: Seconds = 300


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
    webrtc: WebrtcTable = WebrtcTable()
    credentials: CredentialsTable = CredentialsTable()
    button: ButtonTable = ButtonTable()
    keys: tuple[KeyTable, ...] = ()
    tools: Annotated[tuple[ToolTable, ...], Field(max_length=32)] = ()
    indicator: IndicatorTable = IndicatorTable()
    capture: CaptureTable = CaptureTable()
    playback: PlaybackTable = PlaybackTable()
    echo: EchoTable = EchoTable()
    sound: SoundTable = SoundTable()
    gate: GateTable = GateTable()
    gain: GainTable = GainTable()
    visit: VisitTable = VisitTable()
    convai: ConvaiTable = ConvaiTable()
    control: ControlTable = ControlTable()
    screen: ScreenTable = ScreenTable()
    metrics: MetricsTable = MetricsTable()
    journal: JournalTable = JournalTable()

    @model_validator(mode="after")
    def _agent_is_named(self) -> "Settings":
        if self.credentials.mode == "public" and not self.agent.id:
            raise ValueError('agent.id is needed when credentials.mode = "public"')
        return self

    @model_validator(mode="after")
    def _api_key_is_for_public_agents(self) -> "Settings":
        if self.convai.compat.api_key_file is not None and self.credentials.mode != "public":
            raise ValueError(
                'convai.compat.api_key_file is for credentials.mode = "public"; '
                "a backend gives the kiosk signed URLs instead"
            )
        return self

    @model_validator(mode="after")
    def _the_kiosk_ends_first(self) -> "Settings":
        conversation = self.agent.overrides.conversation
        limit_s = None if conversation is None else conversation.max_duration_seconds
        if limit_s is not None and self.visit.max_s >= limit_s:
            raise ValueError(
                f"visit.max_s must be less than the {limit_s} s of "
                "agent.overrides.conversation.max_duration_seconds, or the agent is cut off "
                "without a warning"
            )
        return self

    @model_validator(mode="after")
    def _pins_are_free(self) -> "Settings":
        pins = {}
        if self.button.driver == "gpio":
            pins["button.pin"] = self.button.pin
            for number, key in enumerate(self.keys, 1):
                pins[f"[[keys]] {number} pin"] = key.pin
        if self.indicator.driver == "gpio":
            pins["indicator.pin"] = self.indicator.pin
            if self.indicator.recording_pin is not None:
                pins["indicator.recording_pin"] = self.indicator.recording_pin
        for name, pin in pins.items():
            if twins := [other for other, its in pins.items() if its == pin and other != name]:
                raise ValueError(f"{name} and {twins[0]} are both GPIO {pin}")
        return self

    @model_validator(mode="after")
    def _keys_differ(self) -> "Settings":
        wanted = [key.language for key in self.keys if key.language is not None]
        if twins := sorted({code for code in wanted if wanted.count(code) > 1}):
            raise ValueError(f"[[keys]]: there are several of language {twins[0]!r}")
        return self

    @model_validator(mode="after")
    def _tools_differ(self) -> "Settings":
        names = [*OWN_TOOLS, *(tool.name for tool in self.tools)]
        if twins := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"[[tools]]: there are several of the name {twins[0]!r}")
        return self

    @property
    def languages(self) -> tuple[str, ...]:
        """Those that a visit can be in, each once, the site's own first."""
        keys = (key.language for key in self.keys if key.language is not None)
        named = (*self.kiosk.languages, *keys)
        return tuple(dict.fromkeys((self.kiosk.language, *named)))

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
