"""Upkeep beside the requests: writes heartbeats, closes what nobody reports, asks the
provider for what it did not tell, forgets what was kept long enough."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy.exc import DBAPIError

from kiosk.backend.books.confirmation import ConfirmationSource, ProviderReport
from kiosk.backend.books.database import DatabaseDownError
from kiosk.backend.provider.client import ProviderError
from kiosk.backend.web.services import Services
from kiosk.backend.web.stream import Change
from kiosk.backend.web.webhook_routes import confirm

log = logging.getLogger(__name__)

FLUSH_S = 1.0
SWEEP_S = 30.0
RECONCILE_S = 300.0
PURGE_S = 3600.0
_OVER = ("done", "failed")
# A conversation that was not over in the round before began no longer ago than this: it lasts ten
# minutes at most, and the list may be late. Twice over, for a process that has just started.
_ASK_BACK = timedelta(minutes=40)
_MOST_BACK = timedelta(days=1)
# A lease that nobody used; long enough for a kiosk whose backend was away to report a visit on it.
_KEEP_LEASES = timedelta(days=35)


@dataclass(frozen=True, slots=True)
class Keep:
    """For how long."""

    transcripts: timedelta
    visits: timedelta


async def run_upkeep(services: Services, keep: Keep) -> None:
    """All of it, until cancelled."""
    reconciliation = Reconciliation()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(services.hub.run(services.store.database), name="replicas")
        for every_s, work, name in (
            (FLUSH_S, lambda: flush(services), "heartbeats"),
            (SWEEP_S, lambda: sweep(services), "sweep"),
            (RECONCILE_S, lambda: reconciliation.round(services), "reconciliation"),
            (PURGE_S, lambda: purge(services, keep), "purge"),
        ):
            tasks.create_task(_again(every_s, work, name), name=name)


async def flush(services: Services) -> None:
    """Write the heartbeats that wait, and tell of kiosks whose state is another."""
    for tenant, kiosk_id in await services.store.liveness.flush():
        services.hub.tell(Change(tenant, "kiosk", kiosk_id))


async def sweep(services: Services) -> None:
    """Close and expire what no kiosk will report."""
    now = datetime.now(UTC)
    for tenant in await services.store.registry.tenants():
        await services.store.ledger.sweep(tenant, now)


class Reconciliation:
    """Asks the provider for its list of conversations, as far back as one may have begun that was
    not over when it was last asked."""

    def __init__(self) -> None:
        self._asked_at: datetime | None = None

    async def round(self, services: Services) -> None:
        """Confirm what is over. A round that fails is made up for by the next."""
        now = datetime.now(UTC)
        asked_at = max(self._asked_at or now, now - _MOST_BACK)
        async for line in services.provider.conversations(asked_at - _ASK_BACK):
            if line.status in _OVER:
                report = ProviderReport(
                    line.id, line.status, line.duration_s, line.started_at, line.cost
                )
                await confirm(services, report, ConfirmationSource.RECONCILED)
        self._asked_at = now


async def purge(services: Services, keep: Keep) -> None:
    """Forget what is older than an operator wants to know it."""
    now = datetime.now(UTC)
    for tenant in await services.store.registry.tenants():
        await services.store.orders.forget(tenant, now)
        await services.store.talks.forget(tenant, now)
        before = now - keep.transcripts
        if count := await services.store.confirmations.purge(tenant, before=before):
            log.info("forgot %d transcript(s) of %s", count, tenant)
        visits_before, leases_before = now - keep.visits, now - _KEEP_LEASES
        # A batch is a transaction, and between two of them others have their turn.
        while await services.store.history.forget(tenant, visits_before, leases_before):
            pass


async def _again(every_s: float, work: Callable[[], Awaitable[None]], name: str) -> None:
    failing = False
    while True:
        await asyncio.sleep(every_s)
        try:
            await work()
            failing = False
        except (DBAPIError, DatabaseDownError, ProviderError) as error:
            # What was not done is done the next time.
            (log.debug if failing else log.warning)("%s: %s", name, type(error).__name__)
            failing = True
