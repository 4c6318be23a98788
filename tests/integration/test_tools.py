"""What the agent may ask of the kiosk and what may be told to it."""

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from kiosk.convai.client_messages import (
    ContextualUpdate,
    McpToolApprovalResult,
    Pong,
    ToolErrorType,
    ToolResult,
)
from kiosk.convai.fields import Json
from kiosk.convai.server_messages import Ping, UserTranscript
from kiosk.convai.server_tools import AgentToolRequest, McpToolCall, ToolCall
from kiosk.devices.virtual import Room
from kiosk.lab.virtual_loop import running_clock
from kiosk.moments import What
from kiosk.ops.control import request
from kiosk.visit import inputs
from kiosk.visit.states import State
from tests.bare_conversation import bare_conversation
from tests.convai_server import Connection, scripted_server
from tests.integration.daemon import running_kiosk
from tests.integration.test_daemon import CONFIG
from tests.integration.test_events import EXAMPLES
from tests.lockstep import in_lockstep
from tests.slowness import patient_s
from tests.virtual_kiosk import settings, virtual_kiosk


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(patient_s(5)):
        while not condition():  # noqa: ASYNC110  frames have no event
            await asyncio.sleep(0.005)


async def answered(connection: Connection, number: int) -> None:
    """Wait until everything sent before this ping was dealt with."""
    await connection.send(Ping(number))
    await until(lambda: Pong(number) in connection.of_type(Pong))


async def double(parameters: Mapping[str, Json]) -> Json:
    number = parameters["number"]
    assert isinstance(number, int)
    await asyncio.sleep(0.02)
    return {"doubled": 2 * number}


@in_lockstep
async def test_a_call_that_expects_an_answer_gets_exactly_one_and_no_other_gets_any() -> None:
    async with scripted_server() as server, bare_conversation(server.url, {"double": double}) as k:
        connection = await server.connection()
        for number in range(4):
            expects = number % 2 == 0
            await connection.send(ToolCall("double", f"c{number}", {"number": number}, expects))
        await until(lambda: len(k.observed(What.TOOL_CALLED)) == 4)
        await answered(connection, 1)
    # Calls run beside each other: their answers have no order.
    results = connection.of_type(ToolResult)
    assert len(results) == 2
    assert set(results) == {
        ToolResult("c0", '{"doubled": 0}'),
        ToolResult("c2", '{"doubled": 4}'),
    }


@in_lockstep
async def test_a_call_that_does_not_say_whether_it_expects_an_answer_gets_one() -> None:
    async with scripted_server() as server, bare_conversation(server.url, {"double": double}):
        connection = await server.connection()
        await connection.socket.send(
            '{"type":"client_tool_call","client_tool_call":{"tool_name":"double",'
            '"tool_call_id":"c1","parameters":{"number":4}}}'
        )
        await until(lambda: connection.of_type(ToolResult) == [ToolResult("c1", '{"doubled": 8}')])


@in_lockstep
async def test_a_tool_the_kiosk_does_not_have_is_answered_as_an_error() -> None:
    async with scripted_server() as server, bare_conversation(server.url) as kiosk:
        connection = await server.connection()
        await connection.send(ToolCall("open_door", "c1"))
        await until(lambda: len(connection.of_type(ToolResult)) == 1)
        called = kiosk.observed(What.TOOL_CALLED)
    (result,) = connection.of_type(ToolResult)
    assert isinstance(result, ToolResult)
    assert (result.is_error, result.error_type) == (True, ToolErrorType.EXTERNAL_CLIENT)
    assert [dict(moment.fields) for moment in called] == [
        {"tool": "open_door", "error_type": "external_client"}
    ]


@in_lockstep
async def test_a_bug_in_a_tool_ends_the_kiosk_and_not_just_the_tool() -> None:
    async def broken(_: Mapping[str, Json]) -> Json:
        raise LookupError("bug")

    async def visit() -> None:
        async with (
            scripted_server() as server,
            bare_conversation(server.url, {"broken": broken}) as kiosk,
        ):
            connection = await server.connection()
            await connection.send(ToolCall("broken", "c1"))
            await kiosk.ending()

    with pytest.raises(ExceptionGroup) as caught:
        await visit()
    assert [str(error) for error in caught.value.exceptions] == ["bug"]


@in_lockstep
async def test_a_tool_that_is_still_running_when_the_conversation_ends_is_ended() -> None:
    ended = asyncio.Event()

    async def endless(_: Mapping[str, Json]) -> Json:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return None

    async with scripted_server() as server, bare_conversation(server.url, {"t": endless}) as kiosk:
        connection = await server.connection()
        await connection.send(ToolCall("t", "c1"))
        await answered(connection, 1)
        await connection.close(1000)
        await kiosk.ending()
        await asyncio.wait_for(ended.wait(), 1)


@in_lockstep
async def test_what_an_mcp_server_may_do_is_refused_once_where_nobody_approved_it() -> None:
    asks = McpToolCall("delete", "c1", "awaiting_approval")
    async with scripted_server() as server, bare_conversation(server.url):
        connection = await server.connection()
        await connection.send(McpToolCall("delete", "c1", "loading"), asks, asks)
        await answered(connection, 1)
    approvals = connection.of_type(McpToolApprovalResult)
    assert approvals == [McpToolApprovalResult("c1", is_approved=False)]


# --- the daemon ---------------------------------------------------------------------------------


@in_lockstep
async def test_the_agent_can_ask_where_the_kiosk_stands_and_what_time_it_is(
    short_dir: Path,
) -> None:
    configured = {"kiosk": {"name": "hall-2", "site": "Harbour Museum"}}
    async with (
        scripted_server() as server,
        virtual_kiosk(
            settings(short_dir, server.url, **configured), Room(clock=running_clock())
        ) as kiosk,
    ):
        kiosk.button.press()
        connection = await server.connection()
        await connection.send(ToolCall("kiosk_info", "c1"))
        await kiosk.until(lambda: connection.of_type(ToolResult))
    (result,) = connection.of_type(ToolResult)
    assert isinstance(result, ToolResult)
    assert not result.is_error
    told = json.loads(result.result)
    assert (told["name"], told["site"], told["language"]) == ("hall-2", "Harbour Museum", "en")
    assert told["local_time"][:2] == "20"
    assert told["weekday"].endswith("day")


@in_lockstep
async def test_an_mcp_tool_that_the_operator_named_may_run(short_dir: Path) -> None:
    agent = {"approved_mcp_tools": ["search"]}
    async with (
        scripted_server() as server,
        virtual_kiosk(
            settings(short_dir, server.url, agent=agent), Room(clock=running_clock())
        ) as kiosk,
    ):
        kiosk.button.press()
        connection = await server.connection()
        for number, tool in enumerate(("search", "delete")):
            await connection.send(McpToolCall(tool, f"c{number}", "awaiting_approval"))
        await kiosk.until(lambda: len(connection.of_type(McpToolApprovalResult)) == 2)
    assert connection.of_type(McpToolApprovalResult) == [
        McpToolApprovalResult("c0", is_approved=True),
        McpToolApprovalResult("c1", is_approved=False),
    ]


async def test_what_is_told_through_the_control_socket_reaches_the_agent_as_an_update(
    short_dir: Path,
) -> None:
    socket = short_dir / "control.sock"

    async def tell(**fields: str) -> dict[str, object]:
        return await asyncio.to_thread(request, socket, "tell", **fields)

    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url), Room()) as kiosk,
    ):
        nobody = await tell(text="The museum closes in ten minutes.")
        assert nobody["ok"] is False
        assert "no conversation" in str(nobody["error"])
        kiosk.button.press()
        connection = await server.connection()
        await kiosk.state(State.LISTENING)
        assert (await tell(text="The museum closes in ten minutes."))["ok"] is True
        await kiosk.until(lambda: connection.of_type(ContextualUpdate))
        for empty in ({}, {"text": ""}, {"text": " \n"}):
            assert (await tell(**empty))["ok"] is False
        assert kiosk.host.state is State.LISTENING
        await connection.close(1000)
        await kiosk.state(State.IDLE)
        assert (await tell(text="Too late."))["ok"] is False
    assert connection.of_type(ContextualUpdate) == [
        ContextualUpdate("The museum closes in ten minutes.")
    ]


async def test_half_a_surrogate_pair_that_is_told_hurts_nobody(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url), Room()) as kiosk,
    ):
        kiosk.button.press()
        connection = await server.connection()
        await kiosk.state(State.LISTENING)
        reader, writer = await asyncio.open_unix_connection(short_dir / "control.sock")
        writer.write(b'{"command": "tell", "text": "Floor \\ud83d 2"}\n')
        assert json.loads(await reader.readline())["ok"] is True
        writer.close()
        await kiosk.until(lambda: connection.of_type(ContextualUpdate))
        assert kiosk.host.state is State.LISTENING
    assert connection.of_type(ContextualUpdate) == [ContextualUpdate("Floor ? 2")]


@in_lockstep
async def test_a_tool_of_the_agents_is_no_sign_that_a_turn_was_heard_and_a_transcript_is() -> None:
    async with scripted_server() as server, bare_conversation(server.url) as bare:
        connection = await server.connection()
        await connection.send(AgentToolRequest("weather", "t1", "webhook", 3, 30))
        await connection.send(ToolCall("kiosk_info", "t2", {}))
        await connection.send(UserTranscript("where is the whale", 4))
        await asyncio.sleep(1)
        taken = [each for each in bare.told if isinstance(each, inputs.TurnTaken)]
    assert taken == [inputs.TurnTaken(), inputs.TurnTaken(), inputs.TurnTaken(heard=True)]


async def test_the_agent_calls_a_command_of_the_configuration(short_dir: Path) -> None:
    colour, example = short_dir / "colour", EXAMPLES / "lights_tool.py"
    table = (
        f'[[tools]]\nname = "lights"\ncommand = ["{example}", "{colour}"]\n'
        'parameters = {colour = {choices = ["red", "green"]}}\n'
    )
    async with (
        scripted_server() as server,
        running_kiosk(short_dir, CONFIG.format(url=server.url, button="none") + table) as kiosk,
    ):
        await kiosk.ask("press")
        connection = await server.connection()
        for call, parameters in (("c1", {"colour": "blue"}), ("c2", {"colour": "green"})):
            await connection.send(ToolCall("lights", call, parameters))
            await until(lambda call=call: call in _results(connection))  # type: ignore[misc]
    results = _results(connection)
    assert results["c1"].is_error
    assert results["c1"].result == "The parameter 'colour' must be one of red, green."
    assert json.loads(results["c2"].result) == {"colour": "green", "since": "now"}
    assert colour.read_text("utf-8") == "green\n"


def _results(connection: Connection) -> dict[str, ToolResult]:
    return {
        result.tool_call_id: result
        for result in connection.of_type(ToolResult)
        if isinstance(result, ToolResult)
    }
