import math
from typing import Any

import pytest
from pydantic import ValidationError

from kiosk.convai.overrides import ConversationOverrides

VOICE = {"label": "B", "voice_id": "v2"}


def on_the_wire(**overrides: Any) -> dict[str, Any]:
    return ConversationOverrides.model_validate(overrides).on_the_wire()


def refusal(**overrides: Any) -> str:
    with pytest.raises(ValidationError) as refused:
        ConversationOverrides.model_validate(overrides)
    return str(refused.value)


# Every number with a range: where it stands, its least and its greatest.
RANGES = [
    ("tts", "speed", 0.7, 1.2),
    ("tts", "stability", 0, 1),
    ("tts", "similarity_boost", 0, 1),
    ("conversation", "max_duration_seconds", 60, 7200),
]


@pytest.mark.parametrize(("part", "name", "least", "greatest"), RANGES)
def test_the_ends_of_a_range_are_inside(
    part: str, name: str, least: float, greatest: float
) -> None:
    for value in (least, greatest):
        assert on_the_wire(**{part: {name: value}}) == {part: {name: value}}


@pytest.mark.parametrize(("part", "name", "least", "greatest"), RANGES)
def test_what_is_outside_a_range_is_refused_by_name(
    part: str, name: str, least: float, greatest: float
) -> None:
    step = 1 if name == "max_duration_seconds" else 0.01
    outside: list[object] = [least - step, greatest + step, math.nan, math.inf, "fast", []]
    for value in outside:
        assert f"{part}.{name}" in refusal(**{part: {name: value}})


@pytest.mark.parametrize("name", ["speed", "stability", "similarity_boost"])
def test_a_further_voice_has_the_same_ranges(name: str) -> None:
    assert name in refusal(tts={"supported_voices": [{**VOICE, name: 1.3}]})


def test_a_clone_strength_is_a_number_that_json_has() -> None:
    assert on_the_wire(tts={"clone_strength": 0.5}) == {"tts": {"clone_strength": 0.5}}
    assert "clone_strength" in refusal(tts={"clone_strength": math.inf})


@pytest.mark.parametrize("name", ["style", "use_speaker_boost"])
def test_a_control_of_text_to_speech_requests_is_refused_with_the_reason(name: str) -> None:
    said = refusal(tts={"voice_id": "v1", name: True})
    assert f"{name} does not exist for conversations" in said
    assert "remove it" in said


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ({"voice": {}}, "voice"),
        ({"agent": {"firstMessage": "Hi"}}, "agent.firstMessage"),
        ({"agent": {"prompt": {"temperature": 0}}}, "agent.prompt.temperature"),
        ({"agent": {"native_mcp_server_ids": ["m"]}}, "agent.native_mcp_server_ids"),
        ({"tts": {"similarityBoost": 0.5}}, "tts.similarityBoost"),
        ({"tts": {"supported_voices": [{**VOICE, "style": 1}]}}, "tts.supported_voices.0.style"),
        ({"turn": {"turn_timeout": 7}}, "turn.turn_timeout"),
        ({"text_only": True}, "text_only"),
        ({"asr": {"user_input_audio_format": "pcm_16000"}}, "asr.user_input_audio_format"),
        ({"tts": {"agent_output_audio_format": "pcm_16000"}}, "tts.agent_output_audio_format"),
        ({"conversation": {"audio_format": "pcm_16000"}}, "conversation.audio_format"),
    ],
)
def test_what_the_contract_has_not_audio_formats_among_it_is_refused_by_name(
    overrides: dict[str, Any], name: str
) -> None:
    said = refusal(**overrides)
    assert name in said
    assert "Extra inputs are not permitted" in said


@pytest.mark.parametrize(
    "overrides",
    [
        {"agent": {"language": "English"}},
        {"agent": {"language": "en\n"}},
        {"agent": {"prompt": {"native_mcp_server_ids": ["m"] * 11}}},
        {"agent": {"prompt": {"knowledge_base": [{"type": "book", "name": "n", "id": "i"}]}}},
        {"tts": {"supported_voices": [{"label": "B"}]}},
        {"tts": {"supported_voices": [{**VOICE, "model_family": "v9"}]}},
        {"conversation": {"client_events": []}},
        {"tts": "fast"},
    ],
)
def test_what_the_contract_does_not_allow_is_refused(overrides: dict[str, Any]) -> None:
    assert refusal(**overrides)


def test_an_empty_first_message_is_sent_for_it_means_that_the_visitor_begins() -> None:
    assert on_the_wire(agent={"first_message": ""}) == {"agent": {"first_message": ""}}


def test_what_is_false_or_zero_is_sent_and_what_is_unset_or_none_is_not() -> None:
    assert on_the_wire() == {}
    assert on_the_wire(
        agent={"language": None, "prompt": {"tool_ids_strict": False, "tool_ids": []}},
        tts={"stability": 0},
        conversation={"text_only": False},
    ) == {
        "agent": {"prompt": {"tool_ids_strict": False, "tool_ids": []}},
        "tts": {"stability": 0},
        "conversation": {"text_only": False},
    }


def test_every_field_of_the_contract_is_sent_where_the_contract_has_it() -> None:
    everything = {
        "agent": {
            "first_message": "Hi",
            "language": "pt-br",
            "max_conversation_duration_message": "Time is up",
            "prompt": {
                "prompt": "You are a guide.",
                "llm": "custom-llm",
                "reasoning_effort": "low",
                "tool_ids": ["t"],
                "tool_ids_strict": True,
                "native_mcp_server_ids": ["m"],
                "knowledge_base": [{"type": "url", "name": "Map", "id": "k", "usage_mode": "auto"}],
            },
        },
        "tts": {
            "model_id": "m",
            "voice_id": "v",
            "stability": 0.5,
            "speed": 1.0,
            "similarity_boost": 0.8,
            "clone_strength": 0.5,
            "supported_voices": [
                {
                    **VOICE,
                    "description": "calm",
                    "language": "de",
                    "model_family": "flash",
                    "optimize_streaming_latency": "3",
                    "stability": 0,
                    "speed": 1.2,
                    "similarity_boost": 1,
                }
            ],
            "pronunciation_dictionary_locators": [
                {"pronunciation_dictionary_id": "p", "version_id": "1"}
            ],
        },
        "asr": {"keywords": ["atrium"]},
        "turn": {
            "soft_timeout_config": {
                "message": "Hm",
                "additional_soft_timeout_messages": ["Let me see"],
            },
            "noisy_environment_message": "It is loud here.",
        },
        "conversation": {
            "text_only": True,
            "max_duration_seconds": 600,
            "client_events": ["audio"],
        },
    }
    assert on_the_wire(**everything) == everything
