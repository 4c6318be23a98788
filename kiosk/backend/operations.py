"""What an operator does to the database: init, enroll, revoke. Says nothing, serves nothing."""

import asyncio
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from kiosk.backend.migrate import require_current, upgrade
from kiosk.backend.store import open_store
from kiosk.backend.tokens import DeviceToken, new_token
from kiosk.errors import KioskError, UnavailableError


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

    async def shut_out() -> bool:
        async with open_store(database_path) as store:
            return await store.revoke(name, datetime.now(UTC))

    with database_errors(database_path):
        require_current(database_path)
        if not asyncio.run(shut_out()):
            raise KioskError(f"no kiosk named {name} is enrolled, or it is revoked already")


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
