"""What the server does while nobody asks: writes heartbeats, closes what nobody reports, asks the
provider for what it did not tell, forgets what was kept long enough."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy.exc import DBAPIError

from kiosk.backend.books.confirmation import ProviderReport, Source
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
# What is older was told by then, or is left to the kiosk's word (`ledger.TOLD_WITHIN`).
_ASK_BACK = timedelta(hours=1)
# A lease that nobody used; long enough for a kiosk whose backend was away to report a visit on it.
_KEEP_LEASES = timedelta(days=35)


@dataclass(frozen=True, slots=True)
class Keep:
    """For how long."""

    transcripts: timedelta
    visits: timedelta


async def run_upkeep(services: Services, keep: Keep) -> None:
    """All of it, until cancelled."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(services.hub.run(services.store.database), name="replicas")
        for every_s, work, name in (
            (FLUSH_S, lambda: flush(services), "heartbeats"),
            (SWEEP_S, lambda: sweep(services), "sweep"),
            (RECONCILE_S, lambda: reconcile(services), "reconciliation"),
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


async def reconcile(services: Services) -> None:
    """Ask the provider for every conversation since the oldest that it should have told of."""
    now = datetime.now(UTC)
    since = now - timedelta(seconds=2 * RECONCILE_S)
    for tenant in await services.store.registry.tenants():
        oldest = await services.store.confirmations.unconfirmed_since(tenant, now, _ASK_BACK)
        since = min(since, oldest or since)
    async for line in services.provider.conversations(since):
        if line.status in _OVER:
            report = ProviderReport(
                line.id, line.status, line.duration_s, line.started_at, line.cost
            )
            await confirm(services, report, Source.RECONCILED)


async def purge(services: Services, keep: Keep) -> None:
    """Forget what is older than an operator wants to know it."""
    now = datetime.now(UTC)
    for tenant in await services.store.registry.tenants():
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
