"""Moments of a conversation's events; the words are apart from what may be logged.

Pure: no I/O, no clock.
"""

from kiosk import moments
from kiosk.convai.captions import caption
from kiosk.convai.conversation import Admitted, AgentHangsUp, Connected, CoreEvent, Queued
from kiosk.convai.frames import Malformed
from kiosk.convai.server_messages import (
    AgentResponse,
    AgentResponseCorrection,
    AgentResponsePart,
    GuardrailTriggered,
    UserTranscript,
)
from kiosk.convai.server_tools import AgentToolResponse
from kiosk.moments import Moment

# Of the frames that make no sense so many are told of; the others are only counted.
_MALFORMED_TOLD = 5


def moment_of(event: CoreEvent, at_s: float, malformed_frames: int) -> Moment | None:
    """The moment that this event is; None if nobody need know. `malformed_frames`: so far."""
    match event:
        case UserTranscript(text, _, False):
            return moments.TurnTranscribed(at_s, words=text)
        case AgentResponse(text):
            return moments.AgentResponded(at_s, words=caption(text))
        case AgentResponsePart(text, kind) if text or kind == "start":
            return moments.AgentTextCame(at_s, words=text, begins=int(kind == "start"))
        case AgentResponseCorrection():
            return moments.ResponseCorrected(at_s, words=caption(event.corrected))
        case AgentHangsUp():
            return moments.AgentHungUp(at_s)
        case Queued():
            return moments.VisitorQueued(at_s)
        case Admitted():
            return moments.VisitorAdmitted(at_s)
        case AgentToolResponse():
            failed = int(not event.ran)
            return moments.AgentToolUsed(at_s, tool=event.tool_name[:64], failed=failed)
        case GuardrailTriggered(name):
            return moments.GuardrailFired(at_s, rule=(name or "")[:64])
        case Malformed(why) if malformed_frames <= _MALFORMED_TOLD:
            return moments.FrameMalformed(at_s, why=why)
        case Connected():
            return moments.ConversationConnected(
                at_s,
                conversation_id=event.conversation_id,
                input_format=event.input_format,
                output_format=event.output_format,
            )
    return None
