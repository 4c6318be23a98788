"""The backend as an ASGI application: its routes together, its health, its contract."""

import asyncio
import contextlib
import logging
import time
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError
from starlette.types import ASGIApp, Receive, Scope, Send

from kiosk.backend.books.database import DatabaseDownError, one_request
from kiosk.backend.books.store import Store
from kiosk.backend.mind import custom_llm, handout_routes, speech_engine
from kiosk.backend.page import routes as page_routes
from kiosk.backend.page.rendered import RenderedParts
from kiosk.backend.web import device_routes, operator_routes, webhook_routes
from kiosk.backend.web.openapi import with_problems
from kiosk.backend.web.problems import add_problems, answer_busy
from kiosk.backend.web.requests import BodyLimit, RequestLog
from kiosk.backend.web.services import Here, Services
from kiosk.contract import CHAT_COMPLETIONS_PATH, GUIDES_LLM_PATH, HEALTH_PATH, RESPONSES_PATH

log = logging.getLogger(__name__)

READY_PATH = "/readyz"
# Who asks gives up after four seconds.
_READY_S = 3.0
# A recording is megabytes, and somebody else's line may be slow.
_DELIVERY_S = 60.0
# However often it is asked.
_TRIED_EVERY_S = 1.0


class Readiness:
    """Whether the database takes what is written; tried once for all who ask at the time."""

    def __init__(self) -> None:
        self._trial: asyncio.Task[None] | None = None
        self._began_s = 0.0

    async def ask(self, store: Store) -> bool:
        """The answer, within seconds."""
        now_s = time.monotonic()
        old = self._trial is None or now_s - self._began_s >= _TRIED_EVERY_S
        if self._trial is None or (old and self._trial.done()):
            self._began_s = now_s
            self._trial = asyncio.create_task(store.registry.try_writing(datetime.now(UTC)))
            self._trial.add_done_callback(_say_why_not)
        try:
            async with asyncio.timeout(_READY_S):
                await asyncio.shield(self._trial)
        except (DBAPIError, DatabaseDownError, TimeoutError):
            return False
        return True


def _say_why_not(trial: "asyncio.Task[None]") -> None:
    """A line a trial, however many asked, and if nobody waits any more."""
    error = None if trial.cancelled() else trial.exception()
    if error is not None:
        said = str(error.orig if isinstance(error, DBAPIError) else error)
        log.warning("not ready: %s", said or "the database does not answer in time")


def contract() -> dict[str, Any]:
    """The contract: every route with what it takes and gives, as OpenAPI 3.1."""
    return with_problems(create_routes(None).openapi())


def create_app(services: Services) -> ASGIApp:
    """Store, provider and hub stay the caller's to close."""
    large = {
        webhook_routes.WEBHOOK_PATH: BodyLimit(webhook_routes.MAX_RECORDING_BYTES, _DELIVERY_S),
        CHAT_COMPLETIONS_PATH: BodyLimit(custom_llm.LARGEST_QUESTION_BYTES),
        RESPONSES_PATH: BodyLimit(custom_llm.LARGEST_QUESTION_BYTES),
        GUIDES_LLM_PATH: BodyLimit(custom_llm.LARGEST_QUESTION_BYTES),
    }
    routes = create_routes(services)

    async def in_time(scope: Scope, receive: Receive, send: Send) -> None:
        # A WebSocket is a whole conversation's: each of its questions takes its own time.
        with one_request() if scope["type"] == "http" else contextlib.nullcontext():
            await routes(scope, receive, send)

    return RequestLog(in_time, services.metrics.request, answer_busy, large)


def create_routes(services: Services | None) -> FastAPI:
    """The routes without what lies around them; without services they cannot be asked."""
    app = FastAPI(
        title="Voice kiosk backend",
        version="1",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    app.state.services = services
    app.state.fleet_parts = RenderedParts()
    if services is not None:
        app.state.stream_reads = operator_routes.stream_reads(services)
    readiness = Readiness()
    add_problems(app)
    for part in (device_routes, operator_routes, webhook_routes, page_routes):
        app.include_router(part.routes)
    for door in (speech_engine, custom_llm, handout_routes):
        app.include_router(door.routes)

    @app.get(HEALTH_PATH, tags=["health"])
    async def health() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "ok"}

    @app.get(READY_PATH, tags=["health"])
    async def ready(services: Here) -> JSONResponse:
        """Whether it can do its work: the database takes what is written. The provider is not
        asked, only what came of asking it last is told."""
        is_ready = await readiness.ask(services.store)
        database = "ok" if is_ready else "unavailable"
        status = HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
        return JSONResponse({"database": database, "provider": services.metrics.provider}, status)

    return app
