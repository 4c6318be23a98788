"""Inserts that may find their row there already, for both databases. Knows no table."""

from collections.abc import Callable, Mapping, Sequence
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
    statement = _INSERT[db.dialect.name](table).values(**row).on_conflict_do_nothing()
    return (await db.execute(statement)).rowcount == 1


async def put(
    db: AsyncConnection, table: sa.Table, rows: Sequence[Row], *, adding: Sequence[str] = ()
) -> None:
    """Insert the rows, or overwrite those with the same primary key; what is in `adding` is added
    to what stands there. All rows name the same columns."""
    statement = _INSERT[db.dialect.name](table).values(list(rows))
    key = [column.name for column in table.primary_key]
    changes = {
        name: table.c[name] + statement.excluded[name]
        if name in adding
        else statement.excluded[name]
        for name in rows[0]
        if name not in key
    }
    await db.execute(statement.on_conflict_do_update(index_elements=key, set_=changes))
