"""What deploy/backend.md says is so."""

import asyncio
import os
import re
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kiosk.backend.books import admission, ledger
from kiosk.backend.books.rules import FIRST_LIMITS
from kiosk.backend.characters.character import read_character
from kiosk.backend.upkeep import RECONCILE_S
from kiosk.backend.web.problems import OF_REFUSAL
from kiosk.cli import _parser
from kiosk.contract import SIGNED_URL_LIFE_S
from kiosk.errors import CredentialError
from kiosk.link.backend import BackendClient
from tests.unit.link.test_websocket import free_port

PAGE = (Path(__file__).parents[2] / "deploy" / "backend.md").read_text()
DOLLARS_PER_MINUTE = 0.08


def test_a_stolen_tokens_cost_is_the_one_that_is_printed() -> None:
    longest_min = admission.USUAL_VISIT_S / 60
    [kiosk] = [line for line in FIRST_LIMITS if line["scope"] == "kiosk"]
    budget = kiosk["minutes_per_day"]
    assert isinstance(budget, int)
    leases = admission.LEASES
    assert ledger.TOLD_WITHIN.total_seconds() == SIGNED_URL_LIFE_S + RECONCILE_S
    untold_s = ledger.TOLD_WITHIN.total_seconds() + admission.USUAL_VISIT_S
    untold_min = (leases.capacity + untold_s // leases.every_s) * longest_min
    for minutes in (budget, 60):
        together = minutes + untold_min
        assert f"{together:.0f}" in PAGE
        assert f"${together * DOLLARS_PER_MINUTE:.2f}" in PAGE
    unseen = (leases.capacity + 86_400 // leases.every_s) * longest_min
    assert f"{unseen:.0f} minutes" in PAGE
    assert f"${unseen * DOLLARS_PER_MINUTE:.2f}" in PAGE


def test_every_refusal_of_a_press_is_in_the_table() -> None:
    told = set(re.findall(r"^\| `([a-z-]+)` \|", PAGE, re.MULTILINE))
    lease_only = {"visit-unknown", "visit-spent", "lease-expired"}
    assert told == {refusal.value for refusal in OF_REFUSAL} - lease_only


def commands() -> list[str]:
    indented = re.findall(r"^    (kiosk backend .+)$", PAGE, re.MULTILINE)
    inline = re.findall(r"`(kiosk backend [^`]+)`", PAGE.replace("\n", " "))
    return [line.partition(" #")[0].strip() for line in indented] + inline


@pytest.mark.parametrize("line", sorted(set(commands())))
def test_every_command_is_one(line: str) -> None:
    words = shlex.split(line)[1:]
    if words[1:] not in (["revoke"], ["agent", "apply"], ["agent", "check"]):  # named only
        _parser().parse_args(words)


def test_the_character_is_one() -> None:
    [text] = re.findall(r"server starts:\n\n((?:    .*\n|\n)+)", PAGE)
    character = read_character("captain", re.sub("^    ", "", text, flags=re.MULTILINE))
    assert character.languages() == {"en", "de"}


@asynccontextmanager
async def third_party(directory: Path, agent_url: str) -> AsyncIterator[str]:
    [source] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(source.strip().splitlines()) <= 30
    (directory / "key").write_text("sk_local")
    (directory / "token").write_text("anything")
    port = free_port()
    environment = {
        "API_KEY_FILE": str(directory / "key"),
        "DEVICE_TOKEN_FILE": str(directory / "token"),
        "API": agent_url,
        "AGENT_ID": "agent_local",
        "PORT": str(port),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", source, env={**os.environ, **environment}, stderr=subprocess.DEVNULL
    )
    try:
        yield f"http://127.0.0.1:{port}/token"
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def local_agent(directory: Path) -> AsyncIterator[str]:
    key = directory / "agent-key"
    key.write_text("sk_local")
    words = ["agent", "--port", "0", "--private", "--api-key-file", str(key)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "kiosk", *words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        yield line.split()[-1].replace("ws://", "http://")
    finally:
        process.terminate()
        await process.wait()


async def test_the_third_party_backend_lets_a_kiosk_in(tmp_path: Path) -> None:
    async with local_agent(tmp_path) as agent_url, third_party(tmp_path, agent_url) as url:
        async with asyncio.timeout(20):
            while True:
                try:
                    async with BackendClient(url, "anything") as client:
                        grant = await client.fetch("press-1")
                    break
                except CredentialError:  # it is not up yet
                    await asyncio.sleep(0.1)
        assert grant.signed_url is not None
        assert grant.visit_id is None
        async with BackendClient(url, "another") as client:
            with pytest.raises(CredentialError, match="does not accept this kiosk"):
                await client.fetch("press-1")
