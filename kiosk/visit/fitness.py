"""Fitness: can a visit be held now, and if not, why. Pure: a value computed from inputs."""

from dataclasses import dataclass
from enum import StrEnum


class Cause(StrEnum):
    """Why not, the gravest first; each is also the key of the sentence that says it."""

    NO_SPEAKER = "no_speaker"
    NO_MICROPHONE = "no_microphone"
    OUT_OF_ORDER = "out_of_order"
    CANNOT_REACH = "cannot_reach"
    PAUSED = "paused"  # as the backend said; a press asks it again


@dataclass(frozen=True, slots=True)
class Condition:
    """The inputs, each as it was last reported."""

    microphone: bool = False
    speaker: bool = False
    refused: bool = False  # the backend does not know this kiosk
    credential: bool = False
    paused: bool = False

    def cause(self) -> Cause | None:
        """The first reason why a visit cannot be held; None means fit."""
        checks = (
            (self.speaker, Cause.NO_SPEAKER),
            (self.microphone, Cause.NO_MICROPHONE),
            (not self.refused, Cause.OUT_OF_ORDER),
            (self.credential, Cause.CANNOT_REACH),
        )
        return next((cause for fine, cause in checks if not fine), None)

    def shown(self) -> Cause | None:
        """What operators and the lamp are told: also what only the backend can decide."""
        return self.cause() or (Cause.PAUSED if self.paused else None)
