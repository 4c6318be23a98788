import asyncio
import json
import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.convai.client_messages import ToolErrorType, ToolResult
from kiosk.convai.client_parsing import parse_client
from kiosk.convai.fields import Json
from kiosk.convai.frames import serialize
from kiosk.convai.server_tools import ToolCall
from kiosk.errors import ToolError
from kiosk.visit.tools import Tool, Tools
from tests.virtual_time import run_in_virtual_time, virtual_time

TIMEOUT_S = 10.0
HALF = "\ud83d"  # of a surrogate pair: JSON can spell it, no frame can carry it


def answering(answer: Json) -> Tool:
    async def tool(_: Mapping[str, Json]) -> Json:
        return answer

    return tool


def failing(error: BaseException) -> Tool:
    async def tool(_: Mapping[str, Json]) -> Json:
        raise error

    return tool


def call(name: str = "tool", **parameters: Json) -> ToolCall:
    return ToolCall(name, "call_1", parameters)


def sent(result: ToolResult) -> object:
    """The result as the server receives it."""
    return parse_client(serialize(result).encode().decode())


async def result_of(tool: Tool) -> ToolResult:
    return await Tools({"tool": tool}, TIMEOUT_S).run(call())


@pytest.mark.parametrize("text", ["Floor 2", "", " blanks ", "Größe 日本 😀", '{"a": 1}', "null"])
@virtual_time
async def test_a_text_is_answered_as_it_is(text: str) -> None:
    assert await result_of(answering(text)) == ToolResult("call_1", text)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (2.5, "2.5"),
        ([], "[]"),
        ({}, "{}"),
        ({"site": "Größe", "floors": [1, None]}, '{"site": "Größe", "floors": [1, null]}'),
    ],
)
@virtual_time
async def test_anything_else_is_answered_as_json(answer: Json, text: str) -> None:
    assert await result_of(answering(answer)) == ToolResult("call_1", text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_every_answer_can_be_sent_and_is_the_same_at_the_other_end(answer: Json) -> None:
    result = run_in_virtual_time(result_of(answering(answer)))
    assert sent(result) == result
    if not isinstance(answer, str):
        assert json.loads(result.result) == answer


@pytest.mark.parametrize(
    ("answer", "text"),
    [(f"a{HALF}b", "a?b"), ({"a": HALF}, '{"a": "?"}'), ({HALF: 1}, '{"?": 1}')],
)
@virtual_time
async def test_half_a_surrogate_pair_is_made_sendable(answer: Json, text: str) -> None:
    assert sent(await result_of(answering(answer))) == ToolResult("call_1", text)


@virtual_time
async def test_what_a_number_of_json_cannot_be_is_still_a_text() -> None:
    assert (await result_of(answering(math.nan))).result == "NaN"


@virtual_time
async def test_a_tool_gets_the_parameters_of_its_call() -> None:
    got: list[Mapping[str, Json]] = []

    async def tool(parameters: Mapping[str, Json]) -> Json:
        got.append(parameters)
        return None

    await Tools({"tool": tool}, TIMEOUT_S).run(call(door=3))
    assert got == [{"door": 3}]


# --- what goes wrong ----------------------------------------------------------------------------


@virtual_time
async def test_a_tool_the_kiosk_does_not_have_is_an_error_of_the_client() -> None:
    result = await Tools({"tool": answering("x")}, TIMEOUT_S).run(call("other"))
    assert (result.tool_call_id, result.is_error) == ("call_1", True)
    assert result.error_type is ToolErrorType.EXTERNAL_CLIENT
    assert "no such tool" in result.result


@virtual_time
async def test_a_tool_that_takes_too_long_is_ended_and_said_to_be_late() -> None:
    ended: list[float] = []
    clock = asyncio.get_running_loop().time

    async def endless(_: Mapping[str, Json]) -> Json:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append(clock())
        return None

    started_s = clock()
    result = await result_of(endless)
    assert clock() - started_s == pytest.approx(TIMEOUT_S)
    assert ended == [clock()]
    assert result == ToolResult(
        "call_1",
        "The tool took longer than 10 s.",
        is_error=True,
        error_type=ToolErrorType.CLIENT_TIMEOUT,
    )


@pytest.mark.parametrize(
    ("said", "heard"),
    [("The door is locked.", "The door is locked."), (f"Door {HALF}", "Door ?")],
)
@virtual_time
async def test_the_agent_is_told_why_a_tool_could_not(said: str, heard: str) -> None:
    result = await result_of(failing(ToolError(said)))
    assert sent(result) == ToolResult(
        "call_1", heard, is_error=True, error_type=ToolErrorType.EXTERNAL_CLIENT
    )


@pytest.mark.parametrize("error", [ValueError("bug"), KeyError("bug"), TimeoutError("bug")])
@virtual_time
async def test_any_other_error_of_a_tool_is_a_bug_and_nobody_swallows_it(
    error: Exception,
) -> None:
    with pytest.raises(type(error), match="bug"):
        await result_of(failing(error))


@virtual_time
async def test_an_answer_that_is_no_json_is_a_bug_too() -> None:
    with pytest.raises(TypeError):
        await result_of(answering(object()))  # type: ignore[arg-type]


@virtual_time
async def test_a_fifth_tool_at_once_is_refused_and_the_next_one_runs() -> None:
    released = asyncio.Event()

    async def tool(_: Mapping[str, Json]) -> Json:
        await released.wait()
        return "done"

    tools = Tools({"tool": tool, "broken": failing(ValueError())}, TIMEOUT_S)
    with pytest.raises(ValueError):
        await tools.run(call("broken"))  # does not count for ever
    running = [asyncio.create_task(tools.run(call())) for _ in range(4)]
    await asyncio.sleep(0)
    refused = await tools.run(call())
    assert (refused.is_error, refused.error_type) == (True, ToolErrorType.EXTERNAL_CLIENT)
    assert "busy" in refused.result
    running.pop().cancel()
    await asyncio.sleep(0)
    allowed = asyncio.create_task(tools.run(call()))
    await asyncio.sleep(0)
    released.set()
    assert [(await task).result for task in (*running, allowed)] == ["done"] * 4
