"""The client's side of one conversation as a pure core: frames in, events and answers out.

No I/O, no clock. The shell that owns the socket feeds `receive` and sends what `Answer` holds, at
once and before anything else. The core negotiates formats, answers pings, and drops stale audio.
"""

from dataclasses import dataclass
from typing import TypeAlias

from kiosk.convai.endings import Ending, Kind, classify_close
from kiosk.convai.messages import (
    AgentAudio,
    AgentResponse,
    AgentResponseCorrection,
    AgentToolResponse,
    ErrorReport,
    Interruption,
    Malformed,
    Metadata,
    Ping,
    Pong,
    ToolCall,
    ToolResult,
    Unknown,
    UserTranscript,
    serialize,
)
from kiosk.convai.parsing import parse_server

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
class Refused:
    """This conversation cannot go on, by the kiosk's own judgement."""

    ending: Ending


@dataclass(frozen=True, slots=True)
class AgentHangsUp:
    """The agent called `end_call`: what it said is heard out, then the socket is closed."""


CoreEvent: TypeAlias = (
    Answer
    | Connected
    | Refused
    | AgentHangsUp
    | AgentAudio
    | AgentResponse
    | AgentResponseCorrection
    | UserTranscript
    | Interruption
    | Malformed
)


class ClientConversation:
    """One conversation from the first frame to the close. Not reusable."""

    def __init__(self) -> None:
        self.conversation_id: str | None = None
        self.malformed_frames = 0
        self.unknown_frames = 0
        self._connected = False
        # Audio with an id up to the barrier belongs to a turn the visitor cut.
        self._barrier = -1
        self._highest_id = 0
        self._error = ""

    def receive(self, frame: str | bytes) -> list[CoreEvent]:
        """What one frame means, in order; stale, unknown and repeated things mean nothing."""
        message = parse_server(frame)
        match message:
            case Metadata():
                return self._on_metadata(message)
            case Ping():
                return [Answer(serialize(Pong(message.event_id)))]
            case AgentAudio():
                return self._on_audio(message)
            case Interruption():
                return [self._on_interruption(message)]
            case ToolCall():
                return self._on_tool_call(message)
            case AgentToolResponse():
                ends = message.tool_name == "end_call" and not message.is_error
                return [AgentHangsUp()] if ends else []
            case ErrorReport():
                self._error = f"{message.error_type or ''} {message.message}".strip()
                return []
            case Malformed():
                self.malformed_frames += 1
                return [message]
            case Unknown():
                self.unknown_frames += 1
                return []
            case AgentResponse() | AgentResponseCorrection() | UserTranscript():
                return [message]

    def closed(self, code: int | None, reason: str) -> Ending:
        """Classify the close, with what error events said before it."""
        return classify_close(code, reason, self._error)

    def _on_metadata(self, metadata: Metadata) -> list[CoreEvent]:
        if self._connected:  # a second one would restart nothing
            return []
        input_name = metadata.user_input_format or DEFAULT_AUDIO_FORMAT
        output_name = metadata.agent_output_format or DEFAULT_AUDIO_FORMAT
        for name in (input_name, output_name):
            if name not in AUDIO_FORMATS:
                detail = f"the server speaks the audio format {name[:32]!r}, which is unknown here"
                return [Refused(Ending(Kind.PROTOCOL, None, detail))]
        self._connected = True
        self.conversation_id = metadata.conversation_id
        return [Connected(metadata.conversation_id, input_name, output_name)]

    def _on_audio(self, audio: AgentAudio) -> list[CoreEvent]:
        if audio.event_id is not None:
            self._highest_id = max(self._highest_id, audio.event_id)
            if audio.event_id <= self._barrier:
                return []
        return [audio]

    def _on_interruption(self, interruption: Interruption) -> Interruption:
        # Without an id it cuts what was heard of so far; a lower id than the last cuts no more.
        cut = self._highest_id if interruption.event_id is None else interruption.event_id
        self._barrier = max(self._barrier, cut)
        return Interruption(self._barrier)

    def _on_tool_call(self, call: ToolCall) -> list[CoreEvent]:
        # This kiosk offers no tools: say so at once, so that the agent goes on talking.
        if not call.expects_response:
            return []
        result = ToolResult(call.tool_call_id, "This kiosk has no such tool.", is_error=True)
        return [Answer(serialize(result))]
