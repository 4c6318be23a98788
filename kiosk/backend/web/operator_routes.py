"""Routes for operators, each with a token of their own and a role. No SQL."""

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any, Self

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from sqlalchemy.exc import DBAPIError

from kiosk.backend.books.costs import CostBy, CostReport, Days, month_so_far
from kiosk.backend.books.database import DatabaseDownError
from kiosk.backend.books.history import VisitChoice, VisitCursor, VisitLine
from kiosk.backend.books.liveness import Presence
from kiosk.backend.books.operators import Operator, Role
from kiosk.backend.books.rules import Scope
from kiosk.backend.books.spreadsheet import write_costs_csv, write_csv
from kiosk.backend.tokens import OperatorToken, StreamTicket, new_code
from kiosk.backend.web.device_routes import VisitId
from kiosk.backend.web.metrics import CONTENT_TYPE
from kiosk.backend.web.problems import ForbiddenError, MissingError, UnauthorizedError
from kiosk.backend.web.services import Here, Services
from kiosk.backend.web.stream import Change, SharedReads, StreamWatcher
from kiosk.base.names import RECORD_NAME
from kiosk.convai.agent_settings import LONGEST_S

log = logging.getLogger(__name__)

routes = APIRouter(tags=["operator"])

NAME = f"^{RECORD_NAME.pattern}$"
STREAM_PATH = "/v1/stream"
TICKETS_PATH = "/v1/stream/tickets"
METRICS_PATH = "/metrics"

# A comment now and then keeps proxies from thinking that nobody is there.
_SIGN_OF_LIFE_S = 15.0
_SIGN_OF_LIFE = ": still here\n\n"
_TICKET_S = 60
_CSV = "text/csv; charset=utf-8"
_YEARS = 1970, 9998

Name = Annotated[str, Field(pattern=NAME)]
Limit = Annotated[int, Query(ge=1, le=1000)]


class _Scoped(BaseModel):
    """The fleet has no name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scope: Scope
    name: Annotated[str, Field(pattern=f"{NAME}|^$")] = ""

    @field_validator("name")
    @classmethod
    def _fits(cls, name: str, info: ValidationInfo) -> str:
        if info.data.get("scope") is Scope.FLEET and name:
            raise ValueError("the fleet has no name")
        return name


class PauseRequest(_Scoped):
    """What to pause: the fleet, or the site or kiosk of this name."""

    ends_visits: bool = False  # those under way too

    @model_validator(mode="after")
    def _is_named(self) -> Self:
        if self.scope is not Scope.FLEET and not self.name:
            raise ValueError("which site or kiosk")
        return self


class LimitChange(_Scoped):
    """A line of limits; the name "" is the fleet, or any site or kiosk without a line of its own.
    What is left out stays as it is, and null is no limit."""

    minutes_per_day: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    at_once: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    presses_per_minute: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    minutes_per_visit: Annotated[int, Field(ge=1, le=LONGEST_S // 60)] | None = None


class Invitation(BaseModel):
    """A kiosk that is to come."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    site: Annotated[str, Field(pattern=f"{NAME}|^$")] = ""


def _moment(at: datetime) -> datetime:
    """UTC, unless it says otherwise."""
    if not _YEARS[0] <= at.year <= _YEARS[1]:
        raise ValueError(f"a time between {_YEARS[0]} and {_YEARS[1]}")
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _cursor(text: str) -> str:
    VisitCursor.parse(text)
    return text


Moment = Annotated[datetime, AfterValidator(_moment)]


class VisitsAsked(BaseModel):
    """Which visits, and how many at once."""

    limit: Annotated[int, Field(ge=1, le=1000)] = 50
    kiosk: Annotated[str | None, Field(pattern=NAME)] = None
    site: Annotated[str | None, Field(pattern=f"{NAME}|^$")] = None
    since: Moment | None = None
    until: Moment | None = None
    cursor: Annotated[str, Field(max_length=100), AfterValidator(_cursor)] | None = None


def _today() -> date:
    return datetime.now(UTC).date()


class CostsAsked(BaseModel):
    """Costs by what, and of which days; of this month, if nobody says."""

    by: CostBy = CostBy.DAY
    since: date = Field(default_factory=lambda: month_so_far(_today()).since)
    until: date = Field(default_factory=lambda: month_so_far(_today()).until)

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        Days(self.since, self.until)
        return self


class StreamOpening(BaseModel):
    """A ticket for `GET /v1/stream?ticket=`; how long it opens one, in seconds."""

    ticket: str
    life_s: int


@dataclass(frozen=True, slots=True)
class Told:
    """An event's text, and who was in when it was read."""

    text: str
    standing: frozenset[str]


def _may(needed: Role) -> Callable[..., Any]:
    async def authenticate(request: Request, services: Here) -> Operator:
        token = OperatorToken.bearer(request.headers.get("Authorization", ""))
        operator = await services.store.operators.authenticate(token) if token else None
        if operator is None:
            raise UnauthorizedError
        request.state.operator = operator.name
        if not operator.role.may(needed):
            raise ForbiddenError
        return operator

    return authenticate


Viewer = Annotated[Operator, Depends(_may(Role.VIEWER))]
Switcher = Annotated[Operator, Depends(_may(Role.OPERATOR))]
Admin = Annotated[Operator, Depends(_may(Role.ADMIN))]


@routes.get("/v1/kiosks")
async def list_kiosks(who: Viewer, services: Here) -> list[dict[str, Any]]:
    """Every kiosk by name: where it is, how it is, what it runs."""
    lines = await services.store.liveness.kiosks(who.tenant, datetime.now(UTC))
    return [asdict(line) for line in lines]


@routes.get("/v1/visits")
async def list_visits(
    request: Request,
    response: Response,
    who: Viewer,
    services: Here,
    chosen: Annotated[VisitsAsked, Query()],
) -> list[dict[str, Any]]:
    """The latest visits, the newest first; a header `Link` names the page that follows."""
    lines = await _page(services, who, chosen, request, response)
    return [asdict(line) for line in lines]


@routes.get("/v1/visits.csv")
async def list_visits_as_csv(
    request: Request,
    response: Response,
    who: Viewer,
    services: Here,
    chosen: Annotated[VisitsAsked, Query()],
) -> Response:
    """The same, for a spreadsheet."""
    lines = await _page(services, who, chosen, request, response)
    return Response(write_csv(lines), headers=dict(response.headers), media_type=_CSV)


@routes.get("/v1/costs")
async def list_costs(
    who: Viewer, services: Here, chosen: Annotated[CostsAsked, Query()]
) -> dict[str, Any]:
    """What days, kiosks or sites cost, in credits; and the month, with its forecast."""
    return asdict(await _costs(services, who, chosen))


@routes.get("/v1/costs.csv")
async def list_costs_as_csv(
    who: Viewer, services: Here, chosen: Annotated[CostsAsked, Query()]
) -> Response:
    """The lines of the same, for a spreadsheet."""
    return Response(write_costs_csv(await _costs(services, who, chosen)), media_type=_CSV)


@routes.get("/v1/visits/{visit_id}/events")
async def list_events(visit_id: VisitId, who: Viewer, services: Here) -> list[dict[str, Any]]:
    """What happened in a visit, in order."""
    return [
        event.model_dump() for event in await services.store.history.events(who.tenant, visit_id)
    ]


@routes.get("/v1/audit")
async def list_changes(who: Admin, services: Here, limit: Limit = 50) -> list[dict[str, Any]]:
    """Who changed what, the newest first."""
    return [asdict(line) for line in await services.store.operators.audit(who.tenant, limit)]


@routes.get("/v1/pauses")
async def list_pauses(who: Viewer, services: Here) -> list[PauseRequest]:
    """All that is paused."""
    paused = await services.store.rules.paused(who.tenant)
    return [PauseRequest(scope=scope, name=name) for scope, name in paused]


@routes.post("/v1/pauses", status_code=204)
async def pause(pause: PauseRequest, who: Switcher, services: Here) -> None:
    """Let no visit begin there."""
    await _require(services, who, pause.scope, pause.name)
    now = datetime.now(UTC)
    await services.store.rules.pause(
        who.tenant, pause.scope, pause.name, now, ends_visits=pause.ends_visits
    )
    await _record(services, who, "paused", f"{pause.scope} {pause.name}")


@routes.post("/v1/pauses/end", status_code=204)
async def resume(pause: PauseRequest, who: Switcher, services: Here) -> None:
    """Let visits begin again there."""
    if await services.store.rules.resume(who.tenant, pause.scope, pause.name):
        await _record(services, who, "resumed", f"{pause.scope} {pause.name}")


@routes.get("/v1/limits")
async def list_limits(who: Viewer, services: Here) -> list[dict[str, Any]]:
    """Every line of limits."""
    return [asdict(line) for line in await services.store.rules.limits(who.tenant)]


@routes.post("/v1/limits")
async def change_limit(change: LimitChange, who: Admin, services: Here) -> dict[str, Any]:
    """Change a line of limits, and see it whole."""
    if change.name:
        await _require(services, who, change.scope, change.name)
    given = change.model_dump(exclude_unset=True, exclude={"scope", "name"})
    line = await services.store.rules.set_limit(who.tenant, change.scope, change.name, given)
    told = ", ".join(f"{key}={value}" for key, value in given.items())
    await _record(services, who, "limited", f"{change.scope} {change.name}: {told}")
    return asdict(line)


@routes.post("/v1/enrolment-codes")
async def invite(
    invitation: Invitation, response: Response, who: Admin, services: Here
) -> dict[str, str]:
    """A one-time code for a kiosk that is to come; it is good for ten minutes."""
    code, now = new_code(), datetime.now(UTC)
    invited = await services.store.registry.invite(
        who.tenant, invitation.name, invitation.site, code, now
    )
    if not invited:
        raise MissingError("enrolled-already")
    await _record(services, who, "invited", invitation.name)
    response.headers["Cache-Control"] = "no-store"
    return {"code": code}


@routes.post("/v1/kiosks/{name}/revoke", status_code=204)
async def revoke(name: Annotated[str, Path(pattern=NAME)], who: Admin, services: Here) -> None:
    """Revoke a kiosk, at once."""
    if not await services.store.registry.revoke(who.tenant, name, datetime.now(UTC)):
        raise MissingError("kiosk-unknown")
    await _record(services, who, "revoked", name)


@routes.post(TICKETS_PATH)
async def ticket(response: Response, who: Viewer, services: Here) -> StreamOpening:
    """A ticket that opens the operator's stream in the next minute, for a browser."""
    ends_at = int(time.time()) + _TICKET_S
    made = await services.store.operators.ticket(who, ends_at)
    if made is None:
        raise UnauthorizedError
    response.headers["Cache-Control"] = "no-store"
    return StreamOpening(ticket=made.reveal(), life_s=_TICKET_S)


async def _watcher(
    request: Request,
    services: Here,
    ticket: Annotated[str | None, Query(max_length=200)] = None,
) -> Operator:
    """Whoever shows an operator's token or, in a browser, a ticket."""
    if ticket is None:
        who: Operator = await _may(Role.VIEWER)(request, services)
        return who
    shown = StreamTicket.parse(ticket)
    found = await services.store.operators.admit(shown, datetime.now(UTC)) if shown else None
    if found is None:
        raise UnauthorizedError
    request.state.operator = found.name
    return found


@routes.get(STREAM_PATH)
async def stream(
    request: Request,
    who: Annotated[Operator, Depends(_watcher)],
    services: Here,
    last_event_id: Annotated[str | None, Query(max_length=64)] = None,
    heard: Annotated[str | None, Header(alias="Last-Event-ID", max_length=64)] = None,
) -> StreamingResponse:
    """Server-sent events: `visit` and `kiosk` with the line as it is now, `missed` when more
    happened than was told. Whoever names the last event's id hears what came since."""
    if not services.hub.has_room(who.tenant, who.name):
        raise MissingError("too-many-watchers")
    reads: SharedReads[Told] = request.app.state.stream_reads

    async def told() -> AsyncIterator[str]:
        with services.hub.watching(who.tenant, who.name, heard or last_event_id) as watcher:
            yield _SIGN_OF_LIFE
            async for change in _changes(watcher):
                said = await _said(services, reads, who, change)
                if said is None:
                    return
                yield said

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(told(), media_type="text/event-stream", headers=headers)


@routes.get(METRICS_PATH)
async def metrics(_who: Viewer, services: Here) -> Response:
    """The server's figures in Prometheus' words, over all tenants: sums, and nobody's name."""
    now = datetime.now(UTC)
    visits_open, minutes, presences = 0, 0.0, Counter[str](dict.fromkeys(Presence, 0))
    for tenant in await services.store.registry.tenants():
        figures = await services.store.history.figures(tenant, now)
        visits_open += figures.visits_open
        minutes += figures.minutes_today
        presences.update(await services.store.liveness.presences(tenant, now))
    watchers = services.hub.watchers
    page = services.metrics.render(visits_open, minutes, presences, watchers)
    return Response(page, media_type=CONTENT_TYPE)


async def _changes(watcher: StreamWatcher) -> AsyncIterator[Change]:
    """Each change; after a while without any a sign of life, whose number all have at a time."""
    while True:
        try:
            async with asyncio.timeout(_SIGN_OF_LIFE_S):
                change = await watcher.next()
        except TimeoutError:
            yield Change(watcher.tenant, "nothing", "", int(time.monotonic() / _SIGN_OF_LIFE_S))
            continue
        if change is None:
            return
        yield change


async def _said(
    services: Services, reads: SharedReads[Told], who: Operator, change: Change
) -> str | None:
    """What a watcher is told; None ends the stream: a client comes back."""
    try:
        told = await reads.of(change)
        # Who is shut out sees nothing more, however long ago they came. Whoever was let in after
        # this was read stands not in it.
        if who.id not in told.standing and not await services.store.operators.knows(who):
            return None
    except (DBAPIError, DatabaseDownError) as error:
        log.warning("a stream ends: %s", type(error).__name__)
        return None
    return told.text


def stream_reads(services: Services) -> SharedReads[Told]:
    """What is told of changes, read once for all who watch."""

    async def read(change: Change) -> Told:
        standing = await services.store.operators.standing(change.tenant)
        return Told(await _event(services, change), standing)

    return SharedReads(read)


async def _event(services: Services, change: Change) -> str:
    line: dict[str, Any] = {}
    if change.kind == "nothing":
        return _SIGN_OF_LIFE
    if change.kind == "visit":
        found = await services.store.history.line(change.tenant, change.id)
        line = {} if found is None else asdict(found)
    elif change.kind == "kiosk":
        kiosk = await services.store.liveness.kiosk(change.tenant, change.id, datetime.now(UTC))
        line = {} if kiosk is None else asdict(kiosk)
    name, data = services.hub.event_id(change), json.dumps(line, default=str)
    return f"event: {change.kind}\nid: {name}\ndata: {data}\n\n"


async def _page(
    services: Services, who: Operator, asked: VisitsAsked, request: Request, response: Response
) -> list[VisitLine]:
    after = None if asked.cursor is None else VisitCursor.parse(asked.cursor)
    choice = VisitChoice(asked.kiosk, asked.site, asked.since, asked.until, after)
    lines = await services.store.history.latest(who.tenant, asked.limit, choice)
    if len(lines) == asked.limit and (at := lines[-1].admitted_at) is not None:
        cursor = str(VisitCursor(at, lines[-1].id))
        target = request.url.include_query_params(cursor=cursor)
        # Without the host: behind a proxy it is another.
        response.headers["Link"] = f'<{target.path}?{target.query}>; rel="next"'
    return lines


async def _costs(services: Services, who: Operator, asked: CostsAsked) -> CostReport:
    days, budget = Days(asked.since, asked.until), services.monthly_budget
    return await services.store.costs.report(who.tenant, asked.by, days, _today(), budget)


async def _require(services: Services, who: Operator, scope: Scope, name: str) -> None:
    if not await services.store.registry.knows(who.tenant, scope, name):
        raise MissingError(f"{scope}-unknown")


async def _record(services: Services, who: Operator, action: str, subject: str) -> None:
    now = datetime.now(UTC)
    await services.store.operators.record(who.tenant, who.name, action, subject.strip(), now)
