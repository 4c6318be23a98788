"""A visitor who has to wait until somebody is free."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection, serve

from kiosk.audio.pcm import Samples, samples_to_bytes, silence
from kiosk.base.clock import loop_now_s
from kiosk.convai.client_messages import UserAudio
from kiosk.convai.client_parsing import parse_client
from kiosk.convai.frames import serialize
from kiosk.convai.server_messages import AgentAudio, Metadata, QueueStatus
from kiosk.endings import Kind
from kiosk.moments import What
from kiosk.visit.feedback import LAMPS
from kiosk.visit.states import Event, State
from tests.bare_conversation import bare_conversation
from tests.convai_server import Connection, ScriptedServer, scripted_server
from tests.integration.sounds import RATE_HZ, as_captured, quiet_room, tone, words
from tests.lockstep import in_lockstep
from tests.unit.sounds import tone_and_rest
from tests.virtual_kiosk import VirtualKiosk, settings, virtual_kiosk

MUSIC_HZ = 2600
WAITING, ADMITTED, TIMED_OUT = map(QueueStatus, ("waiting", "admitted", "timed_out"))
# Whoever neither speaks nor is answered for this long would be asked, or sent away.
IMPATIENT = {"idle_s": 0.5, "answer_s": 0.5}


def music(seconds: float) -> AgentAudio:
    return AgentAudio(samples_to_bytes(tone(MUSIC_HZ, seconds)), 1)


def music_level(kiosk: VirtualKiosk, from_s: float, to_s: float) -> float:
    level, _ = tone_and_rest(kiosk.room.loudspeaker(from_s, to_s), MUSIC_HZ, RATE_HZ)
    return level


def states(kiosk: VirtualKiosk) -> list[object]:
    return [moment.fields["state"] for moment in kiosk.moments if moment.what is What.STATE]


async def queued(kiosk: VirtualKiosk, server: ScriptedServer) -> tuple[Connection, int]:
    """Press, and have to wait. Also: how many samples the server had by then."""
    kiosk.button.press()
    connection = await server.connection()
    await connection.send(WAITING)
    await kiosk.state(State.QUEUED)
    await asyncio.sleep(0.1)  # what was on its way
    return connection, len(connection.audio)


@in_lockstep
async def test_the_queue_is_seen_and_told_and_only_silence_goes_up_from_it(
    short_dir: Path,
) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url), quiet_room()) as kiosk,
    ):
        connection, before = await queued(kiosk, server)
        since_s = loop_now_s()
        kiosk.room.say(words(1.5), since_s)
        assert kiosk.indicator.shown[-1][1] == LAMPS[State.QUEUED]
        waits = await kiosk.moment(What.QUEUED)
        await kiosk.moment(What.SENTENCE_HEARD, waits.at_s)
        await asyncio.sleep(2.0)
        waited_s = loop_now_s() - since_s
        sent = connection.audio[before:]
        assert kiosk.count(What.SPEECH_STARTED) == 1
        assert kiosk.host.state is State.QUEUED
    assert len(sent) == pytest.approx(waited_s * RATE_HZ, abs=0.15 * RATE_HZ)
    assert not sent.any()


@in_lockstep
async def test_what_was_said_before_there_was_a_queue_is_not_said_to_it() -> None:
    socket_of: asyncio.Future[ServerConnection] = asyncio.get_running_loop().create_future()
    received: list[object] = []

    async def queue_at_once(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(serialize(Metadata("conv_1")))
        await socket.send(serialize(WAITING))
        socket_of.set_result(socket)
        async for frame in socket:
            message = parse_client(frame)
            if isinstance(message, UserAudio):
                received.append(any(message.audio))

    async with serve(queue_at_once, "127.0.0.1", 0) as listening:
        port = next(iter(listening.sockets)).getsockname()[1]
        async with bare_conversation(f"ws://127.0.0.1:{port}") as kiosk:
            await kiosk.speak(0.2, at_once=True)  # before anything is connected
            socket = await socket_of
            await kiosk.speak(0.5)
            assert Event.QUEUED in kiosk.posted
            assert len(received) >= 20
            assert not any(received)
            await socket.send(serialize(ADMITTED))
            await kiosk.speak(0.2)
            assert any(received)


@in_lockstep
async def test_music_is_heard_and_is_not_the_agent(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url, visit=IMPATIENT), quiet_room()) as kiosk,
    ):
        connection, _ = await queued(kiosk, server)
        await connection.send(music(3.0))
        kiosk.room.say(words(0.6), loop_now_s())
        heard = await kiosk.moment(What.AGENT_HEARD)
        # Longer than the music, and longer than anybody would wait for an answer.
        await asyncio.sleep(3.6)
        assert kiosk.host.state is State.QUEUED
        assert music_level(kiosk, heard.at_s + 0.1, heard.at_s + 2.9) > 3000
    assert set(states(kiosk)) == {State.OPENING, State.LISTENING, State.QUEUED}
    assert kiosk.count(What.VISIT_ENDED) == 0


@in_lockstep
async def test_admission_stops_the_music_chimes_and_listens_to_every_word(short_dir: Path) -> None:
    speech = words(1.2, seed=2)
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url), quiet_room()) as kiosk,
    ):
        connection, _ = await queued(kiosk, server)
        await connection.send(music(20.0))
        music_began = await kiosk.moment(What.AGENT_HEARD)
        kiosk.room.say(words(0.8), loop_now_s())
        await asyncio.sleep(2.0)
        before = len(connection.audio)
        await connection.send(ADMITTED)
        admitted = await kiosk.moment(What.ADMITTED)
        await kiosk.state(State.LISTENING)
        await kiosk.moment(What.EARCON_HEARD, admitted.at_s - 0.001)  # at once
        kiosk.room.say(speech, loop_now_s() + 0.4)
        await asyncio.sleep(2.0)
        received = connection.audio[before:]
        loud = music_level(kiosk, music_began.at_s + 0.2, admitted.at_s)
        left = music_level(kiosk, admitted.at_s + 0.05, admitted.at_s + 1.0)
        assert kiosk.indicator.shown[-1][1] == LAMPS[kiosk.host.state]
    assert left < loud / 100
    assert State.SPEAKING not in states(kiosk)
    said = np.concatenate((silence(1), speech))  # the card had been running
    heard, expected = np.trim_zeros(received), np.trim_zeros(as_captured(said))
    # What still rang of the sound before may have rounded a sample otherwise.
    assert np.allclose(heard[: len(speech)], expected[: len(speech)], atol=1)
    assert np.abs(heard[len(expected) :]).max(initial=0) <= 1


@in_lockstep
async def test_of_what_is_said_across_the_admission_only_the_rest_is_sent(short_dir: Path) -> None:
    speech = words(3.0)
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url), quiet_room()) as kiosk,
    ):
        connection, before = await queued(kiosk, server)
        began_s = loop_now_s()
        kiosk.room.say(speech, began_s)
        await asyncio.sleep(1.5)
        await connection.send(ADMITTED)
        admitted = await kiosk.moment(What.ADMITTED)
        await asyncio.sleep(2.0)
        received: Samples = np.trim_zeros(connection.audio[before:])
    expected = np.trim_zeros(as_captured(speech))
    ringing_s = (len(expected) - len(np.trim_zeros(speech))) / RATE_HZ
    rest = began_s + 3.0 - admitted.at_s
    assert len(received) / RATE_HZ - ringing_s == pytest.approx(rest, abs=0.15)
    assert np.array_equal(received, expected[-len(received) :])


@in_lockstep
async def test_after_the_admission_the_agent_speaks_and_is_seen_to(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url), quiet_room()) as kiosk,
    ):
        connection, _ = await queued(kiosk, server)
        await connection.send(music(20.0))
        await kiosk.moment(What.AGENT_HEARD)
        await connection.send(ADMITTED, AgentAudio(samples_to_bytes(tone(880, 0.5)), 2, True))
        await kiosk.state(State.SPEAKING)
        await kiosk.state(State.LISTENING)
        admitted = await kiosk.moment(What.ADMITTED)
        spoke = await kiosk.moment(What.AGENT_HEARD, admitted.at_s)
        played = kiosk.room.loudspeaker(spoke.at_s, spoke.at_s + 0.5)
    assert tone_and_rest(played, 880, RATE_HZ)[0] > 3000


@in_lockstep
async def test_a_queue_that_timed_out_is_said_and_not_tried_again(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url), quiet_room()) as kiosk,
    ):
        connection, _ = await queued(kiosk, server)
        await connection.send(music(20.0), TIMED_OUT)
        await connection.close(4300, "queue wait timed out")
        sentences = kiosk.count(What.SENTENCE_HEARD)
        ended = await kiosk.moment(What.VISIT_ENDED)
        await kiosk.state(State.IDLE)
        assert ended.fields["kind"] == Kind.BUSY
        assert kiosk.count(What.SENTENCE_HEARD) == sentences + 1
        assert len(server.connections) == 1


@in_lockstep
async def test_a_press_in_the_queue_hangs_up(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url), quiet_room()) as kiosk,
    ):
        connection, _ = await queued(kiosk, server)
        await connection.send(music(20.0))
        await asyncio.sleep(1.0)
        pressed_s = kiosk.button.press()
        await asyncio.wait_for(connection.closed.wait(), 5)
        ended = await kiosk.moment(What.VISIT_ENDED)
        await kiosk.state(State.IDLE)
        assert music_level(kiosk, pressed_s + 0.1, loop_now_s()) < 30
    assert ended.fields["kind"] == Kind.HUNG_UP
    assert connection.close_code == 1000


@in_lockstep
async def test_nobody_waits_longer_than_the_operator_wants(short_dir: Path) -> None:
    limits = {**IMPATIENT, "queue_s": 2.0}
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url, visit=limits), quiet_room()) as kiosk,
    ):
        connection, _ = await queued(kiosk, server)
        waits = await kiosk.moment(What.QUEUED)
        ended = await kiosk.moment(What.VISIT_ENDED)
        await asyncio.wait_for(connection.closed.wait(), 5)
        closing = next(m for m in kiosk.moments if m.fields.get("state") is State.CLOSING)
    assert ended.fields["kind"] == Kind.BUSY
    assert connection.close_code == 1000
    assert closing.at_s - waits.at_s == pytest.approx(2.0, abs=0.3)


# --- a button that is held ----------------------------------------------------------------------

HELD = {"mode": "hold"}


@in_lockstep
async def test_a_held_button_says_nothing_in_the_queue_and_everything_from_the_admission_on(
    short_dir: Path,
) -> None:
    speech = words(5.0)
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url, button=HELD), quiet_room()) as kiosk,
    ):
        connection, before = await queued(kiosk, server)
        kiosk.room.say(speech, loop_now_s())
        await asyncio.sleep(0.5)
        kiosk.button.release()
        await asyncio.sleep(0.2)
        kiosk.button.press()
        await asyncio.sleep(0.5)
        assert kiosk.host.state is State.QUEUED
        assert not connection.audio[before:].any()
        await connection.send(ADMITTED)
        await kiosk.state(State.LISTENING)
        await kiosk.until(lambda: connection.audio[before:].any())
        kiosk.button.release()
        await kiosk.state(State.THINKING)


@in_lockstep
async def test_a_button_let_go_in_the_queue_is_closed_after_it(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url, button=HELD), quiet_room()) as kiosk,
    ):
        connection, before = await queued(kiosk, server)
        kiosk.button.release()
        kiosk.room.say(words(5.0), loop_now_s())
        await connection.send(ADMITTED)
        await kiosk.state(State.LISTENING)
        await asyncio.sleep(0.5)
        assert not connection.audio[before:].any()
        kiosk.button.press()
        await kiosk.until(lambda: connection.audio[before:].any())
