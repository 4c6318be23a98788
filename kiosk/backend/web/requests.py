"""Gives every request an id, bounds and one log line. Knows no route, logs no path.

The line holds the route's template, never what was asked for: a path or a query may carry a secret
that somebody put in the wrong place.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kiosk.base.names import NAME
from kiosk.contract import REQUEST_ID_HEADER

logger = logging.getLogger(__name__)

# A kiosk's reports are a tenth of it; more is nobody's, and is not read.
MAX_BODY_BYTES = 16_384

# So many at once wait for the database or the provider. More would only wait for each other: a
# kiosk that is refused at once asks again.
MOST_UNDER_WAY = 500


@dataclass(frozen=True, slots=True)
class BodyLimit:
    """What a request's body may be, and how long it may take to come."""

    most_bytes: int = MAX_BODY_BYTES
    within_s: float = 10.0


Observe = Callable[[str, str, int, float], None]
_USUAL = BodyLimit()
_NOTHING_LARGE: Mapping[str, BodyLimit] = {}


class RequestLog:
    """ASGI middleware; must be outermost, so that a crash is logged too.

    Puts `request_id` into the request's state; logs `kiosk`, `problem` and `provider_code` if
    somebody put them there. A request is under way until its answer begins, but not while its body
    is waited for: a slow client costs nobody else a place.
    """

    def __init__(
        self,
        app: ASGIApp,
        observe: Observe,
        busy: ASGIApp,
        large: Mapping[str, BodyLimit] = _NOTHING_LARGE,
    ) -> None:
        """`observe` is told route, method, status and seconds of every answer; `busy` answers when
        too many are under way; `large` are paths whose bodies may be longer."""
        self._app = app
        self._observe = observe
        self._busy = busy
        self._large = large
        self._places = _Places()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s = time.monotonic()
        request_id = _request_id(Headers(scope=scope))
        scope.setdefault("state", {})["request_id"] = request_id
        app = self._app if self._places.taken < MOST_UNDER_WAY else self._busy
        limit = self._large.get(scope["path"], _USUAL)
        exchange = _Exchange(receive, send, request_id, limit, self._places)
        try:
            await app(scope, exchange.receive, exchange.send)
        finally:
            exchange.leave()
            took_s = time.monotonic() - began_s
            method, route = _route(scope)
            self._observe(route, method, exchange.status, took_s)
            _log(scope, method, route, exchange.status, took_s * 1000)


@dataclass
class _Places:
    """How many requests are under way."""

    taken: int = 0


class _Exchange:
    """One request and its answer, within bounds."""

    def __init__(
        self, receive: Receive, send: Send, request_id: str, limit: BodyLimit, places: _Places
    ) -> None:
        self.status = 0  # until the answer begins
        self._receive = receive
        self._send = send
        self._request_id = request_id
        self._left_bytes = limit.most_bytes
        self._body_by_s = asyncio.get_running_loop().time() + limit.within_s
        self._is_read = False
        self._places = places
        self._has_place = False
        self._take()

    async def receive(self) -> Message:
        """The next part of the body; after the last, that the client has gone. Raises
        HTTPException."""
        if self._is_read:
            return await self._receive()
        self.leave()
        try:
            async with asyncio.timeout_at(self._body_by_s):
                message = await self._receive()
        except TimeoutError:
            close = {"Connection": "close"}  # the rest may still come
            raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, headers=close) from None
        finally:
            self._take()
        self._is_read = not message.get("more_body", False)
        self._left_bytes -= len(message.get("body", b""))
        if self._left_bytes < 0:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return message

    async def send(self, message: Message) -> None:
        """The next part of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.leave()
            MutableHeaders(scope=message)[REQUEST_ID_HEADER] = self._request_id
        await self._send(message)

    def leave(self) -> None:
        """It is not under way."""
        self._places.taken -= self._has_place
        self._has_place = False

    def _take(self) -> None:
        self._has_place = not self.status
        self._places.taken += self._has_place


def is_id(text: str) -> bool:
    """Whether it may be kept and logged as somebody's id of a request."""
    return NAME.fullmatch(text) is not None


def _request_id(headers: Headers) -> str:
    given = headers.get(REQUEST_ID_HEADER, "")
    return given if is_id(given) else uuid.uuid4().hex


def _route(scope: Scope) -> tuple[str, str]:
    # A method is any word the client likes, and a route is found for a wrong one too.
    route = scope.get("route")
    methods = getattr(route, "methods", None) or ()
    path = getattr(route, "path", "-")
    return (scope["method"] if scope["method"] in methods else "-", path)


def _log(scope: Scope, method: str, route: str, status: int, duration_ms: float) -> None:
    state = scope["state"]
    line = (
        f"method={method} route={route} "
        f"status={status or '-'} duration_ms={duration_ms:.1f} "
        f"request_id={state['request_id']} kiosk={state.get('kiosk', '-')}"
    )
    if "operator" in state:
        line += f" operator={state['operator']}"
    for key in ("problem", "provider_code"):
        if state.get(key):
            line += f" {key}={state[key]}"
    logger.log(logging.WARNING if status >= 500 or not status else logging.INFO, "%s", line)
