"""Gives every request an id and one log line. Knows no route, reads no body, logs no path.

The line holds the route's template, never what was asked for: a path or a query may carry a secret
that somebody put in the wrong place.
"""

import logging
import re
import time
import uuid
from collections.abc import Callable, Mapping
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kiosk.contract import REQUEST_ID_HEADER

logger = logging.getLogger(__name__)

# A kiosk's reports are a tenth of it; more is nobody's, and is not read.
MAX_BODY_BYTES = 16_384

Observe = Callable[[str, str, int, float], None]
_NOTHING_LARGE: Mapping[str, int] = {}

_GOOD_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RequestLog:
    """ASGI middleware; must be outermost, so that a crash is logged too.

    Puts `request_id` into the request's state; logs `kiosk`, `problem` and `provider_code` if
    somebody put them there.
    """

    def __init__(
        self, app: ASGIApp, observe: Observe, large: Mapping[str, int] = _NOTHING_LARGE
    ) -> None:
        """`observe` is told route, method, status and seconds of every answer; `large` are paths
        whose bodies may be longer, in bytes."""
        self._app = app
        self._observe = observe
        self._large = large

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s = time.monotonic()
        request_id = _request_id(Headers(scope=scope))
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
            await send(message)

        taken, most = 0, self._large.get(scope["path"], MAX_BODY_BYTES)

        async def receive_little() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > most:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return message

        try:
            await self._app(scope, receive_little, send_with_id)
        finally:
            took_s = time.monotonic() - began_s
            method, route = _route(scope)
            self._observe(route, method, status, took_s)
            _log(scope, method, route, status, took_s * 1000)


def is_id(text: str) -> bool:
    """Whether it may be kept and logged as somebody's id of a request."""
    return _GOOD_ID.fullmatch(text) is not None


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
