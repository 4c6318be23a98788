"""Child process that runs a server of ours, `python -m kiosk ...`, from start to end."""

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL

from kiosk.errors import UnavailableError

_START_S = 30.0
_END_S = 5.0
_LISTENING = "listening on "
_KEPT_BYTES = 4096  # of what it complains of


@dataclass(frozen=True, slots=True)
class Cost:
    """What a process has taken so far, and holds now."""

    cpu_s: float
    memory_mb: float


@dataclass(frozen=True, slots=True)
class ChildServer:
    """One that listens at `url`."""

    process: Process
    url: str

    def cost(self) -> Cost | None:
        """Of all its threads, by Linux' word; None where the system does not tell, or it ended."""
        at = Path(f"/proc/{self.process.pid}")
        try:
            user, system = (at / "stat").read_text("ascii").rpartition(")")[2].split()[11:13]
            pages = (at / "statm").read_text("ascii").split()[1]
        except OSError:
            return None
        cpu_s = (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
        return Cost(cpu_s, int(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6)


@asynccontextmanager
async def child_server(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    on_line: Callable[[str], None] = lambda _: None,
    python: Sequence[str] = (sys.executable,),
) -> AsyncIterator[ChildServer]:
    """It listens while the block lasts, and is ended whatever happens; `on_line` gets each line
    that it prints. Raises UnavailableError if it does not begin to listen."""
    process = await _start(arguments, environment, python)
    assert process.stdout is not None
    assert process.stderr is not None
    complaint = asyncio.create_task(_last_of(process.stderr), name=f"stderr of {arguments[0]}")
    reading: asyncio.Task[None] | None = None
    try:
        url = await _listening_on(process.stdout)
        if url is None:
            await _end(process)
            raise UnavailableError(_failure(arguments, await complaint))
        reading = asyncio.create_task(_each_line(process.stdout, on_line), name=arguments[0])
        yield ChildServer(process, url)
    finally:
        await _end(process)
        for task in (reading, complaint):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])


async def run_child(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """A command of ours to its end; raises UnavailableError if it fails."""
    process = await _start(arguments, environment, (sys.executable,))
    _, complaint = await process.communicate()
    if process.returncode != 0:
        raise UnavailableError(_failure(arguments, complaint))


def surroundings(**of_its_own: str) -> dict[str, str]:
    """This process' environment without settings of ours and credentials, and what is given."""
    ours = ("KIOSK_", "CREDENTIALS_")
    return {k: v for k, v in os.environ.items() if not k.startswith(ours)} | of_its_own


async def _start(
    arguments: Sequence[str], environment: Mapping[str, str], python: Sequence[str]
) -> Process:
    command = (*python, "-m", "kiosk", *arguments)
    return await asyncio.create_subprocess_exec(
        *command, env=environment, stdin=DEVNULL, stdout=PIPE, stderr=PIPE
    )


async def _listening_on(stdout: asyncio.StreamReader) -> str | None:
    """The URL the server announces; None if it ends without one, or takes too long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_START_S):
            while line := (await stdout.readline()).decode().strip():
                if line.startswith(_LISTENING):
                    return line.removeprefix(_LISTENING)
    return None


async def _each_line(stdout: asyncio.StreamReader, on_line: Callable[[str], None]) -> None:
    async for line in stdout:
        on_line(line.decode())


async def _last_of(stderr: asyncio.StreamReader) -> bytes:
    """Read to the end, keeping the last of it: a full pipe would stop the server."""
    kept = b""
    while data := await stderr.read(_KEPT_BYTES):
        kept = (kept + data)[-_KEPT_BYTES:]
    return kept


async def _end(process: Process) -> None:
    for stop in (process.terminate, process.kill):
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                stop()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_END_S):
                    await process.wait()


def _failure(arguments: Sequence[str], complaint: bytes) -> str:
    said = complaint.decode(errors="replace").strip()
    return f"`kiosk {' '.join(arguments[:2])}` did not start: {said or 'it said nothing'}"
