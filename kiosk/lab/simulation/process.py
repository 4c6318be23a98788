"""`kiosk backend serve` for a simulation: with a key that opens nothing."""

import sys
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from kiosk.lab.child_server import ChildServer, child_server, surroundings

NO_KEY = "sk_simulated"


def serving(
    database: str,
    provider_url: str,
    agent_id: str,
    directory: Path,
    *,
    key: str = NO_KEY,
    python: Sequence[str] = (sys.executable,),
) -> AbstractAsyncContextManager[ChildServer]:
    """A server on a free port of the loopback interface; its key lies in the directory. Raises
    UnavailableError if it does not begin to listen."""
    key_file = directory / "key"
    key_file.write_text(key, "ascii")
    arguments = ["backend", "serve", "--port", "0", "--database", database]
    arguments += ["--provider-url", provider_url, "--agent-id", agent_id]
    environment = surroundings(KIOSK_BACKEND_API_KEY_FILE=str(key_file))
    return child_server(arguments, environment, python=python)
