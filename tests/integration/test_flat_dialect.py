"""The kiosk at servers that were written after popular guides, and with what those ask of it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from kiosk.agent.behaviour import AgentBehaviour, Manner
from kiosk.agent.dialect import DIALECTS
from kiosk.agent.guide import Guide
from kiosk.agent.voice import AgentVoice
from kiosk.base.clock import loop_now_s
from kiosk.devices.virtual import Room
from kiosk.endings import Kind
from kiosk.lab.demo.lines import VISITOR_VOICE, VISITOR_WORDS_PER_MINUTE
from kiosk.lab.virtual_loop import running_clock
from kiosk.moments import What
from kiosk.visit.states import State
from kiosk.visit.visit import NERVOUS_S
from tests.integration.conftest import StartAgent
from tests.lockstep import in_lockstep
from tests.virtual_kiosk import VirtualKiosk, settings, virtual_kiosk
from tests.wire_tap import Passed, Tap, tapped

FLAT = DIALECTS["flat"]
RATE_HZ = 16_000
WHALE = "tell me about the blue whale"
CLOSING = "when does the museum close"
EXIT = "where is the exit"
GREETING = "Welcome."
BY_GUIDE = AgentBehaviour(greeting=GREETING, manner=Manner.GUIDE)
KEY = "key-of-the-test"

StartKiosk = Callable[..., AbstractAsyncContextManager[tuple[VirtualKiosk, Tap]]]


@pytest.fixture
def start_kiosk(short_dir: Path, start_agent: StartAgent) -> StartKiosk:
    """`async with start_kiosk(compat, **of_the_agent) as (kiosk, tap)`."""

    @asynccontextmanager
    async def start(
        compat: dict[str, Any], **of_the_agent: object
    ) -> AsyncIterator[tuple[VirtualKiosk, Tap]]:
        async with (
            start_agent(
                behaviour=AgentBehaviour(greeting=GREETING, manner=Manner.GUIDE), **of_the_agent
            ) as (url, _),
            tapped(url) as tap,
        ):
            its_settings = settings(short_dir, tap.url, convai={"compat": compat})
            async with virtual_kiosk(its_settings, Room(RATE_HZ, clock=running_clock())) as kiosk:
                yield kiosk, tap

    return start


async def say(kiosk: VirtualKiosk, sentence: str) -> float:
    """Say it now; when that was."""
    speech = await AgentVoice(VISITOR_VOICE, VISITOR_WORDS_PER_MINUTE).render(sentence, RATE_HZ)
    now_s = loop_now_s()
    kiosk.room.say(speech, now_s + 0.1)
    return now_s


async def greeted(kiosk: VirtualKiosk) -> None:
    """Press, and listen to the greeting."""
    pressed_s = kiosk.button.press()
    heard = await kiosk.moment(What.AGENT_HEARD, pressed_s)
    await kiosk.moment(What.DRAINED, heard.at_s)


async def hang_up(kiosk: VirtualKiosk) -> Kind:
    """How the visit ended."""
    await asyncio.sleep(NERVOUS_S)  # a press sooner after the first is taken for a nervous one
    kiosk.button.press()
    await kiosk.state(State.IDLE)
    return Kind(str((await kiosk.moment(What.VISIT_ENDED)).fields["kind"]))


def said(kiosk: VirtualKiosk, what: What) -> list[str | None]:
    return [moment.words for moment in kiosk.moments if moment.what is what]


def answer_to(guide: Guide, sentence: str) -> str:
    entry = guide.entry_for(sentence)
    assert entry is not None
    return entry.say


def texts(passed: Passed) -> list[str | bytes]:
    """What the kiosk sent that is not the microphone's."""
    return [frame for frame in passed.from_client if "user_audio_chunk" not in str(frame)]


@in_lockstep
async def test_a_whole_conversation_is_held_in_the_flat_dialect(
    guide: Guide, start_kiosk: StartKiosk
) -> None:
    async with start_kiosk({}, dialect=FLAT) as (kiosk, tap):
        await greeted(kiosk)
        asked_s = await say(kiosk, WHALE)
        await kiosk.moment(What.TRANSCRIPT, asked_s)
        await kiosk.moment(What.AGENT_HEARD, asked_s)
        await asyncio.sleep(1)
        over_it_s = await say(kiosk, CLOSING)
        interrupted = await kiosk.moment(What.INTERRUPTED, over_it_s)
        await kiosk.moment(What.AGENT_HEARD, interrupted.at_s)
        assert await hang_up(kiosk) is Kind.HUNG_UP
        assert said(kiosk, What.TRANSCRIPT) == [WHALE, CLOSING]
        answers = [answer_to(guide, WHALE), answer_to(guide, CLOSING)]
        assert said(kiosk, What.RESPONSE) == [GREETING, *answers]
        (correction,) = said(kiosk, What.CORRECTION)
        assert correction is not None
        assert answers[0].startswith(correction.removesuffix("..."))
        assert kiosk.count(What.INTERRUPTED) == 1
        assert kiosk.count(What.MALFORMED) == 0
    (passed,) = tap.connections
    events = [json.loads(frame) for frame in passed.from_server]
    assert {event["type"] for event in events} == {
        "conversation_initiation_metadata",
        "ping",
        "audio",
        "agent_response",
        "agent_response_correction",
        "user_transcript",
        "interruption",
    }
    assert all("event_id" not in event for event in events if event["type"] != "ping")
    assert not any(
        name.endswith("_event") for event in events for name in event.keys() - {"audio_event"}
    )
    assert passed.close == (1000, "")


@in_lockstep
async def test_what_the_guides_ask_of_a_client_is_done_where_it_is_configured(
    short_dir: Path,
    guide: Guide,
    start_kiosk: StartKiosk,
    caplog: pytest.LogCaptureFixture,
) -> None:
    key_file = short_dir / "key"
    key_file.write_text(f"{KEY}\n")
    compat = {
        "keep_alive": "space",
        "keep_alive_s": 0.3,
        "end_of_stream": True,
        "api_key_file": key_file,
    }
    # Without the key nobody comes in.
    async with start_kiosk(compat, dialect=FLAT, public=False, api_key=KEY) as (kiosk, tap):
        await greeted(kiosk)
        asked_s = await say(kiosk, EXIT)
        await kiosk.moment(What.RESPONSE, asked_s)
        assert said(kiosk, What.TRANSCRIPT) == [EXIT]
        assert said(kiosk, What.RESPONSE)[-1] == answer_to(guide, EXIT)
        assert await hang_up(kiosk) is Kind.HUNG_UP
    (passed,) = tap.connections
    assert passed.path.endswith(f"?agent_id=agent_local&xi-api-key={KEY}")
    assert texts(passed).count(" ") >= 3
    assert passed.from_client[-1] == '{"text": ""}'
    assert passed.close is not None
    assert passed.close[0] == 1000
    (warning,) = [record for record in caplog.records if "API KEY" in record.getMessage()]
    assert warning.levelname == "WARNING"
    assert "convai.compat.api_key_file" in warning.getMessage()
    assert "development only" in warning.getMessage()
    assert KEY not in caplog.text


@in_lockstep
async def test_nothing_of_the_guides_is_sent_unless_it_is_configured(
    start_kiosk: StartKiosk, caplog: pytest.LogCaptureFixture
) -> None:
    async with start_kiosk({"keep_alive_s": 0.1}) as (kiosk, tap):
        await greeted(kiosk)
        assert await hang_up(kiosk) is Kind.HUNG_UP
    (passed,) = tap.connections
    assert passed.path.endswith("?agent_id=agent_local")
    types = {json.loads(frame)["type"] for frame in texts(passed)}
    assert types == {"conversation_initiation_client_data", "pong"}
    assert "API KEY" not in caplog.text


@in_lockstep
async def test_a_space_ends_the_conversation_with_a_server_of_the_contract(
    start_kiosk: StartKiosk,
) -> None:
    async with start_kiosk({"keep_alive": "space", "keep_alive_s": 0.3}) as (kiosk, tap):
        kiosk.button.press()
        ended = await kiosk.moment(What.VISIT_ENDED)
        await kiosk.state(State.IDLE)
    assert ended.fields["kind"] == Kind.PROTOCOL
    (passed,) = tap.connections
    assert passed.close == (1008, "Invalid message received")


@in_lockstep
async def test_activity_keeps_a_conversation_alive_with_a_server_of_the_contract(
    start_kiosk: StartKiosk,
) -> None:
    async with start_kiosk({"keep_alive": "user_activity", "keep_alive_s": 0.1}) as (kiosk, tap):
        await greeted(kiosk)
        assert await hang_up(kiosk) is Kind.HUNG_UP
    (passed,) = tap.connections
    assert texts(passed).count('{"type":"user_activity"}') >= 3
    assert passed.close == (1000, "")
