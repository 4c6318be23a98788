"""Tools of the agent's that are commands of this machine, as the configuration lists them.

A command gets its parameters as one JSON object on its standard input, and what it prints is the
agent's answer. It runs as the kiosk does, in the unit's sandbox, without the kiosk's environment:
no credential is in reach that is not in a file it may read.
"""

import asyncio
import contextlib
import json
import logging
import os
import select
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from kiosk.causes import fault
from kiosk.config.tables import ParameterTable, ToolTable
from kiosk.convai.fields import Json
from kiosk.errors import ToolError
from kiosk.visit.tools import Tool

log = logging.getLogger(__name__)

LONGEST_ANSWER_BYTES = 4096
_LOOK_EVERY_S = 0.05
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
}


def command_tools(tables: Sequence[ToolTable]) -> Mapping[str, Tool]:
    """The tools, by name."""
    return {table.name: partial(_run, table) for table in tables}


def time_limits_s(tables: Sequence[ToolTable]) -> Mapping[str, float]:
    """How long each may take."""
    return {table.name: table.timeout_s for table in tables}


def unusable(tables: Sequence[ToolTable]) -> Iterator[str]:
    """The commands that are not there, or that nobody here may run, in words for the operator."""
    for table in tables:
        if not os.access(table.command[0], os.X_OK):
            yield f"tools, {table.name}: {table.command[0]} is no program that may be run here"


async def _run(table: ToolTable, parameters: Mapping[str, Json]) -> Json:
    if (mistake := parameters_mistake(table.parameters, parameters)) is not None:
        raise ToolError(mistake)
    given_up = threading.Event()
    try:
        # In a thread from its start to its end: asyncio's own child processes can hang for ever
        # when they are given up.
        work = partial(_run_command, table, json.dumps(parameters).encode(), given_up)
        return await asyncio.to_thread(work)
    finally:
        given_up.set()


def _tell(what: str) -> None:
    log.warning("tool %s", what, extra=fault("tool_failed"))


def parameters_mistake(
    tables: Mapping[str, ParameterTable], given: Mapping[str, Json]
) -> str | None:
    """What is wrong with an agent's parameters, in words for the agent; None if nothing is."""
    if unknown := sorted(set(given) - set(tables)):
        there = ", ".join(tables) or "none"
        return f"There is no parameter {unknown[0]!r}. The parameters: {there}."
    for name, table in tables.items():
        if name not in given:
            if table.required:
                return f"The parameter {name!r} is missing."
        elif (mistake := _mistake(table, given[name])) is not None:
            return f"The parameter {name!r} {mistake}."
    return None


def _mistake(table: ParameterTable, value: Json) -> str | None:
    known = _TYPES[table.type]
    if not isinstance(value, known) or (bool not in known and isinstance(value, bool)):
        return f"must be {'an' if table.type == 'integer' else 'a'} {table.type}"
    if table.choices and value not in table.choices:
        return f"must be one of {', '.join(map(str, table.choices))}"
    if isinstance(value, str) and len(value) > table.longest:
        return f"must have {table.longest} characters at most"
    if isinstance(value, int | float) and not isinstance(value, bool):
        if table.least is not None and value < table.least:
            return f"must be {table.least:g} at least"
        if table.most is not None and not value <= table.most:
            return f"must be {table.most:g} at most"
    return None


def _run_command(table: ToolTable, parameters: bytes, given_up: threading.Event) -> str:
    """What the command printed; raises ToolError, in words for the agent. Whatever it and its
    children do, this returns soon after it was given up, and the process group is gone then."""
    try:
        process = subprocess.Popen(  # noqa: S603  the operator's own command
            table.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, cwd="/", env=_ENVIRONMENT, start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        _tell(f"{table.name}: {table.command[0]}: {error.strerror}")
        raise ToolError("The command cannot be started.") from error
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with contextlib.suppress(BrokenPipeError):  # it does not read
            process.stdin.write(parameters)
            process.stdin.close()
        answer = _answer(process, process.stdout.fileno(), given_up)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what it has left behind, too
        process.stdout.close()
        status = process.wait()
    if given_up.is_set():
        raise ToolError("The kiosk did not wait for it.")
    if len(answer) > LONGEST_ANSWER_BYTES:
        raise ToolError(f"It answered with more than {LONGEST_ANSWER_BYTES} bytes.")
    if status != 0:
        _tell(f"{table.name}: ended with status {status}")
        raise ToolError(f"The command failed, with status {status}.")
    return answer.decode(errors="replace").strip()


def _answer(process: subprocess.Popen[bytes], output: int, given_up: threading.Event) -> bytes:
    """What is printed until the command has ended, or closed its output, or printed too much. A
    child of its own that lives on may hold the output open: it is not waited for."""
    answer = b""
    while not given_up.is_set() and len(answer) <= LONGEST_ANSWER_BYTES:
        ended = process.poll() is not None
        if select.select([output], [], [], 0 if ended else _LOOK_EVERY_S)[0]:
            piece = os.read(output, LONGEST_ANSWER_BYTES + 1 - len(answer))
            if not piece:
                while process.poll() is None and not given_up.wait(_LOOK_EVERY_S):
                    pass
                return answer
            answer += piece
        elif ended:
            return answer
    return answer
