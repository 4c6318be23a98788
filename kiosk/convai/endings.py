"""Endings: why a conversation ended, classified. Pure: a table and a lookup.

The reason's text decides before the code: 1002 is said of an exhausted quota, a broken agent and a
silent visitor alike. Meanings and texts are those of the published contract
(`WebSocketCloseCode`, `ErrorType`) and of public reports.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from kiosk.causes import CAUSES, Meaning


class Kind(StrEnum):
    """What happened, in the operator's words."""

    HUNG_UP = "hung_up"  # the visitor, or an operator, ended it
    AGENT_ENDED = "agent_ended"
    MAX_DURATION = "max_duration"
    TIME_UP = "time_up"  # the kiosk's own limit
    ABANDONED = "abandoned"
    NO_ANSWER = "no_answer"
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


# Looked for in order, in the close reason, the error's type and its message, lower-cased. What
# names something of the operator's comes first: names may hold any word.
_TEXTS: tuple[tuple[str, Kind], ...] = (
    ("not allowed to connect", Kind.AGENT_MISCONFIGURED),
    ("misconfigured", Kind.AGENT_MISCONFIGURED),
    ("telephony_agent_error", Kind.AGENT_MISCONFIGURED),
    ("mcp_https_error", Kind.AGENT_MISCONFIGURED),
    ("mcp_tool_error", Kind.AGENT_MISCONFIGURED),
    ("override for field", Kind.OVERRIDE_REFUSED),
    ("override_error", Kind.OVERRIDE_REFUSED),
    ("dynamic variable", Kind.VARIABLE_MISSING),
    ("missing_dynamic_variable", Kind.VARIABLE_MISSING),
    ("does not exist", Kind.AGENT_MISSING),
    ("quota", Kind.QUOTA),
    ("daily call limit", Kind.QUOTA),
    ("concurrent connections", Kind.BUSY),
    ("concurrent conversations", Kind.BUSY),
    ("concurrent_limit", Kind.BUSY),
    ("queue wait", Kind.BUSY),
    ("queue timed out", Kind.BUSY),
    ("could not authorize", Kind.REFUSED),
    ("maximum duration", Kind.MAX_DURATION),
    ("max_duration_exceeded", Kind.MAX_DURATION),
    ("invalid message", Kind.PROTOCOL),
    ("invalid_message", Kind.PROTOCOL),
    ("missing_fields", Kind.PROTOCOL),
    ("value_error", Kind.PROTOCOL),
    ("safety_violation", Kind.SAFETY),
    ("transport_receive_timeout", Kind.NOT_HEARD),
    ("websocket_disconnect", Kind.NETWORK_LOST),
)

_ADDRESS = re.compile(r"\b\w+://\S+")
_QUOTATION = re.compile(r"(?<!\w)'[^']*[^\w'.-][^']*'(?!\w)|\"[^\"]*[^\w\".-][^\"]*\"")

_CODES: dict[int, Kind] = {
    1000: Kind.AGENT_ENDED,
    1001: Kind.NETWORK_LOST,
    1002: Kind.AGENT_FAILED,
    1005: Kind.NETWORK_LOST,
    1006: Kind.NETWORK_LOST,
    1007: Kind.PROTOCOL,
    1008: Kind.REFUSED,
    1009: Kind.PROTOCOL,
    1011: Kind.INTERNAL,
    3000: Kind.REFUSED,
    3008: Kind.BUSY,
    4300: Kind.BUSY,
}


def classify_close(code: int | None, reason: str, error: str = "") -> Ending:
    """The server closed with `code` (None: no close frame), maybe after an error event whose type
    and message are `error`."""
    said = f"{reason} {error}".lower()
    detail = _loggable(reason or error)
    for text, kind in _TEXTS:
        if text in said:
            return Ending(kind, code, detail)
    return Ending(_CODES.get(1006 if code is None else code, Kind.INTERNAL), code, detail)


def _loggable(text: str) -> str:
    """A reason without what may not be logged: addresses, and quotations longer than a name."""
    return _QUOTATION.sub("'...'", _ADDRESS.sub("(an address)", text))[:200]


# What follows from a refusal of the backend's, by the slug of its problem document.
_DENIALS: dict[str, Kind] = {
    "paused": Kind.PAUSED,
    "closed": Kind.CLOSED,
    "no-minutes-left": Kind.NO_MINUTES_LEFT,
    "busy": Kind.BUSY,
    "too-many-presses": Kind.BUSY,
    "too-many-leases": Kind.BUSY,
    "provider-quota": Kind.BUSY,
    "unauthorized": Kind.NO_CREDENTIAL,
    "visit-unknown": Kind.LEASE_REFUSED,
    "visit-spent": Kind.LEASE_REFUSED,
    "lease-expired": Kind.LEASE_REFUSED,
}


def classify_denial(reason: str) -> Ending:
    """The backend says no to this visit; a reason that is not known here is final."""
    return Ending(_DENIALS.get(reason, Kind.NOT_ADMITTED), None, reason)


def classify_handshake(status: int, *, web_page: bool = False) -> Ending:
    """The WebSocket was refused with an HTTP status (a proxy, a portal, a used-up signature). The
    service has no web pages there: what answers with one is something on the way."""
    detail = f"HTTP {status} instead of a WebSocket"
    if web_page:
        return Ending(Kind.UNREACHABLE, status, f"{detail}, and a web page")
    if status in (401, 403):
        return Ending(Kind.REFUSED, status, detail)
    if status == 404:
        return Ending(Kind.AGENT_MISSING, status, detail)
    if status == 422:
        return Ending(Kind.PROTOCOL, status, detail)
    if status == 429:
        return Ending(Kind.BUSY, status, detail)
    return Ending(Kind.UNREACHABLE, status, detail)
