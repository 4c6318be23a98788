"""Whom the webhook believes, and what it reads."""

import base64
import copy
import hashlib
import hmac
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from kiosk.backend.provider.webhooks import (
    MAX_HEADER_LENGTH,
    CallInitiationFailure,
    PostCallAudio,
    PostCallTranscription,
    Signature,
    SignatureError,
    SignatureReason,
    TranscriptTurn,
    UnknownEvent,
    WebhookError,
    is_audio,
    read_event,
)

SENT = 1_763_730_000
NOW = datetime.fromtimestamp(SENT, UTC)
SECRET = SecretStr("wsec_0123456789abcdef")
NEXT = SecretStr("wsec_fedcba9876543210")
STRANGE = SecretStr("wsec_of_somebody_else")
TOLERANCE = timedelta(seconds=1800)

EVENT: dict[str, Any] = {
    "type": "post_call_transcription",
    "event_timestamp": SENT,
    "data": {
        "agent_id": "agent_lobby",
        "conversation_id": "conv_01k9",
        "status": "done",
        "user_id": None,
        "transcript": [
            {"role": "agent", "message": "Grüß Gott!", "time_in_call_secs": 0},
            {"role": "agent", "message": None, "tool_calls": [{}], "time_in_call_secs": 2},
            {"role": "user", "message": "Where is the cloakroom?", "time_in_call_secs": 4},
        ],
        "metadata": {
            "start_time_unix_secs": SENT - 60,
            "call_duration_secs": 22,
            "cost": 296,
            "termination_reason": "Client disconnected",
        },
        "conversation_initiation_client_data": {
            "dynamic_variables": {"visit": "v-1", "secret__door": "1234", "floor": 2, "deep": []}
        },
    },
}
BODY = json.dumps(EVENT).encode()


def signature(body: bytes, secret: SecretStr = SECRET, sent: object = SENT) -> str:
    """Written against the provider's description, with nothing of the verifier's."""
    message = str(sent).encode() + bytes([0x2E]) + body
    return hmac.new(secret.get_secret_value().encode(), message, hashlib.sha256).hexdigest()


def header(body: bytes, *secrets: SecretStr, sent: object = SENT) -> str:
    signed = [f"v0={signature(body, secret, sent)}" for secret in secrets or (SECRET,)]
    return ",".join([f"t={sent}", *signed])


def reason(
    sent: str, body: bytes = BODY, secrets: tuple[SecretStr, ...] = (SECRET,), now: datetime = NOW
) -> SignatureReason | None:
    try:
        signature = Signature(sent, secrets, now)
        for part in (body[:7], body[7:]):  # as it comes
            signature.update(part)
        signature.verify()
    except SignatureError as error:
        return error.reason
    return None


def with_data(**changes: object) -> bytes:
    return json.dumps({**EVENT, "data": {**EVENT["data"], **changes}}).encode()


def with_metadata(**changes: object) -> bytes:
    return with_data(metadata={**EVENT["data"]["metadata"], **changes})


def test_a_fixed_vector() -> None:
    # echo -n '1700000000.{"type":"ping"}' | openssl dgst -sha256 -hmac wsec_test
    known = "690c92e704d02e6ba1a90bd49ddd4fb14b0de37396d4dc91148a940ac89d5697"
    sent = f"t=1700000000,v0={known}"
    now = datetime.fromtimestamp(1_700_000_000, UTC)
    assert reason(sent, b'{"type":"ping"}', (SecretStr("wsec_test"),), now) is None
    assert reason(sent, b'{"type":"pong"}', (SecretStr("wsec_test"),), now) == "mismatch"


def test_what_is_signed_verifies() -> None:
    assert reason(header(BODY)) is None
    assert reason(header(b""), b"") is None
    assert reason(header(b"\xff\x00"), b"\xff\x00") is None
    assert reason(header(BODY).replace(",", " , ")) is None  # as a proxy joins lines
    assert reason("v1=later," + header(BODY)) is None


def test_secrets_rotate_on_either_side() -> None:
    assert reason(header(BODY, NEXT), secrets=(SECRET, NEXT)) is None
    assert reason(header(BODY, SECRET), secrets=(SECRET, NEXT)) is None
    assert reason(header(BODY, NEXT, SECRET), secrets=(SECRET,)) is None
    assert reason(header(BODY, STRANGE, NEXT), secrets=(SECRET, NEXT)) is None
    assert reason(header(BODY, STRANGE), secrets=(SECRET, NEXT)) == "mismatch"
    assert reason(header(BODY, SECRET), secrets=(NEXT,)) == "mismatch"


def test_an_empty_secret_signs_nothing() -> None:
    empty = SecretStr("")
    assert reason(header(BODY, empty), secrets=(empty,)) == "no-secret"
    assert reason(header(BODY, empty), secrets=(empty, SECRET)) == "mismatch"
    assert reason(header(BODY), secrets=()) == "no-secret"


@pytest.mark.parametrize(
    ("late", "expected"),
    [
        (TOLERANCE, None),
        (-TOLERANCE, None),
        (TOLERANCE + timedelta(microseconds=1), "too-old"),
        (-TOLERANCE - timedelta(microseconds=1), "too-new"),
        (timedelta(days=400), "too-old"),
        (timedelta(days=-400), "too-new"),
    ],
)
def test_a_replay_is_as_good_as_its_age(late: timedelta, expected: str | None) -> None:
    assert reason(header(BODY), now=NOW + late) == expected


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("", "missing"),
        ("a" * (MAX_HEADER_LENGTH + 1), "too-long"),
        (header(BODY) + ",v1=" + "0" * MAX_HEADER_LENGTH, "too-long"),
        (",", "malformed"),
        (f"t={SENT}", "malformed"),
        (f"v0={signature(BODY)}", "malformed"),
        (f"t=,v0={signature(BODY)}", "malformed"),
        (f"t={SENT},v0=", "malformed"),
        (f"t={SENT},{header(BODY)}", "malformed"),  # which time is meant?
        (header(BODY).upper(), "malformed"),
        (f"t={SENT},v0={signature(BODY).upper()}", "malformed"),
        (f"t={SENT},v0={signature(BODY)[:-1]}", "malformed"),
        (f"t={SENT},v0={signature(BODY)}\n", "malformed"),
        (f"t={SENT},v1={signature(BODY)}", "malformed"),
        (f"t=+{SENT},v0={signature(BODY, sent=f'+{SENT}')}", "malformed"),
        (f"t=-1,v0={signature(BODY, sent=-1)}", "malformed"),
        (f"t={SENT}.0,v0={signature(BODY, sent=f'{SENT}.0')}", "malformed"),
        (f"t=1_7,v0={signature(BODY, sent='1_7')}", "malformed"),
        (f"t={'9' * 12},v0={signature(BODY, sent='9' * 12)}", "too-new"),
        (f"t={'9' * 13},v0={signature(BODY, sent='9' * 13)}", "malformed"),
        (f"t=٣٣,v0={signature(BODY, sent='٣٣')}", "malformed"),  # int() would read it
        (f"t={SENT},v0={'٣' * 64}", "malformed"),
        ("\ud800", "malformed"),
    ],
)
def test_a_header_that_cannot_be_believed(sent: str, expected: str) -> None:
    assert reason(sent) == expected


@given(st.text(max_size=MAX_HEADER_LENGTH + 10))
def test_whatever_the_header_is_nothing_else_is_raised(sent: str) -> None:
    assert reason(sent) is not None
    assert reason(f"t={SENT},v0={sent}") is not None
    assert reason(f"t={sent},v0={signature(BODY)}") is not None


Request = tuple[str, bytes]


def _flip_header(sent: str, body: bytes, chance: random.Random) -> Request:
    at = chance.randrange(len(sent))
    return sent[:at] + chr(ord(sent[at]) ^ 1 << chance.randrange(8)) + sent[at + 1 :], body


def _flip_body(sent: str, body: bytes, chance: random.Random) -> Request:
    changed = bytearray(body)
    changed[chance.randrange(len(body))] ^= 1 << chance.randrange(8)
    return sent, bytes(changed)


def _truncate(sent: str, body: bytes, chance: random.Random) -> Request:
    if chance.random() < 0.5:
        return sent[: chance.randrange(len(sent))], body
    return sent, body[: chance.randrange(len(body))]


def _insert(sent: str, body: bytes, chance: random.Random) -> Request:
    if chance.random() < 0.5:
        at, extra = chance.randrange(len(sent) + 1), chance.choice(" \t\n,=;.0tv٣²\x00\ud800")
        return sent[:at] + extra + sent[at:], body
    at = chance.randrange(len(body) + 1)
    return sent, body[:at] + chance.randbytes(chance.randint(1, 4)) + body[at:]


def _change_case(sent: str, body: bytes, chance: random.Random) -> Request:
    return "".join(c.upper() if chance.random() < 0.1 else c for c in sent), body


def _rearrange(sent: str, body: bytes, chance: random.Random) -> Request:
    """Parts doubled, left out, in another order, with spaces or strange parts between."""
    parts = sent.split(",")
    parts = [part for part in parts for _ in range(chance.choice((0, 1, 1, 1, 1, 2)))]
    if chance.random() < 0.3:
        parts.append(chance.choice(("", "v1=x", f"v0={'0' * 64}", "t=1", "T=1", f"t={SENT}")))
    chance.shuffle(parts)
    return chance.choice((",", ", ", " ,\t", ";", ",,")).join(parts), body


def _retime(sent: str, body: bytes, chance: random.Random) -> Request:
    digits = str(SENT).translate({0x30 + digit: 0x0660 + digit for digit in range(10)})
    times = (
        str(SENT + chance.randint(-2000, 2000)),
        str(10 ** chance.randint(9, 400)),
        f"0{SENT}",
        f"-{SENT}",
        f"{SENT}.0",
        f"{SENT}e0",
        digits,
        "NaN",
        "inf",
        "",
    )
    return sent.replace(f"t={SENT}", f"t={chance.choice(times)}"), body


def _resign(sent: str, body: bytes, chance: random.Random) -> Request:
    """Signed well, by somebody else or for something else."""
    forged = chance.choice(
        (
            signature(body, STRANGE),
            signature(body, sent=SENT + 1),
            signature(body + b" "),
            signature(body, SecretStr("")),
            hashlib.sha256(body).hexdigest(),
            "",
        )
    )
    return f"t={SENT},v0={forged}", body


def _shift(_sent: str, body: bytes, chance: random.Random) -> Request:
    """The point between time and body, moved: what is signed stays the same text."""
    cut = chance.randint(1, 9)
    time, moved = str(SENT)[:cut], str(SENT)[cut:].encode() + b"."
    return f"t={time},v0={signature(body)}", moved + body


def _empty(sent: str, body: bytes, chance: random.Random) -> Request:
    return chance.choice((("", body), (sent, b""), ("", b""), (" ", body), ("t=,v0=", body)))


MUTATIONS: tuple[Callable[[str, bytes, random.Random], Request], ...] = (
    _flip_header,
    _flip_body,
    _truncate,
    _insert,
    _change_case,
    _rearrange,
    _retime,
    _resign,
    _shift,
    _empty,
)


def equivalent(sent: str, body: bytes) -> bool:
    """Whether time, signature and body are what the provider sent, whatever else there is."""
    parts = [part.strip(" \t") for part in sent.split(",")]
    times = [part for part in parts if part.startswith("t=")]
    return body == BODY and times == [f"t={SENT}"] and f"v0={signature(BODY)}" in parts


def test_ten_thousand_mutated_requests() -> None:
    chance = random.Random(20261121)
    original = header(BODY, STRANGE, SECRET)  # while the provider's secret is replaced
    verified = unread = 0
    for number in range(10_000):
        mutate = MUTATIONS[number % len(MUTATIONS)]
        sent, body = mutate(original, BODY, chance)
        if chance.random() < 0.2:
            sent, body = chance.choice(MUTATIONS)(sent or original, body or BODY, chance)
        if reason(sent, body) is None:
            verified += 1
            assert equivalent(sent, body), (mutate, sent)
        try:
            read_event(body)
        except WebhookError:
            unread += 1
    # Some stay as they were: the ones refused are not refused for nothing.
    assert 100 < verified < 2000
    assert unread > 1000


def test_a_conversation_is_read() -> None:
    event = read_event(BODY)
    assert event == PostCallTranscription(
        conversation_id="conv_01k9",
        agent_id="agent_lobby",
        status="done",
        duration_s=22.0,
        cost=296.0,
        termination_reason="Client disconnected",
        started_at=NOW - timedelta(seconds=60),
        transcript=(
            TranscriptTurn("agent", "Grüß Gott!"),
            TranscriptTurn("user", "Where is the cloakroom?"),
        ),
        dynamic_variables={"visit": "v-1"},
    )
    assert "cloakroom" not in repr(event)
    assert "v-1" not in repr(event)


def test_the_least_that_a_conversation_is() -> None:
    least = copy.deepcopy(EVENT)
    del least["data"]["transcript"], least["data"]["conversation_initiation_client_data"]
    del least["data"]["metadata"]["cost"], least["data"]["metadata"]["termination_reason"]
    event = read_event(json.dumps(least).encode())
    assert isinstance(event, PostCallTranscription)
    assert (event.cost, event.termination_reason, event.transcript) == (None, None, None)
    assert event.dynamic_variables == {}


@pytest.mark.parametrize("variables", [None, [], "text", {"a": {"b": "c"}}, {"secret__": "x"}])
def test_variables_of_another_shape_are_none(variables: object) -> None:
    event = read_event(
        with_data(conversation_initiation_client_data={"dynamic_variables": variables})
    )
    assert isinstance(event, PostCallTranscription)
    assert event.dynamic_variables == {}


def test_a_long_reason_is_cut() -> None:
    event = read_event(with_metadata(termination_reason="x" * 10_000))
    assert isinstance(event, PostCallTranscription)
    assert event.termination_reason == "x" * 256


def test_audio_is_never_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(base64, "b64decode")
    data = {"agent_id": "a", "conversation_id": "conv_1", "full_audio": "not base64 !"}
    body = json.dumps({"type": "post_call_audio", "data": data}).encode()
    assert read_event(body) == PostCallAudio("conv_1")


@pytest.mark.parametrize(
    ("beginning", "is_one"),
    [
        (b'{"type":"post_call_audio","data":{"full_audio":"AAAA', True),
        (b' {"event_timestamp": 1,\n "type" : "post_call_audio", "data": {"a": "\xc3', True),
        (b'{"type":"post_call_audi', False),
        (b'{"type":"post_call_transcription","data":{"type":"post_call_audio"', False),
        (b'{"data":{"type":"post_call_audio",', False),
        (b'["post_call_audio", {"type": "post_call_audio"}', False),
        (b"[" * 4096, False),
        (b"\xff\xfe\x00", False),
        (b"", False),
    ],
)
def test_a_recording_is_known_by_its_beginning(beginning: bytes, is_one: bool) -> None:
    assert is_audio(beginning) == is_one


def test_a_call_that_failed() -> None:
    data = {"conversation_id": "conv_1", "failure_reason": "no-answer", "metadata": {}}
    body = json.dumps({"type": "call_initiation_failure", "data": data}).encode()
    assert read_event(body) == CallInitiationFailure("conv_1", "no-answer")


@pytest.mark.parametrize("rest", [{}, {"data": None}, {"data": []}, {"data": {"x": 1}}])
def test_another_kind_of_event_is_no_error(rest: dict[str, object]) -> None:
    body = json.dumps({"type": "answering_machine_detection", **rest}).encode()
    assert read_event(body) == UnknownEvent("answering_machine_detection")


NUMBERS: tuple[object, ...] = (
    True,
    "12",
    float("nan"),
    float("inf"),
    float("-inf"),
    -1,
    10**10,
    10**30,
    10**400,
    [],
    1e300,
)


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: repr(number)[:8])
def test_a_length_that_cannot_be(number: object) -> None:
    with pytest.raises(WebhookError) as caught:
        read_event(with_metadata(call_duration_secs=number))
    assert str(caught.value) == "the webhook's data.metadata.call_duration_secs cannot be used"


@pytest.mark.parametrize("number", [*NUMBERS, {"fiat": 1}], ids=lambda number: repr(number)[:8])
def test_a_cost_that_cannot_be_costs_no_delivery(number: object) -> None:
    event = read_event(with_metadata(cost=number))
    assert isinstance(event, PostCallTranscription)
    assert (event.cost, event.duration_s) == (None, 22.0)


@pytest.mark.parametrize("moment", [None, True, "1", -1, 253_402_300_800, 10**400, float("nan")])
def test_a_moment_that_cannot_be_costs_no_delivery(moment: object) -> None:
    event = read_event(with_metadata(start_time_unix_secs=moment))
    assert isinstance(event, PostCallTranscription)
    assert event.started_at is None


@pytest.mark.parametrize(("moment", "year"), [(253_402_300_799, 9999), (1_763_730_000.5, 2025)])
def test_the_last_moment_is_one_and_so_is_half_a_second(moment: float, year: int) -> None:
    event = read_event(with_metadata(start_time_unix_secs=moment))
    assert isinstance(event, PostCallTranscription)
    assert event.started_at is not None
    assert event.started_at.year == year


@pytest.mark.parametrize(
    ("odd", "turns"),
    [
        ({"agent_id": "an agent/"}, 2),
        ({"agent_id": None}, 2),
        ({"transcript": {"a": 1}}, None),
        ({"transcript": [{}, 7, {"role": "user", "message": ["a"]}]}, 0),
        ({"transcript": [{}, {"role": "user", "message": "Hello"}]}, 1),
        ({"conversation_initiation_client_data": "text"}, 2),
        ({"metadata": {"call_duration_secs": 22, "termination_reason": 7}}, 2),
        ({"status": "Done"}, 2),
    ],
)
def test_what_is_odd_and_not_needed_costs_no_delivery(
    odd: dict[str, object], turns: int | None
) -> None:
    event = read_event(with_data(**odd))
    assert isinstance(event, PostCallTranscription)
    assert (event.conversation_id, event.duration_s) == ("conv_01k9", 22.0)
    assert (None if event.transcript is None else len(event.transcript)) == turns


def test_half_a_character_costs_no_delivery() -> None:
    said = {"role": "user", "message": "a \ud83d whale \U0001f40b"}
    event = read_event(with_data(transcript=[said]))
    assert isinstance(event, PostCallTranscription)
    assert event.transcript == (TranscriptTurn("user", "a \ufffd whale \U0001f40b"),)
    kind = json.dumps({"type": "Voice_Removed", "data": {}}).encode()
    assert read_event(kind) == UnknownEvent("Voice_Removed")


MARK = "Sesame-4711"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "body is not a JSON object"),
        (b"\xff\xfe", "body is not a JSON object"),
        (f'["{MARK}"]'.encode(), "body is not a JSON object"),
        (b"[" * 100_000, "body is not a JSON object"),
        (b'{"a":' * 100_000, "body is not a JSON object"),
        (b'{"type":' + b"1" * 10_000 + b"}", "body is not a JSON object"),
        (f'{{"{MARK}": 1}}'.encode(), "type is missing"),
        (f'{{"type": "{MARK} !"}}'.encode(), "type cannot be used"),
        (b'{"type": ["post_call_audio"]}', "type cannot be used"),
        (b'{"type": "post_call_audio"}', "data is missing"),
        (f'{{"type": "post_call_audio", "data": "{MARK}"}}'.encode(), "data cannot be used"),
        (b'{"type": "post_call_audio", "data": {}}', "data.conversation_id is missing"),
        (with_data(conversation_id=f"../{MARK}"), "data.conversation_id cannot be used"),
        (with_data(conversation_id="conv_1\n"), "data.conversation_id cannot be used"),
        (with_data(conversation_id="c" * 129), "data.conversation_id cannot be used"),
        (with_data(conversation_id=""), "data.conversation_id cannot be used"),
        (with_data(conversation_id=None), "data.conversation_id cannot be used"),
        (with_data(status=f"{MARK} "), "data.status cannot be used"),
        (with_data(metadata={}), "data.metadata.call_duration_secs is missing"),
        (with_data(metadata=MARK), "data.metadata cannot be used"),
    ],
)
def test_what_is_wrong_is_named_and_not_quoted(body: bytes, expected: str) -> None:
    with pytest.raises(WebhookError) as caught:
        read_event(body)
    assert str(caught.value) == f"the webhook's {expected}"
    assert MARK not in repr(caught.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(
    st.sampled_from(("post_call_transcription", "post_call_audio", "call_initiation_failure")),
    st.dictionaries(st.sampled_from((*EVENT["data"], "failure_reason")), json_values, min_size=1),
)
def test_whatever_the_data_is_nothing_else_is_raised(kind: str, data: dict[str, object]) -> None:
    body = json.dumps({"type": kind, "data": {**EVENT["data"], **data}}).encode()
    try:
        event = read_event(body)
    except WebhookError:
        return
    assert not isinstance(event, UnknownEvent)
