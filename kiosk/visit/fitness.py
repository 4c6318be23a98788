"""Fitness: can a visit be held now, and if not, why. Pure: a value computed from inputs."""

from dataclasses import dataclass
from enum import StrEnum

from kiosk.causes import CAUSES


class Cause(StrEnum):
    """Why not, the gravest first."""

    NO_SPEAKER = "no_speaker"
    NO_MICROPHONE = "no_microphone"
    NO_VOICE = "no_voice"  # and visitors must be told that an AI answers
    OUT_OF_ORDER = "out_of_order"
    NO_NETWORK = "no_network"
    CANNOT_REACH = "cannot_reach"
    # As the backend said; a press asks it again.
    PAUSED = "paused"
    CLOSED = "closed"
    NO_MINUTES_LEFT = "no_minutes_left"
    CLOCK_NOT_SET = "clock_not_set"  # no certificate is good by such a clock
    # The last visits ended before anybody was answered; another may go well.
    NOT_ANSWERED = "not_answered"

    @property
    def sentence(self) -> str:
        """The key of the sentence that says it."""
        sentence = CAUSES[self].sentence
        assert sentence is not None
        return sentence


@dataclass(frozen=True, slots=True)
class Condition:
    """The inputs, each as it was last reported."""

    microphone: bool = False
    speaker: bool = False
    refused: bool = False  # the backend does not know this kiosk
    credential: bool = False
    voice: bool = True
    network: bool = True
    clock: bool = True
    told: Cause | None = None  # by the backend
    failing: bool = False  # the last visits were not answered

    def cause(self) -> Cause | None:
        """The first reason why a visit cannot be held; None means fit."""
        checks = (
            (self.speaker, Cause.NO_SPEAKER),
            (self.microphone, Cause.NO_MICROPHONE),
            (self.voice, Cause.NO_VOICE),
            (not self.refused, Cause.OUT_OF_ORDER),
            (self.network, Cause.NO_NETWORK),
            (self.credential, Cause.CANNOT_REACH),
        )
        return next((cause for fine, cause in checks if not fine), None)

    def shown(self) -> Cause | None:
        """What operators and the lamp are told: also what only the backend can decide, or the next
        visit."""
        clock = None if self.clock else Cause.CLOCK_NOT_SET
        return self.cause() or self.told or clock or (Cause.NOT_ANSWERED if self.failing else None)
