"""What visitors can trust on either road: each test over the WebSocket and over WebRTC.

In the machine's own time, with the library's threads: few, and nothing that a busy machine makes
fail. The rest of a conversation's rules is tested in virtual time, and knows no roads.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import numpy as np
import pytest

from kiosk.audio.levels import rms_dbfs
from kiosk.audio.pcm import Samples, samples_to_bytes
from kiosk.base.clock import loop_now_s
from kiosk.contract import Transport
from kiosk.convai.client_messages import ContextualUpdate, Initiation, Pong, ToolResult, UserAudio
from kiosk.convai.fields import Json
from kiosk.convai.server_messages import (
    AgentAudio,
    AgentResponse,
    Interruption,
    Ping,
    UserTranscript,
)
from kiosk.convai.server_tools import AgentToolResponse, ToolCall
from kiosk.endings import Kind
from kiosk.moments import What
from kiosk.visit.states import State
from tests.bare_conversation import bare_conversation
from tests.convai_server import scripted_server
from tests.integration.sounds import RATE_HZ, pitch_hz, quiet_room, tone
from tests.own_network import own_network
from tests.slowness import patient_s
from tests.virtual_kiosk import VirtualKiosk, settings, virtual_kiosk


@pytest.fixture(params=["websocket", "webrtc"])
def road(request: pytest.FixtureRequest) -> Iterator[Transport]:
    if request.param == "websocket":
        yield "websocket"
        return
    with own_network():
        yield "webrtc"


def audio(samples: Samples, event_id: int) -> AgentAudio:
    return AgentAudio(samples_to_bytes(samples), event_id)


def kiosk_on(
    road: Transport, directory: Path, url: str
) -> AbstractAsyncContextManager[VirtualKiosk]:
    agent = {"transport": road, "url": url, "id": "agent_local"}
    return virtual_kiosk(settings(directory, url, agent=agent), quiet_room())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(patient_s(10)):
        while not condition():  # noqa: ASYNC110  frames have no event
            await asyncio.sleep(0.01)


async def test_the_first_frame_is_the_initiation_and_pings_are_answered(road: Transport) -> None:
    async with (
        scripted_server(road=road) as server,
        bare_conversation(server.url, transport=road) as kiosk,
    ):
        connection = await server.connection()
        await kiosk.connected()
        await connection.send(Ping(7), Ping("8"))
        await until(lambda: len(connection.of_type(Pong)) == 2)
    frames = [each for _, each in connection.messages if not isinstance(each, UserAudio)]
    assert isinstance(frames[0], Initiation)
    assert connection.of_type(Pong) == [Pong(7), Pong("8")]


async def test_what_was_said_while_connecting_is_heard_whole(
    road: Transport, short_dir: Path
) -> None:
    async with (
        scripted_server(road=road, metadata_delay_s=1.0) as server,
        kiosk_on(road, short_dir, server.url) as kiosk,
    ):
        kiosk.room.say(tone(440, 2.0), kiosk.button.press())
        connection = await server.connection()
        await kiosk.until(lambda: sounding_s(connection.audio) >= 1.8)
        await asyncio.sleep(1.0)
    assert sounding_s(connection.audio) == pytest.approx(2.0, abs=0.25)
    assert abs(pitch_hz(connection.audio, RATE_HZ) - 440) < 5


def sounding_s(samples: Samples) -> float:
    """How many of its tenths of a second have sound, in seconds."""
    tenths = samples[: len(samples) // 1600 * 1600].reshape(-1, 1600)
    return 0.1 * sum(rms_dbfs(each) > -40 for each in tenths)


async def test_a_turn_is_heard_from_its_first_sample_to_its_last(
    road: Transport, short_dir: Path
) -> None:
    async with scripted_server(road=road) as server, kiosk_on(road, short_dir, server.url) as kiosk:
        kiosk.button.press()
        connection = await server.connection()
        await kiosk.state(State.LISTENING)
        await asyncio.sleep(0.6)  # the chime is over
        sent_s = loop_now_s()
        await connection.send(audio(tone(440, 2.0), 1))
        began = await kiosk.moment(What.AGENT_HEARD, sent_s)
        drained = await kiosk.moment(What.DRAINED, began.at_s)
        played = kiosk.room.loudspeaker(began.at_s - 0.2, drained.at_s)
    assert np.count_nonzero(np.abs(played) > 100) / RATE_HZ == pytest.approx(2.0, abs=0.1)
    assert abs(pitch_hz(played, RATE_HZ) - 440) < 5


async def test_an_interruption_silences_the_speaker_and_the_next_turn_is_heard(
    road: Transport, short_dir: Path
) -> None:
    async with scripted_server(road=road) as server, kiosk_on(road, short_dir, server.url) as kiosk:
        kiosk.button.press()
        connection = await server.connection()
        await connection.send(audio(tone(440, 3.0), 1))
        await kiosk.state(State.SPEAKING)
        await asyncio.sleep(0.5)
        await connection.send(Interruption(1))
        cut = await kiosk.moment(What.INTERRUPTED)
        await asyncio.sleep(0.5)
        after = rms_dbfs(kiosk.room.loudspeaker(cut.at_s + 0.05, cut.at_s + 0.5))
        await connection.send(UserTranscript("And the whale?", 2), audio(tone(880, 1.0), 2))
        heard = await kiosk.moment(What.AGENT_HEARD, cut.at_s)
        drained = await kiosk.moment(What.DRAINED, heard.at_s)
        played = kiosk.room.loudspeaker(heard.at_s, drained.at_s)
    assert after == -96.0, "something of the cut turn is left"
    assert abs(pitch_hz(played, RATE_HZ) - 880) < 5


async def test_a_press_cuts_the_agents_turn_to_its_end(road: Transport, short_dir: Path) -> None:
    agent = {"transport": road, "id": "agent_local"}
    async with scripted_server(road=road) as server:
        its = settings(
            short_dir,
            server.url,
            agent={**agent, "url": server.url},
            button={"while_speaking": "cut_turn"},
        )
        async with virtual_kiosk(its, quiet_room()) as kiosk:
            kiosk.button.press()
            connection = await server.connection()
            await connection.send(audio(tone(440, 2.5), 1))
            await kiosk.state(State.SPEAKING)
            await asyncio.sleep(1.0)
            kiosk.button.press()
            await kiosk.state(State.LISTENING)
            cut_s = loop_now_s()
            await asyncio.sleep(1.5)
            after = rms_dbfs(kiosk.room.loudspeaker(cut_s + 0.1, cut_s + 1.5))
            await connection.send(UserTranscript("Go on.", 2), audio(tone(880, 0.5), 2))
            await kiosk.moment(What.AGENT_HEARD, cut_s)
    assert after == -96.0, "the cut turn came back"


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (1000, "", Kind.AGENT_ENDED),
        (1002, "This request exceeds your quota limit.", Kind.QUOTA),
        (1002, "something new", Kind.AGENT_FAILED),
        (1008, "The AI agent you are trying to reach does not exist.", Kind.AGENT_MISSING),
    ],
)
async def test_an_ending_means_the_same(
    road: Transport, code: int, reason: str, kind: Kind
) -> None:
    async with (
        scripted_server(road=road) as server,
        bare_conversation(server.url, transport=road) as kiosk,
    ):
        connection = await server.connection()
        await kiosk.connected()
        await connection.close(code, reason)
        async with asyncio.timeout(patient_s(10)):
            ending = await kiosk.ending()
    assert ending.kind is kind


async def test_the_goodbye_is_heard_to_its_end(road: Transport, short_dir: Path) -> None:
    async with scripted_server(road=road) as server, kiosk_on(road, short_dir, server.url) as kiosk:
        kiosk.button.press()
        connection = await server.connection()
        await kiosk.state(State.LISTENING)
        await asyncio.sleep(0.6)  # the chime is over
        sent_s = loop_now_s()
        await connection.send(audio(tone(440, 1.2), 1), AgentToolResponse("end_call"))
        async with asyncio.timeout(patient_s(15)):
            await connection.closed.wait()
        played = kiosk.room.loudspeaker(sent_s, loop_now_s())
        ended = await kiosk.moment(What.VISIT_ENDED)
    assert connection.close_code == 1000
    assert np.count_nonzero(np.abs(played) > 100) / RATE_HZ > 1.1
    assert ended.fields["kind"] == Kind.AGENT_ENDED


async def test_a_tool_is_called_and_answers(road: Transport) -> None:
    async def double(_: Mapping[str, Json]) -> Json:
        return {"doubled": 8}

    async with (
        scripted_server(road=road) as server,
        bare_conversation(server.url, {"double": double}, road) as kiosk,
    ):
        connection = await server.connection()
        await kiosk.connected()
        await connection.send(ToolCall("double", "c1", {"number": 4}, True))
        await until(lambda: bool(connection.of_type(ToolResult)))
    assert connection.of_type(ToolResult) == [ToolResult("c1", '{"doubled": 8}')]


@pytest.mark.timeout(90)
async def test_after_a_lost_connection_the_next_one_knows_what_was_said(
    road: Transport, short_dir: Path
) -> None:
    async with scripted_server(road=road) as server, kiosk_on(road, short_dir, server.url) as kiosk:
        kiosk.button.press()
        connection = await server.connection()
        await kiosk.state(State.LISTENING)
        await connection.send(UserTranscript("where is the whale", 2))
        await connection.send(audio(tone(440, 0.5), 2), AgentResponse("In the hall.", 2))
        await kiosk.moment(What.DRAINED)
        connection.socket.transport.abort()
        # Over WebRTC the library tries first to join again.
        again = await server.connection(2)
        await kiosk.until(lambda: bool(again.of_type(ContextualUpdate)))
    (told,) = again.of_type(ContextualUpdate)
    assert isinstance(told, ContextualUpdate)
    assert told.text.splitlines()[1:] == ["Visitor: where is the whale", "You: In the hall."]


async def test_hanging_up_closes_in_time(road: Transport) -> None:
    async with scripted_server(road=road) as server:
        async with bare_conversation(server.url, transport=road) as kiosk:
            connection = await server.connection()
            await kiosk.connected()
            await kiosk.speak(0.2)
        async with asyncio.timeout(patient_s(10)):
            await connection.closed.wait()
    assert connection.close_code == 1000
