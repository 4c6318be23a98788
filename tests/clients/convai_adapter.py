"""An adapter of voicebench's that speaks the service's WebSocket protocol.

It is a loudspeaker without a kiosk: it sends every frame of its user's as it is, and drops what the
agent takes back.
"""

import asyncio
import base64
import json
from typing import Any, ClassVar

from voicebench.adapters import Adapter, AdapterError, AgentAudio, AgentClear, Transcript
from voicebench.audio import FloatArray, from_pcm16, to_pcm16
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed


class ConvaiAdapter(Adapter):
    """One conversation in PCM of 16 kHz both ways; `url` is the WebSocket's, query and all."""

    name: ClassVar[str] = "convai"

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self._socket: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._cut_id = 0  # sound of this number and older ones is void

    async def connect(self) -> None:
        if self.session.sample_rate != 16_000:
            raise AdapterError("the agent takes 16 kHz")
        self._socket = await connect(self._url, compression=None, max_size=None)
        await self._send({"type": "conversation_initiation_client_data"})
        self._reader = asyncio.create_task(self._read(self._socket))

    async def send_audio(self, pcm: FloatArray) -> None:
        await self._send({"user_audio_chunk": base64.b64encode(to_pcm16(pcm)).decode()})

    async def close(self) -> None:
        """Hang up; what went wrong while reading is raised here."""
        if self._socket is not None:
            await self._socket.close()
        if self._reader is not None:
            await self._reader

    async def _send(self, frame: dict[str, object]) -> None:
        if self._socket is None:
            raise AdapterError("not connected")
        try:
            await self._socket.send(json.dumps(frame))
        except ConnectionClosed as error:
            raise AdapterError(f"the agent closed: {error}") from error

    async def _read(self, socket: ClientConnection) -> None:
        async for message in socket:
            await self._take(json.loads(message), self.session.clock.now())

    async def _take(self, frame: dict[str, Any], now_s: float) -> None:
        match frame:
            case {"type": "ping", "ping_event": {"event_id": event_id}}:
                await self._send({"type": "pong", "event_id": event_id})
            case {"type": "audio", "audio_event": {"audio_base_64": sound, "event_id": event_id}}:
                if event_id > self._cut_id:
                    self.emit(AgentAudio(from_pcm16(base64.b64decode(sound)), now_s))
            case {"type": "interruption", "interruption_event": {"event_id": event_id}}:
                self._cut_id = max(self._cut_id, event_id)
                self.emit(AgentClear(now_s))
            case {
                "type": "user_transcript",
                "user_transcription_event": {"user_transcript": str(text)},
            }:
                self.emit(Transcript("user", text, now_s))
