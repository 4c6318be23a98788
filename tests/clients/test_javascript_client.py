"""The official JavaScript client talks with the local agent as it talks with the service.

It is stricter than the Python client: it fails without the subprotocol that it offers, and starts
only if the metadata is the first frame. It runs in Node, typing; `talk.mjs` reports what happened.
"""

import asyncio
import json
import re
import shutil
from pathlib import Path
from typing import Any

import httpx2
import pytest

from kiosk.agent.guide import Guide
from kiosk.agent.server import DEFAULT_AGENT_ID
from tests.integration.conftest import AgentEvents, StartAgent

HERE = Path(__file__).with_name("javascript")
CLIENT = HERE / "node_modules" / "@elevenlabs" / "client" / "package.json"
DINOSAURS = "where are the dinosaurs please"
GOODBYE = "thank you goodbye"
KEY = "key-of-the-test"

Happenings = list[dict[str, Any]]


async def talk(session: dict[str, object], *questions: str, stay_s: float = 0.5) -> Happenings:
    """What one conversation of the client's was like, from Node's beginning to its end."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    if not CLIENT.is_file():
        pytest.skip("the client is not installed: `make javascript-client` does, with npm")
    process = await asyncio.create_subprocess_exec(
        node,
        HERE / "talk.mjs",
        json.dumps({**session, "stay_s": stay_s}),
        *questions,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, complaint = await process.communicate()  # the script ends itself after 20 s
    assert (process.returncode, complaint.decode()) == (0, ""), out.decode()
    return [json.loads(line) for line in out.splitlines()]


def public(url: str) -> dict[str, object]:
    return {"agentId": DEFAULT_AGENT_ID, "origin": url.replace("http", "ws", 1)}


def only(happenings: Happenings, event: str) -> dict[str, Any]:
    found = [happening for happening in happenings if happening["event"] == event]
    assert len(found) == 1, f"{len(found)} times {event}: {happenings}"
    return found[0]


def frame_types(happenings: Happenings) -> list[str]:
    return [each["frame"]["type"] for each in happenings if each["event"] == "frame"]


def agent_said(happenings: Happenings) -> list[str]:
    messages = [each for each in happenings if each["event"] == "message"]
    return [message["message"] for message in messages if message["role"] == "agent"]


def answer_to(guide: Guide, sentence: str) -> str:
    entry = guide.entry_for(sentence)
    assert entry is not None
    return entry.say


def told(events: AgentEvents, event: str, name: str) -> list[object]:
    return [each[name] for each in events if each["event"] == event]


async def test_the_official_javascript_client_types_a_question_and_reads_the_answer(
    start_agent: StartAgent, guide: Guide
) -> None:
    async with start_agent() as (url, events):
        happenings = await talk(public(url), DINOSAURS)
    opened = only(happenings, "open")
    assert (opened["offered"], opened["protocol"]) == (["convai"], "convai")
    assert told(events, "connected", "conversation_id") == [
        only(happenings, "connect")["conversationId"]
    ]
    assert agent_said(happenings) == [guide.greeting, answer_to(guide, DINOSAURS)]
    assert only(happenings, "disconnect")["details"]["reason"] == "user"
    assert only(happenings, "close")["code"] == 1000
    assert told(events, "closed", "code") == [1000]
    assert not [each for each in happenings if each["event"] == "error"]


async def test_a_text_conversation_of_the_official_javascript_client_has_no_sound(
    start_agent: StartAgent,
) -> None:
    async with start_agent() as (url, _):
        happenings = await talk(public(url), DINOSAURS)
    assert "agent_response" in frame_types(happenings)
    assert "audio" not in frame_types(happenings)


async def test_the_official_javascript_client_ends_when_the_agent_says_goodbye(
    start_agent: StartAgent, guide: Guide
) -> None:
    async with start_agent() as (url, events):
        happenings = await talk(public(url), GOODBYE, stay_s=10)
    assert agent_said(happenings)[-1] == answer_to(guide, GOODBYE)
    details = only(happenings, "disconnect")["details"]
    assert (details["reason"], details["context"]["type"]) == ("agent", "end_call")
    assert told(events, "closed", "code") == [1000]


async def test_the_official_javascript_client_opens_a_private_agent_by_signed_url(
    start_agent: StartAgent, guide: Guide
) -> None:
    async with start_agent(public=False, api_key=KEY) as (url, _):
        async with httpx2.AsyncClient() as backend:
            response = await backend.get(
                f"{url}/v1/convai/conversation/get-signed-url",
                params={"agent_id": DEFAULT_AGENT_ID},
                headers={"xi-api-key": KEY},
            )
        happenings = await talk({"signedUrl": response.json()["signed_url"]})
    assert agent_said(happenings) == [guide.greeting]
    assert only(happenings, "close")["code"] == 1000


async def test_a_private_agent_refuses_the_official_javascript_client_without_a_signed_url(
    start_agent: StartAgent,
) -> None:
    async with start_agent(public=False, api_key=KEY) as (url, _):
        refused = only(await talk(public(url)), "refused")
    assert refused["closeCode"] == 3000
    assert refused["closeReason"] == "Could not authorize the conversation."


def test_the_javascript_clients_versions_are_exact_and_its_lock_has_hashes_and_no_addresses() -> (
    None
):
    wanted = json.loads((HERE / "package.json").read_text(encoding="utf-8"))["dependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values()), wanted
    lock = json.loads((HERE / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    assert lock.pop("")["dependencies"] == wanted
    assert all("integrity" in package for package in lock.values())
    assert not any("resolved" in package for package in lock.values())
