"""Webhooks after a conversation, as the service sends them: its transcription and, on demand, its
recording, signed.

They go to one address, are tried again as published (on 408, 429, 5xx and where nobody answers:
five times in all), and may come late or twice on demand. The recording is as long as the
conversation and silent: nobody's voice is kept here.
"""

import asyncio
import base64
import hmac
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import httpx2

from kiosk.convai.fields import Json

SIGNATURE_HEADER = "ElevenLabs-Signature"
# Seconds before each attempt (published).
_ATTEMPTS_S = (0.0, 30.0, 120.0, 480.0, 1800.0)
_TRIED_AGAIN = frozenset({408, 429, *range(500, 600)})
_TIMEOUT_S = 10.0
_PIECE_BYTES = 64 * 1024
# One frame of MPEG-1 layer III, 32 kbit/s, 44.1 kHz, mono, in which everything is zero: silence.
_MP3_FRAME = bytes.fromhex("fffb10c4") + bytes(100)
_MP3_FRAME_S = 1152 / 44_100


@dataclass(frozen=True, slots=True)
class PostCallSettings:
    """Where it is sent, and the secret it is signed with. `after_s`: so long after the
    conversation; `twice`: and once more; `audio`: and a recording."""

    url: str
    secret: str = field(repr=False)
    after_s: float = 0.0
    twice: bool = False
    audio: bool = False
    attempts_s: Sequence[float] = _ATTEMPTS_S


class PostCallWebhook:
    """Sends what became of conversations."""

    def __init__(self, settings: PostCallSettings) -> None:
        self._settings = settings

    async def send(self, account: Mapping[str, Json]) -> bool:
        """One conversation's account, as REST shows it; whether all was taken."""
        await asyncio.sleep(self._settings.after_s)
        taken = await self._send_event(_transcription(account))
        if self._settings.audio:
            taken &= await self._send_event(_recording(account), in_pieces=True)
        return taken

    async def _send_event(self, event: Mapping[str, Json], *, in_pieces: bool = False) -> bool:
        body = json.dumps(event, ensure_ascii=False).encode()
        taken = await self._deliver(body, in_pieces=in_pieces)
        if taken and self._settings.twice:
            await self._deliver(body, in_pieces=in_pieces)
        return taken

    async def _deliver(self, body: bytes, *, in_pieces: bool) -> bool:
        async with httpx2.AsyncClient(timeout=_TIMEOUT_S, trust_env=False) as client:
            for wait_s in self._settings.attempts_s:
                await asyncio.sleep(wait_s)
                headers = {
                    SIGNATURE_HEADER: _signed(body, self._settings.secret),
                    "Content-Type": "application/json",
                }
                try:
                    content = _pieces(body) if in_pieces else body
                    answer = await client.post(self._settings.url, content=content, headers=headers)
                except httpx2.TransportError:
                    continue
                if answer.status_code not in _TRIED_AGAIN:
                    return answer.is_success
        return False


def _signed(body: bytes, secret: str) -> str:
    sent_at = str(int(time.time()))
    signature = hmac.new(secret.encode(), f"{sent_at}.".encode() + body, sha256).hexdigest()
    return f"t={sent_at},v0={signature}"


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    """Sent so, a body has no length in its head (published of recordings)."""
    for at in range(0, len(body), _PIECE_BYTES):
        yield body[at : at + _PIECE_BYTES]


def _recording(account: Mapping[str, Json]) -> dict[str, Json]:
    metadata = account.get("metadata")
    length_s = metadata.get("call_duration_secs") if isinstance(metadata, dict) else None
    frames = round(length_s / _MP3_FRAME_S) if isinstance(length_s, int) else 0
    return {
        "type": "post_call_audio",
        "event_timestamp": int(time.time()),
        "data": {
            "agent_id": account.get("agent_id"),
            "conversation_id": account.get("conversation_id"),
            "full_audio": base64.b64encode(_MP3_FRAME * frames).decode(),
        },
    }


def _transcription(account: Mapping[str, Json]) -> dict[str, Json]:
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
