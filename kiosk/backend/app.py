"""The routes. No SQL, no API key, no logging: they stand in store, provider and requests."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Depends, FastAPI, Request, Response
from starlette.types import ASGIApp

from kiosk.backend.problems import UnauthorizedError, add_problems
from kiosk.backend.provider import Provider
from kiosk.backend.requests import RequestLog
from kiosk.backend.store import Kiosk, Store, Visit
from kiosk.backend.tokens import parse_bearer
from kiosk.contract import VISITS_PATH, write_grant

HEALTH_PATH = "/healthz"


def create_app(store: Store, provider: Provider) -> ASGIApp:
    """The backend as an ASGI application; store and provider stay the caller's to close."""
    app = FastAPI(title="Voice kiosk backend", openapi_url=None, docs_url=None, redoc_url=None)
    add_problems(app)

    async def authenticate(request: Request) -> Kiosk:
        token = parse_bearer(request.headers.get("Authorization", ""))
        kiosk = await store.authenticate(token, datetime.now(UTC)) if token else None
        if kiosk is not None:
            # A revoked kiosk is named too: somebody is still switching it on.
            request.state.kiosk = kiosk.name
        if kiosk is None or kiosk.revoked:
            raise UnauthorizedError
        return kiosk

    @app.post(VISITS_PATH)
    async def grant_visit(
        request: Request, response: Response, kiosk: Annotated[Kiosk, Depends(authenticate)]
    ) -> dict[str, str | float | bool]:
        request_id: str = request.state.request_id
        # Before the provider is asked, so that a slow answer never makes a URL look younger.
        minted_at = datetime.now(UTC)
        grant = await provider.mint(request_id)
        expires_at = minted_at + timedelta(seconds=grant.life_s)
        await store.record(
            Visit(kiosk.id, request_id, grant.conversation_id, minted_at, expires_at)
        )
        response.headers["Cache-Control"] = "no-store"
        return write_grant(grant)

    @app.get(HEALTH_PATH)
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    return RequestLog(app)
