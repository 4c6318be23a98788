"""Effects that the visit's core asks for; the host has them done in their order. Pure data."""

from dataclasses import dataclass
from typing import TypeAlias

from kiosk.audio.earcons import Earcon
from kiosk.convai.endings import Ending
from kiosk.visit.states import State
from kiosk.visit.timeline import Moment

# --- first: what the visitor sees ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Light:
    """Light the lamp of this state; `unfit`: of a kiosk that can hold no visit."""

    state: State
    unfit: bool = False


@dataclass(frozen=True, slots=True)
class StartCapture:
    """Start the microphone's card, with nothing said yet."""


@dataclass(frozen=True, slots=True)
class StopCapture:
    """Stop the microphone's card; from here on nothing is sent."""


# --- then: what is heard, and the conversation --------------------------------------------------


@dataclass(frozen=True, slots=True)
class Chime:
    """Play an earcon behind what already waits."""

    earcon: Earcon


@dataclass(frozen=True, slots=True)
class Announce:
    """Say a sentence of the kiosk's, by its key."""

    key: str


@dataclass(frozen=True, slots=True)
class GiveWay:
    """Stop the kiosk's sentences; those that must be heard are owed."""


@dataclass(frozen=True, slots=True)
class SayOwed:
    """Say what is owed, from its beginning."""


@dataclass(frozen=True, slots=True)
class Forget:
    """Owe this sentence no more; None: owe none."""

    key: str | None = None


@dataclass(frozen=True, slots=True)
class FallSilent:
    """Stop the kiosk's own sounds, chimes too, and owe nothing."""


@dataclass(frozen=True, slots=True)
class Duck:
    """Play more softly, or as loud as before."""

    on: bool


@dataclass(frozen=True, slots=True)
class AllowTalk:
    """Let the microphone's sound out, or only silence."""

    allowed: bool


@dataclass(frozen=True, slots=True)
class BeginVisit:
    """Count a visit and give it an id."""


@dataclass(frozen=True, slots=True)
class Converse:
    """Open a conversation."""


@dataclass(frozen=True, slots=True)
class CutTurn:
    """Silence the agent, and drop the rest of what it says in this turn."""


@dataclass(frozen=True, slots=True)
class SilenceAgent:
    """Silence the agent: what it said so far is void."""


@dataclass(frozen=True, slots=True)
class HearOut:
    """Report when everything that the agent said was heard."""


@dataclass(frozen=True, slots=True)
class CloseConversation:
    """Close the conversation, for this reason."""

    ending: Ending


@dataclass(frozen=True, slots=True)
class AbandonConversation:
    """Give up a conversation that does not close."""


@dataclass(frozen=True, slots=True)
class HurryLease:
    """Fetch a lease now: a visitor waits for one."""


@dataclass(frozen=True, slots=True)
class ComposeReport:
    """Look how the kiosk is, and say it to staff."""


@dataclass(frozen=True, slots=True)
class DropReport:
    """Stop the report, said or being composed."""


@dataclass(frozen=True, slots=True)
class PlaybackStuck:
    """Log that sound did not end in its time."""


# --- last: who only wants to know ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Notify:
    """Pass a moment on to the listeners."""

    moment: Moment


Effect: TypeAlias = (
    Light
    | StartCapture
    | StopCapture
    | Chime
    | Announce
    | GiveWay
    | SayOwed
    | Forget
    | FallSilent
    | Duck
    | AllowTalk
    | BeginVisit
    | Converse
    | CutTurn
    | SilenceAgent
    | HearOut
    | CloseConversation
    | AbandonConversation
    | HurryLease
    | ComposeReport
    | DropReport
    | PlaybackStuck
    | Notify
)
