"""Routes of the fleet's page. No SQL; what it shows is made in `view`."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from importlib import resources
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from kiosk.backend.books.operators import Operator, Role
from kiosk.backend.books.orders import LONGEST_TEXT, OrderKind
from kiosk.backend.books.rules import Scope
from kiosk.backend.page import session
from kiosk.backend.page.rendered import RenderedParts
from kiosk.backend.page.view import Books, fleet_view
from kiosk.backend.tokens import OperatorToken
from kiosk.backend.web.services import Here, Services
from kiosk.backend.web.stream import apart

routes = APIRouter(prefix="/fleet", include_in_schema=False)

_VISITS = 40
_SIGN_OF_LIFE_S = 15.0
_ASSETS = {"fleet.css": "text/css", "fleet.js": "text/javascript"}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",  # or a form would come from nowhere
    "X-Content-Type-Options": "nosniff",
}
_BACK = "/fleet"
_MOST_FIELDS = 10

Fields = dict[str, str]
# Stands for an operator's own in what is drawn for all.
_KEY = "{key}"
_BETWEEN = " "  # action, scope and name, none of which has one


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a form is about."""

    scope: str
    name: str
    text: str


# Whether it was taken.
Action = Callable[[Services, Operator, Wanted], Awaitable[bool]]


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("kiosk.backend.page"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip


@routes.get("")
async def page(request: Request, services: Here) -> Response:
    """The page, or the door to it."""
    token, who = await _signed_in(request, services)
    if token is None or who is None:
        return _html("sign_in.html", refused=False)
    refused = "refused" in request.query_params
    text = await _part(request, services, who, token)
    return _html("fleet.html", who=who, part=Markup(text), refused=refused)  # noqa: S704  ours


@routes.get("/part")
async def part(request: Request, services: Here) -> Response:
    """What of the page changes."""
    token, who = await _signed_in(request, services)
    if token is None or who is None:
        return Response(status_code=HTTPStatus.UNAUTHORIZED, headers=_HEADERS)
    return HTMLResponse(await _part(request, services, who, token), headers=_HEADERS)


@routes.get("/assets/{name}")
async def asset(name: str) -> Response:
    """Style and script."""
    if name not in _ASSETS:
        return Response(status_code=HTTPStatus.NOT_FOUND, headers=_HEADERS)
    return Response(_asset(name), media_type=_ASSETS[name], headers=_HEADERS)


@routes.post("/sign-in")
async def sign_in(request: Request, services: Here) -> Response:
    """An operator shows a token."""
    fields = await _fields(request)
    token = OperatorToken.parse(fields.get("token", "").strip())
    who = await services.store.operators.authenticate(token) if token else None
    if token is None or who is None or not session.is_own_page(request.headers):
        return _html("sign_in.html", HTTPStatus.UNAUTHORIZED, refused=True)
    back = _back()
    back.set_cookie(
        session.COOKIE, token.reveal(), max_age=session.LIFE_S, path=_BACK, httponly=True,
        samesite="strict", secure=_is_https(request),
    )  # fmt: skip
    return back


@routes.post("/sign-out")
async def sign_out() -> Response:
    """Nobody is signed in from now on."""
    back = _back()
    back.delete_cookie(session.COOKIE, path=_BACK)
    return back


@routes.post("/do")
async def do(request: Request, services: Here) -> Response:
    """Something is to be done; the page then shows that it is, or waits."""
    token, who = await _signed_in(request, services)
    if token is None or who is None:
        return _back()
    fields = await _fields(request)
    own = session.is_own_page(request.headers) and session.is_own_form(token, fields.get("key", ""))
    name, scope, subject = [*fields.get("do", "").split(_BETWEEN), "", "", ""][:3]
    needed, action = _ACTIONS.get(name, (Role.ADMIN, None))
    if not own or action is None or not who.role.may(needed):
        return Response("not allowed\n", HTTPStatus.FORBIDDEN, _HEADERS, "text/plain")
    wanted = Wanted(scope, subject, fields.get("text", ""))
    taken = await action(services, who, wanted)
    request.app.state.fleet_parts.forget(who.tenant)
    return _back() if taken else _back(refused=True)


@routes.get("/stream")
async def stream(request: Request, services: Here) -> Response:
    """Server-sent events: `change` whenever the page is not as it was."""
    _, who = await _signed_in(request, services)
    if who is None or not services.hub.has_room(who.tenant, who.name):
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=_HEADERS)  # it asks no more
    headers = {**_HEADERS, "X-Accel-Buffering": "no"}
    return StreamingResponse(
        _changes(services, who, request.app.state.fleet_parts),
        media_type="text/event-stream",
        headers=headers,
    )


async def _changes(services: Services, who: Operator, parts: RenderedParts) -> AsyncIterator[str]:
    """No row is read for it: the page asks for its part, and is shut out there if it must be."""
    with services.hub.watching(who.tenant, who.name) as watcher:
        yield ": here\n\n"
        while True:
            try:
                async with asyncio.timeout(_SIGN_OF_LIFE_S):
                    if await watcher.next() is None:
                        return
            except TimeoutError:
                yield ": still here\n\n"
                continue
            await asyncio.sleep(parts.anew_in_s(who.tenant, who.role))
            yield "event: change\ndata: 1\n\n"  # one without data would not be told


# --- what is done -------------------------------------------------------------------------------


async def _pause(services: Services, who: Operator, wanted: Wanted) -> bool:
    scope = await _scope(services, who, wanted)
    if scope is None:
        return False
    await services.store.rules.pause(who.tenant, scope, wanted.name, datetime.now(UTC))
    await _record(services, who, "paused", f"{scope} {wanted.name}")
    return True


async def _resume(services: Services, who: Operator, wanted: Wanted) -> bool:
    scope = await _scope(services, who, wanted)
    if scope is None or not await services.store.rules.resume(who.tenant, scope, wanted.name):
        return False
    await _record(services, who, "resumed", f"{scope} {wanted.name}")
    return True


async def _revoke(services: Services, who: Operator, wanted: Wanted) -> bool:
    now = datetime.now(UTC)
    if not await services.store.registry.revoke(who.tenant, wanted.name, now):
        return False
    await _record(services, who, "revoked", wanted.name)
    return True


def _order(what: OrderKind) -> Action:
    async def order(services: Services, who: Operator, wanted: Wanted) -> bool:
        text = " ".join(wanted.text.split())[:LONGEST_TEXT] if what is OrderKind.SAY else ""
        if what is OrderKind.SAY and not text:
            return False
        now = datetime.now(UTC)
        return await services.store.orders.give(who.tenant, wanted.name, what, text, who.name, now)

    return order


_ACTIONS: dict[str, tuple[Role, Action]] = {
    "pause": (Role.OPERATOR, _pause),
    "resume": (Role.OPERATOR, _resume),
    "ring": (Role.OPERATOR, _order(OrderKind.RING)),
    "say": (Role.OPERATOR, _order(OrderKind.SAY)),
    "end_visit": (Role.OPERATOR, _order(OrderKind.END_VISIT)),
    "rotate": (Role.ADMIN, _order(OrderKind.ROTATE)),
    "revoke": (Role.ADMIN, _revoke),
}


async def _scope(services: Services, who: Operator, wanted: Wanted) -> Scope | None:
    """What is meant; None for what there is not."""
    scope = next((each for each in Scope if each == wanted.scope), None)
    known = scope is not None and await services.store.registry.knows(
        who.tenant, scope, wanted.name
    )
    return scope if known else None


async def _record(services: Services, who: Operator, action: str, subject: str) -> None:
    now = datetime.now(UTC)
    await services.store.operators.record(who.tenant, who.name, action, subject.strip(), now)


# --- requests and answers -----------------------------------------------------------------------


async def _signed_in(
    request: Request, services: Services
) -> tuple[OperatorToken | None, Operator | None]:
    token = OperatorToken.parse(request.cookies.get(session.COOKIE, ""))
    who = await services.store.operators.authenticate(token) if token else None
    if who is not None:
        request.state.operator = who.name
    return token, who


async def _part(request: Request, services: Services, who: Operator, token: OperatorToken) -> str:
    """What of the page changes, with the key of this operator's forms."""

    async def draw() -> str:
        now, store = datetime.now(UTC), services.store
        books = Books(
            kiosks=await store.liveness.kiosks(who.tenant, now),
            visits=await store.history.latest(who.tenant, _VISITS),
            figures=await store.history.figures(who.tenant, now),
            paused=await store.rules.paused(who.tenant),
            limits=await store.rules.limits(who.tenant),
            orders=await store.orders.waiting(who.tenant, now),
            month=services.months.get(who.tenant),
            budget=services.monthly_budget,
        )
        template = _templates().get_template("part.html")
        may = {"may_switch": who.role.may(Role.OPERATOR), "may_all": who.role.may(Role.ADMIN)}
        # In a thread: of a large fleet it takes a while, and a press does not wait for it.
        return await asyncio.to_thread(
            lambda: template.render(
                fleet=fleet_view(books, now), key=_KEY, longest=LONGEST_TEXT, **may
            )
        )

    parts: RenderedParts = request.app.state.fleet_parts
    text = await apart(parts.get(who.tenant, who.role, draw))
    return text.replace(_KEY, session.form_key(token))


async def _fields(request: Request) -> Fields:
    """A form's, each once; none of one that no page of ours has."""
    body = (await request.body()).decode("utf-8", errors="replace")
    try:
        found = parse_qs(body, max_num_fields=_MOST_FIELDS)
    except ValueError:
        return {}
    return {name: _printable(values[-1]) for name, values in found.items()}


def _printable(text: str) -> str:
    """What no keyboard types is none of it: a database would choke on a NUL."""
    return "".join(each if each.isprintable() else " " for each in text)


def _html(name: str, status: HTTPStatus = HTTPStatus.OK, **values: Any) -> HTMLResponse:
    return HTMLResponse(_templates().get_template(name).render(**values), status, _HEADERS)


def _back(*, refused: bool = False) -> RedirectResponse:
    where = f"{_BACK}?refused" if refused else _BACK
    return RedirectResponse(where, HTTPStatus.SEE_OTHER, _HEADERS)


def _is_https(request: Request) -> bool:
    """Also behind a proxy that has ended TLS, which says so."""
    return "https" in (request.url.scheme, request.headers.get("x-forwarded-proto"))


@cache
def _asset(name: str) -> str:
    return (resources.files("kiosk.backend.page") / "assets" / name).read_text("utf-8")
