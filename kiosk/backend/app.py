"""The routes. No SQL, no API key, no logging: they stand in store, provider and requests."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Depends, FastAPI, Request, Response
from starlette.types import ASGIApp

from kiosk.backend.ledger import Lease, Refusal
from kiosk.backend.problems import RefusedError, UnauthorizedError, add_problems
from kiosk.backend.provider import Provider
from kiosk.backend.requests import RequestLog, is_id
from kiosk.backend.store import Kiosk, Store
from kiosk.backend.tokens import parse_bearer
from kiosk.contract import (
    END_PATH,
    IDEMPOTENCY_HEADER,
    START_PATH,
    VISITS_PATH,
    EndVisit,
    StartVisit,
    write_grant,
)

HEALTH_PATH = "/healthz"


def create_app(store: Store, provider: Provider) -> ASGIApp:
    """The backend as an ASGI application; store and provider stay the caller's to close."""
    app = FastAPI(title="Voice kiosk backend", openapi_url=None, docs_url=None, redoc_url=None)
    add_problems(app)
    ledger = store.ledger

    async def authenticate(request: Request) -> Kiosk:
        token = parse_bearer(request.headers.get("Authorization", ""))
        kiosk = await store.authenticate(token, datetime.now(UTC)) if token else None
        if kiosk is not None:
            # A revoked kiosk is named too: somebody is still switching it on.
            request.state.kiosk = kiosk.name
        if kiosk is None or kiosk.revoked:
            raise UnauthorizedError
        return kiosk

    Known = Annotated[Kiosk, Depends(authenticate)]  # noqa: N806  a type

    @app.post(VISITS_PATH)
    async def grant_visit(
        request: Request, response: Response, kiosk: Known
    ) -> dict[str, str | float | bool]:
        request_id: str = request.state.request_id
        key = request.headers.get(IDEMPOTENCY_HEADER, request_id)
        if not is_id(key):
            raise RefusedError(Refusal.BAD_KEY)
        if not await ledger.may_lease(kiosk.id, key):
            raise RefusedError(Refusal.SPENT)
        # Before the provider is asked, so that a slow answer never makes a URL look younger.
        minted_at = datetime.now(UTC)
        grant = await provider.mint(request_id)
        expires_at = minted_at + timedelta(seconds=grant.life_s)
        visit_id = await ledger.lease(
            Lease(kiosk.id, key, grant.conversation_id, minted_at, expires_at)
        )
        if visit_id is None:
            raise RefusedError(Refusal.SPENT)
        response.headers["Cache-Control"] = "no-store"
        return write_grant(replace(grant, visit_id=visit_id))

    @app.post(START_PATH, status_code=204)
    async def start_visit(visit_id: str, start: StartVisit, kiosk: Known) -> None:
        refusal = await ledger.start(kiosk.id, visit_id, start, datetime.now(UTC))
        if refusal is not None:
            raise RefusedError(refusal)

    @app.post(END_PATH, status_code=204)
    async def end_visit(visit_id: str, end: EndVisit, kiosk: Known) -> None:
        refusal = await ledger.end(kiosk.id, visit_id, end, datetime.now(UTC))
        if refusal is not None:
            raise RefusedError(refusal)

    @app.get(HEALTH_PATH)
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    return RequestLog(app)
