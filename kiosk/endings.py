"""Endings of a conversation: the kinds, and what follows from each. Pure: a table and a lookup.

What the service's close codes and texts mean is in `kiosk.convai.closing`.
"""

from dataclasses import dataclass
from enum import StrEnum

from kiosk.causes import CAUSES, Meaning


class Kind(StrEnum):
    """What happened, in the operator's words."""

    HUNG_UP = "hung_up"  # by the button
    ENDED_BY_OPERATOR = "ended_by_operator"
    LANGUAGE_CHANGED = "language_changed"  # the visit goes on in another conversation
    AGENT_ENDED = "agent_ended"
    MAX_DURATION = "max_duration"
    TIME_UP = "time_up"  # the kiosk's own limit
    ABANDONED = "abandoned"
    NO_ANSWER = "no_answer"
    TRIAL = "trial"  # without a visitor: does the agent listen again?
    STOPPED = "stopped"  # the daemon is stopping
    NETWORK_LOST = "network_lost"
    PEER_DEAD = "peer_dead"  # nothing at all was heard, not even the answer to a ping
    UNREACHABLE = "unreachable"
    NO_METADATA = "no_metadata"
    NO_CREDENTIAL = "no_credential"
    BACKEND_UNREACHABLE = "backend_unreachable"
    PAUSED = "paused"  # by an operator, at the backend
    CLOSED = "closed"  # the site, at this hour
    NO_MINUTES_LEFT = "no_minutes_left"  # of the day
    NOT_ADMITTED = "not_admitted"  # by the backend, for another reason
    LEASE_REFUSED = "lease_refused"  # by the backend; another lease may do
    QUOTA = "quota"
    BUSY = "busy"
    TOO_MANY_PRESSES = "too_many_presses"  # in a minute, for the backend
    OVERRIDE_REFUSED = "override_refused"
    VARIABLE_MISSING = "variable_missing"
    AGENT_MISSING = "agent_missing"
    AGENT_MISCONFIGURED = "agent_misconfigured"
    REFUSED = "refused"
    PROTOCOL = "protocol"
    SAFETY = "safety"
    NOT_HEARD = "not_heard"  # nothing of the kiosk's sound reached the server
    AGENT_FAILED = "agent_failed"
    INTERNAL = "internal"
    MICROPHONE_LOST = "microphone_lost"
    SPEAKER_LOST = "speaker_lost"


class Farewell(StrEnum):
    """How the kiosk leaves the visitor: what of the agent's audio is still heard."""

    FINISH = "finish"  # what the agent said is heard to its end
    CUT = "cut"


@dataclass(frozen=True, slots=True)
class Rule:
    """What follows from a kind, beside what its row in `kiosk.causes` says.

    `retries`: how many new conversations one visit may try; a mistake in somebody's configuration
    is never tried again, for it would fail again.
    """

    retries: int
    farewell: Farewell


# How often another conversation is tried. Of the others, none is.
_RETRIES: dict[Kind, int] = {
    Kind.NETWORK_LOST: 3,
    Kind.PEER_DEAD: 3,
    Kind.UNREACHABLE: 3,
    Kind.NO_METADATA: 3,
    Kind.BACKEND_UNREACHABLE: 3,
    Kind.LEASE_REFUSED: 1,
    Kind.NOT_HEARD: 1,
    Kind.AGENT_FAILED: 1,
    Kind.INTERNAL: 3,
}
_FINISHED = frozenset({Kind.AGENT_ENDED, Kind.MAX_DURATION})

RULES: dict[Kind, Rule] = {
    kind: Rule(
        _RETRIES.get(kind, 0),
        Farewell.FINISH if kind in _FINISHED else Farewell.CUT,
    )
    for kind in Kind
}


@dataclass(frozen=True, slots=True)
class Ending:
    """How one conversation ended. `detail` is for the log: a reason text, never the visitor's."""

    kind: Kind
    code: int | None = None
    detail: str = ""

    @property
    def rule(self) -> Rule:
        return RULES[self.kind]

    @property
    def meaning(self) -> Meaning:
        return CAUSES[self.kind]


# What follows from a refusal of the backend's, by the slug of its problem document.
_DENIALS: dict[str, Kind] = {
    "paused": Kind.PAUSED,
    "closed": Kind.CLOSED,
    "no-minutes-left": Kind.NO_MINUTES_LEFT,
    "busy": Kind.BUSY,
    "too-many-presses": Kind.TOO_MANY_PRESSES,
    "too-many-leases": Kind.TOO_MANY_PRESSES,
    "provider-quota": Kind.BUSY,
    "unauthorized": Kind.NO_CREDENTIAL,
    "visit-unknown": Kind.LEASE_REFUSED,
    "visit-spent": Kind.LEASE_REFUSED,
    "lease-expired": Kind.LEASE_REFUSED,
}


def classify_denial(reason: str) -> Ending:
    """The backend says no to this visit; a reason that is not known here is final."""
    return Ending(_DENIALS.get(reason, Kind.NOT_ADMITTED), None, reason)
