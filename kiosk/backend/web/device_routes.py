"""Routes for kiosks. No SQL and no API key: they stand in the store and in the provider."""

import logging
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Request, Response
from pydantic import JsonValue

from kiosk.backend.books.admission import Refusal, VisitRefused
from kiosk.backend.books.conversations import VisitLease
from kiosk.backend.books.orders import Order, OrderKind
from kiosk.backend.books.rules import Kiosk
from kiosk.backend.characters.character import Occasion
from kiosk.backend.characters.templates import filled
from kiosk.backend.mind.handout_link import HandoutLink
from kiosk.backend.provider.client import ProviderError
from kiosk.backend.tokens import DeviceToken
from kiosk.backend.web.problems import (
    BadKeyError,
    RefusedError,
    UnauthorizedError,
    provider_problem,
)
from kiosk.backend.web.requests import is_id
from kiosk.backend.web.services import Here, Services
from kiosk.backend.web.stream import Change
from kiosk.base.names import SHORT_ID
from kiosk.contract import (
    END_PATH,
    ENROLL_PATH,
    HANDOUT_PATH,
    HANDOUT_RELATION,
    HEARTBEAT_PATH,
    IDEMPOTENCY_HEADER,
    LIVE_PATH,
    PROSPECT_PATH,
    ROTATE_PATH,
    START_PATH,
    VISITS_PATH,
    EndVisit,
    Enroll,
    Grant,
    Heartbeat,
    Instructions,
    LeaseRequest,
    LiveVisit,
    NewToken,
    Prospect,
    StartVisit,
    write_grant,
)
from kiosk.convai.nested import merged

log = logging.getLogger(__name__)

routes = APIRouter(tags=["kiosk"])


@dataclass(frozen=True, slots=True)
class Shown:
    """The kiosk that asks, and the token it shows."""

    kiosk: Kiosk
    token: DeviceToken


# What a kiosk shows before anybody presses, in its own words.
_SHUT = {Refusal.CLOSED: "closed", Refusal.NO_MINUTES: "no_minutes_left"}


async def _authenticate(request: Request, services: Here) -> Shown:
    token = DeviceToken.bearer(request.headers.get("Authorization", ""))
    now = datetime.now(UTC)
    kiosk = await services.store.registry.authenticate(token, now) if token else None
    if kiosk is not None:
        # A revoked kiosk is named too: somebody is still switching it on.
        request.state.kiosk = kiosk.name
    if token is None or kiosk is None or kiosk.revoked:
        raise UnauthorizedError
    return Shown(kiosk, token)


Known = Annotated[Shown, Depends(_authenticate)]
VisitId = Annotated[str, Path(pattern=f"^{SHORT_ID.pattern}$")]


@routes.post(VISITS_PATH)
async def grant_visit(
    request: Request,
    response: Response,
    shown: Known,
    services: Here,
    wanted: LeaseRequest | None = None,
    idempotency_key: Annotated[str | None, Header(alias=IDEMPOTENCY_HEADER)] = None,
) -> dict[str, JsonValue]:
    """One lease: a credential for one conversation, to be used at the next press."""
    request_id: str = request.state.request_id
    key = request_id if idempotency_key is None else idempotency_key
    if not is_id(key):
        raise BadKeyError
    # Before the provider is asked, so that a slow answer never makes a URL look younger.
    minted_at = datetime.now(UTC)
    kiosk = shown.kiosk
    refused = await services.store.ledger.may_lease(kiosk, key, minted_at)
    if refused is not None:
        services.metrics.refused(refused.refusal, refused.scope)
        raise RefusedError(refused)
    wanted = wanted or LeaseRequest()
    try:
        grant = await _mint(services, kiosk, request_id, wanted)
    except ProviderError:
        # Nobody has a credential: the kiosk may ask again when the provider is back.
        await services.store.ledger.give_back(kiosk)
        raise
    expires_at = minted_at + timedelta(seconds=grant.life_s)
    lease = VisitLease(key, grant.conversation_id, minted_at, expires_at)
    leased = await services.store.ledger.lease(kiosk, lease)
    if leased is None:
        raise RefusedError(VisitRefused(Refusal.SPENT))
    services.metrics.visit("leased" if grant.conversation_id is not None else "leased_nameless")
    response.headers["Cache-Control"] = "no-store"
    grant = replace(grant, visit_id=leased.visit_id, max_s=leased.longest_s)
    return write_grant(await _in_character(services, kiosk, wanted, grant, minted_at))


@routes.get(PROSPECT_PATH)
async def prospect(shown: Known, services: Here) -> Prospect:
    """A lease in dry run: whether a visit could begin now. Mints nothing, and costs nothing."""
    refused = await services.store.ledger.prospect(shown.kiosk, datetime.now(UTC))
    provider = services.metrics.provider
    if refused is None:
        return Prospect(may_begin=True, provider=provider)
    return Prospect(
        may_begin=False,
        refusal=refused.refusal,
        scope=None if refused.scope is None else refused.scope.value,
        retry_after_s=refused.retry_after_s,
        provider=provider,
    )


@routes.post(START_PATH, status_code=204)
async def start_visit(visit_id: VisitId, start: StartVisit, shown: Known, services: Here) -> None:
    """Somebody pressed: may the visit go on?"""
    refused = await services.store.ledger.start(shown.kiosk, visit_id, start, datetime.now(UTC))
    _tell(services, shown.kiosk, visit_id, "admitted", refused)


@routes.post(LIVE_PATH, status_code=204)
async def visit_is_live(visit_id: VisitId, live: LiveVisit, shown: Known, services: Here) -> None:
    """The conversation is open."""
    _tell(
        services,
        shown.kiosk,
        visit_id,
        "live",
        await services.store.ledger.live(shown.kiosk, visit_id, live),
    )


@routes.post(END_PATH, status_code=204)
async def end_visit(
    visit_id: VisitId, end: EndVisit, shown: Known, services: Here, response: Response
) -> None:
    """How the visit went. `Link` in the answer leads to what was made for the visitor, if anything
    was."""
    now = datetime.now(UTC)
    closed = await services.store.ledger.end(shown.kiosk, visit_id, end, now)
    refused = closed if isinstance(closed, VisitRefused) else None
    _tell(services, shown.kiosk, visit_id, "closed", refused)
    if closed is True:  # a report that is sent again is no other ending
        services.metrics.ended(end.outcome, "" if end.verdict is None else end.verdict.worth)
    mind = services.mind
    if mind is None or not mind.makes_handouts:
        return
    made = await services.store.talks.handout(shown.kiosk.tenant, visit_id, now)
    if made is not None:
        link = HandoutLink(shown.kiosk.tenant, visit_id, int(made[1].timestamp()))
        address = HANDOUT_PATH.format(token=mind.token_of(link))
        response.headers["Link"] = f'<{address}>; rel="{HANDOUT_RELATION}"'


@routes.post(HEARTBEAT_PATH)
async def heartbeat(beat: Heartbeat, shown: Known, services: Here) -> Instructions:
    """How the kiosk is, and what it should do."""
    now = datetime.now(UTC)
    services.store.liveness.beat(shown.kiosk, beat, now)
    fleet = await services.store.rules.instructions(shown.kiosk, now)
    changes: dict[str, object] = {"rotate": shown.kiosk.token_is_old}
    refused = None if fleet.paused else await services.store.ledger.shut(shown.kiosk, now)
    if refused is not None and refused.refusal in _SHUT:
        changes["cause"] = _SHUT[refused.refusal]
        if refused.retry_after_s is not None:
            changes["until"] = now + timedelta(seconds=refused.retry_after_s)
    if services.store.rules.waits_for(shown.kiosk):
        changes |= _ordered(await services.store.orders.take(shown.kiosk, now))
    return fleet.model_copy(update=changes)


@routes.post(ROTATE_PATH)
async def rotate(response: Response, shown: Known, services: Here) -> NewToken:
    """A second token. The one shown opens until the new one is first used."""
    new = DeviceToken.new()
    await services.store.registry.rotate(shown.kiosk, shown.token, new, datetime.now(UTC))
    response.headers["Cache-Control"] = "no-store"
    return NewToken(device_token=new.reveal(), name=shown.kiosk.name)


@routes.post(ENROLL_PATH)
async def enroll(response: Response, enroll: Enroll, services: Here) -> NewToken:
    """A token for the kiosk that this one-time code is for."""
    token = DeviceToken.new()
    name = await services.store.registry.redeem(enroll.code, token, datetime.now(UTC))
    if name is None:
        raise UnauthorizedError
    response.headers["Cache-Control"] = "no-store"
    return NewToken(device_token=token.reveal(), name=name)


def _ordered(orders: list[Order]) -> dict[str, object]:
    """What follows from them; of several texts the last is said."""
    changes: dict[str, object] = {}
    for order in orders:
        changes[order.what.value] = order.text if order.what is OrderKind.SAY else True
    return changes


def _tell(
    services: Services, kiosk: Kiosk, visit_id: str, event: str, refused: VisitRefused | None
) -> None:
    if refused is not None:
        services.metrics.refused(refused.refusal, refused.scope)
        raise RefusedError(refused)
    services.metrics.visit(event)
    services.hub.tell(Change(kiosk.tenant, "visit", visit_id))


async def _mint(services: Services, kiosk: Kiosk, request_id: str, wanted: LeaseRequest) -> Grant:
    began_s, was_spared = time.monotonic(), services.provider.is_spared
    try:
        grant = await services.provider.mint(request_id, wanted.transport, wanted, kiosk.name)
    except ProviderError as error:
        slug = provider_problem(error).slug
        if error.was_asked:
            services.metrics.minted(slug, time.monotonic() - began_s)
            if services.provider.is_spared and not was_spared:
                log.warning("the provider keeps failing and is asked now and then only: %s", slug)
        else:
            services.metrics.spared()
        raise
    services.metrics.minted("ok", time.monotonic() - began_s)
    return grant


async def _in_character(
    services: Services, kiosk: Kiosk, wanted: LeaseRequest, grant: Grant, now: datetime
) -> Grant:
    greeting = None if services.mind is None else services.mind.greeting
    if not services.characters and greeting is None:
        return grant
    assigned = await services.store.rules.assigned(kiosk)
    local = now.astimezone(assigned.zone)
    occasion = Occasion(kiosk.name, kiosk.site, wanted.language or "", local)
    if greeting is not None:
        said = filled(greeting, occasion.values())
        grant = replace(grant, overrides={"agent": {"first_message": said}})
    character = services.characters.get(assigned.character or "")
    if character is None:
        return grant
    return replace(
        grant,
        overrides=merged(grant.overrides, character.overrides(occasion)),
        dynamic_variables=character.dynamic_variables(occasion),
    )
