"""What an operator does to the database, and reads in it. Says nothing, serves nothing."""

import asyncio
import os
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from kiosk.backend.database import DatabaseDownError, shown
from kiosk.backend.ledger import VisitLine
from kiosk.backend.migrate import grant, require_current, upgrade
from kiosk.backend.rules import Limit, Scope, Site
from kiosk.backend.store import Store, open_store
from kiosk.backend.tokens import DeviceToken, new_token
from kiosk.errors import KioskError, UnavailableError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class At:
    """Which database, and whose rows in it."""

    url: sa.URL
    tenant: str


def init(at: At, serving_role: str = "") -> bool:
    """Create or migrate the database, and on PostgreSQL let the role serve from it; False if
    nothing was to do. Raises KioskError."""
    with database_errors(at.url):
        changed = upgrade(at.url)
        if serving_role:
            grant(at.url, serving_role)
    return changed


def add_tenant(at: At, name: str, role: str | None) -> bool:
    """Make a tenant; `role` is a PostgreSQL role that sees its rows only. False if it was there."""

    async def add(store: Store) -> bool:
        return await store.registry.add_tenant(name, role, datetime.now(UTC))

    return _with_store(at, add)


def enroll(at: At, name: str, site: str, token_file: Path | None) -> DeviceToken:
    """Let a kiosk in; its token also goes to `token_file`, if one is given. Raises KioskError."""
    token = new_token()

    async def add(store: Store) -> bool:
        return await store.registry.enroll(at.tenant, name, site, token, datetime.now(UTC))

    # The file is written before the database and gets its name after it: a full disk enrolls
    # nobody, and a name that is taken overwrites no file.
    with _secret_file(token_file, token.reveal()) if token_file else nullcontext():
        if not _with_store(at, add):
            raise KioskError(
                f"{name} is enrolled already: choose another name, "
                f"or run `kiosk backend revoke {name}` first"
            )
    return token


def revoke(at: At, name: str) -> None:
    """Shut a kiosk out, at once. Raises KioskError if there is none of this name."""

    async def shut_out(store: Store) -> bool:
        return await store.registry.revoke(at.tenant, name, datetime.now(UTC))

    if not _with_store(at, shut_out):
        raise KioskError(f"no kiosk named {name} is enrolled, or it is revoked already")


def latest_visits(at: At, limit: int, kiosk: str | None) -> list[VisitLine]:
    """The newest visits that somebody pressed for, of one kiosk or of all. Raises KioskError."""

    async def read(store: Store) -> list[VisitLine]:
        if kiosk is not None and not await store.registry.knows(at.tenant, Scope.KIOSK, kiosk):
            raise KioskError(
                f"no kiosk named {kiosk} was ever enrolled: see `kiosk backend enroll`"
            )
        return await store.ledger.latest(at.tenant, limit, kiosk)

    return _with_store(at, read)


def pause(at: At, *, site: str | None = None, kiosk: str | None = None) -> str:
    """Let no visit begin, anywhere or there; says what is paused. Raises KioskError."""
    scope, name = _scope(site, kiosk)

    async def put(store: Store) -> bool:
        await _require(store, at, scope, name)
        return await store.rules.pause(at.tenant, scope, name, datetime.now(UTC))

    if not _with_store(at, put):
        raise KioskError(f"{_named(scope, name)} is paused already: `kiosk backend resume` ends it")
    return _named(scope, name)


def resume(at: At, *, site: str | None = None, kiosk: str | None = None) -> str:
    """Undo `pause` there; says what goes on, and what does not. Raises KioskError."""
    scope, name = _scope(site, kiosk)

    async def lift(store: Store) -> tuple[bool, list[tuple[Scope, str]]]:
        lifted = await store.rules.resume(at.tenant, scope, name)
        return lifted, await store.rules.paused(at.tenant)

    lifted, left = _with_store(at, lift)
    still = "; paused still: " + ", ".join(_named(*pause) for pause in left) if left else ""
    if not lifted:
        raise KioskError(f"{_named(scope, name)} is not paused{still}")
    return _named(scope, name) + still


def limits(at: At) -> list[Limit]:
    """Every line of limits. Raises KioskError."""
    return _with_store(at, lambda store: store.rules.limits(at.tenant))


def set_limit(at: At, scope: Scope, name: str, changes: Mapping[str, int | None]) -> Limit:
    """Change a line of limits; the name "" is the fleet, or every site or kiosk without a line of
    its own. Raises KioskError."""

    async def put(store: Store) -> Limit:
        if name:
            await _require(store, at, scope, name)
        return await store.rules.set_limit(at.tenant, scope, name, changes)

    return _with_store(at, put)


def sites(at: At) -> list[Site]:
    """Every site. Raises KioskError."""
    return _with_store(at, lambda store: store.rules.sites(at.tenant))


def set_site(at: At, name: str, changes: Mapping[str, str | None]) -> None:
    """Make a site, or change its time zone or hours. Raises KioskError."""
    _with_store(at, lambda store: store.rules.set_site(at.tenant, name, changes))


async def _require(store: Store, at: At, scope: Scope, name: str) -> None:
    if not await store.registry.knows(at.tenant, scope, name):
        raise KioskError(f"no {scope} named {name}: `kiosk backend enroll` makes one")


def _scope(site: str | None, kiosk: str | None) -> tuple[Scope, str]:
    if kiosk is not None:
        return Scope.KIOSK, kiosk
    return (Scope.FLEET, "") if site is None else (Scope.SITE, site)


def _named(scope: Scope, name: str) -> str:
    return "the whole fleet" if scope is Scope.FLEET else f"the {scope} {name}"


def _with_store(at: At, work: Callable[[Store], Awaitable[T]]) -> T:
    async def run() -> T:
        async with open_store(at.url) as store:
            if not await store.registry.knows_tenant(at.tenant):
                raise KioskError(
                    f"no tenant named {at.tenant}: `kiosk backend tenant {at.tenant}` makes it"
                )
            return await work(store)

    with database_errors(at.url):
        require_current(at.url)
        return asyncio.run(run())


@contextmanager
def database_errors(url: sa.URL) -> Iterator[None]:
    """What the database refuses becomes an UnavailableError that names it."""
    try:
        yield
    except DBAPIError as error:
        raise UnavailableError(f"the database {shown(url)}: {error.orig}") from None
    except (DatabaseDownError, OSError) as error:
        raise UnavailableError(f"the database {shown(url)} does not answer: {error}") from None


@contextmanager
def _secret_file(path: Path, text: str) -> Iterator[None]:
    """`path` holds `text`, mode 0600, whole or not at all, once the block has succeeded."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with _write_errors(path):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            with os.fdopen(os.open(temporary, flags, 0o600), "w") as new:
                new.write(text + "\n")
                new.flush()
                os.fsync(new.fileno())
        yield
        with _write_errors(path):
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _write_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnavailableError(f"cannot write {path}: {error.strerror}") from None
