"""Whole visits, frame by frame: what kiosk and local agent write is what the contract has.

The schemas share nothing with our readers and writers. The visits are played at the same time, for
a visit is mostly waiting; then each has its own test.
"""

import asyncio
import contextlib
import json
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kiosk.agent.behaviour import AgentBehaviour, Manner
from kiosk.agent.guide import Guide
from kiosk.agent.recogniser import Recogniser
from kiosk.agent.scenario import Scenario, load_scenario
from kiosk.agent.server import AgentSettings, LocalAgent
from kiosk.devices.virtual import Room
from kiosk.lab.demo.commands import spoken
from kiosk.lab.demo.lines import GOODBYE, ScriptLine, When, rehearsed
from kiosk.lab.demo.runner import DemoRecord, DemoRunner, settings_for
from tests.schemas import check_client, check_server
from tests.slowness import patient_s
from tests.virtual_kiosk import tones_for_sentences
from tests.wire_tap import Passed, tapped

pytestmark = pytest.mark.timeout(400)

_AT_ONCE = 3

CONVERSATION, BY_GUIDE = "a conversation", "a conversation by the guide"
LINES = (
    ScriptLine("question", When.AT_PRESS, "tell me about the blue whale"),
    replace(GOODBYE, when=When.OVER_ANSWER),
)

# What passes in a visit besides what passes in every one.
BESIDES: dict[str, dict[str, set[str]]] = {
    CONVERSATION: {
        "server": {
            "user_transcript",
            "interruption",
            "agent_chat_response_part",
            "agent_response_complete",
            "context_usage",
            "agent_tool_response",
        }
    },
    BY_GUIDE: {
        "server": {
            "user_transcript",
            "interruption",
            "agent_response_correction",
            "agent_tool_response",
        }
    },
    "tools": {"client": {"client_tool_result"}, "server": {"client_tool_call"}},
    "queue_admitted": {"server": {"queue_status"}},
    "error_and_on": {"server": {"error"}},
    "skipped_turn": {"server": {"agent_tool_response"}},
    "maximum_duration": {"server": {"error"}},
}
ALWAYS = {
    "client": {"conversation_initiation_client_data", "user_audio_chunk", "pong"},
    "server": {"conversation_initiation_metadata", "ping"},
}


# Sent when a visitor speaks while the agent is heard: on a busy machine that depends on luck.
SOMETIMES = {"user_activity"}


async def _visit(
    name: str, directory: Path, guide: Guide, recogniser: Recogniser
) -> tuple[list[Passed], list[str]]:
    """What passed, connection by connection, and what did not happen that should have."""
    scripted = name not in (CONVERSATION, BY_GUIDE)
    scenario: Scenario | None = load_scenario(name) if scripted else None
    manner = Manner.GUIDE if name == BY_GUIDE else Manner.CAPTURED
    kiosk: dict[str, dict[str, Any]] = {} if scenario is None else scenario.kiosk
    lines = LINES if scenario is None else rehearsed(scenario.visitor)
    quickly = {"disclosure": False, "messages_dir": tones_for_sentences(directory)}
    record = DemoRecord(Room())
    behaviour = AgentBehaviour(manner=manner)
    agent = LocalAgent(
        AgentSettings(port=0, behaviour=behaviour), guide, recogniser, lambda _: None, scenario
    )
    async with agent.listening() as url, tapped(url) as tap:
        changes = {
            **kiosk,
            "agent": {"id": "agent_local", "url": tap.url},
            "credentials": {"mode": "public"},
            "visit": {**quickly, **kiosk.get("visit", {})},
        }
        await DemoRunner(record, lambda _: None).rehearse(
            settings_for(directory, {}, changes),
            await spoken(lines, record.room.rate_hz),
            hang_up=scenario is not None and scenario.visitor.then == "hang_up",
        )
    return tap.connections, record.errors


async def _visits(
    directory: Path, guide: Guide, recogniser: Recogniser
) -> dict[str, tuple[list[Passed], list[str]]]:
    # More at once, and nobody's question is understood in the time that a visitor has.
    at_once = asyncio.Semaphore(_AT_ONCE)

    async def visit(name: str) -> tuple[list[Passed], list[str]]:
        its_directory = directory / str(list(BESIDES).index(name))
        its_directory.mkdir()
        async with at_once, asyncio.timeout(patient_s(60)):
            return await _visit(name, its_directory, guide, recogniser)

    return dict(zip(BESIDES, await asyncio.gather(*map(visit, BESIDES)), strict=True))


@contextlib.contextmanager
def _hooks_kept() -> Iterator[None]:
    """A daemon has its process to itself; here several put back what they found in any order."""
    hook = threading.excepthook
    yield
    threading.excepthook = hook


@pytest.fixture(scope="module")
def visits(guide: Guide, recogniser: Recogniser) -> dict[str, tuple[list[Passed], list[str]]]:
    with tempfile.TemporaryDirectory(prefix="kiosk-", dir="/tmp") as directory, _hooks_kept():
        return asyncio.run(_visits(Path(directory), guide, recogniser))


def types(frames: list[str | bytes]) -> set[str]:
    return {json.loads(frame).get("type", "user_audio_chunk") for frame in frames}


@pytest.mark.parametrize("name", BESIDES)
def test_every_frame_of_a_visit_is_the_contracts(
    name: str, visits: dict[str, tuple[list[Passed], list[str]]]
) -> None:
    connections, errors = visits[name]
    assert errors == []
    (passed,) = connections
    for frame in passed.from_client:
        assert isinstance(frame, str)
        check_client(frame)
    for frame in passed.from_server:
        assert isinstance(frame, str)
        check_server(frame)
    # There was something to check.
    wanted = ALWAYS["client"] | BESIDES[name].get("client", set())
    assert types(passed.from_client) - SOMETIMES == wanted - SOMETIMES
    assert types(passed.from_server) >= ALWAYS["server"] | BESIDES[name].get("server", set())


def test_a_call_that_wants_no_answer_gets_none(
    visits: dict[str, tuple[list[Passed], list[str]]],
) -> None:
    (passed,), _ = visits["tools"]
    calls = [
        json.loads(frame)["client_tool_call"]
        for frame in passed.from_server
        if "client_tool_call" in str(frame)
    ]
    results = [
        json.loads(frame) for frame in passed.from_client if "client_tool_result" in str(frame)
    ]
    assert [call["expects_response"] for call in calls] == [True, True, False]
    assert {call["tool_call_id"] for call in calls[:2]} == {
        result["tool_call_id"] for result in results
    }
    assert sorted(result["is_error"] for result in results) == [False, True]
