"""Inserts that may find their row there already, for both databases. Knows no table.

Statements are made once and given their rows as parameters: to compile one costs more than to run
it.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

_INSERT: dict[str, Callable[[sa.Table], Any]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}

Row = Mapping[str, object]


async def insert_missing(db: AsyncConnection, table: sa.Table, row: Row) -> bool:
    """False if a row with that key is there already; it stays as it is."""
    done = await db.execute(_missing(db.dialect.name, table), row)
    return done.rowcount == 1


async def insert_all_missing(db: AsyncConnection, table: sa.Table, rows: Sequence[Row]) -> None:
    """The same for several rows, of the same columns."""
    await db.execute(_missing(db.dialect.name, table), list(rows))


async def put(
    db: AsyncConnection, table: sa.Table, rows: Sequence[Row], *, adding: Sequence[str] = ()
) -> None:
    """Insert the rows, or overwrite those with the same primary key; what is in `adding` is added
    to what stands there. All rows name the same columns; with none besides the key, what is there
    stays as it is."""
    statement = _overwriting(db.dialect.name, table, tuple(rows[0]), tuple(adding))
    await db.execute(statement, list(rows))


@cache
def _missing(dialect: str, table: sa.Table) -> Any:
    return _INSERT[dialect](table).on_conflict_do_nothing()


@cache
def _overwriting(
    dialect: str, table: sa.Table, columns: tuple[str, ...], adding: tuple[str, ...]
) -> Any:
    statement = _INSERT[dialect](table)
    key = [column.name for column in table.primary_key]
    changes = {
        name: table.c[name] + statement.excluded[name]
        if name in adding
        else statement.excluded[name]
        for name in columns
        if name not in key
    }
    if not changes:
        return statement.on_conflict_do_nothing()
    return statement.on_conflict_do_update(index_elements=key, set_=changes)
