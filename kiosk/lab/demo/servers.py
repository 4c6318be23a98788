"""The two servers of the demo as processes of their own: local agent and backend."""

import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from kiosk.contract import SPEECH_ENGINE_PATH, Transport
from kiosk.lab.child_server import child_server, run_child, surroundings

AgentEvent = dict[str, object]


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the backend is, and the file with the device token it gave this kiosk. `agent_url`:
    the local agent's, for rooms; conversations over the WebSocket have it of the backend."""

    backend_url: str
    device_token_file: Path
    agent_url: str

    @property
    def credentials(self) -> dict[str, object]:
        """The settings by which a kiosk finds the backend."""
        return {"backend_url": self.backend_url, "device_token_file": self.device_token_file}

    def agent(self, transport: Transport) -> dict[str, object]:
        """The settings by which it finds the agent."""
        return {"transport": transport, "url": self.agent_url}


@contextlib.asynccontextmanager
async def servers(
    directory: Path,
    agent_options: list[str],
    on_agent: Callable[[AgentEvent], None],
    mind: str = "",
) -> AsyncIterator[Servers]:
    """Start agent and backend, enrol this kiosk, and stop both at the end. `mind`: the backend has
    this one, and the agent asks it."""
    port = _free_port() if mind else 0  # they know each other's address before they start
    key_file, token_file = directory / "api-key", directory / "device-token"
    _write_secret(key_file, os.urandom(16).hex())
    environment = surroundings(KIOSK_BACKEND_API_KEY_FILE=str(key_file), KIOSK_BACKEND_MIND=mind)
    if mind:
        asked = f"ws://127.0.0.1:{port}{SPEECH_ENGINE_PATH}"
        # The mind's greeting comes with each lease.
        allowed = ("--allow-override", "agent.first_message")
        agent_options = [*agent_options, "--mind-url", asked, *allowed]
    database = ["--database", f"sqlite:///{directory / 'backend.db'}"]
    agent = ["agent", "--port", "0", "--private", "--json", "--api-key-file", str(key_file)]

    def on_line(line: str) -> None:
        with contextlib.suppress(ValueError):
            on_agent(json.loads(line))

    async with child_server([*agent, *agent_options], environment, on_line) as local_agent:
        await run_child(["backend", "init", *database], environment)
        enroll = ["backend", "enroll", "demo", "--token-file", str(token_file), *database]
        await run_child(enroll, environment)
        serve = ["backend", "serve", "--port", str(port), *database]
        upstream = ["--provider-url", local_agent.url, "--agent-id", "agent_local"]
        async with child_server([*serve, *upstream], environment) as backend:
            yield Servers(backend.url, token_file, local_agent.url.replace("http", "ws", 1))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def _write_secret(path: Path, secret: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(secret)
