"""Drives a real `kiosk run` process: its configuration, its control socket, its end."""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from kiosk.errors import UnavailableError
from kiosk.ops.control import request
from tests.slowness import patient_s

_START_TIMEOUT_S = 15.0


@dataclass
class RunningKiosk:
    """A `kiosk run` child process."""

    process: asyncio.subprocess.Process
    socket: Path
    stderr: bytes = field(default=b"")

    async def ask(self, command: str, **fields: object) -> dict[str, object]:
        return await asyncio.to_thread(request, self.socket, command, **fields)

    async def wait_for_state(self, *states: str, timeout_s: float = 15.0) -> dict[str, object]:
        """Poll until the kiosk is in one of these states."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            status = await self.ask("status")
            if status["state"] in states:
                return status
            assert time.monotonic() < deadline_s, f"still {status}, not {states}"
            await asyncio.sleep(0.01)

    async def terminate(self) -> float:
        """SIGTERM; returns how many seconds it took to end. `stderr` is complete then."""
        started_s = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(patient_s(10)):
            _, stderr = await self.process.communicate()
        self.stderr = stderr
        return time.monotonic() - started_s


@asynccontextmanager
async def running_kiosk(
    directory: Path, toml: str, env: Mapping[str, str] | None = None, *python_options: str
) -> AsyncIterator[RunningKiosk]:
    """Start the daemon, wait until it could hold a visit, and end it whatever happens.

    What it logged is printed, so that pytest shows it with a failure.
    """
    socket = directory / "control.sock"
    config = directory / "config.toml"
    config.write_text(
        f'{toml}\n[control]\nsocket = "{socket}"\n[journal]\nlevel = "debug"\n', encoding="utf-8"
    )
    command = (sys.executable, *python_options, "-m", "kiosk", "run", "--config", str(config))
    process = await asyncio.create_subprocess_exec(
        *command,
        env=None if env is None else dict(env),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    kiosk = RunningKiosk(process, socket)
    try:
        await _until_fit(kiosk)
        yield kiosk
    finally:
        if process.returncode is None:
            await kiosk.terminate()
        print(kiosk.stderr.decode())


async def _until_fit(kiosk: RunningKiosk) -> None:
    async with asyncio.timeout(patient_s(_START_TIMEOUT_S)):
        while True:
            if kiosk.process.returncode is not None:
                _, kiosk.stderr = await kiosk.process.communicate()
                raise AssertionError("kiosk run ended")
            with suppress(UnavailableError):
                status = await kiosk.ask("status")
                if status["unfit"] is None:
                    return
            await asyncio.sleep(0.05)
