import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import kiosk.visit
from kiosk.convai.endings import RULES, Ending, Farewell, Kind, classify_close, classify_handshake

SENTENCES = Path(kiosk.visit.__file__).parent / "sentences"


def test_every_kind_has_its_rule() -> None:
    assert set(RULES) == set(Kind)
    assert all(Ending(kind).rule is RULES[kind] for kind in Kind)


@pytest.mark.parametrize("path", sorted(SENTENCES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_rule_has_a_sentence_the_kiosk_can_say(path: Path) -> None:
    sentences = tomllib.loads(path.read_text("utf-8"))
    assert {rule.sentence for rule in RULES.values()} - {None} <= set(sentences)


def test_severities_are_priorities_of_syslog() -> None:
    assert {rule.severity for rule in RULES.values()} <= {3, 4, 5, 6}


def test_what_an_operator_must_mend_is_an_error_and_is_not_tried_again() -> None:
    for kind in (
        Kind.QUOTA,
        Kind.OVERRIDE_REFUSED,
        Kind.VARIABLE_MISSING,
        Kind.AGENT_MISSING,
        Kind.AGENT_MISCONFIGURED,
        Kind.REFUSED,
        Kind.PROTOCOL,
    ):
        assert RULES[kind].severity == 3
        assert RULES[kind].retries == 0


def test_the_visitor_hears_nothing_but_silence_after_hanging_up() -> None:
    assert RULES[Kind.HUNG_UP].sentence is None
    assert RULES[Kind.HUNG_UP].farewell is Farewell.CUT
    assert RULES[Kind.AGENT_ENDED].farewell is Farewell.FINISH


# Codes and reasons of the published contract and of public reports.
CLOSES = [
    (1000, "", Kind.AGENT_ENDED),
    (1001, "", Kind.NETWORK_LOST),
    (1002, "This request exceeds your quota limit.", Kind.QUOTA),
    (1002, "", Kind.AGENT_FAILED),
    (1005, "", Kind.NETWORK_LOST),
    (1006, "", Kind.NETWORK_LOST),
    (None, "", Kind.NETWORK_LOST),
    (1008, "Override for field 'language' is not allowed by config.", Kind.OVERRIDE_REFUSED),
    (1008, "Missing required dynamic variables in first message: {}", Kind.VARIABLE_MISSING),
    (1008, "Missing required dynamic variables in tools: {'name'}", Kind.VARIABLE_MISSING),
    (1008, "Invalid message received", Kind.PROTOCOL),
    (1008, "Could not authorize the conversation", Kind.REFUSED),
    (1008, "", Kind.REFUSED),
    (1009, "", Kind.PROTOCOL),
    (1008, "Host kiosk is not allowed to connect to this agent", Kind.AGENT_MISCONFIGURED),
    (1011, "Conversation has exceeded maximum duration", Kind.MAX_DURATION),
    (1011, "", Kind.INTERNAL),
    (3000, "Request error", Kind.REFUSED),
    (3000, "The AI agent you are trying to reach does not exist.", Kind.AGENT_MISSING),
    (3000, "Could not authorize the conversation.", Kind.REFUSED),
    (3000, "The agent appears to be misconfigured", Kind.AGENT_MISCONFIGURED),
    (3008, "too many concurrent connections", Kind.BUSY),
    (3008, "", Kind.BUSY),
    (4300, "queue wait timed out", Kind.BUSY),
    (4300, "", Kind.BUSY),
    (1002, "Agent has exceeded its daily call limit of 100", Kind.QUOTA),
    (4999, "", Kind.INTERNAL),
]  # fmt: skip


@pytest.mark.parametrize(("code", "reason", "kind"), CLOSES)
def test_a_close_is_classified(code: int | None, reason: str, kind: Kind) -> None:
    ending = classify_close(code, reason)
    assert ending == Ending(kind, code, reason)


# The contract: 1008 and 3000 never again, 4300 and 3008 later, the network and 1011 again, and
# what broke on the agent's side once.
@pytest.mark.parametrize(
    ("code", "retries"),
    [
        (1002, 1),
        *((code, 3) for code in (1006, 1011)),
        *((code, 0) for code in (1000, 1008, 3000, 3008, 4300)),
    ],
)
def test_only_what_can_help_is_tried_again(code: int, retries: int) -> None:
    assert classify_close(code, "").rule.retries == retries


# Every error type of the published contract, by the code it comes with.
ERROR_TYPES = {
    1000: {"max_duration_exceeded": Kind.MAX_DURATION},
    1002: {
        "safety_violation": Kind.SAFETY,
        "transport_receive_timeout": Kind.NOT_HEARD,
        "llm_timeout": Kind.AGENT_FAILED,
        "asyncio_timeout": Kind.AGENT_FAILED,
        "http_exception": Kind.AGENT_FAILED,
        "llm_error": Kind.AGENT_FAILED,
        "custom_llm_error": Kind.AGENT_FAILED,
        "cascade_brain_error": Kind.AGENT_FAILED,
        "asr_transcription_error": Kind.AGENT_FAILED,
        "vad_error": Kind.AGENT_FAILED,
        "turn_probability_error": Kind.AGENT_FAILED,
        "tts_cascade_error": Kind.AGENT_FAILED,
        "redis_timeout_error": Kind.AGENT_FAILED,
        "unknown": Kind.AGENT_FAILED,
    },
    1008: {
        "invalid_message": Kind.PROTOCOL,
        "value_error": Kind.PROTOCOL,
        "missing_fields": Kind.PROTOCOL,
        "telephony_agent_error": Kind.AGENT_MISCONFIGURED,
        "mcp_tool_error": Kind.AGENT_MISCONFIGURED,
        "mcp_https_error": Kind.AGENT_MISCONFIGURED,
        "override_error": Kind.OVERRIDE_REFUSED,
        "missing_dynamic_variable": Kind.VARIABLE_MISSING,
        "missing_dynamic_variable_transfer": Kind.VARIABLE_MISSING,
    },
    1011: {
        "unknown_websocket_crash": Kind.INTERNAL,
        "websocket_disconnect": Kind.NETWORK_LOST,
        "unknown": Kind.INTERNAL,
    },
}


@pytest.mark.parametrize(
    ("code", "error_type", "kind"),
    [(code, *row) for code, rows in ERROR_TYPES.items() for row in rows.items()],
)
def test_an_error_type_is_classified(code: int, error_type: str, kind: Kind) -> None:
    assert classify_close(code, "", error_type) == Ending(kind, code, error_type)


@pytest.mark.parametrize("error_type", ERROR_TYPES[1008])
def test_a_broken_contract_is_never_tried_again(error_type: str) -> None:
    assert classify_close(1008, "", error_type).rule.retries == 0


def test_the_reason_decides_before_the_error_and_both_before_the_code() -> None:
    assert classify_close(1002, "quota", "llm_error").kind is Kind.QUOTA
    assert classify_close(1011, "", "quota").kind is Kind.QUOTA
    assert classify_close(1000, "USER ENDED", "Max_Duration_Exceeded").kind is Kind.MAX_DURATION


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, Kind.REFUSED),
        (403, Kind.REFUSED),
        (404, Kind.AGENT_MISSING),
        (422, Kind.PROTOCOL),
        (429, Kind.BUSY),
        (200, Kind.UNREACHABLE),
        (302, Kind.UNREACHABLE),
        (500, Kind.UNREACHABLE),
        (503, Kind.UNREACHABLE),
    ],
)
def test_a_refused_handshake_is_classified(status: int, kind: Kind) -> None:
    ending = classify_handshake(status)
    assert (ending.kind, ending.code) == (kind, status)
    assert str(status) in ending.detail


@given(st.none() | st.integers(0, 65_535), st.text(max_size=400), st.text(max_size=400))
def test_any_close_is_an_ending_with_a_short_detail(
    code: int | None, reason: str, error: str
) -> None:
    ending = classify_close(code, reason, error)
    assert ending.code == code
    assert len(ending.detail) <= 200
