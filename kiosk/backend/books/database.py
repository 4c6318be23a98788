"""Database: SQLite in a file, or PostgreSQL. Opens transactions; knows no table.

Every transaction belongs to one tenant. Whatever it asks must name that tenant, and on PostgreSQL
row level security holds it to that: see `migrations.row_level_security`.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

# The first tenant, and for most installations the only one.
DEFAULT_TENANT = "default"

# The transactions of one request, with the connecting. Whoever presses is answered in two seconds,
# whatever the database does; ...
PRESS_S = 1.5
# ... whoever writes or reads a thousand rows has time.
PATIENT_S = 10.0
# Of that at most for another's lock, and for another process that writes into SQLite's file.
_FOR_A_LOCK, _FOR_A_WRITER = 0.7, 0.33
# Behind others that come to their end: a whole fleet may ask at once after a power cut.
_IN_LINE_S = 5.0
# Connections of one server process to PostgreSQL: more than two cores ever keep busy. To SQLite,
# beside the one that writes.
_POOL, _READERS = 10, 10
# The server ends a statement itself. If not even that is heard, nobody is there any more.
_STATEMENT_S = 5.0
_STATEMENT_MS = str(round(_STATEMENT_S * 1000))
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


# A server that only reads, such as the old one after a failover: PostgreSQL's own code for it.
_ONLY_READS = "25006"
# Codes that begin so: resources, locks, and what an operator does. Others fail of it too.
_TROUBLES = ("53", "55", "57", _ONLY_READS)

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


@dataclass
class _Spent:
    """Time of one request's that went into transactions, and into waiting behind others."""

    seconds: float = 0.0
    in_line_s: float = 0.0


_SPENT: ContextVar[_Spent | None] = ContextVar("time in transactions", default=None)


@contextmanager
def one_request() -> Iterator[None]:
    """A block whose transactions together take no longer than one may, but those with a time of
    their own."""
    token = _SPENT.set(_Spent())
    try:
        yield
    finally:
        _SPENT.reset(token)


class Line:
    """Whoever waits for one of so many places. It moves as long as those in front come to an end; a
    failure of one of them ends the wait of all, who would fail of it later."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self, within_s: float) -> None:
        """Take a place, which must be left; raises DatabaseDownError."""
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(within_s):
                await turn
        except TimeoutError:
            raise DatabaseDownError("too many wait for it") from None
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.leave()
            raise

    def leave(self) -> None:
        """Give the place to the next."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def break_up(self) -> None:
        """There is no sense in waiting."""
        for turn in self._waiting:
            if not turn.done():
                turn.set_exception(DatabaseDownError("whoever was in front failed"))
        self._waiting.clear()


class _Idle:
    """PostgreSQL's connections that nobody uses at the moment, as the driver has them."""

    def __init__(self, engine: sa.Engine) -> None:
        self._idle: set[Any] = set()
        sa.event.listen(engine, "checkin", self._came_back)
        sa.event.listen(engine, "checkout", self._went)

    def drop(self) -> None:
        """Close them without a word: the pool makes others."""
        for raw in self._idle:
            raw.terminate()
        self._idle.clear()

    def _came_back(self, connection: Any, _record: object) -> None:
        if connection is not None:
            self._idle.add(connection.driver_connection)

    def _went(self, connection: Any, _record: object, _proxy: object) -> None:
        self._idle.discard(connection.driver_connection)


class Database:
    """Transactions on one engine; see `open_database`.

    Each has `within_s` seconds once it is its turn, the usual time unless the caller names
    another; then it is cut off and raises DatabaseDownError. See `one_request`.
    """

    def __init__(self, engine: AsyncEngine, usual_s: float) -> None:
        self._engine = engine
        self._usual_s = usual_s
        self._has_row_security = engine.dialect.name == "postgresql"
        self._idle = _Idle(engine.sync_engine) if self._has_row_security else None
        self._file = _file(engine.url)
        # SQLite has one writer at a time. Whoever waits in a line waits less than whoever asks
        # again and again, and is never overtaken.
        self._readers = Line(_POOL if self._has_row_security else _READERS)
        self._writers = self._readers if self._has_row_security else Line(1)

    @asynccontextmanager
    async def transaction(
        self, tenant: str, *, within_s: float | None = None
    ) -> AsyncIterator[AsyncConnection]:
        """All or nothing, in one tenant's rows; raises DatabaseDownError."""
        async with self._begin(within_s=within_s) as db:
            await self.enter(db, tenant)
            yield db

    @asynccontextmanager
    async def reading(
        self, tenant: str, *, within_s: float | None = None
    ) -> AsyncIterator[AsyncConnection]:
        """The same for whoever only reads: it waits for no writer, and no writer waits for it."""
        async with self._begin(reads=True, within_s=within_s) as db:
            await self.enter(db, tenant)
            yield db

    @asynccontextmanager
    async def introduction(
        self, credential_id: str, *, reads: bool = False, within_s: float | None = None
    ) -> AsyncIterator[AsyncConnection]:
        """A transaction of somebody whose tenant is not known yet: it sees the one credential that
        it names, and nothing else until `enter`."""
        async with self._begin(reads=reads, within_s=within_s) as db:
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
        """PostgreSQL's own connection (asyncpg), for what SQL cannot do: to listen, for hours, in
        no transaction. It is closed afterwards, whether the server answers or not."""
        async with self._place(self._readers):
            end_s = asyncio.get_running_loop().time() + self._usual_s
            async with self._connected(end_s, reads=True) as db:
                raw = (await db.get_raw_connection()).driver_connection
                assert raw is not None
                try:
                    yield raw
                finally:
                    raw.terminate()  # it would wait for the server's goodbye
                    await db.invalidate()

    async def enter(self, db: AsyncConnection, tenant: str) -> None:
        """Go on in this tenant's rows."""
        await self._set(db, "kiosk.tenant", tenant)

    async def _set(self, db: AsyncConnection, name: str, value: str) -> None:
        if self._has_row_security:
            await db.execute(_SET, {"name": name, "value": value})

    @contextmanager
    def _time(self, within_s: float | None) -> Iterator[float]:
        """When the transaction in this block must have ended, by the loop's clock."""
        clock, spent = asyncio.get_running_loop().time, _SPENT.get()
        began_s = clock()
        if within_s is not None or spent is None:
            yield began_s + (within_s or self._usual_s)
            return
        try:
            yield began_s + self._usual_s - spent.seconds
        finally:
            spent.seconds += clock() - began_s

    @asynccontextmanager
    async def _begin(
        self, *, reads: bool = False, within_s: float | None = None
    ) -> AsyncIterator[AsyncConnection]:
        async with self._place(self._readers if reads else self._writers):
            with self._time(within_s) as end_s:
                async with self._begun(end_s, reads=reads) as db:
                    yield db

    @asynccontextmanager
    async def _place(self, line: Line) -> AsyncIterator[None]:
        clock, spent = asyncio.get_running_loop().time, _SPENT.get() or _Spent()
        began_s = clock()
        await line.enter(_IN_LINE_S - spent.in_line_s)
        spent.in_line_s += clock() - began_s
        try:
            yield
        except DRIVER_ERRORS as error:
            if _is_trouble(error):
                line.break_up()
            raise
        finally:
            line.leave()

    @asynccontextmanager
    async def _begun(self, end_s: float, *, reads: bool) -> AsyncIterator[AsyncConnection]:
        async with self._connected(end_s, reads=reads) as connection:
            late = asyncio.Event()
            assert connection.sync_connection is not None
            raw = connection.sync_connection.connection.driver_connection
            timer = asyncio.get_running_loop().call_at(end_s, self._cut_off, raw, late)
            try:
                async with connection.begin():
                    yield connection
            except DRIVER_ERRORS:
                if late.is_set():
                    raise DatabaseDownError("no end in time") from None
                raise
            finally:
                timer.cancel()

    @asynccontextmanager
    async def _connected(self, end_s: float, *, reads: bool) -> AsyncIterator[AsyncConnection]:
        connection = self._engine.connect()
        try:
            async with asyncio.timeout_at(end_s):
                await connection.start()
                await connection.execution_options(**{_READS: reads})
        except (OSError, sa.exc.TimeoutError) as error:  # a TimeoutError is an OSError
            raise DatabaseDownError(str(error) or "no connection in time") from None
        try:
            yield connection
        finally:
            await connection.close()

    def _cut_off(self, raw: Any, late: asyncio.Event) -> None:
        """Whoever waits for the database hears at once that it is gone. The server may be slow, or
        silent for every connection there is: those that nobody uses are not given to anybody."""
        late.set()
        if self._idle is None:
            _interrupted.add(task := asyncio.ensure_future(raw.interrupt()))
            task.add_done_callback(_interrupted.discard)
            return
        raw.terminate()
        self._idle.drop()


_interrupted: set[asyncio.Future[None]] = set()  # a task that nobody holds may vanish


@asynccontextmanager
async def open_database(url: sa.URL, *, usual_s: float = PATIENT_S) -> AsyncIterator[Database]:
    """The database at `url`, whose tables must be there already (`migrate.is_current`), and the
    usual time of a transaction."""
    engine = make_engine(url, usual_s=usual_s)
    try:
        yield Database(engine, usual_s)
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


def make_engine(url: sa.URL, *, migrating: bool = False, usual_s: float = PATIENT_S) -> AsyncEngine:
    """An engine that keeps parameters out of logs and errors. A migration may take its time."""
    if is_sqlite(url):
        # At DEBUG it would log the values of every statement: hashes, and what visitors said.
        logging.getLogger("aiosqlite").setLevel(logging.INFO)
        engine = create_async_engine(url, hide_parameters=True, pool_timeout=PATIENT_S)
        _prepare_sqlite(engine.sync_engine, foreign_keys=True, usual_s=usual_s)
        return engine
    if migrating:
        return create_async_engine(url, hide_parameters=True)
    settings = {
        "application_name": "kiosk-backend",
        "statement_timeout": _STATEMENT_MS,
        # Sooner than a statement: whoever waits keeps a connection that others could use.
        "lock_timeout": str(round(usual_s * _FOR_A_LOCK * 1000)),
        # A server that died in the middle of a press holds the fleet's limits: not for long.
        "idle_in_transaction_session_timeout": _STATEMENT_MS,
        "tcp_keepalives_idle": "5",
        "tcp_keepalives_interval": "2",
        "tcp_keepalives_count": "3",
    }
    engine = create_async_engine(
        url,
        hide_parameters=True,
        pool_size=_POOL,
        max_overflow=0,
        pool_timeout=PATIENT_S,
        connect_args={
            "server_settings": settings,
            "timeout": _STATEMENT_S,
            "command_timeout": _STATEMENT_S + _SILENCE_S,
        },
    )
    sa.event.listen(engine.sync_engine, "checkout", _refuse_closed)
    sa.event.listen(engine.sync_engine, "handle_error", _drop_silent)
    return engine


def settings_hold(db: sa.Connection) -> bool:
    """Whether a connection to PostgreSQL is as `make_engine` asked for it."""
    asked = "select setting from pg_catalog.pg_settings where name = 'statement_timeout'"
    return bool(db.exec_driver_sql(asked).scalar() == _STATEMENT_MS)


def _is_trouble(error: Exception) -> bool:
    """Whether it is the database's, and no statement's own."""
    if not isinstance(error, sa.exc.DBAPIError):
        return True
    code = getattr(error.orig, "sqlstate", None) or ""
    return (
        isinstance(error, sa.exc.OperationalError)  # of SQLite: locked, full, read only
        or error.connection_invalidated
        or code.startswith(_TROUBLES)
    )


def _drop_silent(context: sa.engine.ExceptionContext) -> None:
    """A server that says nothing at all (a failover, a firewall that forgot the connection) is gone
    for every connection that was made before: the pool makes others. The driver's errors of this
    kind are not the DBAPI's, and SQLAlchemy would hand them on and keep the connection."""
    error = context.original_exception
    if getattr(error, "sqlstate", None) == _ONLY_READS:
        context.is_disconnect = True  # another connection may find the one that writes
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


def _prepare_sqlite(engine: sa.Engine, *, foreign_keys: bool, usual_s: float = PATIENT_S) -> None:
    """Make every connection durable (WAL, synchronous=FULL), strict and patient, and every
    transaction one that nobody writes into between its reading and its writing."""

    @sa.event.listens_for(engine, "connect")
    def _connected(connection: DBAPIConnection, _record: object) -> None:
        _set_pragmas(connection, foreign_keys, round(usual_s * _FOR_A_WRITER * 1000))
        # sqlite3 itself would begin a transaction with the first writing statement only, and commit
        # before every CREATE TABLE.
        connection.isolation_level = None

    @sa.event.listens_for(engine, "begin")
    def _begun(connection: sa.Connection) -> None:
        reads = connection.get_execution_options().get(_READS, False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _set_pragmas(connection: DBAPIConnection, foreign_keys: bool, busy_timeout_ms: int) -> None:
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={busy_timeout_ms}",  # first: the next may have to wait for another process
        "journal_mode=WAL",
        "synchronous=FULL",
        f"foreign_keys={'ON' if foreign_keys else 'OFF'}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
