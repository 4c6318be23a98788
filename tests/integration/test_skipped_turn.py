"""An agent that chooses not to answer is not one that fails to."""

import asyncio
from pathlib import Path

import pytest

from kiosk.audio.pcm import samples_to_bytes
from kiosk.base.clock import loop_now_s
from kiosk.convai.client_messages import ContextualUpdate
from kiosk.convai.server_messages import AgentAudio, Interruption
from kiosk.convai.server_tools import AgentToolResponse
from kiosk.endings import Kind
from kiosk.moments import What
from kiosk.visit.states import State
from tests.convai_server import scripted_server
from tests.integration.sounds import quiet_room, tone, words
from tests.lockstep import in_lockstep
from tests.virtual_kiosk import VirtualKiosk, settings, virtual_kiosk

ANSWER_S = 0.8
IMPATIENT = {"answer_s": ANSWER_S}
SKIPPED = AgentToolResponse("skip_turn")


async def spoken(kiosk: VirtualKiosk, seconds: float = 0.8) -> float:
    """The visitor says something; when the last word is out."""
    said_s = loop_now_s()
    kiosk.room.say(words(seconds), said_s)
    await kiosk.moment(What.SPEECH_STARTED, said_s)
    await asyncio.sleep(said_s + seconds - loop_now_s())
    return loop_now_s()


async def listens_on(kiosk: VirtualKiosk, since_s: float) -> None:
    """After the gate closed, and longer than an answer may take, the visit goes on."""
    await kiosk.moment(What.SPEECH_ENDED, since_s)
    await asyncio.sleep(ANSWER_S + 0.3)
    assert kiosk.host.state is State.LISTENING
    assert kiosk.count(What.VISIT_ENDED) == 0


@pytest.mark.parametrize("gate", ["open", "closed"])
@in_lockstep
async def test_a_turn_that_is_skipped_needs_no_answer(short_dir: Path, gate: str) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url, visit=IMPATIENT), quiet_room()) as kiosk,
    ):
        kiosk.button.press()
        connection = await server.connection()
        await kiosk.state(State.LISTENING)
        ended_s = await spoken(kiosk)
        await kiosk.state(State.LISTENING if gate == "open" else State.THINKING)
        await connection.send(SKIPPED)
        await listens_on(kiosk, ended_s - 1)


@pytest.mark.parametrize("gate", ["open", "closed"])
@in_lockstep
async def test_the_turn_after_a_skipped_one_needs_an_answer(short_dir: Path, gate: str) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url, visit=IMPATIENT), quiet_room()) as kiosk,
    ):
        kiosk.button.press()
        connection = await server.connection()
        await kiosk.state(State.LISTENING)
        await spoken(kiosk)
        await kiosk.state(State.LISTENING if gate == "open" else State.THINKING)
        await connection.send(SKIPPED)
        await asyncio.sleep(0.7)
        await kiosk.state(State.LISTENING)
        await spoken(kiosk)
        ended = await kiosk.moment(What.VISIT_ENDED)
    assert ended.fields["kind"] == Kind.NO_ANSWER


@in_lockstep
async def test_a_skip_while_nobody_speaks_excuses_no_later_turn(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url, visit=IMPATIENT), quiet_room()) as kiosk,
    ):
        kiosk.button.press()
        connection = await server.connection()
        await kiosk.state(State.LISTENING)
        await connection.send(SKIPPED)
        await asyncio.sleep(0.1)
        await spoken(kiosk)
        ended = await kiosk.moment(What.VISIT_ENDED)
    assert ended.fields["kind"] == Kind.NO_ANSWER


@in_lockstep
async def test_an_agent_that_speaks_after_all_is_heard(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url, visit=IMPATIENT), quiet_room()) as kiosk,
    ):
        kiosk.button.press()
        connection = await server.connection()
        await kiosk.state(State.LISTENING)
        await spoken(kiosk)
        await connection.send(SKIPPED, AgentAudio(bytes(2 * 16_000), 1, is_final=True))
        await kiosk.state(State.SPEAKING)
        await kiosk.state(State.LISTENING)


@in_lockstep
async def test_a_noise_over_the_last_moment_of_an_answer_needs_none(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(
            settings(short_dir, server.url, visit={"answer_s": 4.0}), quiet_room()
        ) as kiosk,
    ):
        kiosk.button.press()
        connection = await server.connection()
        await kiosk.state(State.LISTENING)
        await connection.send(AgentAudio(samples_to_bytes(tone(440, 3.0)), 1))
        began = await kiosk.moment(What.AGENT_HEARD)
        # Cut when less of it is left than can be played again.
        await asyncio.sleep(began.at_s + 2.3 - loop_now_s())
        kiosk.room.say(words(1.2), loop_now_s())
        await asyncio.sleep(began.at_s + 2.8 - loop_now_s())
        await connection.send(Interruption(2))
        await kiosk.state(State.THINKING)
        await kiosk.state(State.LISTENING, timeout_s=3.0)
        await asyncio.sleep(6.0)
        assert kiosk.host.state is State.LISTENING
        assert kiosk.count(What.VISIT_ENDED) == 0
        told = [str(each) for each in connection.of_type(ContextualUpdate)]
    assert len(told) == 1
    assert "heard to its end" in told[0]
