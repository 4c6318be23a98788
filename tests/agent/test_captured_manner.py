"""The local agent sends what the live service was seen to send: the same order, ids and times."""

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest
from websockets.exceptions import ConnectionClosed

from kiosk.agent.behaviour import AgentBehaviour, Manner
from kiosk.agent.guide import Guide
from kiosk.agent.recogniser import Recogniser
from kiosk.agent.scenario import CallTool, Scenario, Step
from kiosk.agent.server import AgentSettings, LocalAgent
from kiosk.base.clock import loop_now_s
from kiosk.endings import Kind
from tests.agent import recording
from tests.agent.recording import Seen, differences, recorded
from tests.agent.wire import Frame, Wire, initiation, opened, said, user_audio
from tests.lockstep import in_lockstep

QUESTION, LONG_QUESTION = "where is the exit", "tell me about the blue whale"
WITH_A_TOOL = CallTool(do="call_tool", on="turn", tool="weather")


class Caller:
    """A client that sends sound without a gap, and answers tools; `came` is what it received."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.frames: list[Frame] = []
        self.came: list[Seen] = []

    async def listen(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                frame = json.loads(await self.wire.socket.recv())
                self.frames.append(frame)
                self.came.append(recording.seen(frame, loop_now_s()))
                if frame["type"] == recording.CALL:
                    await self._answer(frame["client_tool_call"]["tool_call_id"])

    async def _answer(self, call_id: str) -> None:
        await asyncio.sleep(0.001)
        self.came.append(Seen(loop_now_s(), recording.RESULT, call=call_id))
        await self.wire.send(
            {
                "type": "client_tool_result",
                "tool_call_id": call_id,
                "result": "sunny",
                "is_error": False,
            }
        )

    async def ask(self, sentence: str, *, and_wait_s: float) -> None:
        await self.wire.send(await said(sentence))
        await asyncio.sleep(and_wait_s)


@contextlib.asynccontextmanager
async def calling(
    guide: Guide,
    recogniser: Recogniser,
    *steps: Step,
    seed: int = 1,
    behaviour: AgentBehaviour = AgentBehaviour(),  # noqa: B008  frozen
) -> AsyncIterator[tuple[Caller, LocalAgent]]:
    agent = LocalAgent(
        AgentSettings(port=0, behaviour=behaviour),
        guide,
        recogniser,
        lambda _: None,
        Scenario(summary="", ending=Kind.HUNG_UP, step=steps),
        chance=random.Random(seed).random,
    )
    async with agent.listening() as url, opened(url) as wire:
        await wire.send(initiation())
        caller = Caller(wire)
        listening = asyncio.create_task(caller.listen())
        yield caller, agent
        listening.cancel()


async def conversation(
    guide: Guide, recogniser: Recogniser, seed: int, behaviour: AgentBehaviour
) -> list[Seen]:
    """Greeting, two answers, one of them cut, and one after a tool."""
    with_tool = WITH_A_TOOL.model_copy(update={"nth": 3})
    async with calling(guide, recogniser, with_tool, seed=seed, behaviour=behaviour) as (caller, _):
        await asyncio.sleep(10)
        await caller.ask(QUESTION, and_wait_s=12)
        await caller.ask(LONG_QUESTION, and_wait_s=4)
        await caller.ask(QUESTION, and_wait_s=12)
        await caller.ask(LONG_QUESTION, and_wait_s=30)
    return caller.came


# --- the checker --------------------------------------------------------------------------------


def test_the_recording_is_as_the_recording() -> None:
    assert len(recorded()) == 135
    assert differences(recorded()) == []


def first(conversation: Sequence[Seen], type_name: str, event_id: int | None = None) -> int:
    return next(
        number
        for number, each in enumerate(conversation)
        if each.type == type_name and event_id in (None, each.id)
    )


def changed(type_name: str, event_id: int | None = None, **changes: object) -> list[Seen]:
    """The recording, but for one message."""
    conversation = recorded()
    number = first(conversation, type_name, event_id)
    conversation[number] = replace(conversation[number], **changes)  # type: ignore[arg-type]
    return sorted(conversation, key=lambda each: each.at_s)


def besides(*messages: Seen) -> list[Seen]:
    return sorted([*recorded(), *messages], key=lambda each: each.at_s)


@pytest.mark.parametrize(
    "conversation",
    [
        changed(recording.INTERRUPTION, id=236),
        changed(recording.SOUND, 37, final=True),
        changed(recording.SOUND, 37, final=None),
        changed(recording.TEXT, 37, at_s=7.9),
        changed(recording.TEXT, 236, at_s=44.5),
        changed(recording.COMPLETE, 117, at_s=24.0),
        changed(recording.TRANSCRIPT, 389, at_s=63.7),
        changed(recording.TRANSCRIPT, 389, id=300),
        changed(recording.RESULT, at_s=7.5),
        changed(recording.METADATA, at_s=0.9),
        changed(recording.USAGE, 463, at_s=78.0),
        besides(Seen(44.4, recording.SOUND, 236, final=False)),
        besides(Seen(44.4, recording.COMPLETE, 236)),
        besides(Seen(20.3, recording.SOUND, 117, final=False)),
        besides(Seen(2.0, recording.USAGE, 1)),
        besides(Seen(10.3, recording.SOUND, 37, final=False)),
    ],
)
def test_what_is_not_as_in_the_recording_is_named(conversation: list[Seen]) -> None:
    assert differences(conversation)


# --- the agent ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(1, 6))
def test_a_conversation_with_the_agent_is_as_the_recording(
    seed: int, guide: Guide, recogniser: Recogniser
) -> None:
    @in_lockstep
    async def talk() -> list[Seen]:
        return await conversation(guide, recogniser, seed, AgentBehaviour())

    came = talk()
    assert differences(came) == []
    types = {each.type for each in came}
    assert types >= {each.type for each in recorded()}
    exchanges = list(dict.fromkeys(each.id for each in came if each.type == recording.SOUND))
    assert len(exchanges) == 5


@in_lockstep
async def test_the_guides_manner_is_another_one(guide: Guide, recogniser: Recogniser) -> None:
    came = await conversation(guide, recogniser, 1, AgentBehaviour(manner=Manner.GUIDE))
    found = "\n".join(differences(came))
    for difference in ("final", "six numbers", "no number of its own", "neither complete nor cut"):
        assert difference in found


@in_lockstep
async def test_an_answer_waits_for_the_result_of_its_tool_and_not_for_ever(
    guide: Guide, recogniser: Recogniser
) -> None:
    behaviour = AgentBehaviour(greeting="", tool_timeout_s=7.0)
    async with calling(guide, recogniser, WITH_A_TOOL, behaviour=behaviour) as (caller, _):
        caller._answer = lambda _: asyncio.sleep(0)  # type: ignore[method-assign,assignment]
        await caller.ask(QUESTION, and_wait_s=20)
    came = caller.came
    called_s = came[first(came, recording.CALL)].at_s
    assert came[first(came, recording.SOUND)].at_s - called_s == pytest.approx(7.95, abs=0.2)


# --- who interrupts it --------------------------------------------------------------------------


def noise(length_s: float) -> Frame:
    """A voice without a word: the beginning of one, and the silence that ends a turn."""
    hum = random.Random(3)
    samples = [
        round(9000 * ((n * 130 / 16_000) % 1.0 - 0.5)) + hum.randrange(-300, 300)
        for n in range(round(16_000 * length_s))
    ]
    sound = b"".join(each.to_bytes(2, "little", signed=True) for each in samples)
    return user_audio(bytes(6400) + sound + bytes(32_000))


@pytest.mark.parametrize(
    ("length_s", "nervous", "cut"),
    [(0.25, False, False), (0.9, False, True), (0.25, True, True)],
)
def test_half_a_second_of_voice_interrupts_it_and_a_cough_does_not(
    length_s: float, nervous: bool, cut: bool, guide: Guide, recogniser: Recogniser
) -> None:
    behaviour = AgentBehaviour(interrupt_after_ms=0 if nervous else 500)

    @in_lockstep
    async def talk() -> list[Seen]:
        async with calling(guide, recogniser, behaviour=behaviour) as (caller, _):
            await asyncio.sleep(2)
            await caller.wire.send(noise(length_s))
            await asyncio.sleep(8)
        return caller.came

    came = talk()
    assert any(each.type == recording.INTERRUPTION for each in came) is cut
    assert any(each.type == recording.COMPLETE and each.id == 1 for each in came) is not cut


@in_lockstep
async def test_a_short_word_that_it_knows_interrupts_it(
    guide: Guide, recogniser: Recogniser
) -> None:
    async with calling(guide, recogniser) as (caller, _):
        await asyncio.sleep(2)
        await caller.ask("hello", and_wait_s=8)
    came = caller.came
    assert any(each.type == recording.INTERRUPTION for each in came)
    assert any(each.type == recording.TRANSCRIPT for each in came)
