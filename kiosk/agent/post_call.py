"""Webhook after a conversation, as the service sends it: its transcription, signed.

It goes to one address, is tried again as published (on 408, 429, 5xx and where nobody answers: five
times in all), and may come late or twice on demand.
"""

import asyncio
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import httpx2

from kiosk.convai.fields import Json

SIGNATURE_HEADER = "ElevenLabs-Signature"
# Seconds before each attempt (published).
_ATTEMPTS_S = (0.0, 30.0, 120.0, 480.0, 1800.0)
_TRIED_AGAIN = frozenset({408, 429, *range(500, 600)})
_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class PostCallSettings:
    """Where it is sent, and the secret it is signed with. `after_s`: so long after the
    conversation; `twice`: and once more."""

    url: str
    secret: str = field(repr=False)
    after_s: float = 0.0
    twice: bool = False
    attempts_s: Sequence[float] = _ATTEMPTS_S


class PostCallWebhook:
    """Sends what became of conversations."""

    def __init__(self, settings: PostCallSettings) -> None:
        self._settings = settings

    async def send(self, account: Mapping[str, Json]) -> bool:
        """One conversation's account, as REST shows it; whether it was taken."""
        settings = self._settings
        await asyncio.sleep(settings.after_s)
        body = json.dumps(_event(account), ensure_ascii=False).encode()
        taken = await self._deliver(body)
        if taken and settings.twice:
            await self._deliver(body)
        return taken

    async def _deliver(self, body: bytes) -> bool:
        async with httpx2.AsyncClient(timeout=_TIMEOUT_S, trust_env=False) as client:
            for wait_s in self._settings.attempts_s:
                await asyncio.sleep(wait_s)
                headers = {
                    SIGNATURE_HEADER: _signed(body, self._settings.secret),
                    "Content-Type": "application/json",
                }
                try:
                    answer = await client.post(self._settings.url, content=body, headers=headers)
                except httpx2.TransportError:
                    continue
                if answer.status_code not in _TRIED_AGAIN:
                    return answer.is_success
        return False


def _signed(body: bytes, secret: str) -> str:
    sent_at = str(int(time.time()))
    signature = hmac.new(secret.encode(), f"{sent_at}.".encode() + body, sha256).hexdigest()
    return f"t={sent_at},v0={signature}"


def _event(account: Mapping[str, Json]) -> dict[str, Json]:
    return {
        "type": "post_call_transcription",
        "event_timestamp": int(time.time()),
        "data": {
            **account,
            "analysis": {
                "call_successful": "unknown",  # nobody here judges it
                "transcript_summary": "",
                "evaluation_criteria_results": {},
                "data_collection_results": {},
            },
            "conversation_initiation_client_data": {"dynamic_variables": {}},
        },
    }
