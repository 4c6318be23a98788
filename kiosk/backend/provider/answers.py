"""Answers of the provider, and what they mean. No I/O, no clock; the API key is never in reach.

What the provider says about a failure stays here: it decides which error is raised, and only a
short code leaves.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

from kiosk.base.names import NAME
from kiosk.contract import CONVERSATION_TOKEN_LIFE_S, Grant, conversation_id, read_grant
from kiosk.convai.fields import Json, JsonObject, number, table, tables, text, whole_number

# Words only: it is logged, and a key that is said back has digits in it.
_WORDS = re.compile(r"(?=.{1,64}$)[a-z]+(_[a-z]+)*")
_ROOM = re.compile(r"conv_[A-Za-z0-9]+")
_LONGEST_REASON = 200


class ProviderError(Exception):
    """No answer to use. `code` is the provider's own short word for it, if it gave one;
    `was_asked` is False where the provider is spared after the same failure of others."""

    def __init__(
        self, code: str | None = None, retry_after_s: int | None = None, *, was_asked: bool = True
    ) -> None:
        super().__init__(code or "no code")
        self.code = code
        self.retry_after_s = retry_after_s
        self.was_asked = was_asked


class KeyRefusedError(ProviderError):
    """The provider does not accept our API key (401, 403)."""


class AgentUnknownError(ProviderError):
    """The provider does not know the agent (404, 422)."""


class QuotaError(ProviderError):
    """Too many conversations or no credit left (402, 429, or a 401 that says so)."""


class UnreachableError(ProviderError):
    """No answer in time, or one that says the provider itself is in trouble (408, 5xx)."""


class MalformedError(ProviderError):
    """An answer that nobody can use."""


@dataclass(frozen=True, slots=True)
class ProviderAnswer:
    """A whole answer; names of headers are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Json:
        """Raises MalformedError."""
        try:
            value: Json = json.loads(self.body)
        except (ValueError, RecursionError):  # all that JSON from a stranger can do
            raise MalformedError from None
        return value


@dataclass(frozen=True, slots=True)
class ProviderConversation:
    """What the provider wrote down about a conversation; None is what it did not say.

    `status`: initiated, in-progress, processing, done or failed. `transcript` holds (role, text)
    of each turn, and only where it was asked for.
    """

    status: str
    started_at: datetime | None
    duration_s: float | None
    cost_credits: int | None
    termination_reason: str | None
    transcript: tuple[tuple[str, str], ...] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ConversationSummary:
    """One line of the provider's list of conversations."""

    id: str
    status: str
    started_at: datetime | None
    duration_s: float
    cost: float | None


def read_page(answer: ProviderAnswer) -> tuple[list[ConversationSummary], str | None]:
    """One page of the list, and the cursor of the next; lines that make no sense are left out.
    Raises MalformedError."""
    body = read_object(answer)
    lines = []
    for line in tables(body, "conversations"):
        found = conversation_id(text(line, "conversation_id"))
        status = text(line, "status")
        if found is not None and status is not None and NAME.fullmatch(status):
            started_at = _moment(number(line, "start_time_unix_secs"))
            duration_s = _not_negative(number(line, "call_duration_secs")) or 0.0
            cost = _not_negative(number(line, "cost"))
            lines.append(ConversationSummary(found, status, started_at, duration_s, cost))
    return lines, text(body, "next_cursor") if body.get("has_more") is True else None


def read_signed_url(answer: ProviderAnswer) -> Grant:
    """The signed URL is opaque: it is passed on as it came, never rebuilt."""
    grant = _grant(answer)
    if grant.signed_url is None:
        raise MalformedError
    return replace(grant, conversation_id=_id_in_url(grant.signed_url))


def read_token(answer: ProviderAnswer, now_s: float) -> Grant:
    """A token for WebRTC; `now_s` is the time of day, in seconds of the epoch."""
    grant = _grant(answer)
    if grant.conversation_token is None:
        raise MalformedError
    claims = _claims(grant.conversation_token)
    room = text(table(claims, "video"), "room") or ""
    named = _ROOM.search(room)
    expires_s = number(claims, "exp")
    left_s = 0.0 if expires_s is None else expires_s - now_s
    # A token that has expired already says only that somebody's clock is wrong.
    life_s = min(grant.life_s, left_s) if left_s > 0 else grant.life_s
    return replace(
        grant,
        life_s=min(life_s, CONVERSATION_TOKEN_LIFE_S),
        conversation_id=conversation_id(grant.conversation_id)
        or conversation_id(named[0] if named else None),
    )


def read_conversation(answer: ProviderAnswer, *, with_transcript: bool) -> ProviderConversation:
    """Raises MalformedError."""
    body = read_object(answer)
    status = text(body, "status")
    if status is None or not NAME.fullmatch(status):
        raise MalformedError
    metadata = table(body, "metadata")
    reason = text(metadata, "termination_reason")
    transcript = None
    if with_transcript:
        turns = tables(body, "transcript")
        transcript = tuple((text(t, "role") or "", text(t, "message") or "") for t in turns)
    return ProviderConversation(
        status=status,
        started_at=_moment(number(metadata, "start_time_unix_secs")),
        duration_s=_not_negative(number(metadata, "call_duration_secs")),
        cost_credits=whole_number(metadata, "cost"),
        termination_reason=reason[:_LONGEST_REASON] if reason else None,
        transcript=transcript,
    )


def read_object(answer: ProviderAnswer) -> dict[str, Json]:
    """Raises MalformedError for anything but a JSON object."""
    body = answer.json()
    if not isinstance(body, dict):
        raise MalformedError
    return body


def refusal(answer: ProviderAnswer) -> ProviderError:
    """Which error an answer is that is not the wanted one."""
    status, (code, words) = answer.status, _detail(answer)
    wait = answer.headers.get("retry-after", "")
    retry_after_s = int(wait) if re.fullmatch(r"[0-9]{1,4}", wait) else None
    # An exhausted quota also comes as 401 with the status "quota_exceeded".
    if status in (402, 429) or (status in (401, 403) and "quota" in f"{code} {words}".lower()):
        return QuotaError(code, retry_after_s)
    if status in (401, 403):
        return KeyRefusedError(code)
    if status in (404, 422):
        return AgentUnknownError(code)
    if status == 408 or status >= 500:
        return UnreachableError(code, retry_after_s)
    return MalformedError(code)


def _grant(answer: ProviderAnswer) -> Grant:
    try:
        return read_grant(answer.json())
    except (ValueError, OverflowError):
        raise MalformedError from None


def _id_in_url(signed_url: str) -> str | None:
    """Read for the record only; a URL that names no conversation is as good."""
    try:
        found = parse_qs(urlsplit(signed_url).query).get("conversation_id", [""])[0]
    except ValueError:
        return None
    return conversation_id(found)


def _claims(token: str) -> JsonObject:
    """What a JWT says, unverified: it is not ours to verify. Nothing, if it is no JWT."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    padded = parts[1] + "=" * (-len(parts[1]) % 4)
    try:
        claims = json.loads(base64.urlsafe_b64decode(padded.encode("ascii")))
    except (binascii.Error, ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _moment(unix_s: float | None) -> datetime | None:
    try:
        return None if unix_s is None else datetime.fromtimestamp(unix_s, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _not_negative(value: float | None) -> float | None:
    return value if value is not None and value >= 0 else None


def _detail(answer: ProviderAnswer) -> tuple[str | None, str]:
    """The short code and the text of `{"detail": {"status", "message"}}`, `{"detail": "text"}` or
    a 422's `{"detail": [{"type", "msg"}]}`; nothing for anything else."""
    try:
        body = answer.json()
    except MalformedError:
        return None, ""
    detail = body.get("detail") if isinstance(body, Mapping) else None
    if isinstance(detail, list) and detail:
        detail = detail[0]
    if isinstance(detail, str):
        return None, detail
    if not isinstance(detail, Mapping):
        return None, ""
    code = detail.get("status", detail.get("type"))
    known = isinstance(code, str) and _WORDS.fullmatch(code)
    return (str(code) if known else None), str(detail.get("message", detail.get("msg", "")))
