"""Commands as tools of the agent's, run for real."""

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kiosk.config.tables import ParameterTable, ToolTable
from kiosk.convai.client_messages import ToolErrorType, ToolResult
from kiosk.convai.fields import Json
from kiosk.convai.server_tools import ToolCall
from kiosk.daemon.command_tools import (
    LONGEST_ANSWER_BYTES,
    command_tools,
    parameters_mistake,
    time_limits_s,
    unusable,
)
from kiosk.visit.tools import Tools
from tests.slowness import patient_s

EXAMPLE = Path(__file__).parents[2] / "deploy" / "examples" / "lights_tool.py"


def tool(*command: str, **table: Any) -> ToolTable:
    return ToolTable(name="lights", command=command, **table)


def shell(script: str, **table: Any) -> ToolTable:
    return tool("/bin/sh", "-c", script, **table)


async def result_of(table: ToolTable, **parameters: Json) -> ToolResult:
    tools = Tools(command_tools([table]), 10.0, time_limits_s([table]))
    return await tools.run(ToolCall("lights", "call_1", parameters))


def parameter(**table: Any) -> Mapping[str, ParameterTable]:
    return {"p": ParameterTable(**table)}


async def test_the_parameters_go_in_and_what_is_printed_is_the_answer() -> None:
    table = shell("cat; echo ' Größe'", parameters={"colour": {}, "level": {"type": "integer"}})
    result = await result_of(table, colour="green", level=3)
    assert result == ToolResult("call_1", '{"colour": "green", "level": 3} Größe')


async def test_the_example_does_what_its_first_line_says(tmp_path: Path) -> None:
    table = tool(str(EXAMPLE), str(tmp_path / "lights"), parameters={"colour": {}})
    result = await result_of(table, colour="green")
    assert json.loads(result.result) == {"colour": "green", "since": "now"}
    assert (tmp_path / "lights").read_text("utf-8") == "green\n"


async def test_a_command_has_nothing_of_the_kiosks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/kiosk.service")
    result = await result_of(shell("env; pwd; ls /proc/self/fd | wc -l"))
    assert "CREDENTIALS" not in result.result
    assert result.result.splitlines()[-2:] == ["/", "4"]  # in, out, errors, and that directory


async def test_words_are_no_part_of_a_command() -> None:
    result = await result_of(shell("cat", parameters={"p": {}}), p="$(touch /tmp/x); `id` ' \" \n")
    assert json.loads(result.result) == {"p": "$(touch /tmp/x); `id` ' \" \n"}


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo marzipan >&2; exit 3", "The command failed, with status 3."),
        ("kill -9 $$", "The command failed, with status -9."),
        (f"head -c {LONGEST_ANSWER_BYTES + 1} /dev/zero", "It answered with more than 4096 bytes."),
        ("yes", "It answered with more than 4096 bytes."),
    ],
)
async def test_what_goes_wrong_is_said_to_the_agent(
    script: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    result = await result_of(shell(script))
    assert (result.is_error, result.result) == (True, words)
    assert "marzipan" not in caplog.text


async def test_a_command_that_is_not_there_is_told_to_the_operator(
    caplog: pytest.LogCaptureFixture,
) -> None:
    result = await result_of(tool("/usr/local/bin/nowhere"))
    assert (result.is_error, result.result) == (True, "The command cannot be started.")
    assert "tool lights: /usr/local/bin/nowhere: No such file or directory" in caplog.text


async def test_a_command_that_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    table = shell(f"sleep 600 & echo $! > {pid}; wait", timeout_s=0.5)
    result = await result_of(table)
    assert (result.error_type, result.is_error) == (ToolErrorType.CLIENT_TIMEOUT, True)
    assert result.result == "The tool took longer than 0.5 s."
    assert await gone(int(pid.read_text("ascii")))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A process that nobody has waited for is dead, too.
    return Path(f"/proc/{pid}/stat").read_text("ascii").split(") ")[1][0] != "Z"


async def gone(pid: int) -> bool:
    by_s = time.monotonic() + patient_s(5)
    while _lives(pid) and time.monotonic() < by_s:  # noqa: ASYNC110  a process has no event
        await asyncio.sleep(0.02)
    return not _lives(pid)


async def test_nothing_that_a_command_leaves_behind_is_waited_for(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    began_s = time.monotonic()
    result = await result_of(shell(f"sleep 600 & echo $! > {pid}; echo done"))
    assert result == ToolResult("call_1", "done")
    assert time.monotonic() - began_s < patient_s(3)
    assert await gone(int(pid.read_text("ascii")))


async def test_a_child_with_a_session_of_its_own_keeps_no_thread(tmp_path: Path) -> None:
    """It is out of reach; but nothing here waits for it."""
    pids = tmp_path / "pids"
    script = f"setsid sh -c 'echo $$ >> {pids}; exec sleep 600' & sleep 600"
    threads = threading.active_count()
    try:
        for _ in range(3):
            result = await result_of(shell(script, timeout_s=0.3))
            assert result.error_type == ToolErrorType.CLIENT_TIMEOUT
        await asyncio.sleep(0.3)
        at_rest = threading.active_count() - threads
        for _ in range(3):
            await result_of(shell(script, timeout_s=0.3))
        await asyncio.sleep(0.3)
        assert threading.active_count() - threads <= at_rest + 1  # the executor's own
    finally:
        for left in pids.read_text("ascii").split():
            os.kill(int(left), 9)


async def test_a_command_that_closes_its_output_has_its_time_and_no_more() -> None:
    assert await result_of(shell("echo yes; exec >&-; sleep 0.2")) == ToolResult("call_1", "yes")
    late = await result_of(shell("exec >&-; sleep 600", timeout_s=0.3))
    assert late.error_type == ToolErrorType.CLIENT_TIMEOUT


async def test_a_command_that_does_not_read_is_no_fault() -> None:
    table = tool(sys.executable, "-c", "print('ok')", parameters={"p": {"longest": 2000}})
    assert await result_of(table, p="x" * 2000) == ToolResult("call_1", "ok")


@pytest.mark.parametrize(
    ("table", "value", "mistake"),
    [
        ({}, "x" * 200, None),
        ({}, "x" * 201, "must have 200 characters at most"),
        ({}, 7, "must be a string"),
        ({}, None, "must be a string"),
        ({"choices": ["red", "green"]}, "green", None),
        ({"choices": ["red", "green"]}, "blue", "must be one of red, green"),
        ({"type": "number", "least": 0, "most": 1}, 0.5, None),
        ({"type": "number", "least": 0, "most": 1}, 1, None),
        ({"type": "number", "least": 0, "most": 1}, -0.1, "must be 0 at least"),
        ({"type": "number", "least": 0, "most": 1}, 1.5, "must be 1 at most"),
        ({"type": "number", "most": 1}, float("nan"), "must be 1 at most"),
        ({"type": "number"}, True, "must be a number"),
        ({"type": "integer"}, 3, None),
        ({"type": "integer"}, 3.5, "must be an integer"),
        ({"type": "integer"}, "3", "must be an integer"),
        ({"type": "boolean"}, False, None),
        ({"type": "boolean"}, 0, "must be a boolean"),
        ({}, {"a": ["b"]}, "must be a string"),
    ],
)
def test_parameters_are_what_the_configuration_says(
    table: dict[str, Any], value: Json, mistake: str | None
) -> None:
    told = parameters_mistake(parameter(**table), {"p": value})
    assert told == (None if mistake is None else f"The parameter 'p' {mistake}.")


def test_parameters_are_those_of_the_configuration() -> None:
    assert parameters_mistake(parameter(), {}) == "The parameter 'p' is missing."
    assert parameters_mistake(parameter(required=False), {}) is None
    unknown = parameters_mistake(parameter(), {"p": "x", "q": 1})
    assert unknown == "There is no parameter 'q'. The parameters: p."
    assert parameters_mistake({}, {"q": 1}) == "There is no parameter 'q'. The parameters: none."


def test_a_command_that_cannot_be_run_is_named_beforehand(tmp_path: Path) -> None:
    (tmp_path / "text").touch(0o644)
    tables = [tool("/bin/sh"), tool(str(tmp_path / "text")), tool("/nowhere")]
    told = list(unusable(tables))
    assert [line.split(": ")[1].split()[0] for line in told] == [str(tmp_path / "text"), "/nowhere"]
