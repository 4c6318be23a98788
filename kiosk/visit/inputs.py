"""Inputs of the visit's core: everything that can happen to a kiosk. Pure data.

`ButtonEdge` of the devices' ports is one too. None of them carries sound, or words of anybody's.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from kiosk import moments
from kiosk.devices.ports import ButtonEdge
from kiosk.endings import Ending
from kiosk.visit.fitness import Cause
from kiosk.visit.states import Event


class CardUse(StrEnum):
    """A sound card's use."""

    MICROPHONE = "microphone"
    SPEAKER = "speaker"


@dataclass(frozen=True, slots=True)
class OperatorPress:
    """An operator presses in a visitor's place. `language`: the key of one; None: the button."""

    language: str | None = None


@dataclass(frozen=True, slots=True)
class Happened:
    """An event of the visit's table, from the conversation, the downlink or an operator.

    `ending`: why, where the event is an ending that does not say it itself.
    """

    event: Event
    ending: Ending | None = None


@dataclass(frozen=True, slots=True)
class Speech:
    """The gate's word on the visitor, at the capture time of the chunk that shows it."""

    began: bool
    at_s: float


@dataclass(frozen=True, slots=True)
class SpeechHeld:
    """The speech under way has held a voice for half a second: it is no cough."""


@dataclass(frozen=True, slots=True)
class TurnTaken:
    """The agent hears the visitor, uses a tool, or has something new to say.

    `heard`: it has heard the visitor's turn to its end.
    """

    heard: bool = False


@dataclass(frozen=True, slots=True)
class GoneOn:
    """The rest of a turn that a noise had cut was heard to its end."""


@dataclass(frozen=True, slots=True)
class ConversationOver:
    """The conversation under way ended, by itself or as it was asked to.

    `chance`: from 0 to 1, the share of the longest wait before another is tried.
    """

    ending: Ending
    chance: float = 0.5


@dataclass(frozen=True, slots=True)
class HeardOut:
    """Everything that the agent said before it hung up was heard."""


@dataclass(frozen=True, slots=True)
class LimitedTo:
    """The lease allows the visit `max_s` seconds from now."""

    max_s: float


@dataclass(frozen=True, slots=True)
class AgentWorks:
    """The agent uses a tool, which may take `for_s` seconds from now; 0: it has run."""

    for_s: float


@dataclass(frozen=True, slots=True)
class AgentSpeaks:
    """The agent has changed to a language that the kiosk's own sentences have too."""

    language: str


@dataclass(frozen=True, slots=True)
class CardOpened:
    """A card can be used (again). `detail` describes it."""

    use: CardUse
    detail: str

    def moment(self, at_s: float) -> moments.DeviceOpened:
        return moments.DeviceOpened(at_s, device=self.use, detail=self.detail)


@dataclass(frozen=True, slots=True)
class CardLost:
    """A card cannot be used. `detail` is the device's error; `cause` of one that is there and hears
    nothing why."""

    use: CardUse
    detail: str
    cause: str | None = None

    def moment(self, at_s: float) -> moments.DeviceLost:
        return moments.DeviceLost(at_s, device=self.use, detail=self.detail, cause=self.cause)


@dataclass(frozen=True, slots=True)
class LeaseAvailability:
    """Whether the next press could open a conversation, or learn why it may not.

    `refused`: the backend does not know this kiosk.
    """

    ready: bool
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Instructed:
    """The backend's word on why no visit may begin, None: one may. `for_s`: so long, if that is
    known; `end_visit` ends the one under way."""

    cause: Cause | None
    for_s: float | None = None
    end_visit: bool = False


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Whether this machine has a network by which the agent can be reached, and a clock by which
    certificates can be judged."""

    network: bool
    clock: bool


@dataclass(frozen=True, slots=True)
class AgentTried:
    """The agent was tried without a visitor. `well`: it would have listened; None: it could not be
    tried, for a reason that is none of the agent's."""

    well: bool | None


@dataclass(frozen=True, slots=True)
class OwnVoice:
    """Whether the kiosk can say that an AI answers."""

    can_disclose: bool


@dataclass(frozen=True, slots=True)
class OwnSound:
    """The kiosk's own sounds. `busy`: one sounds or waits; `keys`: the sentences among them."""

    busy: bool = False
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wake:
    """It is the time that was asked for, or later."""


Input: TypeAlias = (
    ButtonEdge
    | OperatorPress
    | Happened
    | Speech
    | SpeechHeld
    | TurnTaken
    | GoneOn
    | ConversationOver
    | HeardOut
    | LimitedTo
    | AgentWorks
    | AgentSpeaks
    | CardOpened
    | CardLost
    | LeaseAvailability
    | Instructed
    | Surroundings
    | AgentTried
    | OwnVoice
    | OwnSound
    | Wake
)
