"""The WebRTC transport of one conversation, on the `livekit` library: a room with the agent in it.

The visitor's sound is a track, the agent's is another, and frames are reliable packets of data.
Codec, jitter buffer, concealment, loss recovery and the choice of a way are libwebrtc's; so is
joining again after a short loss. Which sound of the agent's belongs to which turn nobody says: the
track's silence tells.
"""

import asyncio
import contextlib
import logging
import os
import re
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import cache

import numpy as np
from livekit import rtc
from livekit.rtc._ffi_client import FfiClient, ffi_event_callback

from kiosk.audio.pcm import CHUNK_MS, FORMATS, PCM_16000, samples_to_bytes
from kiosk.audio.voice_turns import VoiceTurns
from kiosk.base.clock import loop_now_s
from kiosk.convai.frames import json_object, serialize
from kiosk.convai.server_messages import AgentAudio, Metadata
from kiosk.convai.server_parsing import parse_server
from kiosk.link.credentials import Rooms
from kiosk.link.path import RoomPath
from kiosk.link.room_statistics import received, room_path
from kiosk.link.transport import (
    CLOSE_TIMEOUT_S,
    Close,
    ConnectError,
    HandshakeRefusedError,
    TransportClosedError,
)

log = logging.getLogger(__name__)

# The formats of both tracks here, whatever the service announces; the library converts.
_INPUT = PCM_16000
_OUTPUT = FORMATS["pcm_48000"]
# The library takes nothing else at once.
_FRAME_MS = 10
_FRAME_BYTES = _INPUT.rate_hz * _FRAME_MS // 1000 * 2
# How far the microphone's track may be ahead of time. So much goes out at once, a pre-roll for one:
# libwebrtc speeds up what waits in a receiver's buffer (tried with our own server only). What is
# over it, as after long connecting, might overflow that, and goes out at the pace of speech; the
# silence left out later makes up for it.
_AHEAD_S = 2.0
# The library joins again by itself for so long; then the kiosk opens another conversation.
REJOIN_TIMEOUT_S = 7.5
# Nothing at all comes for so long, not even the answers that keep a way open, which do every two
# seconds or three: as long as a socket's silence.
SILENT_ROOM_S = 7.5
_MEASURE_EVERY_S = 1.5
_SEND_TIMEOUT_S = 5.0
# How much later than its leaving the agent's last packets come.
_LAST_WORDS_S = 0.3
# Of the agent's track, if the loop stalls; older sound is dropped.
_MOST_FRAMES = 250
# Of frames and sound that wait to be read.
_MOST_WAITING = 2000
_AGENT = "agent"  # every participant that speaks for it is named so (published clients)

_STATUS = re.compile(r"(?:client|server) error: (\d{3})\b")
# What has no reason in this table was lost on the way.
_LEFT_BY_AGENT = {"PARTICIPANT_REMOVED", "ROOM_DELETED", "ROOM_CLOSED"}
# The library's words, and ours.
_FAILURES = (
    ("lookup address", "no such name, or no name server"),
    ("Connection refused", "nobody listens there"),
    ("timed out", "no answer"),
    ("timeout", "no answer; or no way for UDP, and no relay"),
    ("tls", "no TLS there"),
    ("parse the url", "webrtc.url is no address"),
)
# Rooms that were given up while they opened: the library goes on by itself.
_opening: set[asyncio.Task[object]] = set()


class RoomTransport:
    """An open room. `path`: what was measured of the way there last."""

    def __init__(self, room: rtc.Room) -> None:
        self.path: RoomPath | None = None
        self._room = room
        self._source: rtc.AudioSource | None = None
        self._turns = VoiceTurns(_OUTPUT.rate_hz)
        self._waiting: asyncio.Queue[str | AgentAudio | None] = asyncio.Queue(_MOST_WAITING)
        self._close: Close | None = None
        self._left_over = b""
        self._sent_until_s = 0.0
        self._rejoining: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._bug: BaseException | None = None
        events: dict[rtc.room.EventTypes, Callable[..., None]] = {
            "data_received": self._on_data,
            "track_subscribed": self._on_track,
            "participant_disconnected": self._on_leaving,
            "disconnected": self._on_disconnected,
            "reconnecting": self._on_reconnecting,
            "reconnected": self._on_reconnected,
            "local_track_republished": self._on_another_room,
        }
        for name, handler in events.items():
            room.on(name, handler)

    async def join(self, rooms: Rooms, token: str) -> None:
        """Enter, and publish the microphone: the service may wait for that. Raises ConnectError and
        HandshakeRefusedError."""
        configuration = rtc.RtcConfiguration()
        if rooms.relay_only:
            configuration.ice_transport_type = rtc.IceTransportType.TRANSPORT_RELAY
        options = rtc.RoomOptions(
            rtc_config=configuration, single_peer_connection=rooms.single_peer_connection
        )
        try:
            await self._room.connect(rooms.url, token, options)
            # With no queue of its own: it would add 30 ms.
            self._source = rtc.AudioSource(_INPUT.rate_hz, 1, queue_size_ms=0)
            track = rtc.LocalAudioTrack.create_audio_track("microphone", self._source)
            published = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE, dtx=True)
            await self._room.local_participant.publish_track(track, published)
        except rtc.ConnectError as error:
            raise _failure(error.message) from None
        except rtc.participant.PublishTrackError as error:
            raise ConnectError("the room takes no microphone") from error
        self._start(self._watch(), "the room's figures")

    async def _watch(self) -> None:
        """Measure the way again and again, and break off where nothing at all comes any more: the
        library notices later."""
        came, came_s = 0, loop_now_s()
        while True:
            await asyncio.sleep(_MEASURE_EVERY_S)
            with contextlib.suppress(
                TimeoutError, RuntimeError
            ):  # RuntimeError: it is lost just now
                async with asyncio.timeout(_MEASURE_EVERY_S):
                    statistics = await self._room.get_rtc_stats()
                self.path = room_path(statistics) or self.path
                if (so_far := received(statistics)) != came:
                    came, came_s = so_far, loop_now_s()
            if loop_now_s() - came_s >= SILENT_ROOM_S:
                self._end(Close(None, f"nothing came for {SILENT_ROOM_S:g} s", dead=True))
                return

    async def send(self, frame: str) -> None:
        """Raises TransportClosedError."""
        self._raise_if_over()
        try:
            async with asyncio.timeout(_SEND_TIMEOUT_S):
                await self._room.local_participant.publish_data(frame, reliable=True)
        except (rtc.participant.PublishDataError, TimeoutError) as error:
            self._end(Close(None, f"a frame could not be sent: {type(error).__name__}"))
            self._raise_if_over()

    async def send_audio(self, audio: bytes) -> None:
        """Send 16 kHz PCM16, at the pace of speech; raises TransportClosedError."""
        assert self._source is not None
        audio = self._left_over + audio
        whole = len(audio) - len(audio) % _FRAME_BYTES
        self._left_over = audio[whole:]
        for at in range(0, whole, _FRAME_BYTES):
            self._raise_if_over()
            ahead_s = self._sent_until_s - loop_now_s()
            if ahead_s > _AHEAD_S:
                await asyncio.sleep(ahead_s - _AHEAD_S)
            self._sent_until_s = max(self._sent_until_s, loop_now_s()) + _FRAME_MS / 1000
            samples = _FRAME_BYTES // 2
            frame = rtc.AudioFrame(audio[at : at + _FRAME_BYTES], _INPUT.rate_hz, 1, samples)
            try:
                async with asyncio.timeout(_SEND_TIMEOUT_S):
                    await self._source.capture_frame(frame)
            except TimeoutError:
                self._end(Close(None, "the microphone's track does not get on"))

    async def receive(self) -> str | AgentAudio:
        """The next frame, or sound of the agent's; raises TransportClosedError when all that came
        was read. Cancelling it loses nothing."""
        if self._close is None or not self._waiting.empty():
            came = await self._waiting.get()
            if came is not None:
                return came
        if self._bug is not None:
            raise self._bug
        assert self._close is not None
        raise TransportClosedError(self._close)

    async def close(self) -> None:
        """Leave, waiting at most `CLOSE_TIMEOUT_S` until that is taken."""
        self._end(Close(1000))
        for task in self._tasks:
            task.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._room.disconnect()
        if self._source is not None:
            await self._source.aclose()

    # --- what comes -----------------------------------------------------------------------------

    def _on_data(self, packet: rtc.DataPacket) -> None:
        frame = packet.data.decode(errors="replace")
        body = json_object(frame)
        match body.get("type") if isinstance(body, dict) else None:
            case "audio":
                return  # the track has the sound; only its alignment comes this way
            case "interruption":
                self._turns.cut()
            case "conversation_initiation_metadata":
                frame = _in_our_formats(frame)
        self._put(frame)

    def _on_track(
        self, track: rtc.RemoteTrack, _: object, participant: "rtc.RemoteParticipant"
    ) -> None:
        if track.kind == rtc.TrackKind.KIND_AUDIO and _AGENT in participant.identity:
            self._start(self._hear(track), "agent's track")

    async def _hear(self, track: rtc.RemoteTrack) -> None:
        stream = rtc.AudioStream(
            track,
            capacity=_MOST_FRAMES,
            sample_rate=_OUTPUT.rate_hz,
            num_channels=1,
            frame_size_ms=CHUNK_MS,
        )
        try:
            async for event in stream:
                piece = self._turns.push(np.frombuffer(event.frame.data, dtype=np.int16))
                if piece is not None:
                    self._put(AgentAudio(samples_to_bytes(piece.samples), is_final=piece.final))
        finally:
            await stream.aclose()

    def _on_leaving(self, participant: rtc.RemoteParticipant) -> None:
        if not participant.identity.startswith(_AGENT):
            return
        if self._rejoining is None:
            self._end_soon()
        else:
            self._on_another_room()

    def _on_disconnected(self, reason: rtc.DisconnectReason.ValueType) -> None:
        name = rtc.DisconnectReason.Name(reason)
        if name in _LEFT_BY_AGENT:
            self._end_soon()
        else:
            self._end(Close(None, f"the room: {name.lower()}"))

    def _end_soon(self) -> None:
        """The agent left. What it said last, and of an error, may come after: by another way."""
        loop = asyncio.get_running_loop()
        loop.call_later(_LAST_WORDS_S, self._end, Close(None, left=True))

    def _on_reconnecting(self) -> None:
        log.info("the room is lost; joining it again")
        if self._rejoining is None:
            loop = asyncio.get_running_loop()
            self._rejoining = loop.call_later(REJOIN_TIMEOUT_S, self._give_up)

    def _on_reconnected(self) -> None:
        log.info("the room was joined again")
        if self._rejoining is not None:
            self._rejoining.cancel()
            self._rejoining = None

    def _on_another_room(self, *_: object) -> None:
        """The library could not go on and began anew: to the agent that is another visitor, who has
        said nothing yet. The kiosk's own way to go on tells it what was said."""
        self._end(Close(None, "the room was lost"))

    def _give_up(self) -> None:
        self._end(Close(None, f"not joined again in {REJOIN_TIMEOUT_S:g} s", dead=True))

    # --- inside ---------------------------------------------------------------------------------

    def _put(self, came: str | AgentAudio) -> None:
        if self._close is not None:
            return
        try:
            self._waiting.put_nowait(came)
        except asyncio.QueueFull:
            self._end(Close(None, "more came than could be read"))

    def _end(self, close: Close) -> None:
        """It is over, for the first reason that was given."""
        if self._close is not None:
            return
        self._close = close
        if self._rejoining is not None:
            self._rejoining.cancel()
        with contextlib.suppress(asyncio.QueueFull):  # then nobody waits
            self._waiting.put_nowait(None)

    def _raise_if_over(self) -> None:
        if self._close is not None:
            raise TransportClosedError(self._close)

    def _start(self, work: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (bug := task.exception()) is not None:
            self._bug = bug  # for whoever receives
            self._end(Close(None, "a mistake of the program's"))


async def connect(rooms: Rooms, token: str) -> RoomTransport:
    """Join the room that a token is for; the caller sets the deadline.

    Raises ConnectError and HandshakeRefusedError. Cancelled in the middle it waits at most
    `CLOSE_TIMEOUT_S`, and leaves a room that opens later as soon as it does.
    """
    _silence_the_library()
    room = RoomTransport(rtc.Room())
    opening = asyncio.create_task(_join(room, rooms, token), name="joining")
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        _opening.add(opening)
        opening.add_done_callback(_opening.discard)
        closing = asyncio.create_task(_close_late(opening), name="leaving late")
        _opening.add(closing)
        closing.add_done_callback(_opening.discard)
        await asyncio.wait({closing}, timeout=CLOSE_TIMEOUT_S)
        raise


@cache
def _silence_the_library() -> None:
    """Keep the library's log to itself. What it has to say is in its errors, and its log has
    addresses. It would hand that over up to a second late, from a thread of its own, and a process
    that ends just then is aborted (seen with 1.2.1)."""
    os.environ.setdefault("RUST_LOG", "off")
    logging.getLogger("livekit").setLevel(logging.CRITICAL)
    client = FfiClient.instance
    initialize = client._ffi_lib.livekit_ffi_initialize  # noqa: SLF001  it has no other switch
    initialize(ffi_event_callback, False, b"python", rtc.__version__.encode())


async def _join(room: RoomTransport, rooms: Rooms, token: str) -> RoomTransport:
    try:
        await room.join(rooms, token)
    except (ConnectError, HandshakeRefusedError):
        await room.close()
        raise
    return room


async def _close_late(opening: "asyncio.Task[RoomTransport]") -> None:
    with contextlib.suppress(ConnectError, HandshakeRefusedError):
        await (await opening).close()


def _in_our_formats(frame: str) -> str:
    """Metadata with what the tracks have here, whatever stands in it."""
    metadata = parse_server(frame)
    if not isinstance(metadata, Metadata):
        return frame
    ours = {"user_input_format": _INPUT.name, "agent_output_format": _OUTPUT.name}
    return serialize(replace(metadata, **ours))


def _failure(text: str) -> ConnectError | HandshakeRefusedError:
    """What the library's error means; the texts of others may hold addresses."""
    refused = _STATUS.search(text)
    if refused is not None:
        return HandshakeRefusedError(int(refused[1]), web_page="<html" in text.lower())
    for said, meant in _FAILURES:
        if said in text:
            return ConnectError(meant)
    return ConnectError("the room does not open")
