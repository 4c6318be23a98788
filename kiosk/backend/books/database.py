"""Database: SQLite in a file, or PostgreSQL. Opens transactions; knows no table.

Every transaction belongs to one tenant. Whatever it asks must name that tenant, and on PostgreSQL
row level security holds it to that: see `migrations.row_level_security`.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

# The first tenant, and for most installations the only one.
DEFAULT_TENANT = "default"

# How long a writer waits for another before SQLite gives up.
BUSY_TIMEOUT_MS = 5000
# Connections of one server process to PostgreSQL: more than two cores ever keep busy.
_POOL = 10
# A statement or a lock that takes longer is in trouble, and a kiosk waits for its answer.
STATEMENT_S = 5.0
_LOCK_TIMEOUT_MS = 2000
# The server ends a statement itself. If not even that is heard, nobody is there any more.
_SILENCE_S = 1.0
# What the last words to a server may take, when this process ends.
_GOODBYE_S = 1.0

log = logging.getLogger(__name__)

_READS = "kiosk_reads"  # an option of a connection: its transaction writes nothing

_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}


# True: until the transaction ends; the connection is another's afterwards.
_SET = sa.select(sa.func.set_config(sa.bindparam("name"), sa.bindparam("value"), True))


# What may stand behind the question mark: where PostgreSQL's socket is, and how TLS is checked.
_QUERY = {"host", "port", "ssl"}


class DatabaseUrlError(ValueError):
    """The text names no database that can be used; the message never quotes it."""


class DatabaseDownError(Exception):
    """No connection to the database."""


# What may come of using the driver itself (`Database.driver`).
DRIVER_ERRORS: tuple[type[Exception], ...] = (
    sa.exc.DBAPIError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    DatabaseDownError,
    OSError,
)


def parse_url(text: str) -> sa.URL:
    """`sqlite:///PATH` or `postgresql://USER@HOST/NAME`, with the driver we use for it."""
    try:
        url = sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError):
        url = None
    if url is None or url.drivername not in _DRIVERS:
        raise DatabaseUrlError("must be sqlite:///PATH or postgresql://USER@HOST/NAME")
    if url.drivername == "sqlite" and (url.host or url.database in (None, "", ":memory:")):
        raise DatabaseUrlError("must be sqlite:///PATH")
    if url.drivername == "postgresql" and not url.database:
        raise DatabaseUrlError("must be postgresql://USER@HOST/NAME")
    if unknown := sorted(set(url.query) - _QUERY):
        raise DatabaseUrlError(f"knows nothing of {unknown[0]!r} behind the question mark")
    if url.password is not None:
        raise DatabaseUrlError(
            "must hold no password: write it into a password file (PGPASSFILE, or ~/.pgpass)"
        )
    return url.set(drivername=_DRIVERS[url.drivername])


def is_sqlite(url: sa.URL) -> bool:
    """Whether it is a file."""
    return url.get_backend_name() == "sqlite"


def shown(url: sa.URL) -> str:
    """The database as an operator knows it: the file, or the URL."""
    if is_sqlite(url):
        return str(url.database)
    return url.set(drivername=url.get_backend_name()).render_as_string(hide_password=True)


def exists(url: sa.URL) -> bool:
    """False for a file that is not there; a server is asked later."""
    return not is_sqlite(url) or Path(url.database or "").is_file()


def _file(url: sa.URL) -> tuple[int, int] | None:
    """Which file SQLite's is, whatever its name; None if there is none."""
    if not is_sqlite(url):
        return None
    try:
        found = Path(url.database or "").stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


class Database:
    """Transactions on one engine; see `open_database`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._has_row_security = engine.dialect.name == "postgresql"
        self._file = _file(engine.url)
        # SQLite has one writer at a time. Whoever waits in a line waits less than whoever asks
        # again and again, and is never overtaken.
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def transaction(self, tenant: str) -> AsyncIterator[AsyncConnection]:
        """All or nothing, in one tenant's rows; raises DatabaseDownError."""
        async with self._begin() as db:
            await self.enter(db, tenant)
            yield db

    @asynccontextmanager
    async def reading(self, tenant: str) -> AsyncIterator[AsyncConnection]:
        """The same for whoever only reads: it waits for no writer, and no writer waits for it."""
        async with self._begin(reads=True) as db:
            await self.enter(db, tenant)
            yield db

    @asynccontextmanager
    async def introduction(
        self, credential_id: str, *, reads: bool = False
    ) -> AsyncIterator[AsyncConnection]:
        """A transaction of somebody whose tenant is not known yet: it sees the one credential that
        it names, and nothing else until `enter`."""
        async with self._begin(reads=reads) as db:
            await self._set(db, "kiosk.credential", credential_id)
            yield db

    @asynccontextmanager
    async def anywhere(self) -> AsyncIterator[AsyncConnection]:
        """A transaction in no tenant's rows, to read what belongs to all."""
        async with self._begin(reads=True) as db:
            yield db

    def require_file(self) -> None:
        """Raises DatabaseDownError if a SQLite file was deleted or replaced since: what is written
        goes into the old one, and is lost."""
        if _file(self._engine.url) != self._file:
            raise DatabaseDownError("the file is not the one that was opened")

    @property
    def has_replicas(self) -> bool:
        """Whether other servers may use it at the same time."""
        return self._has_row_security

    @asynccontextmanager
    async def driver(self) -> AsyncIterator[Any]:
        """PostgreSQL's own connection (asyncpg), for what SQL cannot do: to listen. It is closed
        afterwards, within seconds, whether the server answers or not."""
        async with self._begin() as db:
            await db.rollback()  # nobody listens in a transaction for hours
            raw = await db.get_raw_connection()
            try:
                yield raw.driver_connection
            finally:
                await db.invalidate()

    async def enter(self, db: AsyncConnection, tenant: str) -> None:
        """Go on in this tenant's rows."""
        await self._set(db, "kiosk.tenant", tenant)

    async def _set(self, db: AsyncConnection, name: str, value: str) -> None:
        if self._has_row_security:
            await db.execute(_SET, {"name": name, "value": value})

    @asynccontextmanager
    async def _begin(self, *, reads: bool = False) -> AsyncIterator[AsyncConnection]:
        if not reads and not self._has_row_security:
            async with self._turn, self._begun(reads=False) as db:
                yield db
            return
        async with self._begun(reads=reads) as db:
            yield db

    @asynccontextmanager
    async def _begun(self, *, reads: bool) -> AsyncIterator[AsyncConnection]:
        connection = self._engine.connect()
        try:
            await connection.start()
            await connection.execution_options(**{_READS: reads})
        except (OSError, TimeoutError, sa.exc.TimeoutError) as error:
            raise DatabaseDownError(str(error) or type(error).__name__) from None
        try:
            async with connection.begin():
                yield connection
        finally:
            await connection.close()


@asynccontextmanager
async def open_database(
    url: sa.URL, *, statement_s: float = STATEMENT_S
) -> AsyncIterator[Database]:
    """The database at `url`, whose tables must be there already (`migrate.is_current`). On
    PostgreSQL no statement takes longer than `statement_s`."""
    engine = make_engine(url, statement_s=statement_s)
    try:
        yield Database(engine)
    finally:
        try:
            async with asyncio.timeout(_GOODBYE_S):
                await engine.dispose()
        except TimeoutError:
            log.warning("the database does not answer: its connections are dropped")


def make_sync_engine(url: sa.URL) -> sa.Engine:
    """An engine for migrations of SQLite, which changes a table by dropping and copying it: foreign
    keys are off."""
    url = url.set(drivername="sqlite")
    engine = sa.create_engine(url, hide_parameters=True, poolclass=sa.NullPool)
    _prepare_sqlite(engine, foreign_keys=False)
    return engine


def make_engine(
    url: sa.URL, *, migrating: bool = False, statement_s: float = STATEMENT_S
) -> AsyncEngine:
    """An engine that keeps parameters out of logs and errors. A migration may take its time."""
    if is_sqlite(url):
        # At DEBUG it would log the values of every statement: hashes, and what visitors said.
        logging.getLogger("aiosqlite").setLevel(logging.INFO)
        patience_s = BUSY_TIMEOUT_MS / 1000  # a kiosk waits no longer
        engine = create_async_engine(url, hide_parameters=True, pool_timeout=patience_s)
        _prepare_sqlite(engine.sync_engine, foreign_keys=True)
        return engine
    if migrating:
        return create_async_engine(url, hide_parameters=True)
    limit_ms = str(round(statement_s * 1000))
    settings = {
        "application_name": "kiosk-backend",
        "statement_timeout": limit_ms,
        # Sooner than a statement: whoever waits keeps a connection that others could use.
        "lock_timeout": str(_LOCK_TIMEOUT_MS),
        # A server that died in the middle of a press holds the fleet's limits: not for long.
        "idle_in_transaction_session_timeout": limit_ms,
        "tcp_keepalives_idle": "5",
        "tcp_keepalives_interval": "2",
        "tcp_keepalives_count": "3",
    }
    engine = create_async_engine(
        url,
        hide_parameters=True,
        pool_size=_POOL,
        max_overflow=0,
        pool_timeout=statement_s,
        connect_args={
            "server_settings": settings,
            "timeout": statement_s,
            "command_timeout": statement_s + _SILENCE_S,
        },
    )
    sa.event.listen(engine.sync_engine, "checkout", _refuse_closed)
    sa.event.listen(engine.sync_engine, "handle_error", _drop_silent)
    return engine


def _drop_silent(context: sa.engine.ExceptionContext) -> None:
    """A server that says nothing at all (a failover, a firewall that forgot the connection) is gone
    for every connection that was made before: the pool makes others. The driver's errors of this
    kind are not the DBAPI's, and SQLAlchemy would hand them on and keep the connection."""
    error = context.original_exception
    if not isinstance(error, OSError):  # a TimeoutError is one
        return
    context.is_disconnect = True
    raw = context.connection.connection.driver_connection if context.connection else None
    if raw is not None:
        raw.terminate()
    raise DatabaseDownError(str(error) or "no answer") from None


def _refuse_closed(connection: Any, _record: object, _proxy: object) -> None:
    """The server may have been restarted since; the driver knows, and to ask it costs nothing, as a
    ping at every transaction would. The pool makes another then."""
    if connection.driver_connection.is_closed():
        raise sa.exc.DisconnectionError


def _prepare_sqlite(engine: sa.Engine, *, foreign_keys: bool) -> None:
    """Make every connection durable (WAL, synchronous=FULL), strict and patient, and every
    transaction one that nobody writes into between its reading and its writing."""

    @sa.event.listens_for(engine, "connect")
    def _connected(connection: DBAPIConnection, _record: object) -> None:
        _set_pragmas(connection, foreign_keys)
        # sqlite3 itself would begin a transaction with the first writing statement only, and commit
        # before every CREATE TABLE.
        connection.isolation_level = None

    @sa.event.listens_for(engine, "begin")
    def _begun(connection: sa.Connection) -> None:
        reads = connection.get_execution_options().get(_READS, False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _set_pragmas(connection: DBAPIConnection, foreign_keys: bool) -> None:
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={BUSY_TIMEOUT_MS}",  # first: the next may have to wait for another process
        "journal_mode=WAL",
        "synchronous=FULL",
        f"foreign_keys={'ON' if foreign_keys else 'OFF'}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
