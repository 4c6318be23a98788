"""The schemas take the frames of the published contract and refuse what guides make of them."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.schemas import check_client, check_server

INITIATION = "conversation_initiation_client_data"


def initiation(**fields: object) -> dict[str, object]:
    return {"type": INITIATION, **fields}


def overriding(**fields: object) -> dict[str, object]:
    return initiation(conversation_config_override=fields)


def event(type_name: str, wrapper: str, **fields: object) -> dict[str, object]:
    return {"type": type_name, wrapper: fields}


def metadata(**fields: object) -> dict[str, object]:
    name = "conversation_initiation_metadata"
    return event(name, f"{name}_event", **fields)


def tool_response(type_name: str = "agent_tool_response", **fields: object) -> dict[str, object]:
    usual = {
        "tool_name": "end_call",
        "tool_call_id": "tool_1",
        "tool_type": "system",
        "is_error": False,
        "is_called": True,
        "event_id": 7,
        "status": "success",
    }
    return event(type_name, type_name, **{**usual, **fields})


def mcp(state: str, **fields: object) -> dict[str, object]:
    usual = {
        "service_id": "mcp_1",
        "tool_call_id": "tool_1",
        "tool_name": "find_exhibit",
        "tool_description": None,
        "parameters": {"name": "whale"},
        "timestamp": "2026-11-21T10:00:00.5Z",
        "state": state,
    }
    return event("mcp_tool_call", "mcp_tool_call", **{**usual, **fields})


EVERY_OVERRIDE = {
    "agent": {
        "first_message": "",
        "language": "pt-br",
        "max_conversation_duration_message": "We have to stop here.",
        "prompt": {
            "prompt": "You are a museum guide.",
            "llm": "custom-llm",
            "reasoning_effort": "low",
            "tool_ids": ["tool_1"],
            "tool_ids_strict": False,
            "native_mcp_server_ids": [],
            "knowledge_base": [
                {"type": "file", "name": "Exhibits", "id": "kb_1", "usage_mode": "auto"}
            ],
        },
    },
    "tts": {
        "model_id": "eleven_flash_v2_5",
        "voice_id": "voice_1",
        "stability": 0.5,
        "speed": 1.0,
        "similarity_boost": 0.8,
        "clone_strength": 0,
        "supported_voices": [
            {
                "label": "Narrator",
                "voice_id": "voice_2",
                "description": "Slow and low.",
                "language": "en",
                "model_family": "flash",
                "optimize_streaming_latency": "3",
                "stability": 0,
                "speed": 0.7,
                "similarity_boost": 1,
            }
        ],
        "pronunciation_dictionary_locators": [
            {"pronunciation_dictionary_id": "dict_1", "version_id": "v1"}
        ],
    },
    "asr": {"keywords": ["triceratops"]},
    "turn": {
        "soft_timeout_config": {
            "message": "One moment.",
            "additional_soft_timeout_messages": ["Still looking."],
        },
        "noisy_environment_message": "It is loud here.",
    },
    "conversation": {
        "text_only": False,
        "max_duration_seconds": 600,
        "client_events": ["audio", "interruption", "ping"],
    },
}

CLIENT: list[dict[str, object]] = [
    initiation(),
    initiation(
        conversation_config_override=EVERY_OVERRIDE,
        custom_llm_extra_body={"temperature": 0.2, "nested": {"any": [1]}},
        dynamic_variables={"hall": "B", "floor": 2, "open": True, "tags": ["a"], "guide": None},
        user_id="kiosk-4711",
        source_info={"source": "python_sdk", "version": "2.78.0"},
        branch_id="branch_1",
        environment="production",
        starting_workflow_node_id="node_1",
        procedure_ids=[],
        start_procedure_ids=["procedure_1"],
        tool_mock_config={
            "mocking_strategy": "selected",
            "mocked_tool_names": ["open_door"],
            "fallback_strategy": "raise_error",
        },
    ),
    overriding(conversation={"text_only": True}),
    {"user_audio_chunk": "AAAA"},
    {"user_audio_chunk": "AAA="},
    {"user_audio_chunk": "+/8A/w=="},
    {"type": "pong", "event_id": 1},
    {"type": "client_tool_result", "tool_call_id": "tool_1", "result": "", "is_error": False},
    {
        "type": "client_tool_result",
        "tool_call_id": "tool_1",
        "result": "no door here",
        "is_error": True,
        "error_type": "user_rejected",
    },
    {"type": "contextual_update", "text": "The visitor stands at the whale."},
    {"type": "contextual_update", "text": "The visitor moved on.", "context_id": "place"},
    {"type": "user_message", "text": "where are the dinosaurs"},
    {
        "type": "user_message",
        "text": "3",
        "id": "message_1",
        "user_identifier": "kiosk-4711",
        "source_medium": "dtmf",
        "rich_content_id": "card_1",
    },
    {"type": "user_activity"},
    {"type": "feedback", "event_id": 7, "score": "like"},
    {"type": "feedback", "event_id": 7, "score": None},
    {"type": "mcp_tool_approval_result", "tool_call_id": "tool_1", "is_approved": True},
    {"type": "multimodal_message", "text": {"type": "user_message", "text": "what is this"}},
    {
        "type": "multimodal_message",
        "file": {"type": "file_input", "file_id": "file_1"},
        "files": [{"type": "file_input", "file_id": "file_1"}],
    },
]

# Each with the place of the fault.
NOT_CLIENT: list[tuple[str, dict[str, object]]] = [
    ("'text'", initiation(text="hello")),
    ("text_only", overriding(text_only=True)),
    ("$.conversation_config_override.tts", overriding(tts={"style": 0.3})),
    ("$.conversation_config_override.tts", overriding(tts={"use_speaker_boost": True})),
    ("$.conversation_config_override.tts", overriding(tts={"agent_output_audio_format": "x"})),
    ("$.conversation_config_override.tts.speed", overriding(tts={"speed": 1.21})),
    ("$.conversation_config_override.tts.speed", overriding(tts={"speed": 0.5})),
    ("$.conversation_config_override.tts.stability", overriding(tts={"stability": 1.1})),
    (
        "$.conversation_config_override.tts.similarity_boost",
        overriding(tts={"similarity_boost": -0.1}),
    ),
    (
        "$.conversation_config_override.conversation.max_duration_seconds",
        overriding(conversation={"max_duration_seconds": 59}),
    ),
    (
        "$.conversation_config_override.conversation.max_duration_seconds",
        overriding(conversation={"max_duration_seconds": 7201}),
    ),
    (
        "$.conversation_config_override.conversation.client_events",
        overriding(conversation={"client_events": []}),
    ),
    (
        "$.conversation_config_override.conversation.client_events[0]",
        overriding(conversation={"client_events": ["music"]}),
    ),
    ("$.conversation_config_override.agent.language", overriding(agent={"language": "English"})),
    ("$.dynamic_variables.visitor", initiation(dynamic_variables={"visitor": {"name": "x"}})),
    ("$.source_info.source", initiation(source_info={"source": "voice-kiosk"})),
    ("$.source_info.version", initiation(source_info={"source": "unknown", "version": "1" * 51})),
    ("$.start_procedure_ids", initiation(start_procedure_ids=["p"] * 6)),
    ("$.user_id", initiation(user_id=None)),
    ("$.user_audio_chunk", {"user_audio_chunk": ""}),
    ("$.user_audio_chunk", {"user_audio_chunk": "AAA"}),
    ("$.user_audio_chunk", {"user_audio_chunk": "AA-_"}),
    ("$.user_audio_chunk", {"user_audio_chunk": [0, 0]}),
    ("'type'", {"type": "user_audio_chunk", "user_audio_chunk": "AAAA"}),
    ("user_audio_chunk", {"user_audio": "AAAA"}),
    ("event_id", {"type": "pong"}),
    ("$.event_id", {"type": "pong", "event_id": "1"}),
    ("ping_ms", {"type": "pong", "event_id": 1, "ping_ms": 5}),
    (
        "$.result",
        {
            "type": "client_tool_result",
            "tool_call_id": "tool_1",
            "result": {"opened": True},
            "is_error": False,
        },
    ),
    (
        "$.is_error",
        {
            "type": "client_tool_result",
            "tool_call_id": "tool_1",
            "result": "late",
            "is_error": False,
            "error_type": "client_timeout",
        },
    ),
    (
        "$.error_type",
        {
            "type": "client_tool_result",
            "tool_call_id": "tool_1",
            "result": "late",
            "is_error": True,
            "error_type": "timeout",
        },
    ),
    ("'text' is a required", {"type": "contextual_update", "context": "at the whale"}),
    ("$.text", {"type": "contextual_update", "text": None}),
    ("'text' is a required", {"type": "user_message", "message": "hello"}),
    ("$.source_medium", {"type": "user_message", "text": "3", "source_medium": "keypad"}),
    ("text", {"type": "user_activity", "text": "typing"}),
    ("$.score", {"type": "feedback", "event_id": 7, "score": "love"}),
    ("score", {"type": "feedback", "event_id": 7}),
    ("$.is_approved", {"type": "mcp_tool_approval_result", "tool_call_id": "t", "is_approved": 1}),
    ("$.text", {"type": "multimodal_message", "text": "what is this"}),
    ("$", {"type": "multimodal_message"}),
    (
        "$.files",
        {"type": "multimodal_message", "files": [{"type": "file_input", "file_id": "f"}] * 6},
    ),
    ("called 'ping'", {"type": "ping", "event_id": 1}),
    ("called 'interrupt'", {"type": "interrupt"}),
    ("without a type", {"type": 1}),
]

SERVER: list[dict[str, object]] = [
    metadata(
        conversation_id="conv_01abcXYZ",
        agent_output_audio_format="ulaw_8000",
        user_input_audio_format="pcm_16000",
    ),
    event("ping", "ping_event", event_id=1, ping_ms=50),
    event("ping", "ping_event", event_id=1, ping_ms=None),
    event("ping", "ping_event", event_id=1),
    event("audio", "audio_event", audio_base_64="AAAA", event_id=1),
    event(
        "audio",
        "audio_event",
        audio_base_64="AAAAAA==",
        event_id=7,
        alignment={
            "chars": ["H", "i"],
            "char_start_times_ms": [0, 90],
            "char_durations_ms": [90, 80],
        },
        is_final=True,
    ),
    event("agent_response", "agent_response_event", agent_response="Hello."),
    event(
        "agent_response",
        "agent_response_event",
        agent_response="[happy] Hello.",
        event_id=7,
        response_id="response_1",
        in_response_to_ids=["message_1"],
        response_type="voice",
        attachments=[{"url": "file:plan.png", "name": "Plan", "mime_type": None}],
    ),
    event(
        "agent_response_correction",
        "agent_response_correction_event",
        original_agent_response="The whale is long.",
        corrected_agent_response="The whale...",
        event_id=7,
        response_id="response_1",
    ),
    *(
        event(
            "agent_chat_response_part",
            "text_response_part",
            text="The ",
            type=kind,
            event_id=7,
            response_id="response_1",
        )
        for kind in ("start", "delta", "stop")
    ),
    event("agent_response_complete", "agent_response_complete_event", event_id=7),
    event(
        "agent_response_metadata", "agent_response_metadata_event", metadata={"a": 1}, event_id=7
    ),
    event(
        "agent_reasoning_response_part",
        "reasoning_response_part",
        text="A museum.",
        type="delta",
        event_id="7",
    ),
    event("user_transcript", "user_transcription_event", user_transcript="hello", event_id=6),
    event(
        "tentative_user_transcript",
        "tentative_user_transcription_event",
        user_transcript="hel",
        event_id=6,
    ),
    event("interruption", "interruption_event", event_id=7),
    *(event("vad_score", "vad_score_event", vad_score=score) for score in (0, 0.95, 1)),
    event(
        "client_tool_call",
        "client_tool_call",
        tool_name="open_door",
        tool_call_id="tool_1",
        parameters={"door": 3, "slowly": {"really": True}},
        event_id=7,
        expects_response=False,
    ),
    event(
        "agent_tool_request",
        "agent_tool_request",
        tool_name="look_up",
        tool_call_id="tool_1",
        tool_type="webhook",
        event_id=7,
        expects_response=True,
        disable_interruptions=False,
        response_timeout_secs=20,
        execution_mode="immediate",
    ),
    tool_response(),
    tool_response(is_blocked=True, status="blocked"),
    tool_response("agent_tool_response_full_payload", full_tool_result="", truncated=False),
    mcp("loading"),
    mcp("awaiting_approval", approval_timeout_secs=300),
    mcp("success", result=[{"text": "Hall B"}]),
    mcp("failure", error_message="no such exhibit", tool_description="Finds exhibits."),
    event(
        "mcp_connection_status",
        "mcp_connection_status",
        integrations=[
            {
                "integration_id": "mcp_1",
                "integration_type": "mcp_server",
                "is_connected": True,
                "tool_count": 0,
            }
        ],
    ),
    *(
        event("queue_status", "queue_status_event", status=status)
        for status in ("waiting", "admitted", "timed_out")
    ),
    event("client_error", "error_event", code=1008, error_name="override_error", message="no"),
    event("error", "error_event", code=1002),
    event(
        "error",
        "error_event",
        code=1002,
        message="This request exceeds your quota limit.",
        error_type="llm_timeout",
        reason="",
        debug_message="",
        details={},
    ),
    event("guardrail_triggered", "guardrail_triggered_event", guardrail_name="politeness"),
]

NOT_SERVER: list[tuple[str, dict[str, object]]] = [
    (
        "user_input_audio_format",
        metadata(conversation_id="conv_1", agent_output_audio_format="pcm_16000"),
    ),
    (
        "$.conversation_initiation_metadata_event.agent_output_audio_format",
        metadata(
            conversation_id="conv_1",
            agent_output_audio_format="mp3_44100",
            user_input_audio_format="pcm_16000",
        ),
    ),
    (
        "$.conversation_initiation_metadata_event.conversation_id",
        metadata(
            conversation_id="1",
            agent_output_audio_format="pcm_16000",
            user_input_audio_format="pcm_16000",
        ),
    ),
    ("'ping_event' is a required", {"type": "ping", "event_id": 1}),
    ("$.ping_event.event_id", event("ping", "ping_event", event_id="unique")),
    ("$.ping_event.event_id", event("ping", "ping_event", event_id=True)),
    ("$.ping_event.ping_ms", event("ping", "ping_event", event_id=1, ping_ms=0.5)),
    ("audio_base_64", event("audio", "audio_event", audio="AAAA", event_id=1)),
    ("event_id", event("audio", "audio_event", audio_base_64="AAAA")),
    ("$.audio_event.event_id", event("audio", "audio_event", audio_base_64="AAAA", event_id=0)),
    ("$.audio_event.audio_base_64", event("audio", "audio_event", audio_base_64="A", event_id=1)),
    (
        "$.audio_event.alignment",
        event("audio", "audio_event", audio_base_64="", event_id=1, alignment={"chars": []}),
    ),
    ("agent_response_event", {"type": "agent_response", "agent_response": "Hello."}),
    (
        "'agent_response' is a required",
        event("agent_response", "agent_response_event", event_id=7),
    ),
    (
        "$.agent_response_event.response_type",
        event("agent_response", "agent_response_event", agent_response="", response_type="audio"),
    ),
    (
        "original_agent_response",
        event(
            "agent_response_correction",
            "agent_response_correction_event",
            corrected_agent_response="The...",
            event_id=7,
        ),
    ),
    (
        "text_response_part",
        event("agent_chat_response_part", "agent_chat_response_part_event", text="", type="delta"),
    ),
    (
        "$.text_response_part.type",
        event("agent_chat_response_part", "text_response_part", text="", type="end", event_id=1),
    ),
    ("event_id", event("agent_response_complete", "agent_response_complete_event")),
    (
        "$.agent_response_metadata_event.metadata",
        event("agent_response_metadata", "agent_response_metadata_event", metadata="", event_id=1),
    ),
    (
        "$.reasoning_response_part.event_id",
        event(
            "agent_reasoning_response_part",
            "reasoning_response_part",
            text="",
            type="stop",
            event_id=7,
        ),
    ),
    (
        "user_transcription_event",
        event("user_transcript", "user_transcript", user_transcription="hello"),
    ),
    (
        "tentative_user_transcription_event",
        event(
            "tentative_user_transcript",
            "user_transcription_event",
            user_transcript="hel",
            event_id=6,
        ),
    ),
    ("interruption_event", {"type": "interruption"}),
    ("event_id", event("interruption", "interruption_event", reason="user_speech")),
    ("$.vad_score_event.vad_score", event("vad_score", "vad_score_event", vad_score=1.01)),
    ("$.vad_score_event.vad_score", event("vad_score", "vad_score_event", vad_score=-0.5)),
    (
        "expects_response",
        event(
            "client_tool_call",
            "client_tool_call",
            tool_name="open_door",
            tool_call_id="tool_1",
            parameters={},
            event_id=7,
        ),
    ),
    (
        "$.client_tool_call.parameters",
        event(
            "client_tool_call",
            "client_tool_call",
            tool_name="open_door",
            tool_call_id="tool_1",
            parameters="{}",
            event_id=7,
            expects_response=True,
        ),
    ),
    (
        "$.agent_tool_request.tool_type",
        event(
            "agent_tool_request",
            "agent_tool_request",
            tool_name="look_up",
            tool_call_id="tool_1",
            tool_type="server",
            event_id=7,
        ),
    ),
    ("$.agent_tool_response.status", tool_response(status="ok")),
    ("$.agent_tool_response.status", tool_response(status=None)),
    ("$.agent_tool_response.is_called", tool_response(is_called=None)),
    ("full_tool_result", tool_response(full_tool_result="")),
    ("full_tool_result", tool_response("agent_tool_response_full_payload")),
    (
        "$.agent_tool_response_full_payload.full_tool_result",
        tool_response("agent_tool_response_full_payload", full_tool_result={}),
    ),
    ("$.mcp_tool_call.state", mcp("running")),
    ("$.mcp_tool_call.state", mcp("loading", result=[])),
    ("result", mcp("success")),
    ("error_message", mcp("failure")),
    ("$.mcp_tool_call.timestamp", mcp("loading", timestamp="yesterday")),
    (
        "$.mcp_connection_status.integrations[0].integration_type",
        event(
            "mcp_connection_status",
            "mcp_connection_status",
            integrations=[
                {
                    "integration_id": "mcp_1",
                    "integration_type": "other",
                    "is_connected": True,
                    "tool_count": 0,
                }
            ],
        ),
    ),
    ("$.queue_status_event.status", event("queue_status", "queue_status_event", status="held")),
    ("error_name", event("client_error", "error_event", code=1008, error_type="override_error")),
    ("$.error_event.code", event("error", "error_event", code=4300)),
    ("$.error_event.error_type", event("error", "error_event", code=1002, error_type="quota")),
    ("error_event", {"type": "error", "message": "received 1002"}),
    ("guardrail_triggered_event", {"type": "guardrail_triggered"}),
    ("called 'pong'", {"type": "pong", "event_id": 1}),
    ("without a type", {"user_audio_chunk": "AAAA"}),
]

Check = Callable[[str], None]
SIDES = [pytest.param(check_client, id="client"), pytest.param(check_server, id="server")]


def named(frame: dict[str, object]) -> str:
    return str(frame.get("type", "untyped"))


def types_of(frames: list[dict[str, object]]) -> set[str]:
    return {named(frame) for frame in frames}


@pytest.mark.parametrize("frame", CLIENT, ids=named)
def test_a_client_may_write_what_the_contract_lists(frame: dict[str, object]) -> None:
    check_client(json.dumps(frame))


@pytest.mark.parametrize("frame", SERVER, ids=named)
def test_a_server_may_write_what_the_contract_lists(frame: dict[str, object]) -> None:
    check_server(json.dumps(frame))


@pytest.mark.parametrize(("where", "frame"), NOT_CLIENT)
def test_what_is_wrong_with_a_clients_frame_is_named(where: str, frame: dict[str, object]) -> None:
    with pytest.raises(AssertionError) as caught:
        check_client(json.dumps(frame))
    assert where in str(caught.value)


@pytest.mark.parametrize(("where", "frame"), NOT_SERVER)
def test_what_is_wrong_with_a_servers_frame_is_named(where: str, frame: dict[str, object]) -> None:
    with pytest.raises(AssertionError) as caught:
        check_server(json.dumps(frame))
    assert where in str(caught.value)


@pytest.mark.parametrize("frame", [*CLIENT, *SERVER], ids=named)
def test_a_field_that_the_contract_does_not_have_is_refused(frame: dict[str, object]) -> None:
    check: Check = check_client if frame in CLIENT else check_server
    with pytest.raises(AssertionError, match="'made_up' was unexpected"):
        check(json.dumps({**frame, "made_up": 1}))
    for wrapper, inner in frame.items():
        if frame in SERVER and isinstance(inner, dict):
            with pytest.raises(AssertionError, match="'made_up' was unexpected"):
                check(json.dumps({**frame, wrapper: {**inner, "made_up": 1}}))


def test_every_message_of_either_side_is_tried() -> None:
    assert len(types_of(CLIENT)) == 10
    assert types_of(CLIENT) == types_of([frame for _, frame in NOT_CLIENT]) & types_of(CLIENT)
    assert len(types_of(SERVER)) == 23
    assert types_of(SERVER) == types_of([frame for _, frame in NOT_SERVER]) & types_of(SERVER)


@pytest.mark.parametrize("check", SIDES)
@pytest.mark.parametrize("frame", [" ", "", '{"text":""', "[]", '"ping"', "null", "1", '{"a":NaN}'])
def test_what_is_not_a_json_object_is_no_frame(check: Check, frame: str) -> None:
    with pytest.raises(AssertionError, match="JSON"):
        check(frame)


@pytest.mark.parametrize("check", SIDES)
def test_a_binary_frame_is_no_frame(check: Callable[[Any], None]) -> None:
    with pytest.raises(AssertionError, match="binary"):
        check(b"{}")


def test_a_complaint_about_a_second_of_sound_stays_short() -> None:
    with pytest.raises(AssertionError) as caught:
        check_client(json.dumps({"user_audio_chunk": "A" * 43_000 + "*"}))
    assert len(str(caught.value)) < 400
