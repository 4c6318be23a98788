"""Routes of the fleet's page. No SQL; what it shows is made in `view`."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from importlib import resources
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from kiosk.backend.books.operators import Operator, Role
from kiosk.backend.books.orders import LONGEST_TEXT, OrderKind
from kiosk.backend.books.rules import Scope
from kiosk.backend.page import session
from kiosk.backend.page.view import Books, fleet_view
from kiosk.backend.tokens import OperatorToken
from kiosk.backend.web.services import Here, Services

routes = APIRouter(prefix="/fleet", include_in_schema=False)

_VISITS = 40
# A fleet in which much happens renews its page so often and no more.
_RENEWED_EVERY_S = 0.5
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
Action = Callable[[Services, Operator, Fields], Awaitable[None]]


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
    return await _fleet("fleet.html", services, who, token)


@routes.get("/part")
async def part(request: Request, services: Here) -> Response:
    """What of the page changes."""
    token, who = await _signed_in(request, services)
    if token is None or who is None:
        return Response(status_code=HTTPStatus.UNAUTHORIZED, headers=_HEADERS)
    return await _fleet("part.html", services, who, token)


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
    needed, action = _ACTIONS.get(fields.get("action", ""), (Role.ADMIN, None))
    if not own or action is None or not who.role.may(needed):
        return Response("not allowed\n", HTTPStatus.FORBIDDEN, _HEADERS, "text/plain")
    await action(services, who, fields)
    return _back()


@routes.get("/stream")
async def stream(request: Request, services: Here) -> Response:
    """Server-sent events: `change` whenever the page is not as it was."""
    _, who = await _signed_in(request, services)
    if who is None or services.hub.is_full:
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=_HEADERS)  # it asks no more
    headers = {**_HEADERS, "X-Accel-Buffering": "no"}
    return StreamingResponse(
        _changes(services, who.tenant), media_type="text/event-stream", headers=headers
    )


async def _changes(services: Services, tenant: str) -> AsyncIterator[str]:
    """No row is read for it: the page asks for its part, and is shut out there if it must be."""
    with services.hub.watching(tenant) as watcher:
        yield ": here\n\n"
        while True:
            try:
                async with asyncio.timeout(_SIGN_OF_LIFE_S):
                    if await watcher.next() is None:
                        return
            except TimeoutError:
                yield ": still here\n\n"
                continue
            yield "event: change\ndata: 1\n\n"  # one without data would not be told
            await asyncio.sleep(_RENEWED_EVERY_S)


# --- what is done -------------------------------------------------------------------------------


async def _pause(services: Services, who: Operator, fields: Fields) -> None:
    scope, name = await _scope(services, who, fields)
    if scope is not None:
        now = datetime.now(UTC)
        await services.store.rules.pause(who.tenant, scope, name, now)
        await _record(services, who, "paused", f"{scope} {name}")


async def _resume(services: Services, who: Operator, fields: Fields) -> None:
    scope, name = await _scope(services, who, fields)
    if scope is not None and await services.store.rules.resume(who.tenant, scope, name):
        await _record(services, who, "resumed", f"{scope} {name}")


async def _revoke(services: Services, who: Operator, fields: Fields) -> None:
    name = fields.get("name", "")
    if await services.store.registry.revoke(who.tenant, name, datetime.now(UTC)):
        await _record(services, who, "revoked", name)


def _order(what: OrderKind) -> Action:
    async def order(services: Services, who: Operator, fields: Fields) -> None:
        text = " ".join(fields.get("text", "").split())[:LONGEST_TEXT]
        if what is OrderKind.SAY and not text:
            return
        said = text if what is OrderKind.SAY else ""
        now = datetime.now(UTC)
        name = fields.get("name", "")
        await services.store.orders.give(who.tenant, name, what, said, who.name, now)

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


async def _scope(services: Services, who: Operator, fields: Fields) -> tuple[Scope | None, str]:
    """What is meant; None for what there is not."""
    name = fields.get("name", "")
    scope = next((each for each in Scope if each == fields.get("scope")), None)
    if scope is None or not await services.store.registry.knows(who.tenant, scope, name):
        return None, name
    return scope, name


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


async def _fleet(name: str, services: Services, who: Operator, token: OperatorToken) -> Response:
    now, store = datetime.now(UTC), services.store
    books = Books(
        kiosks=await store.liveness.kiosks(who.tenant, now),
        visits=await store.history.latest(who.tenant, _VISITS),
        figures=await store.history.figures(who.tenant, now),
        paused=await store.rules.paused(who.tenant),
        limits=await store.rules.limits(who.tenant),
        orders=await store.orders.waiting(who.tenant, now),
    )
    return _html(
        name,
        fleet=fleet_view(books, now),
        who=who,
        may_switch=who.role.may(Role.OPERATOR),
        may_all=who.role.may(Role.ADMIN),
        key=session.form_key(token),
        longest=LONGEST_TEXT,
    )


async def _fields(request: Request) -> Fields:
    """A form's, each once; none of one that no page of ours has."""
    body = (await request.body()).decode("utf-8", errors="replace")
    try:
        found = parse_qs(body, max_num_fields=_MOST_FIELDS)
    except ValueError:
        return {}
    return {name: values[-1] for name, values in found.items()}


def _html(name: str, status: HTTPStatus = HTTPStatus.OK, **values: Any) -> HTMLResponse:
    return HTMLResponse(_templates().get_template(name).render(**values), status, _HEADERS)


def _back() -> RedirectResponse:
    return RedirectResponse(_BACK, HTTPStatus.SEE_OTHER, _HEADERS)


def _is_https(request: Request) -> bool:
    """Also behind a proxy that has ended TLS, which says so."""
    return "https" in (request.url.scheme, request.headers.get("x-forwarded-proto"))


@cache
def _asset(name: str) -> str:
    return (resources.files("kiosk.backend.page") / "assets" / name).read_text("utf-8")
