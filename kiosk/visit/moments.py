"""Moments of a conversation's events; the words are apart from what may be logged.

Pure: no I/O, no clock.
"""

from kiosk.convai.captions import caption
from kiosk.convai.conversation import Admitted, AgentHangsUp, Connected, CoreEvent, Queued
from kiosk.convai.frames import Malformed
from kiosk.convai.server_messages import (
    AgentResponse,
    AgentResponseCorrection,
    GuardrailTriggered,
    UserTranscript,
)
from kiosk.convai.server_tools import AgentToolResponse
from kiosk.visit.timeline import FieldValue, Moment, What

# Of the frames that make no sense so many are told of; the others are only counted.
_MALFORMED_TOLD = 5


def moment_of(event: CoreEvent, at_s: float, malformed_frames: int) -> Moment | None:
    """The moment that this event is; None if nobody need know. `malformed_frames`: so far."""
    match event:
        case UserTranscript(text, _, False):
            return Moment(What.TRANSCRIPT, at_s, words=text)
        case AgentResponse(text):
            return Moment(What.RESPONSE, at_s, words=caption(text))
        case AgentResponseCorrection():
            return Moment(What.CORRECTION, at_s, words=caption(event.corrected))
        case AgentHangsUp():
            return Moment(What.AGENT_HANGS_UP, at_s)
        case Queued():
            return Moment(What.QUEUED, at_s)
        case Admitted():
            return Moment(What.ADMITTED, at_s)
        case AgentToolResponse():
            tool: dict[str, FieldValue] = {
                "tool": event.tool_name[:64],
                "failed": int(not event.ran),
            }
            return Moment(What.AGENT_TOOL, at_s, tool)
        case GuardrailTriggered(name):
            return Moment(What.GUARDRAIL, at_s, {"rule": (name or "")[:64]})
        case Malformed(why) if malformed_frames <= _MALFORMED_TOLD:
            return Moment(What.MALFORMED, at_s, {"why": why})
        case Connected():
            formats: dict[str, FieldValue] = {
                "conversation_id": event.conversation_id,
                "input_format": event.input_format,
                "output_format": event.output_format,
            }
            return Moment(What.CONNECTED, at_s, formats)
    return None
