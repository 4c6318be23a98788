"""Tells whoever watches that something changed: in this process, and on PostgreSQL in the others.

A change is a name only; who hears it reads the row, within its own tenant's rights. Between
replicas it goes by NOTIFY, sent in batches and never by the transaction that made the change: a
NOTIFY holds a lock of the whole database until its transaction ends.
"""

import asyncio
import contextlib
import contextvars
import json
import logging
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, TypeVar

import sqlalchemy as sa

from kiosk.backend.books.database import DRIVER_ERRORS, Database

log = logging.getLogger(__name__)

_CHANNEL = "kiosk_changes"
# What a watcher may be behind, and what may wait to be told to others; the oldest are dropped, and
# the watcher learns that something was.
_BEHIND = 256
_BATCH_S = 0.05
_RETRY_S = 2.0
# So often whoever listens asks for a sign of life: a connection that is dead hears nothing.
_PROOF_S = 5.0
# In one process; of them at one tenant's, and of one operator's. A browser has six connections.
MAX_WATCHERS, MAX_OF_TENANT, MAX_OF_OPERATOR = 100, 50, 6
# Changes of a tenant's that are remembered, for watchers who come back.
_REMEMBERED = 1024
# Read lines that are kept for watchers who are behind.
_SHARED = 512
_DIGITS = 16  # of a number that somebody may name


T = TypeVar("T")
_left: set[asyncio.Task[Any]] = set()  # a task that nobody holds may vanish


async def apart(work: Coroutine[Any, Any, T]) -> T:
    """The result of work that ends in its own time, even if whoever waits for it is cancelled.

    A response whose client hangs up is cancelled again at every step that it tries to clean up. A
    transaction in there would leave its connection behind, and on SQLite a WAL that only grows.
    """
    # In no request's context, and so in no request's time.
    task = asyncio.create_task(work, context=contextvars.Context())
    _left.add(task)
    task.add_done_callback(_left.discard)
    return await asyncio.shield(task)


@dataclass(frozen=True, slots=True)
class Change:
    """Something of this tenant's is not what it was. `kind` "missed": more than was told;
    "nothing": only a sign of life. `number` counts those of one process."""

    tenant: str
    kind: Literal["visit", "kiosk", "missed", "nothing"]
    id: str
    number: int = field(default=0, compare=False)


class StreamWatcher:
    """What one operator has yet to be told; ends when the hub closes."""

    def __init__(self, tenant: str, operator: str) -> None:
        self.tenant = tenant
        self.operator = operator
        self._changes: dict[Change, Change] = {}  # the oldest first
        self._missed: Change | None = None
        self._ready = asyncio.Event()
        self._closed = False

    def tell(self, change: Change) -> None:
        """Never waits."""
        if self._missed is not None:
            self.miss(change.number)
            return
        self._changes.pop(change, None)  # it will be read as it is then
        self._changes[change] = change
        if len(self._changes) > _BEHIND:
            self.miss(change.number)
        self._ready.set()

    def miss(self, number: int) -> None:
        """More happened, up to this change, than is told."""
        self._changes.clear()
        self._missed = Change(self.tenant, "missed", "", number)
        self._ready.set()

    def close(self) -> None:
        """Nothing more will come."""
        self._closed = True
        self._ready.set()

    async def next(self) -> Change | None:
        """The next change; None at the end."""
        await self._ready.wait()
        if self._closed:
            return None
        change, self._missed = self._missed, None
        if change is None:
            change = self._changes.pop(next(iter(self._changes)))
        if not self._changes:
            self._ready.clear()
        return change


class SharedReads(Generic[T]):
    """Reads each change once, however many watch."""

    def __init__(self, read: Callable[[Change], Coroutine[Any, Any, T]]) -> None:
        self._read = read
        self._tasks: dict[tuple[Change, int], asyncio.Task[T]] = {}

    async def of(self, change: Change) -> T:
        """What is read; raises what reading does. It ends in its own time, as with `apart`."""
        key = change, change.number
        task = self._tasks.get(key)
        if task is None:
            task = asyncio.create_task(self._read(change), context=contextvars.Context())
            self._tasks[key] = task
            task.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(task)

    def _forget(self, key: tuple[Change, int], task: asyncio.Task[T]) -> None:
        if task.cancelled() or task.exception() is not None:
            del self._tasks[key]  # whoever comes back tries again
        while len(self._tasks) > _SHARED:
            del self._tasks[next(iter(self._tasks))]


class Hub:
    """The watchers of one process. `run` is the task that joins it to the other replicas."""

    def __init__(self, proof_s: float = _PROOF_S) -> None:
        """`proof_s`: how often the connection that hears the others is tried."""
        self._proof_s = proof_s
        self._watchers: set[StreamWatcher] = set()
        self._number = 0
        self._told: dict[str, deque[Change]] = {}  # by tenant, from its first watcher on
        self._origin = secrets.token_hex(4)
        self._outbox: deque[Change] | None = None  # there is nobody to tell
        self._closed = False
        self.joined = asyncio.Event()  # the others are heard

    @property
    def watchers(self) -> int:
        """How many watch."""
        return len(self._watchers)

    def has_room(self, tenant: str, operator: str) -> bool:
        """Whether one more of this operator's would not be too many."""
        there = [each.operator for each in self._watchers if each.tenant == tenant]
        return (
            len(self._watchers) < MAX_WATCHERS
            and len(there) < MAX_OF_TENANT
            and there.count(operator) < MAX_OF_OPERATOR
        )

    @contextlib.contextmanager
    def watching(
        self, tenant: str, operator: str, after: str | None = None
    ) -> Iterator[StreamWatcher]:
        """A watcher of this tenant's changes for as long as the block. `after`: the id of the last
        event that was heard, if any was; what came since is told first."""
        watcher = StreamWatcher(tenant, operator)
        self._told.setdefault(tenant, deque(maxlen=_REMEMBERED))
        if after is not None:
            self._catch_up(watcher, after)
        if self._closed:
            watcher.close()
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.remove(watcher)

    def event_id(self, change: Change) -> str:
        """What a watcher names who comes back; good at this process only."""
        return f"{self._origin}-{change.number}"

    def _catch_up(self, watcher: StreamWatcher, after: str) -> None:
        told = self._told[watcher.tenant]
        origin, _, number = after.partition("-")
        heard = int(number) if number.isdecimal() and len(number) < _DIGITS else -1
        if len(told) == told.maxlen and heard < told[0].number:
            heard = -1  # some of what came since is forgotten
        if origin != self._origin or not 0 <= heard <= self._number:
            watcher.miss(self._number)
            return
        for change in told:
            if change.number > heard:
                watcher.tell(change)

    def tell(self, change: Change) -> None:
        """Tell everybody, here and elsewhere."""
        self._tell_here(change)
        if self._outbox is not None:
            self._outbox.append(change)

    def close(self) -> None:
        """The server stops: let every watcher go."""
        self._closed = True
        for watcher in self._watchers:
            watcher.close()

    async def run(self, database: Database) -> None:
        """Tell the other replicas, and hear them, until cancelled; returns where there are none."""
        if not database.has_replicas:
            return
        self._outbox = deque(maxlen=_BEHIND * 16)
        while True:
            try:
                async with self._listening(database) as (driver, lost):
                    await self._exchange(database, driver, lost)
            except DRIVER_ERRORS as error:
                log.warning("no word to or from other replicas: %s", type(error).__name__)
            await asyncio.sleep(_RETRY_S)

    @asynccontextmanager
    async def _listening(self, database: Database) -> AsyncIterator[tuple[Any, asyncio.Event]]:
        lost = asyncio.Event()
        async with database.driver() as driver:

            def heard(_connection: object, _pid: int, _channel: str, payload: str) -> None:
                self._hear(payload)

            driver.add_termination_listener(lambda _: lost.set())
            await driver.add_listener(_CHANNEL, heard)
            self.joined.set()
            try:
                yield driver, lost
            finally:
                self.joined.clear()

    async def _exchange(self, database: Database, driver: Any, lost: asyncio.Event) -> None:
        clock = asyncio.get_running_loop().time
        proof_at = clock() + self._proof_s
        while not lost.is_set():
            await self._send(database)
            if clock() >= proof_at:
                await driver.execute("select")  # within the limit of a statement
                proof_at = clock() + self._proof_s
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_BATCH_S):
                    await lost.wait()

    async def _send(self, database: Database) -> None:
        if not self._outbox:
            return
        changes = dict.fromkeys(self._outbox)
        self._outbox.clear()
        statement = sa.select(sa.func.pg_notify(_CHANNEL, sa.bindparam("payload")))
        async with database.anywhere() as db:
            for change in changes:
                told = [self._origin, change.tenant, change.kind, change.id]
                await db.execute(statement, {"payload": json.dumps(told)})

    def _hear(self, payload: str) -> None:
        # Whoever may connect to the database may send one.
        with contextlib.suppress(ValueError, TypeError):
            origin, tenant, kind, name = json.loads(payload)
            if origin != self._origin and kind in ("visit", "kiosk"):
                self._tell_here(Change(str(tenant), kind, str(name)))

    def _tell_here(self, change: Change) -> None:
        self._number += 1
        change = replace(change, number=self._number)
        if (told := self._told.get(change.tenant)) is not None:
            told.append(change)
        for watcher in self._watchers:
            if watcher.tenant == change.tenant:
                watcher.tell(change)
