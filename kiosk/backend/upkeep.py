"""Upkeep beside the requests: writes heartbeats, closes what nobody reports, asks the
provider for what it did not tell, reckons up the month, forgets what was kept long enough."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy.exc import DBAPIError

from kiosk.backend.books.confirmation import Confirmation, ConfirmationSource, ProviderReport
from kiosk.backend.books.database import DatabaseDownError
from kiosk.backend.provider.client import MalformedError, ProviderError
from kiosk.backend.web.services import Services
from kiosk.backend.web.stream import Change
from kiosk.backend.web.webhook_routes import confirm, report_stranger

log = logging.getLogger(__name__)

FLUSH_S = 1.0
SWEEP_S = 30.0
RECONCILE_S = 300.0
RECKON_S = 600.0
PURGE_S = 3600.0
_OVER = ("done", "failed")
# A conversation that was not over in the round before began no longer ago than this: it lasts ten
# minutes at most, and the list may be late. Twice over, for a process that has just started.
_ASK_BACK = timedelta(minutes=40)
_MOST_BACK = timedelta(days=30)
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
    await reconciliation.begin(services)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(services.hub.run(services.store.database), name="replicas")
        for every_s, work, name in (
            (FLUSH_S, lambda: flush(services), "heartbeats"),
            (SWEEP_S, lambda: sweep(services), "sweep"),
            (RECONCILE_S, lambda: reconciliation.round(services), "reconciliation"),
            (PURGE_S, lambda: purge(services, keep), "purge"),
        ):
            tasks.create_task(_again(every_s, work, name), name=name)
        # At once: until then a server has no month to tell of.
        reckoning = _again(RECKON_S, lambda: reckon(services), "costs", first_s=0.0)
        tasks.create_task(reckoning, name="costs")


async def flush(services: Services) -> None:
    """Write the heartbeats that wait, and tell of kiosks whose state is another."""
    for tenant, kiosk_id in await services.store.liveness.flush():
        services.hub.tell(Change(tenant, "kiosk", kiosk_id))


async def sweep(services: Services) -> None:
    """Close and expire what no kiosk will report."""
    now = datetime.now(UTC)
    for tenant in await services.store.registry.tenants():
        await services.store.ledger.sweep(tenant, now)


async def reckon(services: Services) -> None:
    """Reckon up every tenant's month, for page and metrics."""
    today, costs = datetime.now(UTC).date(), services.store.costs
    for tenant in await services.store.registry.tenants():
        services.months[tenant] = await costs.month(tenant, today)
    months = services.months.values()
    cost = sum(month.cost for month in months)
    expected = sum(month.cost if month.forecast is None else month.forecast for month in months)
    most, budget = max((month.cost for month in months), default=0.0), services.monthly_budget
    services.metrics.reckoned(cost, expected, most / budget if budget else 0.0)


class Reconciliation:
    """Asks the provider for its list of conversations, as far back as one may have begun that was
    not over when it was last asked, and for what the list does not hold."""

    def __init__(self) -> None:
        self._asked_at: datetime | None = None

    async def begin(self, services: Services) -> None:
        """Go back to where this backend was last alive: kiosks are heard of as long as it is."""
        try:
            tenants = await services.store.registry.tenants()
            seen = [await services.store.liveness.last_sign(tenant) for tenant in tenants]
        except (DBAPIError, DatabaseDownError) as error:
            log.warning("not known how long nobody served: %s", type(error).__name__)
            return
        self._asked_at = max((each for each in seen if each is not None), default=None)

    async def round(self, services: Services) -> None:
        """Confirm what is over. A round that fails is made up for by the next."""
        now = datetime.now(UTC)
        asked_at = max(min(self._asked_at or now, now), now - _MOST_BACK)
        sketched = []
        async for line in services.provider.conversations(asked_at - _ASK_BACK):
            if line.status in _OVER:
                report = ProviderReport(
                    line.id, line.status, line.duration_s, line.started_at, line.cost
                )
                heard = await confirm(services, report, ConfirmationSource.RECONCILED)
                if heard in (Confirmation.CONFIRMED, Confirmation.SKETCHED):
                    sketched.append(line.id)
                elif heard is Confirmation.UNKNOWN:
                    report_stranger(services, report)
        self._asked_at = now
        for conversation_id in sketched:
            await _fetch(services, conversation_id)


async def _fetch(services: Services, conversation_id: str) -> None:
    """Ask for one conversation whose webhook has not come."""
    wanted = services.store_transcripts
    try:
        told = await services.provider.conversation(conversation_id, with_transcript=wanted)
    except MalformedError:
        return  # the others have their turn all the same
    if told is None:
        return
    report = ProviderReport(
        conversation_id,
        told.status,
        told.duration_s or 0.0,
        told.started_at,
        told.cost_credits,
        told.termination_reason,
    )
    turns = None if told.transcript is None else [turn for turn in told.transcript if turn[1]]
    await confirm(services, report, ConfirmationSource.FETCHED, turns)


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


async def _again(
    every_s: float,
    work: Callable[[], Awaitable[None]],
    name: str,
    first_s: float | None = None,
) -> None:
    failing = False
    wait_s = every_s if first_s is None else first_s
    while True:
        await asyncio.sleep(wait_s)
        wait_s = every_s
        try:
            await work()
            failing = False
        except (DBAPIError, DatabaseDownError, ProviderError) as error:
            # What was not done is done the next time.
            (log.debug if failing else log.warning)("%s: %s", name, type(error).__name__)
            failing = True
