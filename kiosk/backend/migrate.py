"""Brings a database to the tables this version needs, and tells whether it is there.

Synchronous, for the command line only; it never runs while a server answers requests. The
migrations travel inside the package, so an installed wheel can run them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.pool import NullPool

from kiosk.backend.store import prepare_sqlite
from kiosk.errors import ConfigError

_MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(database_path: str, to: str = "head") -> bool:
    """Migrate, to head unless told otherwise; False if it was at head already. Raises ConfigError
    for a newer database."""
    with _connect(database_path) as db:
        before = MigrationContext.configure(db).get_current_revision()
        config = _config()
        config.attributes["connection"] = db
        try:
            command.upgrade(config, to)
        except CommandError:
            raise ConfigError(
                f"{database_path} is at revision {before}, which this version does not know: "
                "it was written by a newer one"
            ) from None
    return before != head()


def is_current(database_path: str) -> bool:
    """Whether the database exists and is at head; creates nothing."""
    if not Path(database_path).is_file():
        return False
    with _connect(database_path) as db:
        return MigrationContext.configure(db).get_current_revision() == head()


def require_current(database_path: str) -> None:
    """Raises ConfigError, with the next step, unless the database is at head."""
    if not is_current(database_path):
        raise ConfigError(
            f"the database {database_path} is missing or of another version: "
            "run `kiosk backend init`"
        )


def head() -> str | None:
    """The newest revision of this version."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def _config() -> Config:
    config = Config()
    # ConfigParser would read a percent sign in the path as the start of a variable.
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config


@contextmanager
def _connect(database_path: str) -> Iterator[sa.Connection]:
    url = sa.URL.create("sqlite", database=database_path)
    engine = sa.create_engine(url, hide_parameters=True, poolclass=NullPool)
    # Foreign keys stay off: SQLite changes a table by dropping and copying it.
    prepare_sqlite(engine, foreign_keys=False)
    try:
        with engine.begin() as db:
            yield db
    finally:
        engine.dispose()
