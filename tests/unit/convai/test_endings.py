import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import kiosk.visit
from kiosk.causes import CAUSES
from kiosk.convai.closing import classify_close, classify_handshake
from kiosk.endings import RULES, Ending, Farewell, Kind, classify_denial
from tests.unit.convai.closes import CLOSES, ERROR_TYPES, HANDSHAKES

SENTENCES = Path(kiosk.visit.__file__).parent / "sentences"


def test_every_kind_has_its_rule() -> None:
    assert set(RULES) == set(Kind)
    assert all(Ending(kind).rule is RULES[kind] for kind in Kind)


@pytest.mark.parametrize("path", sorted(SENTENCES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_rule_has_a_sentence_the_kiosk_can_say(path: Path) -> None:
    sentences = tomllib.loads(path.read_text("utf-8"))
    assert {CAUSES[kind].sentence for kind in Kind} - {None} <= set(sentences)


def test_severities_are_priorities_of_syslog() -> None:
    assert {CAUSES[kind].severity for kind in Kind} <= {3, 4, 5, 6}


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
        assert CAUSES[kind].severity == 3
        assert RULES[kind].retries == 0


def test_the_visitor_hears_nothing_but_silence_after_hanging_up() -> None:
    assert CAUSES[Kind.HUNG_UP].sentence is None
    assert RULES[Kind.HUNG_UP].farewell is Farewell.CUT
    assert RULES[Kind.AGENT_ENDED].farewell is Farewell.FINISH


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


@pytest.mark.parametrize(("status", "kind"), HANDSHAKES)
def test_a_refused_handshake_is_classified(status: int, kind: Kind) -> None:
    ending = classify_handshake(status)
    assert (ending.kind, ending.code) == (kind, status)
    assert str(status) in ending.detail


@pytest.mark.parametrize("status", [401, 403, 404, 422, 429, 503])
def test_a_web_page_instead_of_a_websocket_is_the_networks_and_may_pass(status: int) -> None:
    ending = classify_handshake(status, web_page=True)
    assert (ending.kind, ending.code) == (Kind.UNREACHABLE, status)
    assert ending.rule.retries
    assert "web page" in ending.detail


@given(st.none() | st.integers(0, 65_535), st.text(max_size=400), st.text(max_size=400))
def test_any_close_is_an_ending_with_a_short_detail(
    code: int | None, reason: str, error: str
) -> None:
    ending = classify_close(code, reason, error)
    assert ending.code == code
    assert len(ending.detail) <= 200


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (1011, "task queue overflow", Kind.INTERNAL),
        (1002, "concurrent.futures timeout", Kind.AGENT_FAILED),
        (3000, "The agent Queue Helper appears to be misconfigured", Kind.AGENT_MISCONFIGURED),
        (
            1008,
            "Host quota.museum.org is not allowed to connect to this agent",
            Kind.AGENT_MISCONFIGURED,
        ),
    ],
)
def test_a_word_in_a_name_does_not_decide(code: int, reason: str, kind: Kind) -> None:
    assert classify_close(code, reason).kind is kind


def test_a_reason_is_kept_without_addresses_and_without_what_somebody_said() -> None:
    reason = "refused 'my name is Jane Doe' from wss://api.example.org/x?conversation_signature=c"
    detail = classify_close(1002, reason).detail
    assert detail == "refused '...' from (an address)"
    kept = "Override for field 'first_message' is not allowed by config."
    assert classify_close(1008, kept).detail == kept


@pytest.mark.parametrize(
    ("reason", "kind", "sentence"),
    [
        ("paused", Kind.PAUSED, "paused"),
        ("closed", Kind.CLOSED, "closed"),
        ("no-minutes-left", Kind.NO_MINUTES_LEFT, "no_minutes_left"),
        ("busy", Kind.BUSY, "busy"),
        ("too-many-presses", Kind.TOO_MANY_PRESSES, "too_soon"),
        ("too-many-leases", Kind.TOO_MANY_PRESSES, "too_soon"),
        ("provider-quota", Kind.BUSY, "busy"),
        ("moon-full", Kind.NOT_ADMITTED, "paused"),
        ("unauthorized", Kind.NO_CREDENTIAL, "cannot_reach"),
    ],
)
def test_what_the_backend_refuses_is_said_in_words(reason: str, kind: Kind, sentence: str) -> None:
    ending = classify_denial(reason)
    assert (ending.kind, ending.detail, ending.meaning.sentence) == (kind, reason, sentence)
    assert ending.rule.retries == 0


@pytest.mark.parametrize("reason", ["visit-unknown", "visit-spent", "lease-expired"])
def test_another_lease_may_do(reason: str) -> None:
    assert classify_denial(reason).rule.retries == 1
