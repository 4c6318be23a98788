"""The local agent's REST endpoints: its settings, and what became of its conversations."""

import asyncio
import json
import time
import warnings
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from kiosk.agent.archive import _KEPT, Archive
from kiosk.agent.requests import MAX_BODY_BYTES
from kiosk.agent.server import DEFAULT_AGENT_ID, DEFAULT_API_KEY
from kiosk.agent.signatures import CONVERSATION_PATH
from kiosk.convai.nested import merged, patch_of
from tests.integration.conftest import StartAgent

from .wire import by_guide, initiation, opened, payload, user_message, words

with warnings.catch_warnings():
    # The client's module names a type that websockets keeps in a deprecated part of itself.
    warnings.filterwarnings("ignore", r"websockets\.\w+ is deprecated", DeprecationWarning)
    from elevenlabs.client import ElevenLabs
    from elevenlabs.core.api_error import ApiError
    from elevenlabs.types import GetAgentResponseModel, GetConversationResponseModel

AGENT = f"/v1/convai/agents/{DEFAULT_AGENT_ID}"
SWITCHES = "platform_settings.overrides.conversation_config_override"
AUTH = "platform_settings.auth.enable_auth"
QUIET = initiation(conversation={"text_only": True})


async def ask(
    url: str, method: str, path: str, *, key: str = DEFAULT_API_KEY, **what: Any
) -> httpx2.Response:
    async with httpx2.AsyncClient() as client:
        return await client.request(method, url + path, headers={"xi-api-key": key}, **what)


async def change(url: str, path: str, value: object) -> httpx2.Response:
    patch = patch_of(path, value)  # type: ignore[arg-type]
    return await ask(url, "PATCH", AGENT, json=patch)


# --- the port -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", AGENT, "GET, PATCH"),
        ("POST", AGENT, "GET, PATCH"),
        ("PATCH", "/v1/convai/conversations/conv_1", "GET, DELETE"),
        ("POST", f"{CONVERSATION_PATH}/token", "GET"),
        ("POST", CONVERSATION_PATH, "GET"),
        ("OPTIONS", f"{CONVERSATION_PATH}?agent_id={DEFAULT_AGENT_ID}", "GET"),
    ],
)
async def test_a_method_that_is_not_there_is_refused_with_those_that_are(
    method: str, path: str, allowed: str, start_agent: StartAgent
) -> None:
    async with start_agent() as (url, _):
        answer = await ask(url, method, path, content=b"{}" if method == "POST" else None)
    assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)


@pytest.mark.parametrize("path", ["/", "/v1/convai/agents/", "/v1/convai/agents", "/v1/x/agent"])
async def test_other_paths_are_not_found(path: str, start_agent: StartAgent) -> None:
    async with start_agent() as (url, _):
        assert (await ask(url, "GET", path)).status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", AGENT), ("PATCH", AGENT), ("DELETE", "/v1/convai/conversations/conv_1")],
)
async def test_without_the_key_nothing_is_told_or_changed(
    method: str, path: str, start_agent: StartAgent
) -> None:
    async with start_agent() as (url, _):
        answer = await ask(url, method, path, key="wrong", json={"name": "x"})
        assert answer.status_code == 401
        assert answer.json()["detail"]["status"] == "invalid_api_key"
        assert (await ask(url, "GET", AGENT)).json()["name"] == "Local agent"


async def raw(url: str, *pieces: bytes) -> bytes:
    """The answer to bytes as they are, sent one after the other."""
    host = urlsplit(url)
    reader, writer = await asyncio.open_connection(host.hostname, host.port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.02)
    async with asyncio.timeout(5):
        came = await reader.read()
    writer.close()
    return came


def head(length: str, method: str = "PATCH") -> bytes:
    return (
        f"{method} {AGENT} HTTP/1.1\r\nHost: a\r\nxi-api-key: {DEFAULT_API_KEY}\r\n{length}\r\n\r\n"
    ).encode()


async def test_a_body_may_come_in_pieces(start_agent: StartAgent) -> None:
    async with start_agent() as (url, _):
        request = head("content-LENGTH: 12") + b'{"name":"n"}'
        pieces = [request[at : at + 40] for at in range(0, len(request), 40)]
        assert (await raw(url, *pieces)).startswith(b"HTTP/1.1 200 ")
        # What comes behind it is another request's, and this connection closes.
        assert (await raw(url, request + head("X: y", "GET"))).count(b"HTTP/1.1") == 1
        assert (await ask(url, "GET", AGENT)).json()["name"] == "n"


@pytest.mark.parametrize(
    ("length", "status"),
    [
        ("Transfer-Encoding: chunked", 411),
        ("Content-Length: many", 411),
        ("Content-Length: -1", 411),
        ("Content-Length: 1\r\nContent-Length: 2", 411),
        (f"Content-Length: {MAX_BODY_BYTES + 1}", 413),
        ("X: y", 422),
        ("Content-Length: 0", 422),
    ],
)
async def test_a_body_that_cannot_be_read_is_refused(
    length: str, status: int, start_agent: StartAgent
) -> None:
    async with start_agent() as (url, _):
        assert (await raw(url, head(length))).startswith(f"HTTP/1.1 {status} ".encode())


async def test_a_get_with_a_body_is_no_mystery(start_agent: StartAgent) -> None:
    async with start_agent() as (url, _):
        assert (await raw(url, head("Content-Length: 2", "GET") + b"{}")).startswith(
            b"HTTP/1.1 200 "
        )


async def test_a_request_that_breaks_off_leaves_the_agent_as_it_was(
    start_agent: StartAgent,
) -> None:
    async with start_agent() as (url, _):
        host = urlsplit(url)
        for part in (b"PAT", head("Content-Length: 12") + b'{"name"'):
            _, writer = await asyncio.open_connection(host.hostname, host.port)
            writer.write(part)
            await writer.drain()
            writer.close()
        assert (await ask(url, "GET", AGENT)).json()["name"] == "Local agent"


# --- the settings -------------------------------------------------------------------------------


async def test_the_settings_are_those_the_agent_runs_with(start_agent: StartAgent) -> None:
    async with start_agent(
        public=False,
        behaviour=by_guide("pcm_8000", "ulaw_8000", greeting="Welcome."),
        allowed_overrides=frozenset({"tts.speed"}),
    ) as (url, _):
        settings = (await ask(url, "GET", AGENT)).json()
    GetAgentResponseModel.model_validate(settings)
    config, platform = settings["conversation_config"], settings["platform_settings"]
    assert settings["agent_id"] == DEFAULT_AGENT_ID
    assert config["asr"]["user_input_audio_format"] == "pcm_8000"
    assert config["tts"]["agent_output_audio_format"] == "ulaw_8000"
    assert config["agent"]["first_message"] == "Welcome."
    assert config["conversation"]["max_duration_seconds"] == 600
    assert platform["auth"]["enable_auth"] is True
    switches = platform["overrides"]["conversation_config_override"]
    assert switches["tts"]["speed"] is True
    assert switches["tts"]["voice_id"] is False
    assert switches["agent"]["prompt"]["prompt"] is False


async def test_a_change_is_merged_and_shown(start_agent: StartAgent) -> None:
    async with start_agent() as (url, _):
        before = (await ask(url, "GET", AGENT)).json()
        patch: dict[str, Any] = {
            "name": "Guide",
            "agent_id": "another",
            "conversation_config": {
                "turn": {"turn_timeout": 30},
                "conversation": {"client_events": ["audio"]},
            },
            "platform_settings": {"privacy": {"retention_days": 7}, "new": {"thing": None}},
        }
        changed = (await ask(url, "PATCH", AGENT, json=patch)).json()
        after = (await ask(url, "GET", AGENT)).json()
    assert changed == after
    del patch["agent_id"]
    for settings in (before, after):
        del settings["metadata"]
    assert after == merged(before, patch)
    assert after["conversation_config"]["turn"]["turn_eagerness"] == "normal"


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"", "body"),
        (b"[]", "body"),
        (b"[" * 100_000, "body"),
        *(
            (b'{"conversation_config":' * depth + b"1" + b"}" * depth, "body")
            for depth in (60, 500, 950, 5000)
        ),
        (b'{"name": null}', "body.name"),
        (b'{"conversation_config": null}', "body.conversation_config"),
        (b'{"platform_settings": {"auth": 3}}', f"body.{AUTH}"),
        (
            b'{"conversation_config": {"tts": {"agent_output_audio_format": "mp3_44100"}}}',
            "body.conversation_config.tts.agent_output_audio_format",
        ),
        (
            b'{"conversation_config": {"conversation": {"max_duration_seconds": 7201}}}',
            "body.conversation_config.conversation.max_duration_seconds",
        ),
        (
            b'{"conversation_config": {"agent": {"first_message": null}}}',
            "body.conversation_config.agent.first_message",
        ),
    ],
)
async def test_a_change_that_cannot_be_changes_nothing(
    body: bytes, where: str, start_agent: StartAgent
) -> None:
    async with start_agent() as (url, _):
        before = (await ask(url, "GET", AGENT)).json()
        answer = await ask(url, "PATCH", AGENT, content=body)
        assert (await ask(url, "GET", AGENT)).json() == before
    assert answer.status_code == 422
    assert ".".join(answer.json()["detail"][0]["loc"]) == where


async def test_another_agent_is_unknown(start_agent: StartAgent) -> None:
    async with start_agent() as (url, _):
        for method in ("GET", "PATCH"):
            answer = await ask(url, method, "/v1/convai/agents/agent_other")
            assert answer.status_code == 404
            assert answer.json()["detail"]["status"] == "agent_not_found"


async def greeting_with(url: str, **overrides: object) -> str:
    """What the agent says first, or why it does not."""
    async with opened(url) as wire:
        await wire.send(initiation(conversation={"text_only": True}, **overrides))
        while True:
            frame = await wire.receive()
            if frame["type"] == "agent_response":
                return words(frame)
            if frame["type"] == "error":
                return str(payload(frame)["message"])


async def test_what_is_allowed_is_allowed_from_the_next_conversation_on(
    start_agent: StartAgent,
) -> None:
    hello = {"first_message": "Ahoy."}
    refusal = "Override for field 'first_message' is not allowed by config."
    async with start_agent(behaviour=by_guide(greeting="Hello.")) as (url, _):
        assert await greeting_with(url, agent=hello) == refusal
        await change(url, f"{SWITCHES}.agent.first_message", True)
        assert await greeting_with(url, agent=hello) == "Ahoy."
        await change(url, f"{SWITCHES}.agent.first_message", False)
        assert await greeting_with(url, agent=hello) == refusal
        assert await greeting_with(url) == "Hello."
        await change(url, "conversation_config.agent.first_message", "Good day.")
        assert await greeting_with(url) == "Good day."


async def test_all_overrides_can_be_allowed_and_one_taken_back(start_agent: StartAgent) -> None:
    async with start_agent(allowed_overrides=frozenset({"all"})) as (url, _):
        assert await greeting_with(url, agent={"first_message": "Ahoy."}) == "Ahoy."
        await change(url, f"{SWITCHES}.tts.speed", False)
        assert "'speed'" in await greeting_with(url, tts={"speed": 1.0})
        assert await greeting_with(url, agent={"first_message": "Ahoy."}) == "Ahoy."


async def test_only_the_events_that_the_settings_name_are_sent(start_agent: StartAgent) -> None:
    async with start_agent() as (url, _):
        await change(url, "conversation_config.conversation.client_events", ["audio", "ping"])
        async with opened(url) as wire:
            await wire.send(initiation())
            await wire.while_it_lasts(2)
    assert set(wire.types) == {"conversation_initiation_metadata", "audio"}


async def test_who_may_come_in_changes_with_the_switch(start_agent: StartAgent) -> None:
    async with start_agent() as (url, _):
        await change(url, AUTH, True)
        async with opened(url) as wire:
            assert await wire.closed() == (3000, "Could not authorize the conversation.")
        signed = await ask(
            url, "GET", f"{CONVERSATION_PATH}/get-signed-url?agent_id={DEFAULT_AGENT_ID}"
        )
        async with opened(signed.json()["signed_url"]) as wire:
            await wire.send(QUIET)
            await wire.until("conversation_initiation_metadata")
        await change(url, AUTH, False)
        assert await greeting_with(url)


async def test_formats_and_the_longest_conversation_change(start_agent: StartAgent) -> None:
    async with start_agent() as (url, _):
        await change(url, "conversation_config.tts.agent_output_audio_format", "pcm_8000")
        await change(url, "conversation_config.conversation.max_duration_seconds", 1)
        async with opened(url) as wire:
            await wire.send(QUIET)
            began_s = time.monotonic()
            metadata = payload(await wire.until("conversation_initiation_metadata"))
            assert (await wire.closed())[0] == 1000
    assert metadata["agent_output_audio_format"] == "pcm_8000"
    assert 0.5 < time.monotonic() - began_s < 3


# --- the conversations --------------------------------------------------------------------------


async def account_of(url: str, conversation_id: str) -> dict[str, Any]:
    answer = await ask(url, "GET", f"/v1/convai/conversations/{conversation_id}")
    assert answer.status_code == 200
    account: dict[str, Any] = answer.json()
    GetConversationResponseModel.model_validate(account)
    return account


async def ended(url: str, conversation_id: str) -> dict[str, Any]:
    """The account once the agent has noticed the end."""
    async with asyncio.timeout(5):
        while True:
            account = await account_of(url, conversation_id)
            if account["status"] != "in-progress":
                return account


async def test_a_conversation_is_told_while_it_lasts_and_afterwards(
    start_agent: StartAgent,
) -> None:
    before_s = int(time.time())
    async with start_agent(behaviour=by_guide(greeting="Hello.", burst=100)) as (url, _):
        async with opened(url) as wire:
            await wire.send(QUIET)
            metadata = payload(await wire.until("conversation_initiation_metadata"))
            id_ = str(metadata["conversation_id"])
            await wire.until("agent_response")
            assert (await account_of(url, id_))["status"] == "in-progress"
            await wire.send(user_message("where are the dinosaurs"))
            answer = words(await wire.until("agent_response"))
        account = await ended(url, id_)
    assert account["conversation_id"] == id_
    assert account["agent_id"] == DEFAULT_AGENT_ID
    assert account["status"] == "done"
    assert [(turn["role"], turn["message"]) for turn in account["transcript"]] == [
        ("agent", "Hello."),
        ("user", "where are the dinosaurs"),
        ("agent", answer),
    ]
    metadata = account["metadata"]
    assert before_s <= metadata["start_time_unix_secs"] <= time.time()
    assert metadata["call_duration_secs"] in (0, 1, 2)
    assert metadata["termination_reason"] == "Client ended the conversation: 1000"
    assert (metadata["cost"], metadata["error"]) == (0, None)


async def test_a_refused_client_has_failed_and_it_says_why(start_agent: StartAgent) -> None:
    async with start_agent() as (url, _):
        async with opened(url) as wire:
            await wire.send(initiation(tts={"speed": 1.0}))
            metadata = payload(await wire.until("conversation_initiation_metadata"))
            await wire.closed()
        account = await ended(url, str(metadata["conversation_id"]))
    reason = "Override for field 'speed' is not allowed by config."
    assert account["status"] == "failed"
    assert account["metadata"]["error"] == {"code": 1008, "reason": reason}
    assert account["metadata"]["termination_reason"].startswith("Agent ended the conversation")


async def test_a_client_that_vanishes_has_ended_it_too(start_agent: StartAgent) -> None:
    async with start_agent() as (url, _):
        async with opened(url) as wire:
            await wire.send(QUIET)
            metadata = payload(await wire.until("conversation_initiation_metadata"))
            wire.socket.transport.abort()
        account = await ended(url, str(metadata["conversation_id"]))
    assert account["status"] == "done"
    assert account["metadata"]["termination_reason"] == "Client ended the conversation: 1006"


async def test_a_conversation_is_forgotten_once(start_agent: StartAgent) -> None:
    async with start_agent() as (url, _), opened(url) as wire:
        await wire.send(QUIET)
        metadata = payload(await wire.until("conversation_initiation_metadata"))
        path = f"/v1/convai/conversations/{metadata['conversation_id']}"
        assert (await ask(url, "DELETE", path)).status_code == 200
        for method in ("DELETE", "GET"):
            answer = await ask(url, method, path)
            assert answer.status_code == 404
            assert answer.json()["detail"]["status"] == "conversation_not_found"
        # It goes on, and is not written down any more.
        await wire.send(user_message("where are the dinosaurs"))
        await wire.until("agent_response")
        assert (await ask(url, "GET", path)).status_code == 404


async def test_the_newest_conversations_are_kept() -> None:
    archive = Archive("a")
    for number in range(_KEPT + 5):
        archive.begin(f"conv_{number}")
    assert archive.as_json("conv_4") is None
    assert archive.as_json("conv_5") is not None
    assert archive.as_json(f"conv_{_KEPT + 4}") is not None


async def test_a_turn_that_was_cut_is_marked() -> None:
    archive = Archive("a")
    archive.begin("conv_1")
    for event in (
        {"event": "agent_started", "text": "One."},
        {"event": "heard", "text": None},
        {"event": "heard", "text": "stop"},
        {"event": "interrupted"},
    ):
        archive.follow({**event, "conversation_id": "conv_1"})
    account = archive.as_json("conv_1")
    assert account is not None
    transcript = json.loads(json.dumps(account["transcript"]))
    assert [(turn["message"], turn["interrupted"]) for turn in transcript] == [
        ("One.", True),
        ("stop", False),
    ]


# --- the official client ------------------------------------------------------------------------


async def test_the_official_client_reads_and_changes_the_agent(start_agent: StartAgent) -> None:
    async with start_agent() as (url, _):
        async with opened(url) as wire:
            await wire.send(QUIET)
            metadata = payload(await wire.until("conversation_initiation_metadata"))
        id_ = str(metadata["conversation_id"])
        await ended(url, id_)

        def client_side() -> None:
            client = ElevenLabs(api_key=DEFAULT_API_KEY, base_url=url).conversational_ai
            agent = client.agents.get(DEFAULT_AGENT_ID)
            assert agent.platform_settings is not None
            assert agent.platform_settings.auth is not None
            assert agent.platform_settings.auth.enable_auth is False
            changed = client.agents.update(
                DEFAULT_AGENT_ID, platform_settings={"auth": {"enable_auth": True}}
            )
            assert changed.platform_settings is not None
            assert changed.platform_settings.auth is not None
            assert changed.platform_settings.auth.enable_auth is True
            assert client.conversations.get(id_).status == "done"
            client.conversations.delete(id_)
            with pytest.raises(ApiError) as caught:
                client.conversations.get(id_)
            assert caught.value.status_code == 404

        await asyncio.to_thread(client_side)
