"""A migrated database, a provider that really mints, and the backend between them."""

import logging
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kiosk.backend.app import create_app
from kiosk.backend.migrate import upgrade
from kiosk.backend.provider import SIGNED_URL_PATH, AgentAccess, Provider, open_provider
from kiosk.backend.settings import PREFIX
from kiosk.backend.store import Store, open_store
from kiosk.backend.tokens import DeviceToken, new_token

API_KEY = "sk_0123456789abcdef0123456789abcdef"
AGENT_ID = "agent_lobby"


@dataclass
class FakeProvider:
    """Mints signed URLs as ElevenLabs does; `answer` replaces what it would say."""

    answer: Response | None = None
    requests: list[Request] = field(default_factory=list)
    minted: list[str] = field(default_factory=list)

    async def signed_url(self, request: Request) -> Response:
        self.requests.append(request)
        if self.answer is not None:
            return self.answer
        if request.headers.get("xi-api-key") != API_KEY:
            detail = {"status": "invalid_api_key", "message": "Invalid API key"}
            return JSONResponse({"detail": detail}, 401)
        if request.query_params["agent_id"] != AGENT_ID:
            return JSONResponse({"detail": "no such agent"}, 404)
        # A plus sign, as base64 signatures have: whoever re-encodes the URL breaks it.
        url = f"wss://agents.test/v1/convai/conversation?agent_id={AGENT_ID}"
        url += f"&conversation_signature=cvs+{secrets.token_hex(8)}/="
        if request.query_params.get("include_conversation_id") == "true":
            url += f"&conversation_id=conv_{len(self.minted)}"
        self.minted.append(url)
        return JSONResponse({"signed_url": url})

    def app(self) -> Starlette:
        return Starlette(routes=[Route(SIGNED_URL_PATH, self.signed_url)])


@dataclass
class Backend:
    """The application under test, one enrolled kiosk and what lies around them."""

    client: httpx2.AsyncClient
    store: Store
    fake: FakeProvider
    database: Path
    token: DeviceToken

    async def ask(self, token: str | None = None, **headers: str) -> httpx2.Response:
        """One `POST /v1/visits`, as the enrolled kiosk unless told otherwise."""
        bearer = {"Authorization": f"Bearer {token or self.token.reveal()}"}
        sent = {**bearer, **{k.replace("_", "-"): v for k, v in headers.items()}}
        return await self.client.post("/v1/visits", headers=sent)


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine's own configuration reaches a test."""
    for name in ("STATE_DIRECTORY", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    for field_name in ("DATABASE", "AGENT_ID", "API_KEY_FILE", "PORT", "HOST", "PROVIDER_URL"):
        monkeypatch.delenv(PREFIX + field_name, raising=False)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a database at head, so that not every test has to migrate one."""
    path = tmp_path_factory.mktemp("migrated") / "kiosk.db"
    upgrade(str(path))
    return path.read_bytes()


@pytest.fixture
def database(tmp_path: Path, migrated: bytes) -> Path:
    path = tmp_path / "kiosk.db"
    path.write_bytes(migrated)
    return path


@pytest.fixture
def fake() -> FakeProvider:
    return FakeProvider()


@asynccontextmanager
async def provider_of(
    app: Starlette, *, include_conversation_id: bool = True, deadline_s: float = 5.0
) -> AsyncIterator[Provider]:
    """Our provider module, talking to this application instead of the Internet."""
    access = AgentAccess("https://provider.test", AGENT_ID, include_conversation_id)
    transport = httpx2.ASGITransport(app)
    key = SecretStr(API_KEY)
    async with open_provider(access, key, transport=transport, deadline_s=deadline_s) as provider:
        yield provider


BackendFactory = Callable[..., AbstractAsyncContextManager[Backend]]


@pytest.fixture
def backend_with(database: Path, fake: FakeProvider) -> BackendFactory:
    @asynccontextmanager
    async def open_backend(*, include_conversation_id: bool = True) -> AsyncIterator[Backend]:
        token = new_token()
        async with (
            open_store(str(database)) as store,
            provider_of(fake.app(), include_conversation_id=include_conversation_id) as provider,
            httpx2.AsyncClient(
                transport=httpx2.ASGITransport(
                    create_app(store, provider), raise_app_exceptions=False
                ),
                base_url="http://backend.test",
            ) as client,
        ):
            assert await store.enroll("lobby", "north", token, datetime.now(UTC))
            yield Backend(client, store, fake, database, token)

    return open_backend


@pytest.fixture
async def backend(
    backend_with: BackendFactory, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[Backend]:
    caplog.set_level(logging.DEBUG)
    async with backend_with() as opened:
        yield opened
