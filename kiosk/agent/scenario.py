"""Fault scripts: what the agent does wrong, and when, as TOML. Nothing here does it.

A step is an action at a moment: `on` names the moment, `nth` which of them (every one if left out),
`conversation` in which of the agent's conversations since it was started, `after_s` how much later;
before the conversation only `nth` counts.
`agent` changes the agent's manner and timers, `kiosk` the settings of the kiosk that plays it in
`kiosk demo --scenario`, so that each plays in seconds.
"""

from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from kiosk.agent.behaviour import Manner
from kiosk.agent.odd_frames import ODD_FRAMES
from kiosk.audio.pcm import FORMATS
from kiosk.base.toml_lines import parse_toml
from kiosk.endings import Kind
from kiosk.errors import ConfigError


def _sendable(code: int) -> int:
    if not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
        raise ValueError("no close frame may hold this code: 1000-1003, 1007-1014 or 3000-4999")
    return code


def _known_format(name: str) -> str:
    if name not in FORMATS:
        raise ValueError(f"unknown audio format {name!r}; known: {', '.join(FORMATS)}")
    return name


def _known_status(status: int) -> int:
    if status not in set(HTTPStatus):
        raise ValueError(f"HTTP knows no status {status}")
    return status


Seconds = Annotated[float, Field(ge=0, le=600)]
CloseCode = Annotated[int, AfterValidator(_sendable)]
FormatName = Annotated[str, AfterValidator(_known_format)]

# There is no conversation yet.
Before = Literal[
    "request",  # a REST request came
    "upgrade",  # the WebSocket's handshake came
]
InTalk = Literal[
    "initiation",  # the client's first frame came
    "connected",  # the metadata went out
    "turn",  # the visitor's turn ended, and is to be answered
    "speaking",  # the first sound of a turn of the agent's went out
    "interruption",  # the visitor interrupted
]
Moment = Literal[Before, InTalk]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Step(_Table):
    on: Moment
    nth: int | None = Field(default=None, ge=1)
    conversation: int | None = Field(default=None, ge=1)
    after_s: Seconds = 0

    @field_validator("conversation", "after_s")
    @classmethod
    def _in_a_conversation(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value and info.data.get("on") in get_args(Before):
            raise ValueError(
                "has no meaning before the conversation: nth counts requests and upgrades, "
                "and a delay holds them"
            )
        return value


class _TalkStep(_Step):
    on: InTalk


class Respond(_Step):
    """Answer with this status: a REST request, or a handshake."""

    do: Literal["respond"]
    on: Before
    status: Annotated[int, Field(ge=200, le=599), AfterValidator(_known_status)]
    reason: str = "scripted"


class SlowBody(_Step):
    """Send the answer's body a byte at a time."""

    do: Literal["slow_body"]
    on: Literal["request"]
    byte_s: float = Field(gt=0, le=60)


class TruncatedBody(_Step):
    """Send half of the answer's body and close."""

    do: Literal["truncated_body"]
    on: Literal["request"]


class Delay(_Step):
    """Hold everything here for so long."""

    do: Literal["delay"]
    for_s: Seconds


class CloseStep(_TalkStep):
    """Close with a code and a reason."""

    do: Literal["close"]
    code: CloseCode
    reason: str = Field(default="", max_length=120)


class ReportStep(_TalkStep):
    """Send an error event."""

    do: Literal["report"]
    code: int
    message: str = ""
    error_type: str | None = None


class Reset(_Step):
    """Cut the TCP connection."""

    do: Literal["reset"]


class Vanish(_Step):
    """No FIN, no answer, nothing read: the machine lost its power."""

    do: Literal["vanish"]


class Stall(_TalkStep):
    """Send nothing for so long, then everything that waited. The socket stays alive."""

    do: Literal["stall"]
    for_s: Seconds


class Disturb(_TalkStep):
    """From now on the way to the client does this to frames."""

    do: Literal["disturb"]
    jitter_ms: float = Field(default=0, ge=0, le=5000)
    duplicate: bool = False
    swap_audio: bool = False


class Send(_TalkStep):
    """Send a frame as it is: `text`, or one of the odd frames by its name."""

    do: Literal["send"]
    text: str | None = None
    odd: str | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "Send":
        if (self.text is None) == (self.odd is None):
            raise ValueError("give either text or odd")
        if self.odd is not None and self.odd not in ODD_FRAMES:
            raise ValueError(f"odd is one of: {', '.join(ODD_FRAMES)}")
        return self


class Queue(_TalkStep):
    """Tell the client where it stands in the queue."""

    do: Literal["queue"]
    status: Literal["waiting", "admitted", "timed_out"]


class Music(_TalkStep):
    """Play hold music."""

    do: Literal["music"]
    for_s: Seconds


class Say(_TalkStep):
    """Say something, as a turn of its own."""

    do: Literal["say"]
    text: str


class Silence(_Step):
    """Leave this turn of the visitor's unanswered, or the conversation without a greeting."""

    do: Literal["silence"]
    on: Literal["turn", "connected"]


class SkipTurn(_Step):
    """The agent chooses not to answer this turn, and says so."""

    do: Literal["skip_turn"]
    on: Literal["turn"]


class CallTool(_TalkStep):
    """Call a tool of the client's."""

    do: Literal["call_tool"]
    tool: str
    expects_response: bool = True


class UseTool(_TalkStep):
    """Use a tool of the server's side, and say so: nothing else happens until it has run."""

    do: Literal["use_tool"]
    tool: str
    takes_s: Seconds
    timeout_s: Seconds = 20.0
    status: Literal["success", "error", "blocked", "skipped"] = "success"
    announced: bool = True


class EndCall(_TalkStep):
    """The agent hangs up, by its tool."""

    do: Literal["end_call"]


Step: TypeAlias = (
    Respond
    | SlowBody
    | TruncatedBody
    | Delay
    | CloseStep
    | ReportStep
    | Reset
    | Vanish
    | Stall
    | Disturb
    | Send
    | Queue
    | Music
    | Say
    | Silence
    | SkipTurn
    | CallTool
    | UseTool
    | EndCall
)


class AgentChanges(_Table):
    """How the agent differs from its usual self; see `kiosk.agent.behaviour.AgentBehaviour`."""

    greeting: str | None = None
    input_format: FormatName | None = None
    output_format: FormatName | None = None
    announced_output_format: str | None = None
    manner: Manner | None = None
    interrupt_after_ms: int | None = Field(default=None, ge=0, le=5000)
    ping_s: float | None = Field(default=None, gt=0)
    no_input_s: float | None = Field(default=None, gt=0)
    max_duration_s: float | None = Field(default=None, gt=0)
    piece_ms: int | None = Field(default=None, ge=10, le=2000)
    burst: float | None = Field(default=None, gt=0, le=100)


class Visitor(_Table):
    """What the visitor does: says these lines one after the other, then hangs up or waits."""

    says: tuple[str, ...] = ("where are the dinosaurs please",)
    begins: Literal["at_press", "when_admitted"] = "at_press"
    over_the_answer: bool = False  # the second line is said while the first is being answered
    then: Literal["hang_up", "wait"] = "wait"


class Scenario(_Table):
    """One fault script. `ending`: the kind of ending a kiosk should come to."""

    name: str = ""
    summary: str
    ending: Kind
    agent: AgentChanges = AgentChanges()
    kiosk: dict[str, dict[str, Any]] = {}
    visitor: Visitor = Visitor()
    steps: tuple[Annotated[Step, Field(discriminator="do")], ...] = Field(default=(), alias="step")


def scenario_names() -> list[str]:
    """The scenarios that ship."""
    return sorted(
        entry.name.removesuffix(".toml")
        for entry in _library().iterdir()
        if entry.name.endswith(".toml")
    )


def load_scenario(name_or_file: str) -> Scenario:
    """By its name, or from a file; raises ConfigError."""
    if name_or_file in scenario_names():
        text = _library().joinpath(f"{name_or_file}.toml").read_text(encoding="utf-8")
        return _parse(text, name_or_file)
    path = Path(name_or_file)
    if path.suffix != ".toml":
        raise ConfigError(
            f"no scenario is called {name_or_file!r}; `kiosk agent --list-scenarios` lists them, "
            "and a file of your own ends in .toml"
        )
    try:
        return _parse(path.read_text(encoding="utf-8"), path.stem)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(
            f"--scenario: cannot read {path}: {reason}; the scenarios that ship are named without "
            ".toml, and `kiosk agent --list-scenarios` lists them"
        ) from error


def _parse(text: str, name: str) -> Scenario:
    values = parse_toml(f"scenario {name}", text)
    try:
        return Scenario(**{**values, "name": name})
    except ValidationError as error:
        raise ConfigError(
            "\n".join(
                f"scenario {name}: {_where(mistake['loc'])}: "
                f"{mistake['msg'].removeprefix('Value error, ')}"
                for mistake in error.errors(include_url=False)
            )
        ) from error


def _where(location: tuple[int | str, ...]) -> str:
    """ "step 2 close code": steps are counted as a person counts them."""
    words = [str(part + 1) if isinstance(part, int) else part for part in location]
    return " ".join(words)


def _library() -> Any:
    return files("kiosk.agent") / "scenarios"
