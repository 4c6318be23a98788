"""Moments: what happened, and when. Pure: a frozen dataclass for each kind, and no clock.

Listeners are given them after the effects of what happened, in order. `words` is what visitor or
agent said; it is apart from `fields`, so that a log, which must never hold it, need only not look.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import ClassVar, TypeAlias


class What(StrEnum):
    """The names of the kinds, as the journal and the backend know them."""

    STATE = "state"
    FITNESS = "fitness"
    PRESSED = "pressed"
    VISIT_STARTED = "visit_started"
    VISIT_ENDED = "visit_ended"
    MICROPHONE = "microphone"
    LEASED = "leased"
    CONNECTED = "connected"
    QUEUED = "queued"
    ADMITTED = "admitted"
    LOST = "lost"
    SPEECH_STARTED = "speech_started"
    SPEECH_ENDED = "speech_ended"
    TRANSCRIPT = "transcript"
    ASKED = "asked"
    RESPONSE = "response"
    RESPONSE_TEXT = "response_text"
    CORRECTION = "correction"
    AUDIO_RECEIVED = "audio_received"
    AGENT_HEARD = "agent_heard"
    EARCON_HEARD = "earcon_heard"
    SENTENCE_HEARD = "sentence_heard"
    INTERRUPTED = "interrupted"
    SILENT = "silent"
    DRAINED = "drained"
    LANGUAGE = "language"
    DUCKED = "ducked"
    AGENT_HANGS_UP = "agent_hangs_up"
    AGENT_TOOL = "agent_tool"
    TOOL_CALLED = "tool_called"
    GUARDRAIL = "guardrail"
    MALFORMED = "malformed"
    LINK = "link"
    ROOM = "room"
    GAP = "gap"
    STALLED = "stalled"
    DEVICE_OPENED = "device_opened"
    DEVICE_LOST = "device_lost"
    OVERLOADED = "overloaded"


FieldValue: TypeAlias = str | int | float | None

_NOT_LOGGED = {"at_s", "words"}


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened."""

    what: ClassVar[What]

    at_s: float
    """Monotonic seconds."""

    words: str | None = field(default=None, kw_only=True)
    """What visitor or agent said; never logged."""

    @property
    def fields(self) -> Mapping[str, FieldValue]:
        """Everything else that is known of it, by name."""
        names = (each.name for each in fields(self) if each.name not in _NOT_LOGGED)
        return {name: getattr(self, name) for name in names}


Observer: TypeAlias = Callable[[Moment], None]


# --- the kiosk and its visits -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StateChanged(Moment):
    """The visit's state changed."""

    what = What.STATE

    state: str
    """The new state, as `kiosk.visit.states` names it."""


@dataclass(frozen=True, slots=True)
class FitnessChanged(Moment):
    """Whether a visit can be held changed."""

    what = What.FITNESS

    cause: str
    """Why none can be held; `fit` if one can."""


@dataclass(frozen=True, slots=True)
class ButtonPressed(Moment):
    """A visitor, or an operator in a visitor's place, pressed the button."""

    what = What.PRESSED


@dataclass(frozen=True, slots=True)
class VisitStarted(Moment):
    """A visit began."""

    what = What.VISIT_STARTED

    press_id: str
    """The visit's id, here and at the backend."""


@dataclass(frozen=True, slots=True)
class LanguageChanged(Moment):
    """A visit is in another language than the kiosk's own, or than it was."""

    what = What.LANGUAGE

    language: str
    """Its code."""

    by: str
    """Who changed it: `visitor` or `agent`."""


@dataclass(frozen=True, slots=True)
class VisitEnded(Moment):
    """A visit is over; the kiosk is idle again."""

    what = What.VISIT_ENDED

    kind: str
    """Its ending."""

    code: int | None
    """The WebSocket's close code, if there was one."""

    detail: str
    """A reason text of the service's or a device's."""

    severity: int
    """Syslog's priority of such an ending."""

    malformed_frames: int = 0
    """How many frames of its conversations made no sense."""

    unknown_frames: int = 0
    """How many were of a type that nobody here knows."""


# --- conversations ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ConversationLeased(Moment):
    """What opens the conversation is in hand."""

    what = What.LEASED


@dataclass(frozen=True, slots=True)
class ConversationConnected(Moment):
    """A conversation is open."""

    what = What.CONNECTED

    conversation_id: str | None
    """The provider's id."""

    input_format: str
    """The format of the microphone's sound on the wire."""

    output_format: str
    """The format of the agent's."""


@dataclass(frozen=True, slots=True)
class VisitorQueued(Moment):
    """The visitor waits in the agent's queue."""

    what = What.QUEUED


@dataclass(frozen=True, slots=True)
class VisitorAdmitted(Moment):
    """The visitor's wait in the queue is over."""

    what = What.ADMITTED


@dataclass(frozen=True, slots=True)
class ConversationLost(Moment):
    """A conversation ended early, and another is tried."""

    what = What.LOST

    kind: str
    """Its ending."""

    code: int | None
    """The WebSocket's close code, if there was one."""

    detail: str
    """A reason text of the service's."""

    attempt: int
    """The how many-th reconnection of the visit this is."""

    delay_ms: int
    """How long it waits."""


@dataclass(frozen=True, slots=True)
class FrameMalformed(Moment):
    """A frame of the server's made no sense."""

    what = What.MALFORMED

    why: str
    """What is wrong with it, without its content."""


@dataclass(frozen=True, slots=True)
class LinkMeasured(Moment):
    """A conversation is over, and this is what the system knows of its connection (TCP_INFO). Where
    a proxy stands between, the connection is the one to the proxy."""

    what = What.LINK

    round_trip_ms: float
    """The smoothed round trip."""

    sent_segments: int
    """How many segments with data were sent."""

    resent_segments: int
    """How many of them once more."""


@dataclass(frozen=True, slots=True)
class RoomMeasured(Moment):
    """A conversation over WebRTC is over, and this is what the library knows of its way."""

    what = What.ROOM

    round_trip_ms: float
    """The newest round trip."""

    jitter_ms: float
    """How unevenly the agent's packets came."""

    sent_packets: int
    """Packets of the visitor's sound."""

    lost_packets: int
    """How many of them the far side missed."""

    received_packets: int
    """Packets of the agent's sound."""

    missed_packets: int
    """How many of its were missed here."""

    concealed_ms: int
    """How much of the agent's sound was made up in their place."""

    sent_kbit_s: float
    """The bit rate to the agent, over the whole conversation."""

    received_kbit_s: float
    """That from it."""

    way: str
    """By which the packets went: "host" (straight), "srflx" or "prflx" (through a NAT), "relay"."""


# --- what is said -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SpeechStarted(Moment):
    """The gate opened: the visitor speaks."""

    what = What.SPEECH_STARTED


@dataclass(frozen=True, slots=True)
class SpeechEnded(Moment):
    """The gate closed."""

    what = What.SPEECH_ENDED


@dataclass(frozen=True, slots=True)
class TurnTranscribed(Moment):
    """The agent understood a turn of the visitor's: `words`."""

    what = What.TRANSCRIPT


@dataclass(frozen=True, slots=True)
class AgentAsked(Moment):
    """Somebody asked the agent in writing, in a visitor's place."""

    what = What.ASKED


@dataclass(frozen=True, slots=True)
class AgentResponded(Moment):
    """The text of a turn of the agent's came: `words`."""

    what = What.RESPONSE


@dataclass(frozen=True, slots=True)
class AgentTextCame(Moment):
    """A piece of the text of a turn of the agent's came, while it is spoken: `words`."""

    what = What.RESPONSE_TEXT

    begins: int
    """1 if the turn's text begins with it."""


@dataclass(frozen=True, slots=True)
class ResponseCorrected(Moment):
    """The text of a turn that was cut came: `words`, as far as it was heard."""

    what = What.CORRECTION


@dataclass(frozen=True, slots=True)
class AgentAudioReceived(Moment):
    """The first sound of a turn of the agent's came."""

    what = What.AUDIO_RECEIVED


@dataclass(frozen=True, slots=True)
class AgentHeard(Moment):
    """The first sample of a turn of the agent's is heard."""

    what = What.AGENT_HEARD


@dataclass(frozen=True, slots=True)
class AgentDrained(Moment):
    """The last sample of a turn of the agent's was heard."""

    what = What.DRAINED


@dataclass(frozen=True, slots=True)
class AgentGapped(Moment):
    """Sound of the agent's goes on after the loudspeaker had run out of it within a turn."""

    what = What.GAP

    gap_ms: int
    """How long there was none."""


@dataclass(frozen=True, slots=True)
class AgentInterrupted(Moment):
    """The service cut the agent's turn: the visitor spoke over it."""

    what = What.INTERRUPTED


@dataclass(frozen=True, slots=True)
class AgentDucked(Moment):
    """The loudspeaker stepped back: the visitor speaks over it."""

    what = What.DUCKED


@dataclass(frozen=True, slots=True)
class AgentHungUp(Moment):
    """The agent ended the conversation."""

    what = What.AGENT_HANGS_UP


@dataclass(frozen=True, slots=True)
class EarconHeard(Moment):
    """The first sample of a chime is heard."""

    what = What.EARCON_HEARD

    earcon: str
    """Its name."""


@dataclass(frozen=True, slots=True)
class SentenceHeard(Moment):
    """The first sample of a sentence of the kiosk's is heard."""

    what = What.SENTENCE_HEARD

    key: str
    """Its key; `bulletin` for what an operator or the report says."""


@dataclass(frozen=True, slots=True)
class LoudspeakerSilenced(Moment):
    """What was flushed is silent."""

    what = What.SILENT


# --- tools --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AgentToolUsed(Moment):
    """The agent used a tool of its own."""

    what = What.AGENT_TOOL

    tool: str
    """Its name."""

    failed: int
    """1 if it failed."""


@dataclass(frozen=True, slots=True)
class KioskToolCalled(Moment):
    """The agent called a tool of the kiosk's."""

    what = What.TOOL_CALLED

    tool: str
    """Its name."""

    error_type: str | None
    """Why it failed; None if it did not."""


@dataclass(frozen=True, slots=True)
class GuardrailFired(Moment):
    """A safety rule of the agent fired."""

    what = What.GUARDRAIL

    rule: str
    """Its name."""


# --- the machine --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MicrophoneRan(Moment):
    """The microphone's card started or stopped."""

    what = What.MICROPHONE

    running: int
    """1 if it runs."""


@dataclass(frozen=True, slots=True)
class DeviceOpened(Moment):
    """A sound card can be used (again)."""

    what = What.DEVICE_OPENED

    device: str
    """`microphone` or `speaker`."""

    detail: str
    """The card's description."""


@dataclass(frozen=True, slots=True)
class DeviceLost(Moment):
    """A sound card cannot be used."""

    what = What.DEVICE_LOST

    device: str
    """`microphone` or `speaker`."""

    detail: str
    """The device's error."""

    cause: str | None = None
    """`microphone_silent` or `microphone_muted` of one that is there and hears nothing."""


@dataclass(frozen=True, slots=True)
class SoundOverloaded(Moment):
    """This machine is too slow for what is done to the microphone's sound."""

    what = What.OVERLOADED

    percent: int
    """Of real time that it takes."""

    consequence: str
    """What follows from it, in words."""


@dataclass(frozen=True, slots=True)
class LoopStalled(Moment):
    """Sound of the microphone's waited for the daemon's loop: something held it up."""

    what = What.STALLED

    stall_ms: int
    """How long."""
