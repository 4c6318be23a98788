"""The client's side of one conversation as a pure core: frames in, events and answers out.

No I/O, no clock. The shell that owns the socket feeds `receive` and sends what `Answer` holds, at
once and before anything else. The core negotiates formats, answers pings, and drops stale audio.
What comes before the metadata, which says what it is, waits for it (seen live: nothing does).
"""

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeAlias

from kiosk.convai.barrier import Barrier
from kiosk.convai.client_messages import McpToolApprovalResult, Pong
from kiosk.convai.closing import classify_close
from kiosk.convai.frames import Ignored, Malformed, Unknown, serialize
from kiosk.convai.server_messages import (
    AgentAudio,
    AgentResponse,
    AgentResponseComplete,
    AgentResponseCorrection,
    AgentResponseMetadata,
    AgentResponsePart,
    ClientError,
    ContextUsage,
    ErrorReport,
    GuardrailTriggered,
    Interruption,
    Metadata,
    Ping,
    QueueStatus,
    UserTranscript,
    VadScore,
)
from kiosk.convai.server_parsing import ServerMessage, parse_server
from kiosk.convai.server_tools import (
    END_CALL,
    SKIP_TURN,
    AgentToolRequest,
    AgentToolResponse,
    McpConnectionStatus,
    McpToolCall,
    ToolCall,
)
from kiosk.endings import Ending, Kind

# Both directions may have any of these (contract: `asr_input_format`, `tts_output_format`).
AUDIO_FORMATS = (
    "pcm_8000",
    "pcm_16000",
    "pcm_22050",
    "pcm_24000",
    "pcm_44100",
    "pcm_48000",
    "ulaw_8000",
)
DEFAULT_AUDIO_FORMAT = "pcm_16000"

# How many calls of tools may be open at once: that far back an answer is remembered.
CALLS_REMEMBERED = 64
# How much may wait for the metadata: half a minute of sound in the richest format.
_EARLY_MESSAGES, _EARLY_BYTES = 500, 3_000_000
# How long a tool may take that does not say it (published contract: 20 s, by default).
TOOL_S = 20.0
LONGEST_TOOL_S = 300  # as long as a tool of an MCP server may wait for its approval
# What an agent says without having been asked begins by then: later sound is no greeting.
_GREETS_WITHIN_S, _GREETING_GAP_S = 4.0, 1.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A frame to send at once."""

    frame: str


@dataclass(frozen=True, slots=True)
class Connected:
    """The server accepted the conversation; audio may flow in these formats."""

    conversation_id: str | None
    input_format: str
    output_format: str


@dataclass(frozen=True, slots=True)
class FormatsChanged:
    """From now on audio flows in these formats."""

    input_format: str
    output_format: str


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A tool runs, which may take so long: an answer waits for it."""

    for_s: float


@dataclass(frozen=True, slots=True)
class ToolEnded:
    """A tool of an MCP server has run, or could not; of others an AgentToolResponse says it."""


@dataclass(frozen=True, slots=True)
class Refused:
    """This conversation cannot go on, by the kiosk's own judgement."""

    ending: Ending


@dataclass(frozen=True, slots=True)
class AgentHangsUp:
    """The agent called `end_call`: what it said is heard out, then the socket is closed."""


@dataclass(frozen=True, slots=True)
class TurnSkipped:
    """The agent chose not to answer this turn of the visitor's."""


@dataclass(frozen=True, slots=True)
class Queued:
    """Too many conversations at once: the visitor is held; what sounds until then is music."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """The wait is over, the agent listens."""


CoreEvent: TypeAlias = (
    Answer
    | Connected
    | FormatsChanged
    | ToolStarted
    | ToolEnded
    | Refused
    | AgentHangsUp
    | TurnSkipped
    | Queued
    | Admitted
    | AgentAudio
    | AgentResponse
    | AgentResponseComplete
    | AgentResponseCorrection
    | AgentToolResponse
    | GuardrailTriggered
    | UserTranscript
    | Interruption
    | ToolCall
    | Malformed
    | AgentResponsePart
)


class ClientConversation:
    """One conversation from the first frame to the close. Not reusable.

    `approved_mcp_tools`: the tools of MCP servers that may run when the server asks; any other is
    refused. `without_greeting`: what the agent says before it has heard the visitor is dropped.
    """

    def __init__(
        self, approved_mcp_tools: Collection[str] = (), *, without_greeting: bool = False
    ) -> None:
        self._without_greeting = without_greeting
        self._greeting_id: int | None = None
        self._greeted = False
        self._greeting_s = 0.0  # when the agent was connected, or its greeting last came
        self.conversation_id: str | None = None
        self.malformed_frames = 0
        self.unknown_frames = 0
        self._approved_mcp_tools = frozenset(approved_mcp_tools)
        self._connected = False
        self._formats = (DEFAULT_AUDIO_FORMAT, DEFAULT_AUDIO_FORMAT)
        self._early: list[tuple[ServerMessage, float]] = []
        self._early_bytes = 0
        self._queued = False
        self._barrier = Barrier()
        self._error = ""
        self._error_code: int | None = None
        self._error_at_id = 0  # what sounded when it came; the turn may still be sent to its end
        self._tool_calls, self._mcp_calls = _Calls(), _Calls()

    def receive(self, frame: str | bytes | AgentAudio, at_s: float) -> list[CoreEvent]:
        """What one frame, or sound that came without one, received at `at_s` (monotonic), means,
        in order; stale, unknown and repeated things mean nothing."""
        message = frame if isinstance(frame, AgentAudio) else parse_server(frame)
        if not self._connected and isinstance(message, _WAITS_FOR_METADATA):
            size = len(frame.audio if isinstance(frame, AgentAudio) else frame)
            self._keep_early(message, size, at_s)
            return []
        return self._on_message(message, at_s)

    def _on_message(
        self, message: ServerMessage | Ignored | Unknown | Malformed, at_s: float
    ) -> list[CoreEvent]:
        match message:
            case Metadata():
                return self._on_metadata(message, at_s)
            case Ping():
                return [Answer(serialize(Pong(message.event_id)))]
            case AgentAudio():
                return self._on_audio(message, at_s)
            case Interruption():
                return self._on_interruption(message, at_s)
            case AgentToolRequest():
                wanted_s = message.response_timeout_s
                # Whatever the server names, a kiosk waits for no tool for ever.
                for_s = TOOL_S if wanted_s is None else float(min(max(wanted_s, 0), LONGEST_TOOL_S))
                return [ToolStarted(for_s)]
            case AgentToolResponse():
                return [_tool_ran(message)]
            case McpToolCall():
                return self._on_mcp_call(message)
            case QueueStatus(status):
                return self._on_queue(status)
            case ErrorReport() | ClientError():
                self._error, self._error_code = _account(message), message.code
                self._error_at_id = self._barrier.newest_id
                return []
            case Malformed():
                self.malformed_frames += 1
                return [message]
            case Unknown():
                self.unknown_frames += 1
                return []
            case UserTranscript(event_id=event_id, tentative=False):
                self._without_greeting = False
                self._barrier.next_turn(event_id)
                self._forget_error()
                return [message]
            case AgentResponse() | UserTranscript():
                self._forget_error()
                return [message]
            case ToolCall(name, call_id):
                self._forget_error()
                is_new = not call_id or self._tool_calls.is_new(call_id, name)
                return [message] if is_new else []
            case AgentResponseCorrection() | AgentResponseComplete() | GuardrailTriggered():
                return [message]
            case AgentResponsePart(reasoning=False):
                return [message]
            case (
                Ignored()
                | AgentResponsePart()
                | AgentResponseMetadata()
                | ContextUsage()
                | McpConnectionStatus()
                | VadScore()
            ):
                return []

    def cut(self, at_s: float) -> None:
        """The visitor's button cut the agent at `at_s`: what comes of that turn is stale."""
        self._barrier.cut(at_s)

    def closed(self, code: int | None, reason: str) -> Ending:
        """Classify the close, with what error events said before it.

        Where the connection broke off without a close frame, the error's own code counts.
        """
        return classify_close(self._error_code if code is None else code, reason, self._error)

    def left(self) -> Ending:
        """Classify the agent's leaving a room, which has no codes: it wanted to, unless an error
        event says why it had to."""
        if not self._error:
            return classify_close(1000, "")
        return classify_close(self._error_code or 1011, "", self._error)

    def timed_out(self, ending: Ending) -> Ending:
        """What did not come may have been explained by an error event."""
        return classify_close(self._error_code, "", self._error) if self._error else ending

    def _forget_error(self) -> None:
        """It went on: what was reported did not end it."""
        self._error, self._error_code = "", None

    def _keep_early(self, message: ServerMessage, size: int, at_s: float) -> None:
        self._early_bytes += size
        if len(self._early) < _EARLY_MESSAGES and self._early_bytes <= _EARLY_BYTES:
            self._early.append((message, at_s))

    def _on_metadata(self, metadata: Metadata, now_s: float) -> list[CoreEvent]:
        usual = self._formats
        formats = (metadata.user_input_format or usual[0], metadata.agent_output_format or usual[1])
        for name in formats:
            if name not in AUDIO_FORMATS and not self._connected:
                detail = f"the server speaks the audio format {name[:32]!r}, which is unknown here"
                return [Refused(Ending(Kind.PROTOCOL, None, detail))]
        if self._connected:
            # It restarts nothing, but from here on ids may begin anew.
            self._barrier, self._error_at_id = Barrier(), 0
            if formats == usual or not set(formats) <= set(AUDIO_FORMATS):
                return []
            self._formats = formats
            return [FormatsChanged(*formats)]
        self._connected, self._formats, self._greeting_s = True, formats, now_s
        self.conversation_id = metadata.conversation_id
        events: list[CoreEvent] = [Connected(metadata.conversation_id, *formats)]
        if self._queued:
            events.append(Queued())
        early, self._early = self._early, []
        for message, at_s in early:
            events += self._on_message(message, at_s)
        return events

    def _on_audio(self, audio: AgentAudio, at_s: float) -> list[CoreEvent]:
        if not self._barrier.passes(audio, at_s) or self._is_of_greeting(audio, at_s):
            return []
        if audio.event_id is not None and audio.event_id > self._error_at_id:
            self._forget_error()
        return [audio]

    def _is_of_greeting(self, audio: AgentAudio, at_s: float) -> bool:
        if not self._without_greeting:
            return False
        # Transcripts may be switched off: a later number, or a pause, is another turn's too.
        first = self._greeting_id is None and not self._greeted
        if first:
            self._greeting_id = audio.event_id
        limit_s = _GREETS_WITHIN_S if first or audio.event_id is not None else _GREETING_GAP_S
        is_late = at_s - self._greeting_s > limit_s
        self._without_greeting = audio.event_id == self._greeting_id and not is_late
        self._greeted, self._greeting_s = True, at_s
        return self._without_greeting

    def _on_interruption(self, interruption: Interruption, at_s: float) -> list[CoreEvent]:
        stale_id = self._barrier.interrupted(interruption.event_id, at_s)
        return [] if stale_id is None else [Interruption(stale_id)]

    def _on_queue(self, status: str) -> list[CoreEvent]:
        if status == "waiting" and not self._queued:
            self._queued = True
            return [Queued()] if self._connected else []
        if status == "admitted" and self._queued:
            self._queued = False
            return [Admitted()] if self._connected else []
        if status == "timed_out":
            return [Refused(Ending(Kind.BUSY, None, "nobody became free while the visitor waited"))]
        return []

    def _on_mcp_call(self, call: McpToolCall) -> list[CoreEvent]:
        if call.state in ("success", "failure"):
            return [ToolEnded()]
        if call.state == "loading":
            return [ToolStarted(TOOL_S)]
        if call.state != "awaiting_approval" or not self._mcp_calls.is_new(call.tool_call_id):
            return []
        approved = call.tool_name in self._approved_mcp_tools
        answer = Answer(serialize(McpToolApprovalResult(call.tool_call_id, approved)))
        return [answer, ToolStarted(TOOL_S)] if approved else [answer]


# What has a meaning only once it is known what is spoken here.
_WAITS_FOR_METADATA = (
    AgentAudio,
    AgentResponse,
    AgentResponseComplete,
    AgentResponseCorrection,
    AgentToolResponse,
    Interruption,
    UserTranscript,
)


class _Calls:
    """The newest calls of tools: one answer a call, whatever is repeated."""

    def __init__(self) -> None:
        self._known: deque[tuple[str, ...]] = deque(maxlen=CALLS_REMEMBERED)

    def is_new(self, *names_it: str) -> bool:
        """Whether it comes for the first time; from now on it does not."""
        known = names_it in self._known
        if not known:
            self._known.append(names_it)
        return not known


def _tool_ran(response: AgentToolResponse) -> CoreEvent:
    if response.ran:
        if response.tool_name == END_CALL:
            return AgentHangsUp()
        if response.tool_name == SKIP_TURN:
            return TurnSkipped()
    return response


def _account(error: ErrorReport | ClientError) -> str:
    """Everything an error event says of its cause."""
    if isinstance(error, ErrorReport):
        said = (error.error_type, error.message, error.reason)
    else:
        said = (error.name, error.message, None)
    return " ".join(part for part in said if part)
