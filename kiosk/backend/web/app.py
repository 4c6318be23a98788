"""The backend as an ASGI application: its routes together, its health, its contract."""

import asyncio
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError
from starlette.types import ASGIApp

from kiosk.backend.books.database import DatabaseDownError
from kiosk.backend.web import device_routes, operator_routes, webhook_routes
from kiosk.backend.web.openapi import with_problems
from kiosk.backend.web.problems import add_problems
from kiosk.backend.web.requests import RequestLog
from kiosk.backend.web.services import Here, Services
from kiosk.contract import HEALTH_PATH

READY_PATH = "/readyz"
_READY_S = 3.0


def contract() -> dict[str, Any]:
    """The contract: every route with what it takes and gives, as OpenAPI 3.1."""
    return with_problems(create_routes(None).openapi())


def create_app(services: Services) -> ASGIApp:
    """Store, provider and hub stay the caller's to close."""
    large = {webhook_routes.WEBHOOK_PATH: webhook_routes.MAX_WEBHOOK_BYTES}
    return RequestLog(create_routes(services), services.metrics.request, large)


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
    add_problems(app)
    for part in (device_routes, operator_routes, webhook_routes):
        app.include_router(part.routes)

    @app.get(HEALTH_PATH, tags=["health"])
    async def health() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "ok"}

    @app.get(READY_PATH, tags=["health"])
    async def ready(services: Here) -> JSONResponse:
        """Whether it can do its work: the database answers. The provider is not asked, only what
        came of asking it last is told."""
        try:
            async with asyncio.timeout(_READY_S):
                await services.store.registry.tenants()
            database = "ok"
        except (DBAPIError, DatabaseDownError, TimeoutError):
            database = "unavailable"
        status = HTTPStatus.OK if database == "ok" else HTTPStatus.SERVICE_UNAVAILABLE
        return JSONResponse({"database": database, "provider": services.metrics.provider}, status)

    return app
