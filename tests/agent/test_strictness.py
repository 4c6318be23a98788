"""The local agent on the wire: what it refuses, with which words, and in which order it speaks."""

import asyncio
from itertools import pairwise
from typing import Any

import httpx2
import pytest

from kiosk.agent.guide import Guide
from kiosk.agent.server import DEFAULT_API_KEY
from kiosk.agent.signatures import CONVERSATION_PATH
from tests.agent.wire import (
    Frame,
    Wire,
    by_guide,
    initiation,
    opened,
    payload,
    said,
    user_audio,
    user_message,
    words,
)
from tests.integration.conftest import StartAgent

INVALID = (1008, "Invalid message received")
UNAUTHORIZED = (3000, "Could not authorize the conversation.")
NO_SUCH_AGENT = (3000, "The AI agent you are trying to reach does not exist.")
NO_INPUT = {
    "code": 1002,
    "message": "No input from the client",
    "error_type": "transport_receive_timeout",
}
TIME_UP = {
    "code": 1000,
    "message": "Conversation has exceeded maximum duration",
    "error_type": "max_duration_exceeded",
}
METADATA = "conversation_initiation_metadata"
# Said at once and sent at once.
QUICK = by_guide(greeting="Welcome.", burst=100)
SILENT = by_guide(greeting="", burst=100)
EXIT = "where is the exit"
TICKET = "what does a ticket cost"
TEXT_ONLY = initiation(conversation={"text_only": True})

# What belongs to no socket of the service, to another one, or to the guides.
NO_MESSAGES = {
    "binary": b'{"type":"user_activity"}',
    "a bare space": " ",
    "nothing": "",
    "half an object": '{"type":"user_activity"',
    "no object": "[1,2]",
    "no type": {},
    "a type that is no text": {"type": 1},
    "an unknown type": {"type": "interrupt"},
    "the server's own type": {"type": "ping", "ping_event": {"event_id": 1}},
    "an end of stream": {"text": ""},
    "sound that is no base64": {"user_audio_chunk": "%%%"},
    "a result that is no text": {
        "type": "client_tool_result",
        "tool_call_id": "tool_1",
        "result": {"opened": True},
        "is_error": False,
    },
    "a context by another name": {"type": "contextual_update", "context": "at the whale"},
    "a message without text": {"type": "user_message", "message": "hello"},
}
TOO_EARLY = {
    "sound": user_audio(bytes(640)),
    "text": user_message(EXIT),
    "a pong": {"type": "pong", "event_id": 1},
    "activity": {"type": "user_activity"},
}


def answer_to(guide: Guide, sentence: str) -> str:
    entry = guide.entry_for(sentence)
    assert entry is not None
    return entry.say


async def refusal(wire: Wire) -> tuple[Any, tuple[int | None, str | None]]:
    """The error event that follows the metadata, and the close that follows it."""
    close = await wire.closed()
    assert wire.types == [METADATA, "error"]
    return payload(wire.came[-1]), close


# --- frames -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*NO_MESSAGES, *TOO_EARLY])
async def test_a_first_frame_that_is_not_the_initiation_ends_it_before_it_began(
    name: str, start_agent: StartAgent
) -> None:
    async with start_agent() as (url, _), opened(url) as wire:
        await wire.send({**NO_MESSAGES, **TOO_EARLY}[name])
        assert await wire.closed() == INVALID
    assert wire.came == []


@pytest.mark.parametrize("name", NO_MESSAGES)
async def test_what_is_no_message_ends_the_conversation(name: str, start_agent: StartAgent) -> None:
    async with start_agent(behaviour=QUICK) as (url, _), opened(url) as wire:
        await wire.send(initiation())
        await wire.turn()
        await wire.send(NO_MESSAGES[name])
        assert await wire.closed() == INVALID


async def test_every_message_of_the_contract_is_taken(start_agent: StartAgent) -> None:
    messages: list[Frame] = [
        *TOO_EARLY.values(),
        {"type": "client_tool_result", "tool_call_id": "t", "result": "", "is_error": False},
        {"type": "contextual_update", "text": "at the whale", "context_id": "place"},
        {"type": "feedback", "event_id": 1, "score": None},
        {"type": "mcp_tool_approval_result", "tool_call_id": "t", "is_approved": True},
        {"type": "multimodal_message", "text": user_message(EXIT)},
    ]
    async with start_agent(behaviour=SILENT) as (url, _), opened(url) as wire:
        await wire.send(initiation(), *messages, user_message(TICKET))
        await wire.turn()
        assert wire.socket.close_code is None


# --- what a client wishes -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        ({"agent": {"first_message": "Hi."}}, "first_message"),
        ({"agent": {"first_message": ""}}, "first_message"),
        ({"agent": {"prompt": {"prompt": "Be rude."}}}, "prompt"),
        ({"tts": {"speed": 1.0}}, "speed"),
        ({"conversation": {"text_only": True, "max_duration_seconds": 60}}, "max_duration_seconds"),
    ],
)
async def test_an_override_that_is_not_allowed_is_refused_after_the_metadata(
    overrides: dict[str, Any], field: str, start_agent: StartAgent
) -> None:
    reason = f"Override for field '{field}' is not allowed by config."
    async with start_agent() as (url, _), opened(url) as wire:
        await wire.send(initiation(**overrides))
        error, close = await refusal(wire)
    assert error == {"code": 1008, "message": reason, "error_type": "override_error"}
    assert close == (1008, reason)


async def test_overrides_are_allowed_one_by_one(start_agent: StartAgent) -> None:
    allowed = frozenset({"agent.first_message"})
    async with start_agent(behaviour=QUICK, allowed_overrides=allowed) as (url, _):
        async with opened(url) as wire:
            await wire.send(initiation(agent={"first_message": "Hi."}))
            assert words((await wire.turn())[0]) == "Hi."
        async with opened(url) as wire:
            await wire.send(initiation(agent={"first_message": "Hi.", "language": "de"}))
            _, close = await refusal(wire)
    assert close == (1008, "Override for field 'language' is not allowed by config.")


async def test_after_an_empty_first_message_the_agent_waits(
    guide: Guide, start_agent: StartAgent
) -> None:
    allowed = frozenset({"all"})
    async with (
        start_agent(behaviour=QUICK, allowed_overrides=allowed) as (url, _),
        opened(url) as wire,
    ):
        await wire.send(initiation(agent={"first_message": ""}))
        await wire.while_it_lasts(0.3)
        assert wire.types == [METADATA]
        await wire.send(user_message(EXIT))
        assert words((await wire.turn())[0]) == answer_to(guide, EXIT)


async def test_an_allowed_duration_takes_the_place_of_the_agents_own(
    start_agent: StartAgent,
) -> None:
    behaviour = by_guide(greeting="", max_duration_s=0.2)
    allowed = frozenset({"conversation.max_duration_seconds"})
    async with (
        start_agent(behaviour=behaviour, allowed_overrides=allowed) as (url, _),
        opened(url) as wire,
    ):
        await wire.send(initiation(conversation={"max_duration_seconds": 60}))
        await wire.while_it_lasts(0.6)
        assert wire.socket.close_code is None


@pytest.mark.parametrize(
    "overrides",
    [
        {"tts": {"speed": 0.6}},
        {"tts": {"speed": 1.3}},
        {"tts": {"stability": 1.1}},
        {"conversation": {"max_duration_seconds": 59}},
        {"conversation": {"client_events": []}},
        {"agent": {"first_message": 1}},
    ],
)
async def test_an_override_out_of_its_range_is_an_invalid_message(
    overrides: dict[str, Any], start_agent: StartAgent
) -> None:
    async with start_agent(allowed_overrides=frozenset({"all"})) as (url, _), opened(url) as wire:
        await wire.send(initiation(**overrides))
        error, close = await refusal(wire)
    assert error == {"code": 1008, "message": INVALID[1], "error_type": "value_error"}
    assert close == INVALID


async def test_fields_that_no_contract_has_change_nothing(start_agent: StartAgent) -> None:
    unknown = initiation(tts={"style": 0.3, "use_speaker_boost": True}, mood={"cheerful": True})
    async with start_agent(behaviour=QUICK) as (url, _), opened(url) as wire:
        await wire.send({**unknown, "next_year": 1})
        assert words((await wire.turn())[0]) == "Welcome."


@pytest.mark.parametrize("frame", [TEXT_ONLY, initiation(text_only=True)], ids=["true", "python"])
async def test_a_conversation_in_text_has_no_sound_either_way(
    frame: Frame, guide: Guide, start_agent: StartAgent
) -> None:
    async with start_agent(behaviour=QUICK) as (url, events), opened(url) as wire:
        await wire.send(frame)
        assert words(await wire.until("agent_response")) == "Welcome."
        await wire.send(await said(TICKET), user_message(EXIT))
        assert words(await wire.until("agent_response")) == answer_to(guide, EXIT)
        await wire.while_it_lasts(0.3)
    assert set(wire.types) == {METADATA, "agent_response"}
    assert not [event for event in events if event["event"] == "heard"]


@pytest.mark.parametrize(
    ("greeting", "missing"),
    [
        ("Welcome, {{visitor_name}}.", "{'visitor_name'}"),
        ("{{ town }} welcomes {{visitor_name}} and {{town}}.", "{'town', 'visitor_name'}"),
        ("{{system__unheard_of}}", "{'system__unheard_of'}"),
    ],
)
async def test_a_variable_that_is_missing_is_named(
    greeting: str, missing: str, start_agent: StartAgent
) -> None:
    reason = f"Missing required dynamic variables in first message: {missing}"
    async with (
        start_agent(behaviour=by_guide(greeting=greeting)) as (url, _),
        opened(url) as wire,
    ):
        await wire.send({**initiation(), "dynamic_variables": {"other": "x"}})
        error, close = await refusal(wire)
    assert error == {"code": 1008, "message": reason, "error_type": "missing_dynamic_variable"}
    assert close == (1008, reason)


async def test_more_missing_variables_than_a_close_frame_can_name_are_cut(
    start_agent: StartAgent,
) -> None:
    greeting = " ".join(f"{{{{größe_des_gastes_{number}}}}}" for number in range(9))
    async with (
        start_agent(behaviour=by_guide(greeting=greeting)) as (url, _),
        opened(url) as wire,
    ):
        await wire.send(initiation())
        error, (code, reason) = await refusal(wire)
    assert code == 1008
    assert reason
    assert len(reason) > 100
    assert error["message"].startswith(reason)
    assert "größe_des_gastes_8" in error["message"]


async def test_variables_are_filled_into_whichever_first_message(start_agent: StartAgent) -> None:
    behaviour = by_guide(greeting="Welcome, {{ name }}, to hall {{hall}}.", burst=100)
    given: Frame = {**initiation(), "dynamic_variables": {"name": "Ada", "hall": 3}}
    async with start_agent(behaviour=behaviour, allowed_overrides=frozenset({"all"})) as (url, _):
        async with opened(url) as wire:
            await wire.send(given)
            assert words((await wire.turn())[0]) == "Welcome, Ada, to hall 3."
        async with opened(url) as wire:
            overrides = {"agent": {"first_message": "Hi, {{name}}."}}
            await wire.send({**given, "conversation_config_override": overrides})
            assert words((await wire.turn())[0]) == "Hi, Ada."


async def test_the_systems_own_variables_are_known(start_agent: StartAgent) -> None:
    behaviour = by_guide(greeting="{{system__agent_id}} {{system__conversation_id}}", burst=100)
    async with start_agent(behaviour=behaviour) as (url, _), opened(url) as wire:
        await wire.send(TEXT_ONLY)
        conversation_id = payload(await wire.until(METADATA))["conversation_id"]
        greeting = words(await wire.until("agent_response"))
    assert greeting == f"agent_local {conversation_id}"


# --- the door -----------------------------------------------------------------------------------


async def signed_url(url: str, **query: str) -> str:
    async with httpx2.AsyncClient() as client:
        answer = await client.get(
            f"{url}{CONVERSATION_PATH}/get-signed-url",
            params={"agent_id": "agent_local", **query},
            headers={"xi-api-key": DEFAULT_API_KEY},
        )
    return str(answer.json()["signed_url"])


async def close_of(url: str, query: str = "agent_id=agent_local") -> tuple[int | None, str | None]:
    """How the agent closes the door; nothing comes before."""
    async with opened(url, query) as wire:
        close = await wire.closed()
    assert wire.came == []
    return close


async def assert_open(url: str) -> str:
    """The conversation's id."""
    async with opened(url) as wire:
        await wire.send(TEXT_ONLY)
        return str(payload(await wire.until(METADATA))["conversation_id"])


@pytest.mark.parametrize("query", ["agent_id=agent_other", "agent_id=", "", "agent=agent_local"])
async def test_another_agents_id_reaches_nobody(query: str, start_agent: StartAgent) -> None:
    async with start_agent() as (url, _):
        assert await close_of(url, query) == NO_SUCH_AGENT


@pytest.mark.parametrize("key", [DEFAULT_API_KEY, "wrong"])
@pytest.mark.parametrize("public", [True, False])
async def test_a_key_in_the_address_is_refused_right_or_wrong(
    key: str, public: bool, start_agent: StartAgent
) -> None:
    async with start_agent(public=public) as (url, _):
        assert await close_of(url, f"agent_id=agent_local&xi-api-key={key}") == UNAUTHORIZED
        signed = await signed_url(url)
        assert await close_of(f"{signed}&xi-api-key={key}") == UNAUTHORIZED


async def test_a_private_agent_opens_to_signed_urls_only(start_agent: StartAgent) -> None:
    async with start_agent(public=False) as (url, _):
        assert await close_of(url) == UNAUTHORIZED
        await assert_open(await signed_url(url))


async def test_a_signed_url_opens_again_unless_it_was_made_for_one_conversation(
    start_agent: StartAgent,
) -> None:
    async with start_agent(public=False) as (url, _):
        reusable = await signed_url(url)
        assert await assert_open(reusable) != await assert_open(reusable)
        single = await signed_url(url, include_conversation_id="true")
        assert f"conversation_id={await assert_open(single)}" in single
        assert await close_of(single) == UNAUTHORIZED


async def test_an_expired_signature_opens_nothing_and_cuts_nothing_that_is_open(
    guide: Guide, start_agent: StartAgent
) -> None:
    async with start_agent(public=False, signature_life_s=0.6, behaviour=SILENT) as (url, _):
        signed = await signed_url(url)
        async with opened(signed) as wire:
            await wire.send(TEXT_ONLY)
            await wire.while_it_lasts(0.7)
            await wire.send(user_message(EXIT))
            assert words(await wire.until("agent_response")) == answer_to(guide, EXIT)
            assert await close_of(signed) == UNAUTHORIZED


@pytest.mark.parametrize("public", [True, False])
async def test_a_signature_that_was_tampered_with_opens_nothing(
    public: bool, start_agent: StartAgent
) -> None:
    async with start_agent(public=public) as (url, _):
        signed = await signed_url(url, include_conversation_id="true")
        tampered = [
            signed.replace("cvs_", "cvs_9"),  # lives longer
            signed.replace("conversation_id=conv_", "conversation_id=conv_0"),
            signed.partition("&conversation_id=")[0],
            f"{url}{CONVERSATION_PATH}?agent_id=agent_local&conversation_signature=cvs_nan_0",
            f"{url}{CONVERSATION_PATH}?agent_id=agent_local&conversation_signature=%FF",
        ]
        plain = await signed_url(url)
        tampered.append(plain[:-1] + ("0" if plain[-1] != "0" else "1"))
        for address in tampered:
            assert await close_of(address) == UNAUTHORIZED, address
        await assert_open(signed)


@pytest.mark.parametrize(
    ("offered", "taken"),
    [
        ((), None),
        (("convai",), "convai"),
        (("bearer.token", "convai"), "convai"),
        (("chat",), None),
    ],
)
async def test_the_subprotocol_is_convai_or_none(
    offered: tuple[str, ...], taken: str | None, start_agent: StartAgent
) -> None:
    async with start_agent() as (url, _), opened(url, subprotocols=offered) as wire:
        assert wire.socket.subprotocol == taken
        await wire.send(TEXT_ONLY)
        await wire.until(METADATA)


# --- clocks -------------------------------------------------------------------------------------


async def test_pongs_are_no_input(start_agent: StartAgent) -> None:
    behaviour = by_guide(greeting="", ping_s=0.1, no_input_s=0.5)
    async with start_agent(behaviour=behaviour) as (url, _), opened(url) as wire:
        await wire.send(initiation())
        pongs = 0
        while (frame := await wire.receive())["type"] != "error":
            if frame["type"] == "ping":
                await wire.send({"type": "pong", "event_id": payload(frame)["event_id"]})
                pongs += 1
        assert payload(frame) == NO_INPUT
        assert await wire.closed() == (1002, "No input from the client")
    assert pongs > 2


@pytest.mark.parametrize(
    "frame", [{"type": "user_activity"}, user_audio(bytes(640))], ids=["activity", "silence"]
)
async def test_activity_and_silence_are_input(frame: Frame, start_agent: StartAgent) -> None:
    behaviour = by_guide(greeting="", no_input_s=0.6)
    async with start_agent(behaviour=behaviour) as (url, _), opened(url) as wire:
        await wire.send(initiation())
        for _ in range(8):
            await wire.send(frame)
            await wire.while_it_lasts(0.1)
        assert wire.socket.close_code is None
        assert await wire.closed() == (1002, "No input from the client")
    assert payload(wire.came[-1]) == NO_INPUT


async def test_the_maximum_duration_ends_it_with_1000(start_agent: StartAgent) -> None:
    behaviour = by_guide(greeting="", max_duration_s=0.3)
    async with start_agent(behaviour=behaviour) as (url, _), opened(url) as wire:
        await wire.send(initiation())
        assert await wire.closed() == (1000, "")
    assert wire.types == [METADATA, "error"]
    assert payload(wire.came[-1]) == TIME_UP


async def test_the_last_message_is_spoken_when_the_time_is_up(start_agent: StartAgent) -> None:
    behaviour = by_guide(greeting="", max_duration_s=0.3, burst=100)
    allowed = frozenset({"agent.max_conversation_duration_message"})
    async with (
        start_agent(behaviour=behaviour, allowed_overrides=allowed) as (url, _),
        opened(url) as wire,
    ):
        await wire.send(initiation(agent={"max_conversation_duration_message": "Time is up."}))
        last = await wire.turn()
        assert words(last[0]) == "Time is up."
        assert await wire.closed() == (1000, "")
    assert payload(wire.came[-1]) == TIME_UP


async def test_the_last_message_is_not_mixed_with_what_was_being_said(
    start_agent: StartAgent,
) -> None:
    behaviour = by_guide(max_duration_s=1)
    allowed = frozenset({"all"})
    async with (
        start_agent(behaviour=behaviour, allowed_overrides=allowed) as (url, _),
        opened(url) as wire,
    ):
        await wire.send(initiation(agent={"max_conversation_duration_message": "Time is up."}))
        assert await wire.closed() == (1000, "")
    ids = [payload(frame)["event_id"] for frame in wire.of_type("audio")]
    assert ids == sorted(ids)
    assert set(ids) == {1, 2}


# --- order --------------------------------------------------------------------------------------


async def test_the_metadata_is_first_and_comes_once(start_agent: StartAgent) -> None:
    behaviour = by_guide("ulaw_8000", "pcm_24000", greeting="Welcome.", burst=100)
    async with start_agent(behaviour=behaviour) as (url, _), opened(url) as wire:
        await wire.send(initiation())
        first = await wire.receive()
        await wire.turn()
        await wire.send(initiation(), user_message(EXIT))
        await wire.turn()
    assert first["type"] == METADATA
    formats = payload(first)
    assert formats.pop("conversation_id").startswith("conv_")
    assert formats == {
        "agent_output_audio_format": "pcm_24000",
        "user_input_audio_format": "ulaw_8000",
    }
    assert len(wire.of_type(METADATA)) == 1


async def test_ids_rise_from_1_and_the_last_chunk_of_each_turn_is_final(
    guide: Guide, start_agent: StartAgent
) -> None:
    async with start_agent(behaviour=SILENT) as (url, _), opened(url) as wire:
        await wire.send(initiation())
        await wire.until(METADATA)
        turns = []
        for sentence in (EXIT, TICKET):
            await wire.send(await said(sentence))
            turns.append(await wire.turn())
    assert [words(turn[0]) for turn in turns] == [answer_to(guide, EXIT), answer_to(guide, TICKET)]
    events = [payload(frame) for frame in wire.came if frame["type"] != "ping"]
    ids = [event["event_id"] for event in events[1:]]
    # The visitor's turns have ids of their own.
    assert [payload(frame)["event_id"] for frame in wire.of_type("user_transcript")] == [1, 3]
    assert ids[0] == 1
    assert ids == sorted(ids)
    for turn in turns:
        chunks = [payload(frame) for frame in turn if frame["type"] == "audio"]
        assert {chunk["event_id"] for chunk in chunks} == {payload(turn[0])["event_id"]}
        finals = [chunk.get("is_final", False) for chunk in chunks]
        assert finals == [False] * (len(chunks) - 1) + [True]
        assert len(chunks) > 1


async def test_a_pings_time_is_null_until_a_pong_was_measured(start_agent: StartAgent) -> None:
    async with (
        start_agent(behaviour=by_guide(greeting="", ping_s=0.4)) as (url, _),
        opened(url) as wire,
    ):
        await wire.send(initiation())
        await wire.until("ping")
        second = await wire.until("ping")
        await asyncio.sleep(0.05)
        await wire.send({"type": "pong", "event_id": payload(second)["event_id"]})
        await wire.until("ping")
    first, second, third = (payload(ping) for ping in wire.of_type("ping"))
    assert first["ping_ms"] is None
    assert second["ping_ms"] is None
    assert third["ping_ms"] >= 50
    assert first["event_id"] < second["event_id"] < third["event_id"]


@pytest.mark.parametrize("spoken", [False, True], ids=["typed", "spoken"])
async def test_an_interruption_is_told_then_late_sound_then_the_correction_then_higher_ids(
    spoken: bool, guide: Guide, start_agent: StartAgent
) -> None:
    over_it = await said(TICKET) if spoken else user_message(TICKET)
    async with start_agent(behaviour=by_guide()) as (url, _), opened(url) as wire:
        await wire.send(initiation())
        await wire.until("audio")
        await wire.until("audio")
        await wire.send(over_it)
        await wire.until("interruption")
        cut_at = len(wire.came) - 1
        answer = await wire.turn()
    after = [frame for frame in wire.came[cut_at:] if frame["type"] != "ping"]
    interruption, late, correction, *above = after
    assert payload(interruption) == {"event_id": 1}
    assert late["type"] == "audio"
    assert payload(late)["event_id"] == 1
    assert payload(late)["is_final"] is False
    assert correction["type"] == "agent_response_correction"
    corrected = payload(correction)
    assert corrected["event_id"] == 1
    assert corrected["original_agent_response"] == guide.greeting
    kept = corrected["corrected_agent_response"].removesuffix("...")
    assert kept != guide.greeting
    assert guide.greeting.startswith(kept)
    assert {payload(frame)["event_id"] > 1 for frame in above} == {True}
    assert words(answer[0]) == answer_to(guide, TICKET)
    assert not any(
        payload(frame)["is_final"]
        for frame in wire.of_type("audio")
        if payload(frame)["event_id"] == 1
    )


async def test_text_and_sound_of_a_turn_carry_one_id_and_the_text_comes_first(
    start_agent: StartAgent,
) -> None:
    async with start_agent(behaviour=QUICK) as (url, _), opened(url) as wire:
        await wire.send(initiation())
        turn = [frame for frame in await wire.turn() if frame["type"] != "ping"]
    assert [frame["type"] for frame in turn] == ["agent_response", *["audio"] * (len(turn) - 1)]
    assert all(payload(a)["event_id"] == payload(b)["event_id"] for a, b in pairwise(turn))
    assert payload(turn[0])["response_id"].startswith("resp_")
