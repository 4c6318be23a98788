"""A lost connection costs no word: what was said is heard, and the next conversation knows it."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from kiosk.audio.levels import rms_dbfs
from kiosk.audio.pcm import samples_to_bytes
from kiosk.base.clock import loop_now_s
from kiosk.convai.client_messages import ContextualUpdate, Initiation, UserAudio
from kiosk.convai.server_messages import (
    AgentAudio,
    AgentResponse,
    Interruption,
    UserTranscript,
)
from kiosk.moments import What
from kiosk.visit.states import State
from tests.convai_server import Connection, ScriptedServer, scripted_server
from tests.integration.sounds import RATE_HZ, pitch_hz, quiet_room, tone, words
from tests.lockstep import in_lockstep
from tests.virtual_kiosk import VirtualKiosk, settings, virtual_kiosk


def audio(hertz: float, seconds: float, event_id: int) -> AgentAudio:
    return AgentAudio(samples_to_bytes(tone(hertz, seconds)), event_id)


async def talking(kiosk: VirtualKiosk, server: ScriptedServer) -> Connection:
    """Pressed and connected."""
    kiosk.button.press()
    connection = await server.connection()
    await kiosk.state(State.LISTENING)
    return connection


async def lost(connection: Connection) -> float:
    """The connection breaks off; when."""
    connection.socket.transport.abort()
    return loop_now_s()


async def asked_in_vain(kiosk: VirtualKiosk, seconds: float = 1.5) -> float:
    """The visitor asks something; when the turn was over."""
    kiosk.room.say(words(seconds), loop_now_s())
    await kiosk.state(State.THINKING)
    return loop_now_s()


def first_message(connection: Connection) -> object:
    (initiation,) = connection.of_type(Initiation)
    assert isinstance(initiation, Initiation)
    agent = initiation.overrides.get("agent", {})
    return agent.get("first_message") if isinstance(agent, dict) else None


@in_lockstep
async def test_what_the_agent_had_said_is_heard_while_another_connection_is_opened(
    short_dir: Path,
) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url), quiet_room()) as kiosk,
    ):
        connection = await talking(kiosk, server)
        await connection.send(audio(440, 5.5, 1))
        began = await kiosk.moment(What.AGENT_HEARD)
        await asyncio.sleep(0.3)
        await lost(connection)
        await server.connection(2)
        await kiosk.state(State.SPEAKING)
        await kiosk.moment(What.DRAINED, began.at_s)
        await kiosk.state(State.LISTENING)
        heard = kiosk.room.loudspeaker(began.at_s + 0.1, began.at_s + 5.4)
    tenths = heard.reshape(-1, len(heard) // 53)
    assert min(rms_dbfs(each) for each in tenths) > -20, "a tenth of a second was lost"
    assert abs(pitch_hz(heard, RATE_HZ) - 440) < 5


@pytest.mark.parametrize("code", [1002, 1011])
@in_lockstep
async def test_a_close_that_may_be_tried_again_cuts_nothing(short_dir: Path, code: int) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url), quiet_room()) as kiosk,
    ):
        connection = await talking(kiosk, server)
        await connection.send(audio(440, 2.0, 1))
        began = await kiosk.moment(What.AGENT_HEARD)
        await connection.close(code)
        await server.connection(2)
        drained = await kiosk.moment(What.DRAINED, began.at_s)
    assert drained.at_s - began.at_s >= 1.9


@in_lockstep
async def test_a_visitor_hears_at_once_that_something_happened(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url), quiet_room()) as kiosk,
    ):
        connection = await talking(kiosk, server)
        await asked_in_vain(kiosk)
        lost_s = await lost(connection)
        tick = await kiosk.moment(What.EARCON_HEARD, lost_s)
    assert tick.at_s - lost_s <= 0.7


@in_lockstep
async def test_the_next_conversation_does_not_greet_and_knows_what_was_said(
    short_dir: Path,
) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url), quiet_room()) as kiosk,
    ):
        connection = await talking(kiosk, server)
        assert first_message(connection) is None
        await connection.send(UserTranscript("where is the whale", 2))
        await connection.send(audio(440, 0.5, 2), AgentResponse("[happy] In the hall.", 2))
        await kiosk.moment(What.DRAINED)
        await asyncio.sleep(0.2)
        await lost(connection)
        again = await server.connection(2)
        await kiosk.until(lambda: bool(again.of_type(ContextualUpdate)))
        (told,) = again.of_type(ContextualUpdate)
        await kiosk.state(State.LISTENING)
    assert first_message(again) == ""
    assert isinstance(told, ContextualUpdate)
    assert "Do not greet" in told.text
    assert told.text.splitlines()[1:] == ["Visitor: where is the whale", "You: In the hall."]
    kinds = [type(message) for _, message in again.messages]
    assert kinds.index(ContextualUpdate) < kinds.index(UserAudio)


@in_lockstep
async def test_a_turn_that_nobody_has_answered_is_heard_first_by_the_next_conversation(
    short_dir: Path,
) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url), quiet_room()) as kiosk,
    ):
        connection = await talking(kiosk, server)
        await asked_in_vain(kiosk, 4.0)
        await lost(connection)
        again = await server.connection(2)
        await kiosk.state(State.THINKING)
        await asyncio.sleep(2.5)
        sound = again.audio
        sent_s = len(sound) / RATE_HZ
        spoken = np.abs(sound[: round(5 * RATE_HZ)].astype(int)) > 300
    assert np.flatnonzero(spoken)[0] < 0.6 * RATE_HZ
    assert spoken[: round(4.5 * RATE_HZ)].mean() > 0.5
    # Behind it comes silence in real time, and not the sound a second time.
    assert 4.0 + 1.5 + 2.0 < sent_s < 4.0 + 1.5 + 4.5
    assert rms_dbfs(sound[-RATE_HZ:]) < -60


@in_lockstep
async def test_a_turn_that_was_answered_is_not_sent_again(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url), quiet_room()) as kiosk,
    ):
        connection = await talking(kiosk, server)
        await asked_in_vain(kiosk)
        await connection.send(UserTranscript("where", 5), audio(440, 0.5, 5))
        await kiosk.moment(What.DRAINED)
        await asyncio.sleep(3)
        await lost(connection)
        again = await server.connection(2)
        await kiosk.state(State.LISTENING)
        await asyncio.sleep(1)
        sound = again.audio
    assert rms_dbfs(sound) < -60


@in_lockstep
async def test_an_agent_that_permits_no_other_first_message_is_not_heard_greeting(
    short_dir: Path,
) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url), quiet_room()) as kiosk,
    ):
        connection = await talking(kiosk, server)
        await connection.send(audio(660, 0.3, 1))
        await kiosk.moment(What.DRAINED)
        await lost(connection)
        refusing = await server.connection(2)
        await refusing.close(1008, "Override for field 'first_message' is not allowed by config.")
        again = await server.connection(3)
        assert first_message(refusing) == ""
        assert first_message(again) is None
        began_s = loop_now_s()
        await again.send(audio(440, 1.0, 1), AgentResponse("Welcome.", 1))
        await asyncio.sleep(1.5)
        greeting = kiosk.room.loudspeaker(began_s + 0.5, loop_now_s())
        await again.send(audio(880, 1.0, 7))
        answer = await kiosk.moment(What.AGENT_HEARD, began_s)
        await kiosk.moment(What.DRAINED, answer.at_s)
        played = kiosk.room.loudspeaker(answer.at_s, answer.at_s + 1)
        # And from now on it is known.
        await lost(again)
        fourth = await server.connection(4)
        await kiosk.until(lambda: bool(fourth.of_type(ContextualUpdate)))
    assert rms_dbfs(greeting) == -96.0
    assert abs(pitch_hz(played, RATE_HZ) - 880) < 5
    assert first_message(fourth) is None


@in_lockstep
async def test_where_nothing_was_said_yet_the_next_conversation_greets(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url), quiet_room()) as kiosk,
    ):
        connection = await talking(kiosk, server)
        await asked_in_vain(kiosk)
        await lost(connection)
        again = await server.connection(2)
        await asyncio.sleep(3)
        sound = again.audio
    assert first_message(again) is None
    assert again.of_type(ContextualUpdate) == []
    assert rms_dbfs(sound[: 2 * RATE_HZ]) > -40, "what the visitor said is heard again"


@in_lockstep
async def test_a_transcript_that_comes_late_ends_the_answer_that_goes_on(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url), quiet_room()) as kiosk,
    ):
        connection = await talking(kiosk, server)
        await connection.send(audio(440, 12.0, 1))
        await kiosk.moment(What.AGENT_HEARD)
        await asyncio.sleep(1)
        await connection.send(Interruption(9))
        cut = await kiosk.moment(What.INTERRUPTED)
        await kiosk.moment(What.AGENT_HEARD, cut.at_s)
        await connection.send(UserTranscript("where is the whale", 12))
        sent_s = loop_now_s()
        await asyncio.sleep(5)
        heard = kiosk.room.loudspeaker(sent_s + 0.2, loop_now_s())
    assert rms_dbfs(heard) == -96.0


@in_lockstep
async def test_nothing_of_a_visit_is_kept_when_it_is_over(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url), quiet_room()) as kiosk,
    ):
        connection = await talking(kiosk, server)
        await asked_in_vain(kiosk)
        await connection.send(UserTranscript("my name is Ada", 2), audio(440, 3.0, 2))
        await kiosk.moment(What.AGENT_HEARD)
        memory = kiosk.host.memory
        assert "Ada" in memory.recap()
        kiosk.button.press()
        await kiosk.state(State.IDLE)
        assert "Ada" not in memory.recap()
        assert memory.unanswered == ()
        assert memory.rest_of_answer().samples is None


@in_lockstep
async def test_an_interruption_before_a_loss_is_no_cough(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url), quiet_room()) as kiosk,
    ):
        connection = await talking(kiosk, server)
        await connection.send(audio(440, 5.0, 1))
        await kiosk.moment(What.AGENT_HEARD)
        await asyncio.sleep(1)
        await connection.send(Interruption(9))
        cut = await kiosk.moment(What.INTERRUPTED)
        await lost(connection)
        await server.connection(2)
        await asyncio.sleep(5)
        assert not [m for m in kiosk.moments if m.what is What.AGENT_HEARD and m.at_s > cut.at_s]
