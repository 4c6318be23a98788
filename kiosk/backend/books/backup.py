"""Copies of the database, made while it serves, and put back. For the command line only."""

import os
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from kiosk.backend.books.database import exists, is_sqlite, shown
from kiosk.errors import ConfigError, UnavailableError

_NAME = re.compile(r"kiosk-backend-\d{8}T\d{6}Z\.(sqlite|dump)")
# How long a copy waits for a writer, and a copy that is put back for the server.
_PATIENCE_S = 30.0


def back_up(url: sa.URL, directory: Path, keep: int, now: datetime) -> Path:
    """Write a copy into the directory, and remove all but the newest `keep`; the new one. Raises
    KioskError."""
    if not exists(url):
        raise ConfigError(f"there is no database {shown(url)}: run `kiosk backend init`")
    suffix = "sqlite" if is_sqlite(url) else "dump"
    path = directory / f"kiosk-backend-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}.{suffix}"
    part = path.with_suffix(".part")
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Nobody else may read it, from its first byte on.
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        try:
            (_copy_sqlite if is_sqlite(url) else _dump_postgresql)(url, part)
            _flush(part)
            part.rename(path)
        finally:
            part.unlink(missing_ok=True)
        for old in backups(directory)[keep:]:
            old.unlink()
        _flush(directory)
    except OSError as error:
        raise UnavailableError(f"cannot write a backup into {directory}: {error}") from None
    return path


def backups(directory: Path) -> list[Path]:
    """What `back_up` wrote there, the newest first; nothing else that may lie there."""
    found = [path for path in directory.iterdir() if _NAME.fullmatch(path.name)]
    return sorted(found, key=lambda path: path.name.partition(".")[0], reverse=True)


def restore(url: sa.URL, path: Path) -> None:
    """Put a copy in the place of what is in the database. No server should run. On PostgreSQL as
    the owner, into an empty database or over the tables that are there. Raises KioskError."""
    if not path.is_file():
        raise ConfigError(f"there is no backup {path}")
    if is_sqlite(url):
        _restore_sqlite(url, path)
    else:
        _postgresql(
            url, "pg_restore", "--clean", "--if-exists", "--single-transaction", "--exit-on-error",
            "--no-owner", "--no-acl", str(path),
        )  # fmt: skip


def _copy_sqlite(url: sa.URL, path: Path) -> None:
    with (
        _sqlite_errors(f"the database {shown(url)} cannot be copied"),
        closing(_open(Path(url.database or ""))) as source,
        closing(_open(path)) as copy,
    ):
        source.backup(copy)
        # One file, with nothing beside it.
        copy.execute("PRAGMA journal_mode=DELETE")
        _examine(copy)


def _restore_sqlite(url: sa.URL, path: Path) -> None:
    with (
        _sqlite_errors(f"{path} cannot be put back into {shown(url)} (does a server run?)"),
        closing(_open(path, "?mode=ro")) as source,
    ):
        _examine(source)
        source.execute("SELECT version_num FROM alembic_version")
        with closing(_open(Path(url.database or ""))) as database:
            source.backup(database)
            database.execute("PRAGMA journal_mode=WAL")


def _open(path: Path, mode: str = "") -> sqlite3.Connection:
    return sqlite3.connect(path.absolute().as_uri() + mode, uri=True, timeout=_PATIENCE_S)


def _examine(database: sqlite3.Connection) -> None:
    found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise UnavailableError(f"the copy is damaged: {found}")


@contextmanager
def _sqlite_errors(what: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise UnavailableError(f"{what}: {error}") from None


def _dump_postgresql(url: sa.URL, path: Path) -> None:
    _postgresql(url, "pg_dump", "--format=custom", f"--file={path}")


def _postgresql(url: sa.URL, program: str, *arguments: str) -> None:
    """One of PostgreSQL's own programs, on the database of the URL."""
    where = [f"--dbname={url.database}", "--no-password"]
    host, port = url.query.get("host") or url.host, url.query.get("port") or url.port
    where += [f"--host={host}"] if host else []
    where += [f"--port={port}"] if port else []
    where += [f"--username={url.username}"] if url.username else []
    environment = dict(os.environ)
    if mode := url.query.get("ssl"):
        environment["PGSSLMODE"] = str(mode)
    try:
        done = subprocess.run(  # noqa: S603  our own command
            [program, *where, *arguments],
            env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        raise UnavailableError(f"no {program} here: Debian's postgresql-client has it") from None
    if done.returncode != 0:
        raise UnavailableError(f"{program} of {shown(url)} failed: {done.stderr.strip()}")


def _flush(path: Path) -> None:
    """What a power cut must not take."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
