"""Problem documents (RFC 9457) for what goes wrong in a request. No routes, no database.

`type` is stable, for programs; `title` is for people. Nothing a provider or a database said is
ever in the answer.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from kiosk.backend.books.admission import Refusal, VisitRefused
from kiosk.backend.books.database import DatabaseDownError
from kiosk.backend.provider.client import (
    AgentUnknownError,
    KeyRefusedError,
    MalformedError,
    ProviderError,
    QuotaError,
    UnreachableError,
)
from kiosk.contract import PROBLEM_PREFIX, PROBLEM_TYPE

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Problem:
    """One row of the table; `retry_after_s` only where waiting can help."""

    slug: str
    status: int
    title: str
    retry_after_s: int | None = None

    @property
    def type(self) -> str:
        """The stable identifier."""
        return PROBLEM_PREFIX + self.slug


UNAUTHORIZED = Problem("unauthorized", 401, "The token is missing, unknown or revoked")
FORBIDDEN = Problem("forbidden", 403, "The operator's role does not reach so far")
UNSIGNED = Problem("unsigned", 401, "The delivery's signature is not good")
STORE = Problem("store-unavailable", 503, "The backend cannot use its database", 5)
BUSY = Problem("too-many-requests", 503, "Too many requests are under way", 2)
INVALID = Problem("invalid", 422, "The request cannot be used")
BAD_KEY = Problem("bad-idempotency-key", 400, "Idempotency-Key is not 1 to 64 of A-Za-z0-9._-")
INTERNAL = Problem("internal", 500, "The backend failed")
OF_PROVIDER: dict[type[ProviderError], Problem] = {
    KeyRefusedError: Problem("provider-key-refused", 502, "The provider refuses the backend's key"),
    AgentUnknownError: Problem("agent-unknown", 502, "The provider does not know the agent"),
    # About as long as it takes until somebody else's conversation ends.
    QuotaError: Problem("provider-quota", 429, "The provider allows no more for now", 30),
    UnreachableError: Problem("provider-unreachable", 503, "The provider does not answer", 5),
    MalformedError: Problem("provider-malformed", 502, "The provider's answer cannot be used"),
}


MISSING: dict[str, Problem] = {
    problem.slug: problem
    for problem in (
        Problem("kiosk-unknown", 404, "There is no such kiosk"),
        Problem("site-unknown", 404, "There is no such site"),
        Problem("enrolled-already", 409, "A kiosk of that name is enrolled: revoke it first"),
        Problem("too-many-watchers", 503, "Too many operators watch already", 30),
    )
}

OF_REFUSAL: dict[Refusal, Problem] = {
    Refusal(problem.slug): problem
    for problem in (
        Problem("visit-unknown", 404, "This kiosk has no such visit"),
        Problem("visit-spent", 409, "The visit was begun already: ask for another"),
        Problem("lease-expired", 409, "The lease has expired: ask for another"),
        Problem("paused", 403, "An operator has paused this kiosk"),
        Problem("closed", 403, "The site is closed at this hour"),
        Problem("busy", 429, "As many visits as are allowed are under way"),
        Problem("no-minutes-left", 403, "The day's minutes are used up"),
        Problem("too-many-presses", 429, "Too many visits were begun in too short a time"),
        Problem("too-many-leases", 429, "Too many leases were asked for and not used"),
    )
}


class RefusedError(Exception):
    """The ledger says no."""

    def __init__(self, refused: VisitRefused) -> None:
        super().__init__(refused.refusal)
        self.refused = refused


class BadKeyError(Exception):
    """The idempotency key cannot be kept."""


class ForbiddenError(Exception):
    """The operator's role does not reach so far."""


class MissingError(Exception):
    """What an operator names is not there, or not to be had; `slug` is a row of `MISSING`."""

    def __init__(self, slug: str) -> None:
        super().__init__(slug)
        self.problem = MISSING[slug]


class UnsignedError(Exception):
    """A delivery whose signature is not the provider's. `reason` is for our own log."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UnusableError(Exception):
    """A delivery that is signed and makes no sense."""


class UnauthorizedError(Exception):
    """The request shows no device token that is good."""


def add_problems(app: FastAPI) -> None:
    """Answer every failure of `app` with a problem document."""
    app.add_exception_handler(UnauthorizedError, _unauthorized)
    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(BadKeyError, _bad_key)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(ForbiddenError, _forbidden)
    app.add_exception_handler(MissingError, _missing)
    app.add_exception_handler(UnsignedError, _unsigned)
    app.add_exception_handler(UnusableError, _unusable)
    app.add_exception_handler(ProviderError, _provider)
    app.add_exception_handler(DBAPIError, _store)
    app.add_exception_handler(DatabaseDownError, _store)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(HTTPStatus.INTERNAL_SERVER_ERROR, _internal)


def _answer(
    request: Request,
    problem: Problem,
    headers: Mapping[str, str] | None = None,
    **members: str,
) -> JSONResponse:
    request.state.problem = problem.slug
    body = {"type": problem.type, "title": problem.title, "status": problem.status, **members}
    sent = {"Cache-Control": "no-store", **(headers or {})}
    if problem.retry_after_s is not None:
        sent.setdefault("Retry-After", str(problem.retry_after_s))
    return JSONResponse(body, problem.status, sent, media_type=PROBLEM_TYPE)


async def answer_busy(scope: Scope, receive: Receive, send: Send) -> None:
    """An application whose every answer is that there is no time."""
    await _answer(Request(scope), BUSY)(scope, receive, send)


async def _unauthorized(request: Request, _error: Exception) -> JSONResponse:
    return _answer(request, UNAUTHORIZED, {"WWW-Authenticate": 'Bearer realm="kiosk"'})


async def _forbidden(request: Request, _error: Exception) -> JSONResponse:
    return _answer(request, FORBIDDEN)


async def _missing(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, MissingError)
    return _answer(request, error.problem)


async def _unsigned(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, UnsignedError)
    request.state.provider_code = error.reason
    return _answer(request, UNSIGNED)


async def _unusable(request: Request, _error: Exception) -> JSONResponse:
    return _answer(request, INVALID)


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RefusedError)
    refused = error.refused
    # Rounded up: who comes back sooner is refused again.
    wait = None if refused.retry_after_s is None else str(math.ceil(refused.retry_after_s))
    headers = {"Retry-After": wait} if wait is not None else None
    members = {"scope": refused.scope.value} if refused.scope is not None else {}
    return _answer(request, OF_REFUSAL[refused.refusal], headers, **members)


async def _bad_key(request: Request, _error: Exception) -> JSONResponse:
    return _answer(request, BAD_KEY)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    # Where it is wrong, and never what stood there; a name that nobody asked for stood there.
    first = error.errors()[0]
    where = [part for part in first["loc"] if part != "body"]
    named = where and isinstance(where[0], str) and first["type"] != "extra_forbidden"
    name = where[0] if named else "the body"
    problem = replace(INVALID, title=f"{INVALID.title}: {name}")
    return _answer(request, problem)


def provider_problem(error: ProviderError) -> Problem:
    """The row of a failure of the provider's."""
    return OF_PROVIDER[type(error)]


async def _provider(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ProviderError)
    request.state.provider_code = error.code
    wait = error.retry_after_s
    headers = {"Retry-After": str(wait)} if wait is not None else None
    return _answer(request, provider_problem(error), headers)


async def _store(request: Request, error: Exception) -> JSONResponse:
    # The database's own words ("disk is full"); statement and parameters are not in them.
    logger.error("database: %s", error.orig if isinstance(error, DBAPIError) else error)
    return _answer(request, STORE)


async def _internal(request: Request, _error: Exception) -> JSONResponse:
    return _answer(request, INTERNAL)


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    request.state.problem = str(error.status_code)
    title = HTTPStatus(error.status_code).phrase
    body = {"type": "about:blank", "title": title, "status": error.status_code}
    return JSONResponse(body, error.status_code, error.headers, media_type=PROBLEM_TYPE)
