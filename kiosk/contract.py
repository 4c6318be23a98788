"""Contract of kiosk and backend: their messages over HTTP. Pure: no I/O, no clock.

`POST /v1/visits` with `Authorization: Bearer <device token>` asks for one conversation; the answer
is a `Grant`. The writer sends one shape; the reader also accepts what existing token routes answer,
so that a kiosk works with anybody's backend.

`GET /v1/visits/prospect` asks whether one could be had, and takes none.

A grant that names its visit is a lease: it is spent with `POST /v1/visits/{id}/start` when somebody
presses, is told to be open with `/live`, and accounted for with `/end`. Each may be sent again.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, field_validator

from kiosk.base.name_fields import Name
from kiosk.base.names import LONG_ID, SHORT_ID

VISITS_PATH = "/v1/visits"
PROSPECT_PATH = "/v1/visits/prospect"
START_PATH = "/v1/visits/{visit_id}/start"
LIVE_PATH = "/v1/visits/{visit_id}/live"
END_PATH = "/v1/visits/{visit_id}/end"
HEARTBEAT_PATH = "/v1/heartbeat"
ROTATE_PATH = "/v1/device/rotate"
ENROLL_PATH = "/v1/enroll"
HEALTH_PATH = "/healthz"
# Where the provider's speech engine asks for answers.
SPEECH_ENGINE_PATH = "/v1/mind/speech-engine"
# And its agents with a custom LLM; an operator gives it what comes before the form's name.
LLM_PATH = "/v1/llm"
# For visitors: what a mind made for them to take along.
HANDOUT_PATH = "/v1/handouts/{token}"
HANDOUT_RELATION = "related"  # as a `Link` header says it (RFC 8288)
# Not the service's: what a widely read guide asks of a custom LLM.
GUIDES_LLM_PATH = f"{LLM_PATH}/webhook"
CHAT_COMPLETIONS_PATH = f"{LLM_PATH}/chat/completions"
RESPONSES_PATH = f"{LLM_PATH}/responses"
PROBLEM_PREFIX = "urn:kiosk:problem:"
PROBLEM_TYPE = "application/problem+json"
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
# What a kiosk tells of one visit, at most.
MAX_EVENTS = 64

# `kdk_<credential id>_<secret>`.
DEVICE_TOKEN = re.compile(r"kdk_([0-9a-f]{16})_([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Grant:
    """Permission for one conversation: an opaque credential and how long it may still be started.

    Exactly one of `signed_url` and `conversation_token` is set. `life_s` counts from the moment
    the request was sent, so that a slow answer never makes a credential look younger than it is.
    `single_use` is true when the credential names its conversation and opens it only once.
    `visit_id` is None where the backend keeps no account. `overrides` and `dynamic_variables` are
    for the initiation, in the wire's shape (`kiosk.convai.overrides`); `max_s` is how long the
    visit may last, None if the backend does not say.
    """

    life_s: float
    signed_url: str | None = None
    conversation_token: str | None = None
    conversation_id: str | None = None
    single_use: bool = False
    visit_id: str | None = None
    overrides: Mapping[str, JsonValue] = field(default_factory=dict)
    dynamic_variables: Mapping[str, JsonValue] = field(default_factory=dict)
    max_s: float | None = None

    def __repr__(self) -> str:
        kind = "signed_url" if self.signed_url is not None else "conversation_token"
        return f"Grant({kind}=***, life_s={self.life_s}, conversation_id={self.conversation_id!r})"


_PROBLEM = re.compile(re.escape(PROBLEM_PREFIX) + r"([a-z0-9-]{1,64})")


_Word: TypeAlias = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
_Counter: TypeAlias = Annotated[float, Field(ge=0, le=1e15)]
# `warm`: a lease is always at hand; `open_hours`: while the site is open; `on_press`: never.
LeasePolicy: TypeAlias = Literal["warm", "open_hours", "on_press"]
# The road of a conversation.
Transport: TypeAlias = Literal["websocket", "webrtc"]
_ConversationId: TypeAlias = Annotated[str, Field(pattern=f"^{LONG_ID.pattern}$")]


class StartVisit(BaseModel):
    """Somebody pressed: the lease is to be spent on this press."""

    model_config = ConfigDict(frozen=True)

    press_id: Name


class LiveVisit(BaseModel):
    """The conversation is open; `conversation_id` is what the agent calls it."""

    model_config = ConfigDict(frozen=True)

    press_id: Name
    conversation_id: _ConversationId | None = None


class VisitEvent(BaseModel):
    """What happened `at_s` after the press. No words of anybody's: names and numbers only."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    sequence: Annotated[int, Field(ge=1, le=MAX_EVENTS)]
    at_s: Annotated[float, Field(ge=0, le=MAX_LIFE_S)]
    what: _Word
    fields: Annotated[dict[_Word, int | float | bool | Name], Field(max_length=8)] = {}


Worth: TypeAlias = Literal["good", "spoilt", "lost"]


class VisitVerdict(BaseModel):
    """What a visit was worth to the visitor, and the cause, in the kiosk's words, of what was not
    good in it. Lost: there was no answer."""

    model_config = ConfigDict(frozen=True)

    worth: Worth
    cause: _Word | None = None


class EndVisit(BaseModel):
    """How a visit went. `outcome` is the kind of its ending, `duration_s` the length of its
    conversation, which ended `ago_s` before this was sent; `conversation_id` the one that it really
    had; `events` what happened in it, numbered from 1 without a gap; `verdict` what it was
    worth."""

    model_config = ConfigDict(frozen=True)

    press_id: Name
    outcome: _Word
    duration_s: Annotated[float, Field(ge=0, le=MAX_LIFE_S)]
    ago_s: Annotated[float, Field(ge=0, le=MAX_REPORT_AGE_S)] = 0.0
    conversation_id: _ConversationId | None = None
    events: Annotated[tuple[VisitEvent, ...], Field(max_length=MAX_EVENTS)] = ()
    verdict: VisitVerdict | None = None

    @field_validator("events")
    @classmethod
    def _numbered(cls, events: tuple[VisitEvent, ...]) -> tuple[VisitEvent, ...]:
        if [event.sequence for event in events] != list(range(1, len(events) + 1)):
            raise ValueError("events are numbered from 1 without a gap")
        return events


class AgentEdition(BaseModel):
    """Which edition of the agent is talked with, where it is not the one that everybody has: a
    branch, a version, an environment (published contract)."""

    model_config = ConfigDict(frozen=True)

    branch_id: Name | None = None
    version_id: Name | None = None
    environment: Name | None = None


class LeaseRequest(AgentEdition):
    """What a lease is asked for; an empty body asks for the defaults."""

    transport: Transport = "websocket"
    language: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]{2})?$")] | None = None


class Prospect(BaseModel):
    """Whether a visit could begin now; asking costs nothing and mints nothing. `refusal` is the
    slug of the problem that it would be refused with, `scope` whose limit that is, `provider` what
    came of asking the provider last ("ok", "not asked yet", or a problem's slug)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    may_begin: bool
    refusal: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")] | None = None
    scope: Literal["fleet", "site", "kiosk"] | None = None
    retry_after_s: Annotated[float, Field(ge=0)] | None = None
    provider: Annotated[str, Field(max_length=64)] = ""


class Heartbeat(BaseModel):
    """How a kiosk is. `boot_id` is new with every start of the daemon, `sequence` rises from 1
    within it; two that alternate are two kiosks with one token."""

    model_config = ConfigDict(frozen=True)

    boot_id: Name
    sequence: Annotated[int, Field(ge=1, le=2**53)]
    state: _Word
    cause: _Word = "fit"  # why no visit can be held, if none can
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9.+_-]{1,32}$")]
    counters: Annotated[dict[_Word, _Counter], Field(max_length=16)] = {}


class Instructions(BaseModel):
    """What the backend wants, in answer to a heartbeat. `policy` None: as the kiosk is configured;
    `rotate`: ask for a new device token; `next_s`: until the next heartbeat; `end_visit`: at once,
    for an operator has pulled the plug. `cause`: why no visit may begin now, in the kiosk's words,
    and `until` when, if that is known; `paused` is the one of them that older kiosks know. `ring`:
    sound a chime, once, for whoever looks for it; `say`: a text, once, between visits."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    next_s: Annotated[float, Field(ge=1, le=86_400)] = 60.0
    policy: LeasePolicy | None = None
    paused: bool = False
    cause: Annotated[str, Field(max_length=32)] | None = None
    until: AwareDatetime | None = None
    end_visit: bool = False
    rotate: bool = False
    ring: bool = False
    say: Annotated[str, Field(max_length=200)] | None = None
    target_version: str | None = None


class Enroll(BaseModel):
    """A one-time code, as an operator was told it."""

    model_config = ConfigDict(frozen=True)

    code: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")]


class NewToken(BaseModel):
    """A device token: to be written down, for it is not shown again."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    device_token: Annotated[str, Field(pattern=f"^{DEVICE_TOKEN.pattern}$", repr=False)]
    name: str = ""


class GrantError(ValueError):
    """The backend's answer is not a grant; the message names what is missing, never a value."""


def write_grant(grant: Grant) -> dict[str, JsonValue]:
    """The one shape our backend answers with; absent fields are left out."""
    body: dict[str, JsonValue] = {"expires_in": grant.life_s}
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
    if grant.overrides:
        body["overrides"] = dict(grant.overrides)
    if grant.dynamic_variables:
        body["dynamic_variables"] = dict(grant.dynamic_variables)
    if grant.max_s is not None:
        body["max_s"] = grant.max_s
    return body


def read_grant(body: object, transport: Transport = "websocket") -> Grant:
    """Read our own shape, `{"signed_url"}`, `{"signedUrl"}` or
    `{"conversation_token", "conversation_id", "expires_in"}`; of both, that for `transport` counts.
    Raises GrantError."""
    if not isinstance(body, Mapping):
        raise GrantError("the backend's answer is not a JSON object")
    signed_url = _text(body, "signed_url", "signedUrl")
    token = _text(body, "conversation_token", "conversationToken", "token")
    if signed_url is None and token is None:
        raise GrantError("the backend's answer has neither signed_url nor conversation_token")
    if transport == "webrtc" and token is not None:
        signed_url = None
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
        overrides=_table(body, "overrides"),
        dynamic_variables=_table(body, "dynamic_variables"),
        max_s=_max_s(body),
    )


def conversation_id(text: str | None) -> str | None:
    """The provider's id of a conversation as it may be passed on; None for anything else."""
    return text if text is not None and LONG_ID.fullmatch(text) else None


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
    return text if text is not None and SHORT_ID.fullmatch(text) else None


def _table(body: Mapping[object, object], name: str) -> Mapping[str, JsonValue]:
    value = body.get(name)
    return value if isinstance(value, dict) else {}


def _max_s(body: Mapping[object, object]) -> float | None:
    value = body.get("max_s")
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= MAX_LIFE_S:
        return float(value)
    return None


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
