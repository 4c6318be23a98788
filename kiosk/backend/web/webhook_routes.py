"""Where the provider delivers what became of conversations. No SQL.

A delivery is believed for its signature and for nothing else. It may come twice, late or never:
what it says is booked once, and the reconciliation asks for what did not come.
"""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import assert_never

from fastapi import APIRouter, Request

from kiosk.backend.books.confirmation import Heard, ProviderReport, Source
from kiosk.backend.provider.webhooks import (
    SIGNATURE_HEADER,
    CallInitiationFailure,
    PostCallAudio,
    PostCallTranscription,
    SignatureError,
    Unknown,
    WebhookError,
    WebhookEvent,
    read_event,
    verify,
)
from kiosk.backend.web.problems import UnsignedError, UnusableError
from kiosk.backend.web.services import Here, Services
from kiosk.backend.web.stream import Change

log = logging.getLogger(__name__)

WEBHOOK_PATH = "/v1/webhooks/elevenlabs"
# A transcript of ten minutes is a tenth of it. Audio, which we refuse, is more.
MAX_WEBHOOK_BYTES = 2 * 1024 * 1024

routes = APIRouter(tags=["provider"])


@routes.post(WEBHOOK_PATH)
async def deliver(request: Request, services: Here) -> dict[str, str]:
    """Take one delivery; the answer tells what came of it."""
    body = await request.body()
    try:
        header = request.headers.get(SIGNATURE_HEADER, "")
        verify(header, body, services.webhook_secrets, datetime.now(UTC))
        event = read_event(body)
    except SignatureError as error:
        services.metrics.webhook("unknown", error.reason)
        raise UnsignedError(error.reason) from None
    except WebhookError as error:
        services.metrics.webhook("unknown", "malformed")
        log.warning("a webhook that is signed and cannot be used: %s", error)
        raise UnusableError from None
    result = await _take(services, event)
    services.metrics.webhook(type(event).__name__, result)
    return {"result": result}


async def _take(services: Services, event: WebhookEvent) -> str:
    match event:
        case PostCallTranscription():
            turns = event.transcript if services.store_transcripts else None
            report = ProviderReport(
                event.conversation_id,
                event.status,
                event.duration_s,
                event.started_at,
                event.cost,
                event.termination_reason,
            )
            return await confirm(services, report, Source.WEBHOOK, turns)
        case CallInitiationFailure(conversation_id, reason):
            report = ProviderReport(conversation_id, "failed", 0.0, termination_reason=reason)
            return await confirm(services, report, Source.WEBHOOK)
        case PostCallAudio():
            # Nobody asked for a visitor's voice. 200, or the provider would turn the hook off.
            log.warning("the provider sends recordings: switch post-call audio off at the agent")
            return "refused"
        case Unknown(kind):
            log.info("a webhook of a kind that means nothing here: %s", kind)
            return "ignored"
        case _:
            assert_never(event)


async def confirm(
    services: Services,
    report: ProviderReport,
    source: Source,
    turns: Sequence[tuple[str, str]] | None = None,
) -> Heard:
    """Book what the provider says, and tell whoever watches."""
    now = datetime.now(UTC)
    heard, visit = await services.store.confirmations.confirm(report, source, now, turns)
    if visit is not None:
        services.metrics.visit("confirmed")
        services.hub.tell(Change(visit.tenant, "visit", visit.visit_id))
    return heard
