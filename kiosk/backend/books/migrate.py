"""Brings a database to the tables this version needs, and tells whether it is there.

For the command line only; it never runs while a server answers requests. The migrations travel
inside the package, so an installed wheel can run them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from kiosk.backend.books.database import (
    exists,
    is_sqlite,
    make_engine,
    make_sync_engine,
    settings_hold,
    shown,
)
from kiosk.base import patience
from kiosk.errors import ConfigError

T = TypeVar("T")

# A table that whoever asks may not use.
_CLOSED = (
    "select relname from pg_class c where relkind = 'r' "
    "and relnamespace = 'public'::regnamespace "
    "and relname not in ('tenant_roles', 'alembic_version') and not ("
    "has_table_privilege(c.oid, 'select') and has_table_privilege(c.oid, 'insert')) limit 1"
)

_MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(url: sa.URL, to: str = "head") -> bool:
    """Migrate, to head unless told otherwise; False if it was at head already. Raises ConfigError
    for a newer database."""

    def migrate(db: sa.Connection) -> str | None:
        before = _revision(db)
        config = _config()
        config.attributes["connection"] = db
        try:
            command.upgrade(config, to)
        except CommandError:
            raise ConfigError(
                f"{shown(url)} is at revision {before}, which this version does not know: "
                "it was written by a newer one"
            ) from None
        return before

    return _with(url, migrate) != head()


def grant(url: sa.URL, role: str) -> None:
    """Let a PostgreSQL role serve: read and write rows, and change no table. Raises ConfigError."""
    if is_sqlite(url):
        raise ConfigError("a serving role is for PostgreSQL; a SQLite file has none")

    def give(db: sa.Connection) -> None:
        name = db.dialect.identifier_preparer.quote(role)
        schema = "all tables in schema public"
        db.exec_driver_sql(f"grant select, insert, update, delete on {schema} to {name}")
        # Which role is which tenant's is not for a server to change.
        for table in ("tenant_roles", "alembic_version"):
            db.exec_driver_sql(f"revoke insert, update, delete on {table} from {name}")
        # What was done stays written down.
        db.exec_driver_sql(f"revoke update, delete on audit_log from {name}")

    _with(url, give)


def is_current(url: sa.URL) -> bool:
    """Whether the database exists and is at head; creates nothing."""
    return exists(url) and _with(url, _revision) == head()


def require_current(url: sa.URL) -> None:
    """Raises ConfigError, with the next step, unless the database is at head."""
    if not is_current(url):
        raise ConfigError(
            f"the database {shown(url)} is missing or of another version: run `kiosk backend init`"
        )


def require_serving_role(url: sa.URL) -> None:
    """Raises ConfigError if the PostgreSQL role would get around row level security, or may not
    use every table."""
    if is_sqlite(url):
        return
    if (table := _with(url, lambda db: db.exec_driver_sql(_CLOSED).scalar())) is not None:
        raise ConfigError(
            f"the role {url.username} may not use the table {table}: run `kiosk backend init "
            f"--serving-role {url.username}` as the owner, and again after every upgrade"
        )
    free = (
        "select rolname from pg_roles where rolname = current_user and (rolsuper or rolbypassrls)"
    )
    role = _with(url, lambda db: db.exec_driver_sql(free).scalar())
    if role is not None:
        raise ConfigError(
            f"the role {role} gets around row level security, which keeps tenants apart: "
            "serve as a role without SUPERUSER and BYPASSRLS (`kiosk backend init --serving-role`)"
        )


def require_lasting_connections(url: sa.URL) -> None:
    """Raises ConfigError if something between here and PostgreSQL, such as a pooler in transaction
    mode, gives each transaction another connection: then no limit of time holds, statements that
    were prepared are gone, and other replicas are not heard."""
    if is_sqlite(url):
        return
    try:
        hold = _with(url, settings_hold, migrating=False)
    except sa.exc.DBAPIError as error:
        if "startup parameter" not in str(error.orig):
            raise
        hold = False
    if not hold:
        raise ConfigError(
            f"the database {shown(url)} does not keep a connection's settings: a pooler such as "
            "pgbouncer is in between. Name PostgreSQL itself (at Supabase port 5432, not 6543): "
            "a server takes ten connections at most"
        )


def head() -> str | None:
    """The newest revision of this version."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def _revision(db: sa.Connection) -> str | None:
    return MigrationContext.configure(db).get_current_revision()


def _config() -> Config:
    config = Config()
    # ConfigParser would read a percent sign in the path as the start of a variable.
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config


def _with(url: sa.URL, work: Callable[[sa.Connection], T], *, migrating: bool = True) -> T:
    if is_sqlite(url):
        # Not by the driver that serves: what fails while it connects would leave its thread behind.
        sync = make_sync_engine(url)
        try:
            with sync.begin() as db:
                return work(db)
        finally:
            sync.dispose()

    async def run() -> T:
        engine = make_engine(url, migrating=migrating)
        try:
            async with engine.begin() as db:
                return await db.run_sync(work)
        finally:
            await engine.dispose()

    return patience.run(run())
