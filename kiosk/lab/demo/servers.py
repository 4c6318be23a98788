"""The two servers of the demo as processes of their own: local agent and backend."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from kiosk.errors import UnavailableError

_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 5.0
_LISTENING = "listening on "

AgentEvent = dict[str, object]


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the backend is, and the file with the device token it gave this kiosk."""

    backend_url: str
    device_token_file: Path


@contextlib.asynccontextmanager
async def servers(
    directory: Path, agent_options: list[str], on_agent: Callable[[AgentEvent], None]
) -> AsyncIterator[Servers]:
    """Start agent and backend, enrol this kiosk, and stop both at the end."""
    key_file, token_file = directory / "api-key", directory / "device-token"
    _write_secret(key_file, os.urandom(16).hex())
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("KIOSK_")},
        "KIOSK_BACKEND_API_KEY_FILE": str(key_file),
    }
    database = ["--database", f"sqlite:///{directory / 'backend.db'}"]
    agent = ["agent", "--port", "0", "--private", "--json", "--api-key-file", str(key_file)]
    async with _serving([*agent, *agent_options], environment, on_agent) as agent_url:
        await _run(["backend", "init", *database], environment)
        enroll = ["backend", "enroll", "demo", "--token-file", str(token_file), *database]
        await _run(enroll, environment)
        serve = ["backend", "serve", "--port", "0", *database]
        upstream = ["--provider-url", agent_url, "--agent-id", "agent_local"]
        async with _serving([*serve, *upstream], environment, lambda _: None) as backend_url:
            yield Servers(backend_url, token_file)


def _write_secret(path: Path, secret: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(secret)


async def _start(arguments: list[str], environment: dict[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "kiosk",
        *arguments,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def _run(arguments: list[str], environment: dict[str, str]) -> None:
    process = await _start(arguments, environment)
    _, complaint = await process.communicate()
    if process.returncode != 0:
        raise UnavailableError(_failure(arguments, complaint))


@contextlib.asynccontextmanager
async def _serving(
    arguments: list[str], environment: dict[str, str], on_event: Callable[[AgentEvent], None]
) -> AsyncIterator[str]:
    process = await _start(arguments, environment)
    assert process.stdout is not None
    assert process.stderr is not None
    complaints = asyncio.create_task(_tail(process.stderr), name=f"stderr of {arguments[0]}")
    reading: asyncio.Task[None] | None = None
    try:
        url = await _listening_on(process.stdout)
        if url is None:
            await process.wait()
            raise UnavailableError(_failure(arguments, await complaints))
        reading = asyncio.create_task(_events(process.stdout, on_event), name=arguments[0])
        yield url
    finally:
        await _stop(process)
        for task in (reading, complaints):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])


async def _listening_on(stdout: asyncio.StreamReader) -> str | None:
    """The URL the server announces; None if it ends without one."""
    async with asyncio.timeout(_START_TIMEOUT_S):
        while line := (await stdout.readline()).decode().strip():
            if line.startswith(_LISTENING):
                return line.removeprefix(_LISTENING)
    return None


async def _events(stdout: asyncio.StreamReader, on_event: Callable[[AgentEvent], None]) -> None:
    async for line in stdout:
        with contextlib.suppress(ValueError):
            on_event(json.loads(line))


async def _tail(stderr: asyncio.StreamReader) -> bytes:
    """Read to the end, keeping the last of it: a full pipe would stop the server."""
    kept = b""
    while data := await stderr.read(4096):
        kept = (kept + data)[-4096:]
    return kept


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(_STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _failure(arguments: list[str], complaint: bytes) -> str:
    text = complaint.decode(errors="replace").strip()
    return f"`kiosk {' '.join(arguments[:2])}` did not start: {text or 'it said nothing'}"
