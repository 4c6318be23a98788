"""Routes for the provider's webhooks. No SQL.

A delivery is believed for its signature and for nothing else. It may come twice, late or never:
what it says is booked once, and the reconciliation asks for what did not come.
"""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import assert_never

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException

from kiosk.backend.books.confirmation import Confirmation, ConfirmationSource, ProviderReport
from kiosk.backend.provider.webhooks import (
    SIGNATURE_HEADER,
    CallInitiationFailure,
    PostCallAudio,
    PostCallTranscription,
    Signature,
    SignatureError,
    UnknownEvent,
    WebhookError,
    WebhookEvent,
    is_audio,
    read_event,
)
from kiosk.backend.web.problems import UnsignedError, UnusableError
from kiosk.backend.web.services import Here, Services
from kiosk.backend.web.stream import Change

log = logging.getLogger(__name__)

WEBHOOK_PATH = "/v1/webhooks/elevenlabs"
# A transcript of ten minutes is a tenth of it.
MAX_WEBHOOK_BYTES = 2 * 1024 * 1024
# Audio, which we refuse, is more: ten minutes of it a fifth of this. It is read to its end, for the
# provider turns a hook off that does not answer 200, and held no more than the rest.
MAX_RECORDING_BYTES = 64 * 1024 * 1024
_BEGINNING_BYTES = 4096

routes = APIRouter(tags=["provider"])


@routes.post(WEBHOOK_PATH)
async def deliver(request: Request, services: Here) -> dict[str, str]:
    """Take one delivery; the answer tells what came of it."""
    try:
        body = await _signed_body(request, services)
        event = read_event(body) if body is not None else PostCallAudio(None)
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


async def _signed_body(request: Request, services: Services) -> bytes | None:
    """The body; None is a recording that is too long to be held, and signed. Raises SignatureError,
    and HTTPException if something else is too long."""
    header = request.headers.get(SIGNATURE_HEADER, "")
    signature = Signature(header, services.webhook_secrets, datetime.now(UTC))
    body, is_recording = bytearray(), False
    async for part in request.stream():
        signature.update(part)
        if not is_recording:
            body += part
        if len(body) > MAX_WEBHOOK_BYTES:
            if not is_audio(bytes(body[:_BEGINNING_BYTES])):
                services.metrics.webhook("unknown", "too-long")
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            body.clear()
            is_recording = True
    signature.verify()
    return None if is_recording else bytes(body)


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
            heard = await confirm(services, report, ConfirmationSource.WEBHOOK, turns)
            if heard is Confirmation.UNKNOWN and event.agent_id == services.provider.agent_id:
                report_stranger(services, report)
            return heard
        case CallInitiationFailure(conversation_id, reason):
            report = ProviderReport(conversation_id, "failed", 0.0, termination_reason=reason)
            return await confirm(services, report, ConfirmationSource.WEBHOOK)
        case PostCallAudio():
            # Nobody asked for a visitor's voice. 200, or the provider would turn the hook off.
            log.warning("the provider sends recordings: switch post-call audio off at the agent")
            return "refused"
        case UnknownEvent(kind):
            log.info("a webhook of a kind that means nothing here: %s", kind)
            return "ignored"
        case _:
            assert_never(event)


def report_stranger(services: Services, report: ProviderReport) -> None:
    """Money that no visit explains: somebody else has the key or the agent's address."""
    took_s = report.duration_s
    if not services.provider.names_conversations:
        return  # many of ours have no name yet
    if took_s > 0 and services.strangers.is_new(report.conversation_id):
        services.metrics.stranger(took_s)
        log.warning(
            "no visit of ours had the conversation %s with our agent, of %.0f s",
            report.conversation_id,
            took_s,
        )


async def confirm(
    services: Services,
    report: ProviderReport,
    source: ConfirmationSource,
    turns: Sequence[tuple[str, str]] | None = None,
) -> Confirmation:
    """Book what the provider says, and tell whoever watches."""
    now = datetime.now(UTC)
    heard, visit = await services.store.confirmations.confirm(report, source, now, turns)
    if visit is not None:
        services.metrics.visit("confirmed")
        services.hub.tell(Change(visit.tenant, "visit", visit.visit_id))
    return heard
