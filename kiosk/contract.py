"""What kiosk and backend say to each other over HTTP. Pure: no I/O, no clock.

`POST /v1/visits` with `Authorization: Bearer <device token>` asks for one conversation; the answer
is a `Grant`. The writer sends one shape; the reader also accepts what existing token routes answer,
so that a kiosk works with anybody's backend.

A grant that names its visit is a lease: it is spent with `POST /v1/visits/{id}/start` when somebody
presses, is told to be open with `/live`, and accounted for with `/end`. Each may be sent again.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

VISITS_PATH = "/v1/visits"
START_PATH = "/v1/visits/{visit_id}/start"
LIVE_PATH = "/v1/visits/{visit_id}/live"
END_PATH = "/v1/visits/{visit_id}/end"
PROBLEM_PREFIX = "urn:kiosk:problem:"
# Whoever asks again with the same key gets the same visit.
IDEMPOTENCY_HEADER = "Idempotency-Key"
REQUEST_ID_HEADER = "X-Request-Id"

# The conversation must be started within this time of minting (ElevenLabs, "Signed URL
# expiration"); used only when a foreign backend does not say `expires_in`.
SIGNED_URL_LIFE_S = 900.0
# The same for WebRTC conversation tokens.
CONVERSATION_TOKEN_LIFE_S = 600.0
MAX_LIFE_S = 86_400.0
# A kiosk that was without its backend for longer reports no more.
MAX_REPORT_AGE_S = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class Grant:
    """Permission for one conversation: an opaque credential and how long it may still be started.

    Exactly one of `signed_url` and `conversation_token` is set. `life_s` counts from the moment
    the request was sent, so that a slow answer never makes a credential look younger than it is.
    `single_use` is true when the credential names its conversation and opens it only once.
    `visit_id` is None where the backend keeps no account.
    """

    life_s: float
    signed_url: str | None = None
    conversation_token: str | None = None
    conversation_id: str | None = None
    single_use: bool = False
    visit_id: str | None = None

    def __repr__(self) -> str:
        kind = "signed_url" if self.signed_url is not None else "conversation_token"
        return f"Grant({kind}=***, life_s={self.life_s}, conversation_id={self.conversation_id!r})"


_PROBLEM = re.compile(re.escape(PROBLEM_PREFIX) + r"([a-z0-9-]{1,64})")

_VISIT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CONVERSATION_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")

_Id: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
_ConversationId: TypeAlias = Annotated[str, Field(pattern=f"^{_CONVERSATION_ID.pattern}$")]


class StartVisit(BaseModel):
    """Somebody pressed: the lease is to be spent on this press."""

    model_config = ConfigDict(frozen=True)

    press_id: _Id


class LiveVisit(BaseModel):
    """The conversation is open; `conversation_id` is what the agent calls it."""

    model_config = ConfigDict(frozen=True)

    press_id: _Id
    conversation_id: _ConversationId | None = None


class EndVisit(BaseModel):
    """How a visit went. `outcome` is the kind of its ending, `duration_s` the length of its
    conversation, which ended `ago_s` before this was sent; `conversation_id` the one that it really
    had."""

    model_config = ConfigDict(frozen=True)

    press_id: _Id
    outcome: Annotated[str, Field(pattern=r"^[a-z_]{1,32}$")]
    duration_s: Annotated[float, Field(ge=0, le=MAX_LIFE_S)]
    ago_s: Annotated[float, Field(ge=0, le=MAX_REPORT_AGE_S)] = 0.0
    conversation_id: _ConversationId | None = None


class GrantError(ValueError):
    """The backend's answer is not a grant; the message names what is missing, never a value."""


def write_grant(grant: Grant) -> dict[str, str | float | bool]:
    """The one shape our backend answers with; absent fields are left out."""
    body: dict[str, str | float | bool] = {"expires_in": grant.life_s}
    if grant.signed_url is not None:
        body["signed_url"] = grant.signed_url
    if grant.conversation_token is not None:
        body["conversation_token"] = grant.conversation_token
    if grant.conversation_id is not None:
        body["conversation_id"] = grant.conversation_id
    if grant.single_use:
        body["single_use"] = True
    if grant.visit_id is not None:
        body["visit_id"] = grant.visit_id
    return body


def read_grant(body: object) -> Grant:
    """Read our own shape, `{"signed_url"}`, `{"signedUrl"}` or
    `{"conversation_token", "conversation_id", "expires_in"}`; raises GrantError."""
    if not isinstance(body, Mapping):
        raise GrantError("the backend's answer is not a JSON object")
    signed_url = _text(body, "signed_url", "signedUrl")
    token = _text(body, "conversation_token", "conversationToken", "token")
    if signed_url is None and token is None:
        raise GrantError("the backend's answer has neither signed_url nor conversation_token")
    if signed_url is not None and not signed_url.startswith(("wss://", "ws://")):
        raise GrantError("the backend's signed_url does not begin with wss:// or ws://")
    life_s = _life(body, SIGNED_URL_LIFE_S if signed_url else CONVERSATION_TOKEN_LIFE_S)
    single_use = body.get("single_use")
    if not isinstance(single_use, bool):
        # A URL minted with include_conversation_id=true names its conversation and opens it once.
        single_use = signed_url is None or "conversation_id=" in signed_url
    return Grant(
        life_s=life_s,
        signed_url=signed_url,
        conversation_token=None if signed_url else token,
        conversation_id=_text(body, "conversation_id", "conversationId"),
        single_use=single_use,
        visit_id=_visit_id(body),
    )


def conversation_id(text: str | None) -> str | None:
    """The provider's id of a conversation as it may be passed on; None for anything else."""
    return text if text is not None and _CONVERSATION_ID.fullmatch(text) else None


def read_problem(content: bytes) -> str | None:
    """The slug of our backend's problem document (RFC 9457); None for anything else."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return None
    kind = body.get("type") if isinstance(body, Mapping) else None
    found = _PROBLEM.fullmatch(kind) if isinstance(kind, str) else None
    return found[1] if found else None


def _text(body: Mapping[object, object], *names: str) -> str | None:
    for name in names:
        value = body.get(name)
        if isinstance(value, str) and value:
            return value
    return None


def _visit_id(body: Mapping[object, object]) -> str | None:
    text = _text(body, "visit_id")
    return text if text is not None and _VISIT_ID.fullmatch(text) else None


def _life(body: Mapping[object, object], default_s: float) -> float:
    for name in ("expires_in", "expiresIn"):
        value = body.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            # A moment in time taken for a duration, or JSON's Infinity: a credential that is
            # believed to live longer than it does fails at the press.
            if value > MAX_LIFE_S:
                raise GrantError(f"the backend's {name} is not a number of seconds up to a day")
            return float(value)
    return default_s
