"""Everything that is kept, behind one database. No SQL of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import sqlalchemy as sa

from kiosk.backend.books.confirmation import Confirmations
from kiosk.backend.books.costs import Costs
from kiosk.backend.books.database import PATIENT_S, Database, open_database
from kiosk.backend.books.history import History
from kiosk.backend.books.ledger import Ledger
from kiosk.backend.books.liveness import Liveness
from kiosk.backend.books.operators import Operators
from kiosk.backend.books.orders import Orders
from kiosk.backend.books.registry import Registry
from kiosk.backend.books.rules import Rules
from kiosk.backend.books.talks import Talks


class Store:
    """Who is known, what they may, and what they did; see `open_store`."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.registry = Registry(database)
        self.rules = Rules(database)
        self.ledger = Ledger(database)
        self.history = History(database)
        self.costs = Costs(database)
        self.confirmations = Confirmations(database)
        self.liveness = Liveness(database)
        self.operators = Operators(database)
        self.orders = Orders(database)
        self.talks = Talks(database)


@asynccontextmanager
async def open_store(url: sa.URL, *, usual_s: float = PATIENT_S) -> AsyncIterator[Store]:
    """The store in this database, whose tables must be there already (`migrate.is_current`), and
    the usual time of a transaction."""
    async with open_database(url, usual_s=usual_s) as database:
        yield Store(database)
