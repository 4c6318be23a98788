"""What an operator does to the database, and reads in it. Says nothing, serves nothing."""

import asyncio
import os
import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from sqlalchemy.exc import DBAPIError

from kiosk.backend.ledger import Scope, VisitLine
from kiosk.backend.migrate import require_current, upgrade
from kiosk.backend.store import Store, open_store
from kiosk.backend.tokens import DeviceToken, new_token
from kiosk.errors import KioskError, UnavailableError

T = TypeVar("T")


def init(database_path: str) -> bool:
    """Create or migrate the database; False if nothing was to do. Raises KioskError."""
    with database_errors(database_path):
        return upgrade(database_path)


def enroll(database_path: str, name: str, site: str, token_file: Path | None) -> DeviceToken:
    """Let a kiosk in; its token also goes to `token_file`, if one is given. Raises KioskError."""
    token = new_token()

    async def add() -> bool:
        async with open_store(database_path) as store:
            return await store.enroll(name, site, token, datetime.now(UTC))

    with database_errors(database_path):
        require_current(database_path)
        # The file is written before the database and gets its name after it: a full disk enrolls
        # nobody, and a name that is taken overwrites no file.
        with _secret_file(token_file, token.reveal()) if token_file else nullcontext():
            if not asyncio.run(add()):
                raise KioskError(
                    f"{name} is enrolled already: choose another name, "
                    f"or run `kiosk backend revoke {name}` first"
                )
    return token


def revoke(database_path: str, name: str) -> None:
    """Shut a kiosk out, at once. Raises KioskError if there is none of this name."""

    async def shut_out(store: Store) -> bool:
        return await store.revoke(name, datetime.now(UTC))

    if not _with_store(database_path, shut_out):
        raise KioskError(f"no kiosk named {name} is enrolled, or it is revoked already")


def latest_visits(database_path: str, limit: int, kiosk: str | None) -> list[VisitLine]:
    """The newest visits that somebody pressed for, of one kiosk or of all. Raises KioskError."""

    async def read(store: Store) -> list[VisitLine]:
        if kiosk is not None and not await store.knows(Scope.KIOSK, kiosk):
            raise KioskError(
                f"no kiosk named {kiosk} was ever enrolled: see `kiosk backend enroll`"
            )
        return await store.ledger.latest(limit, kiosk)

    return _with_store(database_path, read)


def pause(database_path: str, *, site: str | None = None, kiosk: str | None = None) -> str:
    """Let no visit begin, anywhere or there; says what is paused. Raises KioskError."""
    scope, name = _scope(site, kiosk)

    async def put(store: Store) -> bool:
        if not await store.knows(scope, name):
            raise KioskError(f"no {scope} named {name}: `kiosk backend enroll` makes one")
        return await store.ledger.pause(scope, name, datetime.now(UTC))

    if not _with_store(database_path, put):
        raise KioskError(f"{_named(scope, name)} is paused already: `kiosk backend resume` ends it")
    return _named(scope, name)


def resume(database_path: str, *, site: str | None = None, kiosk: str | None = None) -> str:
    """Undo `pause` there; says what goes on, and what does not. Raises KioskError."""
    scope, name = _scope(site, kiosk)

    async def lift(store: Store) -> tuple[bool, list[tuple[Scope, str]]]:
        return await store.ledger.resume(scope, name), await store.ledger.paused()

    lifted, left = _with_store(database_path, lift)
    still = "; paused still: " + ", ".join(_named(*pause) for pause in left) if left else ""
    if not lifted:
        raise KioskError(f"{_named(scope, name)} is not paused{still}")
    return _named(scope, name) + still


def _scope(site: str | None, kiosk: str | None) -> tuple[Scope, str]:
    if kiosk is not None:
        return Scope.KIOSK, kiosk
    return (Scope.FLEET, "") if site is None else (Scope.SITE, site)


def _named(scope: Scope, name: str) -> str:
    return "the whole fleet" if scope is Scope.FLEET else f"the {scope} {name}"


def _with_store(database_path: str, work: Callable[[Store], Awaitable[T]]) -> T:
    async def run() -> T:
        async with open_store(database_path) as store:
            return await work(store)

    with database_errors(database_path):
        require_current(database_path)
        return asyncio.run(run())


@contextmanager
def database_errors(database_path: str) -> Iterator[None]:
    """What SQLite refuses becomes an UnavailableError that names the file."""
    try:
        yield
    except DBAPIError as error:
        raise UnavailableError(f"the database {database_path}: {error.orig}") from None


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
