"""The routes. No SQL, no API key, no logging: they stand in store, provider and requests."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Depends, FastAPI, Request, Response
from pydantic import JsonValue
from starlette.types import ASGIApp

from kiosk.backend.admission import Refusal, Refused
from kiosk.backend.ledger import Lease
from kiosk.backend.problems import BadKeyError, RefusedError, UnauthorizedError, add_problems
from kiosk.backend.provider import Provider
from kiosk.backend.registry import Kiosk
from kiosk.backend.requests import RequestLog, is_id
from kiosk.backend.store import Store
from kiosk.backend.tokens import parse_bearer
from kiosk.contract import (
    END_PATH,
    IDEMPOTENCY_HEADER,
    LIVE_PATH,
    START_PATH,
    VISITS_PATH,
    EndVisit,
    LiveVisit,
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
        kiosk = await store.registry.authenticate(token, datetime.now(UTC)) if token else None
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
    ) -> dict[str, JsonValue]:
        request_id: str = request.state.request_id
        key = request.headers.get(IDEMPOTENCY_HEADER, request_id)
        if not is_id(key):
            raise BadKeyError
        # Before the provider is asked, so that a slow answer never makes a URL look younger.
        minted_at = datetime.now(UTC)
        _accept(await ledger.may_lease(kiosk, key, minted_at))
        grant = await provider.mint(request_id)
        expires_at = minted_at + timedelta(seconds=grant.life_s)
        lease = Lease(key, grant.conversation_id, minted_at, expires_at)
        visit_id = await ledger.lease(kiosk, lease)
        if visit_id is None:
            raise RefusedError(Refused(Refusal.SPENT))
        response.headers["Cache-Control"] = "no-store"
        return write_grant(replace(grant, visit_id=visit_id))

    @app.post(START_PATH, status_code=204)
    async def start_visit(visit_id: str, start: StartVisit, kiosk: Known) -> None:
        _accept(await ledger.start(kiosk, visit_id, start, datetime.now(UTC)))

    @app.post(LIVE_PATH, status_code=204)
    async def visit_is_live(visit_id: str, live: LiveVisit, kiosk: Known) -> None:
        _accept(await ledger.live(kiosk, visit_id, live))

    @app.post(END_PATH, status_code=204)
    async def end_visit(visit_id: str, end: EndVisit, kiosk: Known) -> None:
        _accept(await ledger.end(kiosk, visit_id, end, datetime.now(UTC)))

    @app.get(HEALTH_PATH)
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    return RequestLog(app)


def _accept(refused: Refused | None) -> None:
    if refused is not None:
        raise RefusedError(refused)
