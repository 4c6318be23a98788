"""What the host keeps of the visit under way, and what it tells of it."""

from dataclasses import dataclass

from kiosk.base.clock import loop_now_s
from kiosk.convai.endings import Ending
from kiosk.visit.conversation import Conversation
from kiosk.visit.timeline import FieldValue, Moment, What


@dataclass(slots=True)
class Visit:
    """The visit under way."""

    press_id: str
    reconnected: int = 0
    ending: Ending | None = None
    conversation: Conversation | None = None
    malformed_frames: int = 0
    unknown_frames: int = 0

    def count(self, conversation: Conversation) -> None:
        """One of its conversations is over."""
        self.malformed_frames += conversation.malformed_frames
        self.unknown_frames += conversation.unknown_frames

    def ended_with(self, sentence: str | None) -> bool:
        """Whether this was its last word: the answer to a press that came meanwhile."""
        return self.ending is not None and sentence == self.ending.rule.sentence is not None

    def started(self) -> Moment:
        return Moment(What.VISIT_STARTED, loop_now_s(), {"press_id": self.press_id})

    def lost(self, ending: Ending, delay_s: float) -> Moment:
        fields: dict[str, FieldValue] = {
            "kind": ending.kind,
            "code": ending.code,
            "detail": ending.detail,
            "attempt": self.reconnected,
            "delay_ms": round(delay_s * 1000),
        }
        return Moment(What.LOST, loop_now_s(), fields)

    def ended(self, ending: Ending) -> Moment:
        fields: dict[str, FieldValue] = {
            "kind": ending.kind,
            "code": ending.code,
            "detail": ending.detail,
            "severity": ending.rule.severity,
            "malformed_frames": self.malformed_frames,
            "unknown_frames": self.unknown_frames,
        }
        return Moment(What.VISIT_ENDED, loop_now_s(), fields)
