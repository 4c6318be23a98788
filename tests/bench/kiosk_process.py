"""`kiosk run` as a process that is watched from outside: when it is ready, and what it costs."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from kiosk.errors import UnavailableError
from kiosk.ops.control import request

_START_TIMEOUT_S = 20.0
_END_TIMEOUT_S = 10.0


@dataclass
class KioskProcess:
    """One that has said READY; `start_s` is how long that took."""

    process: "subprocess.Popen[bytes]"
    socket: Path
    start_s: float

    async def ask(self, command: str) -> dict[str, object]:
        return await asyncio.to_thread(request, self.socket, command)

    async def wait_for(
        self, key: str, *values: object, timeout_s: float = 20.0, every_s: float = 0.01
    ) -> None:
        """Poll its status until this of it is one of these."""
        async with asyncio.timeout(timeout_s):
            while True:
                if (await self.ask("status"))[key] in values:
                    return
                await asyncio.sleep(every_s)

    def cpu_s(self) -> float:
        """Processor time of all its threads so far."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii")
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def peak_memory_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024


@asynccontextmanager
async def kiosk_process(
    directory: Path, toml: str, env: Mapping[str, str]
) -> AsyncIterator[KioskProcess]:
    """Start it, wait for its READY, and end it whatever happens."""
    control, notify = directory / "control.sock", directory / "notify.sock"
    config, log = directory / "config.toml", directory / "kiosk.log"
    config.write_text(f'{toml}\n[control]\nsocket = "{control}"\n', encoding="utf-8")
    notify.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, log.open("wb") as stderr:
        manager.bind(str(notify))
        manager.settimeout(_START_TIMEOUT_S)
        started_s = time.monotonic()
        process = _run(config, {**env, "NOTIFY_SOCKET": str(notify)}, stderr)
        try:
            await asyncio.to_thread(_await_ready, manager, log)
            kiosk = KioskProcess(process, control, time.monotonic() - started_s)
            manager.close()  # unread, its queue would fill and hold the kiosk up
            with suppress(UnavailableError):
                await kiosk.wait_for("unfit", None)
            yield kiosk
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _run(config: Path, env: Mapping[str, str], stderr: IO[bytes]) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "kiosk", "run", "--config", str(config)]
    return subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stderr=stderr)


def _await_ready(manager: socket.socket, log: Path) -> None:
    try:
        while "READY=1" not in manager.recv(4096).decode().split("\n"):
            pass
    except TimeoutError:
        said = log.read_text(encoding="utf-8", errors="replace")
        raise RuntimeError(f"the kiosk was not ready in {_START_TIMEOUT_S:g} s: {said}") from None
