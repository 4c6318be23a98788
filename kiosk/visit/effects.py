"""Effects that the visit's core asks for; the host has them done in their order. Pure data."""

from dataclasses import dataclass
from typing import ClassVar

from kiosk.audio.earcons import Earcon
from kiosk.endings import Ending
from kiosk.moments import Moment
from kiosk.visit.states import State


class Effect:
    """What the core asks for. Of one input the least `urgency` is done first."""

    __slots__ = ()
    urgency: ClassVar[int] = 1


# --- first: what the visitor sees ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Light(Effect):
    """Light the lamp of this state; `unfit`: of a kiosk that can hold no visit."""

    urgency: ClassVar[int] = 0

    state: State
    unfit: bool = False


@dataclass(frozen=True, slots=True)
class StartCapture(Effect):
    """Start the microphone's card, with nothing said yet."""

    urgency: ClassVar[int] = 0


@dataclass(frozen=True, slots=True)
class StopCapture(Effect):
    """Stop the microphone's card; from here on nothing is sent."""

    urgency: ClassVar[int] = 0


# --- then: what is heard, and the conversation --------------------------------------------------


@dataclass(frozen=True, slots=True)
class Chime(Effect):
    """Play an earcon behind what already waits; a `polite` one not behind the agent's words."""

    earcon: Earcon
    polite: bool = False


@dataclass(frozen=True, slots=True)
class Announce(Effect):
    """Say a sentence of the kiosk's, by its key."""

    key: str


@dataclass(frozen=True, slots=True)
class UseLanguage(Effect):
    """Say the kiosk's sentences in this language from now on; None: in its own."""

    language: str | None


@dataclass(frozen=True, slots=True)
class GiveWay(Effect):
    """Stop the kiosk's sentences; those that must be heard are owed."""


@dataclass(frozen=True, slots=True)
class SayOwed(Effect):
    """Say what is owed, from its beginning."""


@dataclass(frozen=True, slots=True)
class Forget(Effect):
    """Owe this sentence no more; None: owe none."""

    key: str | None = None


@dataclass(frozen=True, slots=True)
class Hush(Effect):
    """Say this sentence no more, now or later."""

    key: str


@dataclass(frozen=True, slots=True)
class FallSilent(Effect):
    """Stop the kiosk's own sounds, chimes too, and owe nothing."""


@dataclass(frozen=True, slots=True)
class Duck(Effect):
    """Play more softly, or as loud as before."""

    on: bool


@dataclass(frozen=True, slots=True)
class AllowTalk(Effect):
    """Let the microphone's sound out, or only silence."""

    allowed: bool


@dataclass(frozen=True, slots=True)
class BeginVisit(Effect):
    """Count a visit and give it an id."""


@dataclass(frozen=True, slots=True)
class Converse(Effect):
    """Open a conversation, in a language that is not the kiosk's own. `follows`: it goes on where
    another of the visit ended."""

    follows: bool = False
    language: str | None = None


@dataclass(frozen=True, slots=True)
class CutTurn(Effect):
    """Silence the agent, and drop the rest of what it says in this turn."""


@dataclass(frozen=True, slots=True)
class GoOn(Effect):
    """Play the rest of the turn that was cut, from its sentence on."""


@dataclass(frozen=True, slots=True)
class SilenceAgent(Effect):
    """Silence the agent: what it said so far is void."""


@dataclass(frozen=True, slots=True)
class HearOut(Effect):
    """Report when everything that the agent said was heard."""


@dataclass(frozen=True, slots=True)
class CloseConversation(Effect):
    """Close the conversation, for this reason."""

    ending: Ending


@dataclass(frozen=True, slots=True)
class AbandonConversation(Effect):
    """Give up a conversation that does not close."""


@dataclass(frozen=True, slots=True)
class HurryLease(Effect):
    """Fetch a lease now: a visitor waits for one."""


@dataclass(frozen=True, slots=True)
class TryAgent(Effect):
    """Open a conversation without a visitor and close it at once: does the agent listen again?"""


@dataclass(frozen=True, slots=True)
class ComposeReport(Effect):
    """Look how the kiosk is, and say it to staff."""


@dataclass(frozen=True, slots=True)
class DropReport(Effect):
    """Stop the report, said or being composed."""


@dataclass(frozen=True, slots=True)
class PlaybackStuck(Effect):
    """Log that sound did not end in its time."""


# --- last: who only wants to know ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Notify(Effect):
    """Pass a moment on to the listeners."""

    urgency: ClassVar[int] = 2

    moment: Moment
