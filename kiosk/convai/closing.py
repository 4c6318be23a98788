"""Classification of the service's endings: close codes, texts, HTTP statuses in place of a
WebSocket. Pure: tables and a lookup.

The reason's text decides before the code: 1002 is said of an exhausted quota, a broken agent and a
silent visitor alike. Meanings and texts are those of the published contract
(`WebSocketCloseCode`, `ErrorType`) and of public reports.
"""

import re

from kiosk.endings import Ending, Kind

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
    ("client_disconnected", Kind.NETWORK_LOST),
)

# What no entry above knows: reasons are worded anew without notice, and what they have in common is
# what they are about. In this order: a quota of concurrent calls is a matter of waiting.
_MANY = "(?:call|connection|conversation|request|session|stream|user)"
_ABOUT: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (
        re.compile(
            rf"(?:concurren|simultaneous)\w*[ _-](?:\w+[ _-])?(?:{_MANY}|limit)"
            rf"|too[ _]many[ _](?:\w+[ _])?{_MANY}|(?:limit|max\w*)\b.{{0,40}}concurren"
            r"|(?:at|over) capacity|overloaded|rate[ _-]?limit"
            r"|all (?:\w+ )?(?:agents|lines) are busy"
        ),
        Kind.BUSY,
    ),
    (
        re.compile(
            r"entitlement|credits?\b|billing|payment|subscription|insufficient (?:funds|balance)"
            r"|(?:exceed|reach|hit)\w*\b.{0,40}\b(?:limit|plan|allowance|usage)"
            r"|(?:limit|allowance|usage)\b.{0,40}\b(?:exceed|reach|exhaust)\w*"
        ),
        Kind.QUOTA,
    ),
    (re.compile(r"agent_?\s?configuration"), Kind.AGENT_MISCONFIGURED),
    (re.compile(r"invalid_client_request"), Kind.PROTOCOL),
    (
        re.compile(
            r"permission|forbidden|unauthori[sz]ed|not authori[sz]ed|access (?:is )?denied"
            r"|(?:invalid|expired|wrong|missing) (?:api key|token|signature|credential)"
        ),
        Kind.REFUSED,
    ),
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

# Frames that were wrong or too large: the words are about those.
_OF_THE_WIRE = (1007, 1009)


def classify_close(code: int | None, reason: str, error: str = "") -> Ending:
    """The server closed with `code` (None: no close frame), maybe after an error event whose type
    and message are `error`."""
    said = f"{reason} {error}".lower()
    detail = _loggable(reason or error)
    for text, kind in _TEXTS:
        if text in said:
            return Ending(kind, code, detail)
    for about, kind in _ABOUT:
        if code not in _OF_THE_WIRE and about.search(said):
            return Ending(kind, code, detail)
    return Ending(_CODES.get(1006 if code is None else code, Kind.INTERNAL), code, detail)


def _loggable(text: str) -> str:
    """A reason without what may not be logged: addresses, and quotations longer than a name."""
    return _QUOTATION.sub("'...'", _ADDRESS.sub("(an address)", text))[:200]


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
