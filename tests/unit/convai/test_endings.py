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
    for kind in (Kind.QUOTA, Kind.AGENT_MISCONFIGURED, Kind.REFUSED, Kind.PROTOCOL):
        assert RULES[kind].severity == 3
        assert not RULES[kind].retry


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
    (1008, "Override for field 'language' is not allowed by config.", Kind.AGENT_MISCONFIGURED),
    (1008, "Missing required dynamic variables in first message: {}", Kind.AGENT_MISCONFIGURED),
    (1008, "Missing required dynamic variables in tools: {'name'}", Kind.AGENT_MISCONFIGURED),
    (1008, "Invalid message received", Kind.PROTOCOL),
    (1008, "Could not authorize the conversation", Kind.REFUSED),
    (1008, "", Kind.REFUSED),
    (1008, "Host kiosk is not allowed to connect to this agent", Kind.AGENT_MISCONFIGURED),
    (1011, "Conversation has exceeded maximum duration", Kind.MAX_DURATION),
    (1011, "", Kind.INTERNAL),
    (3000, "Request error", Kind.REFUSED),
    (3000, "The AI agent you are trying to reach does not exist.", Kind.AGENT_MISCONFIGURED),
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


# The contract: 1008 and 3000 never again, 4300 and 3008 later, the network and 1011 again.
@pytest.mark.parametrize(
    ("code", "retry"),
    [
        *((code, True) for code in (1002, 1006, 1011)),
        *((code, False) for code in (1000, 1008, 3000, 3008, 4300)),
    ],
)
def test_only_what_can_help_is_tried_again(code: int, retry: bool) -> None:
    assert classify_close(code, "").rule.retry is retry


# Error types of the contract, by the code they come with.
@pytest.mark.parametrize(
    ("error_type", "code", "kind"),
    [
        ("invalid_message", 1008, Kind.PROTOCOL),
        ("override_error", 1008, Kind.AGENT_MISCONFIGURED),
        ("missing_dynamic_variable", 1008, Kind.AGENT_MISCONFIGURED),
        ("missing_dynamic_variable_transfer", 1008, Kind.AGENT_MISCONFIGURED),
        ("safety_violation", 1002, Kind.AGENT_FAILED),
        ("llm_timeout", 1002, Kind.AGENT_FAILED),
        ("transport_receive_timeout", 1002, Kind.AGENT_FAILED),
        ("tts_cascade_error", 1002, Kind.AGENT_FAILED),
        ("max_duration_exceeded", 1000, Kind.MAX_DURATION),
        ("unknown_websocket_crash", 1011, Kind.INTERNAL),
    ],
)
def test_an_error_type_is_classified(error_type: str, code: int, kind: Kind) -> None:
    assert classify_close(code, "", error_type).kind is kind


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, Kind.REFUSED),
        (403, Kind.REFUSED),
        (404, Kind.AGENT_MISCONFIGURED),
        (422, Kind.AGENT_MISCONFIGURED),
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
