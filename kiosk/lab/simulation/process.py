"""`kiosk backend serve` as a process that is watched from outside: what it answers, what it costs.

It gets nothing of the surroundings' settings, and a key that opens nothing.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from kiosk.backend.settings import PREFIX
from kiosk.errors import UnavailableError

NO_KEY = "sk_simulated"
_START_S = 20.0
_END_S = 5.0
_LISTENING = "listening on "


@dataclass(frozen=True, slots=True)
class Cost:
    """What a process has taken so far, and holds now."""

    cpu_s: float
    memory_mb: float


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """One that listens."""

    process: Process
    url: str

    def cost(self) -> Cost | None:
        """Of all its threads; None where the system does not tell, or the process has ended."""
        return cost_of(self.process.pid)


def cost_of(pid: int) -> Cost | None:
    """What a process costs, by Linux' word."""
    at = Path(f"/proc/{pid}")
    try:
        user, system = (at / "stat").read_text("ascii").rpartition(")")[2].split()[11:13]
        pages = (at / "statm").read_text("ascii").split()[1]
    except OSError:
        return None
    cpu_s = (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return Cost(cpu_s, int(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6)


@asynccontextmanager
async def serving(
    database: str,
    provider_url: str,
    agent_id: str,
    directory: Path,
    *,
    key: str = NO_KEY,
    python: Sequence[str] = (sys.executable,),
) -> AsyncIterator[ServerProcess]:
    """A server on a free port of the loopback interface, ended with the block whatever happens;
    its log goes into the directory. Raises UnavailableError if it does not begin to listen."""
    key_file, log = directory / "key", directory / "server.log"
    key_file.write_text(key, "ascii")
    command = [*python, "-m", "kiosk", "backend", "serve", "--port", "0", "--database", database]
    command += ["--provider-url", provider_url, "--agent-id", agent_id]
    env = {k: v for k, v in os.environ.items() if not k.startswith((PREFIX, "CREDENTIALS_"))}
    env[PREFIX + "API_KEY_FILE"] = str(key_file)
    with log.open("ab") as stderr:
        process = await asyncio.create_subprocess_exec(
            *command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr
        )
    try:
        yield ServerProcess(process, await _listening(process, log))
    finally:
        await _end(process)


async def _listening(process: Process, log: Path) -> str:
    assert process.stdout is not None
    line = ""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_START_S):
            line = (await process.stdout.readline()).decode().strip()
    if not line.startswith(_LISTENING):
        said = _last_line(log) or "it said nothing"
        raise UnavailableError(f"the server did not begin to listen: {said}")
    return line.removeprefix(_LISTENING)


def _last_line(log: Path) -> str:
    return log.read_text("utf-8", errors="replace").strip().rpartition("\n")[2]


async def _end(process: Process) -> None:
    for stop in (process.terminate, process.kill):
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                stop()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_END_S):
                    await process.wait()
