"""A room of the local agent: one conversation over WebRTC, as a LiveKit server holds it.

It knows one visitor and one agent, two peer connections (the older way to join, which every client
falls back to), and neither relays nor other people. Towards the talk it is a connection like the
WebSocket's: what the microphone's track brings comes as the visitor's audio, and the agent's audio
goes to its own track, paced; everything else is a data packet.

The messages are those of LiveKit's published protocol (livekit_rtc.proto, livekit_models.proto).
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from aioice.ice import get_host_addresses
from aiortc import RTCDataChannel, RTCIceCandidate, RTCPeerConnection, RTCSessionDescription
from aiortc.jitterbuffer import JitterBuffer
from aiortc.sdp import candidate_from_sdp
from livekit.protocol import models, rtc
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK
from websockets.frames import Close

from kiosk.agent.room_track import VoiceTrack, heard
from kiosk.audio.pcm import FORMATS, PCM_16000
from kiosk.convai.client_messages import UserAudio
from kiosk.convai.fields import Json
from kiosk.convai.frames import event, serialize
from kiosk.convai.server_messages import AgentAudio, ErrorReport, Interruption, Metadata
from kiosk.convai.server_parsing import parse_server

_VISITOR, _AGENT, _VOICE = "PA_visitor", "PA_agent", "TR_voice"
_RELIABLE, _LOSSY = "_reliable", "_lossy"
_JOIN_TIMEOUT_S = 10.0
_CLOSE_TIMEOUT_S = 1.0
# Frames of a client that nobody reads yet.
_MOST_WAITING = 2000


@dataclass(frozen=True, slots=True)
class _SoundElsewhere:
    """What is left of the agent's audio where a track has the sound."""

    audio: AgentAudio

    def body(self) -> dict[str, Json]:
        its = self.audio
        return event("audio", "audio_event", event_id=its.event_id, is_final=its.is_final)


class AgentRoom:
    """One conversation; `open_room` is its context."""

    def __init__(self, signalling: ServerConnection, name: str) -> None:
        self.close_code: int | None = None
        self.close_reason: str | None = None
        self._agent_left = False
        self._is_introduced = False  # a client's microphone may be on before it says who it is
        self._signalling = signalling
        self._name = name
        self._voice = VoiceTrack()
        self._output = self._input = PCM_16000
        # From the visitor, and to the visitor.
        self._publisher, self._subscriber = RTCPeerConnection(), RTCPeerConnection()
        # Candidates that came before the description they belong to.
        self._early: dict[RTCPeerConnection, list[RTCIceCandidate]] = {}
        self._reliable: RTCDataChannel | None = None
        self._data_open = asyncio.Event()
        self._received: asyncio.Queue[str | bytes | None] = asyncio.Queue(_MOST_WAITING)
        self._closed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    # --- as a connection ------------------------------------------------------------------------

    async def recv(self) -> str | bytes:
        """The visitor's next frame; raises ConnectionClosed."""
        frame = None if self._closed.is_set() else await self._received.get()
        if frame is not None:
            return frame
        if self.close_code is None:
            raise ConnectionClosedError(None, None)
        close = Close(self.close_code, self.close_reason or "")
        raise ConnectionClosedOK(close, close, rcvd_then_sent=not self._agent_left)

    async def send(self, frame: str | bytes) -> None:
        """A frame to the visitor; raises ConnectionClosed."""
        message = parse_server(frame)
        match message:
            case AgentAudio():
                self._voice.say(self._output.decode(message.audio), self._output.rate_hz)
                frame = serialize(_SoundElsewhere(message))
            case Interruption():
                self._voice.fall_silent()
            case Metadata():
                self._output = FORMATS.get(message.agent_output_format or "", self._output)
                self._input = FORMATS.get(message.user_input_format or "", self._input)
        payload = frame.encode() if isinstance(frame, str) else frame
        try:
            async with asyncio.timeout(_JOIN_TIMEOUT_S):
                await self._data_open.wait()
        except TimeoutError:
            self._over(None)
        channel = self._reliable
        if self._closed.is_set() or channel is None or channel.readyState != "open":
            raise ConnectionClosedError(None, None)
        packet = models.DataPacket(participant_identity="agent_local")
        packet.user.payload = payload
        packet.user.participant_identity = "agent_local"
        channel.send(packet.SerializeToString())

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """The agent leaves. A room has no close codes: what went wrong goes before as an event."""
        if self._closed.is_set():
            return
        if code != 1000:
            with contextlib.suppress(ConnectionClosed):
                await self.send(serialize(ErrorReport(code, reason)))
                await asyncio.sleep(0.1)  # packets and signalling go different ways
        self._agent_left = True
        gone = self._agent(models.ParticipantInfo.State.DISCONNECTED)
        await self._signal(update=rtc.ParticipantUpdate(participants=[gone]))
        reason_of_leave = models.DisconnectReason.ROOM_DELETED
        leave = rtc.LeaveRequest(reason=reason_of_leave, action=rtc.LeaveRequest.Action.DISCONNECT)
        await self._signal(leave=leave)
        self._over(code, reason)

    async def wait_closed(self) -> None:
        """Wait until the conversation is over."""
        await self._closed.wait()

    @property
    def transport(self) -> "AgentRoom":
        """What faults are done to."""
        return self

    @property
    def protocol(self) -> "AgentRoom":
        """What knows who closed."""
        return self

    @property
    def close_sent(self) -> Close | None:
        """The agent's goodbye, if it said one."""
        if self.close_code is None or not self._agent_left:
            return None
        return Close(self.close_code, self.close_reason or "")

    @property
    def close_rcvd_then_sent(self) -> bool:
        """Whether the visitor was the first to leave."""
        return not self._agent_left

    def abort(self) -> None:
        """Cut everything without a word."""
        self._signalling.transport.abort()
        self._over(None)

    def pause_reading(self) -> None:
        """Read nothing more of the visitor's signals."""
        self._signalling.transport.pause_reading()

    # --- as a room ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Let the visitor join, and serve the room until one of the two leaves."""
        self._publisher.on("track", self._on_microphone)
        self._publisher.on("datachannel", self._on_channel)
        try:
            await self._signal(join=self._join())
            await self._offer_voice()
            async for signal in self._signalling:
                if isinstance(signal, bytes):
                    request = rtc.SignalRequest()
                    request.ParseFromString(signal)
                    if not await self._on_request(request):
                        self._over(1000)
                        return
        except ConnectionClosed:
            pass
        finally:
            self._over(None)

    async def end(self) -> None:
        """Release what the room holds."""
        self._over(None)
        self._voice.stop()
        for task in self._tasks:
            task.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await asyncio.gather(self._publisher.close(), self._subscriber.close())
        with contextlib.suppress(ConnectionClosed):
            await self._signalling.close()

    def _over(self, code: int | None, reason: str = "") -> None:
        if not self._closed.is_set():
            self.close_code, self.close_reason = code, reason
            self._closed.set()
            self._data_open.set()
            with contextlib.suppress(asyncio.QueueFull):
                self._received.put_nowait(None)

    def _join(self) -> rtc.JoinResponse:
        may = models.ParticipantPermission(
            can_subscribe=True, can_publish=True, can_publish_data=True
        )
        visitor = models.ParticipantInfo(
            sid=_VISITOR,
            identity="visitor",
            state=models.ParticipantInfo.State.JOINED,
            permission=may,
        )
        return rtc.JoinResponse(
            room=models.Room(sid="RM_local", name=self._name),
            participant=visitor,
            other_participants=[self._agent(models.ParticipantInfo.State.ACTIVE)],
            server_version="1.8.0",
            server_info=models.ServerInfo(version="1.8.0", protocol=15),
            subscriber_primary=True,
            ping_interval=5,
            ping_timeout=15,
        )

    def _agent(self, state: "models.ParticipantInfo.State") -> models.ParticipantInfo:
        voice = models.TrackInfo(
            sid=_VOICE,
            type=models.TrackType.AUDIO,
            name="voice",
            source=models.TrackSource.MICROPHONE,
            mime_type="audio/opus",
        )
        return models.ParticipantInfo(
            sid=_AGENT, identity="agent_local", state=state, tracks=[voice], is_publisher=True
        )

    async def _offer_voice(self) -> None:
        sender = self._subscriber.addTrack(self._voice)
        # By these the client knows whose track it is.
        sender._stream_id = f"{_AGENT}|{_VOICE}"  # noqa: SLF001  the library has no other way
        sender._track_id = _VOICE  # noqa: SLF001
        self._reliable = self._subscriber.createDataChannel(_RELIABLE)
        self._subscriber.createDataChannel(_LOSSY, ordered=False, maxRetransmits=0)
        self._reliable.on("open", self._data_open.set)
        await self._subscriber.setLocalDescription(await self._subscriber.createOffer())
        local = self._subscriber.localDescription
        await self._signal(offer=rtc.SessionDescription(type=local.type, sdp=local.sdp))

    async def _on_request(self, request: rtc.SignalRequest) -> bool:
        """Do what the client's signal asks; False when it leaves."""
        match request.WhichOneof("message"):
            case "offer":
                await self._answer(request.offer)
            case "answer":
                described = RTCSessionDescription(request.answer.sdp, request.answer.type)
                await self._describe(self._subscriber, described)
            case "trickle":
                await self._on_candidate(request.trickle)
            case "add_track":
                await self._on_track(request.add_track)
            case "ping":
                await self._signal(pong=request.ping)
            case "ping_req":
                sent_at = request.ping_req.timestamp
                await self._signal(pong_resp=rtc.Pong(last_ping_timestamp=sent_at))
            case "leave":
                return False
        return True

    async def _answer(self, offer: rtc.SessionDescription) -> None:
        await self._describe(self._publisher, RTCSessionDescription(offer.sdp, offer.type))
        await self._publisher.setLocalDescription(await self._publisher.createAnswer())
        local = self._publisher.localDescription
        answer = rtc.SessionDescription(type=local.type, sdp=local.sdp, id=offer.id)
        await self._signal(answer=answer)

    async def _on_candidate(self, trickle: rtc.TrickleRequest) -> None:
        described = json.loads(trickle.candidateInit)
        line = str(described.get("candidate", ""))
        if not line:
            return
        candidate = candidate_from_sdp(line.removeprefix("candidate:"))
        candidate.sdpMid = described.get("sdpMid")
        candidate.sdpMLineIndex = described.get("sdpMLineIndex")
        to_publisher = trickle.target == rtc.SignalTarget.PUBLISHER
        peer = self._publisher if to_publisher else self._subscriber
        if peer.remoteDescription is None:
            self._early.setdefault(peer, []).append(candidate)
        else:
            await peer.addIceCandidate(candidate)

    async def _describe(self, peer: RTCPeerConnection, described: RTCSessionDescription) -> None:
        await peer.setRemoteDescription(described)
        for candidate in self._early.pop(peer, []):
            await peer.addIceCandidate(candidate)

    async def _on_track(self, added: rtc.AddTrackRequest) -> None:
        track = models.TrackInfo(
            sid="TR_microphone", type=added.type, name=added.name, source=added.source
        )
        await self._signal(track_published=rtc.TrackPublishedResponse(cid=added.cid, track=track))

    def _on_microphone(self, track: Any) -> None:
        # The library's own buffer keeps back four packets always, and sixteen where one is lost.
        for receiver in self._publisher.getReceivers():
            receiver._RTCRtpReceiver__jitter_buffer = JitterBuffer(  # type: ignore[attr-defined]  # noqa: SLF001
                capacity=4
            )
        task = asyncio.create_task(self._listen(track), name="microphone")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _listen(self, track: Any) -> None:
        async for audio in heard(track, self._input):
            if self._is_introduced:
                self._take(serialize(UserAudio(audio)))

    def _on_channel(self, channel: RTCDataChannel) -> None:
        channel.on("message", self._on_packet)

    def _on_packet(self, data: bytes) -> None:
        packet = models.DataPacket()
        packet.ParseFromString(data)
        if packet.WhichOneof("value") == "user":
            self._is_introduced = True
            self._take(packet.user.payload.decode(errors="replace"))

    def _take(self, frame: str) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            self._received.put_nowait(frame)

    async def _signal(self, **message: Any) -> None:
        with contextlib.suppress(ConnectionClosed):
            await self._signalling.send(rtc.SignalResponse(**message).SerializeToString())


def addresses() -> list[str]:
    """This machine's, by which somebody can get into a room of its."""
    return get_host_addresses(use_ipv4=True, use_ipv6=True)


@contextlib.asynccontextmanager
async def open_room(signalling: ServerConnection, name: str) -> AsyncIterator[AgentRoom]:
    """A room, while its context lasts."""
    room = AgentRoom(signalling, name)
    serving = asyncio.create_task(room.run(), name="room")
    try:
        yield room
    finally:
        await room.end()
        serving.cancel()
        await asyncio.wait({serving})
