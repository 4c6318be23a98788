"""A migrated database, a provider that really mints, and the backend between them."""

import logging
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kiosk.backend.books.database import DEFAULT_TENANT, parse_url
from kiosk.backend.books.migrate import grant, upgrade
from kiosk.backend.books.rules import Kiosk
from kiosk.backend.books.schema import metadata
from kiosk.backend.books.store import Store, open_store
from kiosk.backend.provider.client import (
    CONVERSATION_PATH,
    CONVERSATIONS_PATH,
    SIGNED_URL_PATH,
    TOKEN_PATH,
    AgentAccess,
    Provider,
    open_provider,
)
from kiosk.backend.settings import PREFIX
from kiosk.backend.tokens import DeviceToken
from kiosk.backend.web.app import create_app
from kiosk.backend.web.services import Services
from tests.backend.postgres import OWNER, SERVING, Cluster, cluster, programs

API_KEY = "sk_0123456789abcdef0123456789abcdef"
AGENT_ID = "agent_lobby"
WEBHOOK_SECRET = "wsec_0123456789abcdef"


@dataclass
class FakeProvider:
    """Mints signed URLs as ElevenLabs does; `answer` replaces what it would say."""

    answer: Response | None = None
    requests: list[Request] = field(default_factory=list)
    minted: list[str] = field(default_factory=list)
    conversations: list[dict[str, Any]] = field(default_factory=list)
    details: dict[str, Response] = field(default_factory=dict)

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

    async def token(self, request: Request) -> Response:
        self.requests.append(request)
        return JSONResponse({"token": "a-token", "conversation_id": "conv_of_the_token"})

    async def listed(self, request: Request) -> Response:
        self.requests.append(request)
        page = {"conversations": self.conversations, "has_more": False, "next_cursor": None}
        return self.answer or JSONResponse(page)

    async def one(self, request: Request) -> Response:
        unknown = JSONResponse({"detail": "no such conversation"}, 404)
        return self.details.get(request.path_params["id"], unknown)

    def app(self) -> Starlette:
        routes = [
            Route(SIGNED_URL_PATH, self.signed_url),
            Route(TOKEN_PATH, self.token),
            Route(CONVERSATIONS_PATH, self.listed),
            Route(CONVERSATION_PATH + "{id}", self.one),
        ]
        return Starlette(routes=routes)


@dataclass
class Place:
    """A migrated database: how the backend gets at it, and how its owner does."""

    url: sa.URL
    owner: sa.URL

    async def sql(self, statement: str, **values: object) -> list[tuple[Any, ...]]:
        """Run one statement past everything that keeps tenants apart."""
        engine = create_async_engine(self.owner)
        try:
            async with engine.begin() as db:
                done = await db.execute(sa.text(statement), values)
                return [tuple(row) for row in done.all()] if done.returns_rows else []
        finally:
            await engine.dispose()


@dataclass
class Backend:
    """The application under test, one enrolled kiosk and what lies around them."""

    client: httpx2.AsyncClient
    store: Store
    fake: FakeProvider
    place: Place
    token: DeviceToken
    kiosk: Kiosk
    services: Services

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


# What a server asks without naming a tenant: who somebody is, and whom there is.
_UNSCOPED = (
    "kiosk_credentials.id =",
    "conversations.id =",
    "enrolment_codes.id =",
    "operators.id =",
    "FROM tenants ORDER BY",
    "pg_catalog",
    "set_config",
)


@pytest.fixture(autouse=True)
def _every_query_names_its_tenant() -> Iterator[None]:
    """On SQLite nothing but the queries themselves keeps tenants apart."""
    unscoped: list[str] = []

    def look(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        words = " ".join(statement.split())
        if any(f" {table} " in f"{words} " for table in metadata.tables) and not (
            "tenant = " in words
            or words.startswith("INSERT INTO")
            or "tenants.name = " in words
            or any(known in words for known in _UNSCOPED)
            or not words.startswith(("SELECT", "UPDATE", "DELETE"))  # written by a test
        ):
            unscoped.append(words)

    sa.event.listen(sa.Engine, "before_cursor_execute", look)
    yield
    sa.event.remove(sa.Engine, "before_cursor_execute", look)
    assert unscoped == []


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a database at head, so that not every test has to migrate one."""
    path = tmp_path_factory.mktemp("migrated") / "kiosk.db"
    upgrade(parse_url(f"sqlite:///{path}"))
    return path.read_bytes()


@pytest.fixture
def database(tmp_path: Path, migrated: bytes) -> Path:
    path = tmp_path / "kiosk.db"
    path.write_bytes(migrated)
    return path


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """One server for all tests, with a migrated database `template` to copy."""
    if programs() is None:
        pytest.skip("no PostgreSQL here: Debian's package `postgresql` has it")
    with cluster() as made:
        made.psql("postgres", f"create database template owner {OWNER}")
        owner = parse_url(made.url("template", OWNER))
        upgrade(owner)
        grant(owner, SERVING)
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, database: Path) -> Iterator[Place]:
    """One database of each kind: whatever asks for this holds for both."""
    if request.param == "sqlite":
        url = parse_url(f"sqlite:///{database}")
        yield Place(url, url)
        return
    server: Cluster = request.getfixturevalue("postgres")
    made = copy(server)
    yield made
    server.psql("postgres", f"drop database {made.url.database} with (force)")


def copy(postgres: Cluster) -> Place:
    """A fresh database on the server."""
    name = f"k{secrets.token_hex(6)}"
    postgres.psql("postgres", f"create database {name} template template")
    url = parse_url(postgres.url(name))
    return Place(url, url.set(username=postgres.superuser))


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


async def enrolled(
    store: Store,
    name: str = "lobby",
    site: str = "north",
    tenant: str = DEFAULT_TENANT,
    token: DeviceToken | None = None,
) -> Kiosk:
    """A kiosk that is let in."""
    token, now = token or DeviceToken.new(), datetime.now(UTC)
    assert await store.registry.enroll(tenant, name, site, token, now)
    kiosk = await store.registry.authenticate(token, now)
    assert kiosk is not None
    return kiosk


BackendFactory = Callable[..., AbstractAsyncContextManager[Backend]]


@pytest.fixture
def backend_with(place: Place, fake: FakeProvider) -> BackendFactory:
    @asynccontextmanager
    async def open_backend(
        *, include_conversation_id: bool = True, **options: Any
    ) -> AsyncIterator[Backend]:
        token = DeviceToken.new()
        async with (
            open_store(place.url) as store,
            provider_of(fake.app(), include_conversation_id=include_conversation_id) as provider,
        ):
            secrets = [SecretStr(WEBHOOK_SECRET)]
            services = Services(store, provider, webhook_secrets=secrets, **options)
            transport = httpx2.ASGITransport(create_app(services), raise_app_exceptions=False)
            async with httpx2.AsyncClient(
                transport=transport, base_url="http://backend.test"
            ) as client:
                kiosk = await enrolled(store, token=token)
                yield Backend(client, store, fake, place, token, kiosk, services)

    return open_backend


@pytest.fixture
async def backend(
    backend_with: BackendFactory, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[Backend]:
    caplog.set_level(logging.DEBUG)
    async with backend_with() as opened:
        yield opened
