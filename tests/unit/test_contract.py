import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.contract import (
    CONVERSATION_TOKEN_LIFE_S,
    MAX_LIFE_S,
    SIGNED_URL_LIFE_S,
    Grant,
    GrantError,
    read_grant,
    write_grant,
)

URL = "wss://api.elevenlabs.io/v1/convai/conversation?agent_id=a&conversation_signature=c+s/="

lives = st.floats(0.001, MAX_LIFE_S)
ids = st.none() | st.from_regex(r"conv_[A-Za-z0-9]{1,8}", fullmatch=True)
grants = st.one_of(
    st.builds(Grant, lives, st.just(URL), st.none(), ids, st.just(True)),
    st.builds(Grant, lives, st.none(), st.text(min_size=1), ids, st.just(True)),
    st.builds(Grant, lives, st.just(URL), st.none(), ids, st.just(False)),
)


@given(grants)
def test_what_the_backend_writes_the_kiosk_reads(grant: Grant) -> None:
    assert read_grant(json.loads(json.dumps(write_grant(grant)))) == grant


@pytest.mark.parametrize("name", ["signed_url", "signedUrl"])
def test_a_signed_url_alone_is_a_grant(name: str) -> None:
    assert read_grant({name: URL}) == Grant(SIGNED_URL_LIFE_S, signed_url=URL)


@pytest.mark.parametrize("visit_id", ["", "..", "a/b", "\ud800", "x" * 65, 7, None])
def test_a_visit_that_cannot_be_named_in_a_path_has_no_account(visit_id: object) -> None:
    assert read_grant({"signed_url": URL, "visit_id": visit_id}).visit_id is None


def test_the_url_is_opaque() -> None:
    assert read_grant({"signed_url": URL}).signed_url == URL


def test_a_conversation_token_is_a_grant_for_one_conversation() -> None:
    body = {"conversation_token": "jwt", "conversation_id": "conv_1", "expires_in": 600}
    assert read_grant(body) == Grant(
        600, conversation_token="jwt", conversation_id="conv_1", single_use=True
    )
    assert read_grant({"token": "jwt"}).life_s == CONVERSATION_TOKEN_LIFE_S


def test_a_url_that_names_its_conversation_is_for_single_use() -> None:
    assert read_grant({"signed_url": URL + "&conversation_id=conv_1"}).single_use
    assert not read_grant({"signed_url": URL}).single_use
    assert read_grant({"signed_url": URL, "single_use": True}).single_use


def test_the_url_is_preferred_to_the_token() -> None:
    grant = read_grant({"signed_url": URL, "conversation_token": "jwt"})
    assert (grant.signed_url, grant.conversation_token) == (URL, None)


@pytest.mark.parametrize("name", ["expires_in", "expiresIn"])
@pytest.mark.parametrize(
    ("value", "life_s"),
    [
        (60, 60.0),
        (0.5, 0.5),
        (0, SIGNED_URL_LIFE_S),
        (-5, SIGNED_URL_LIFE_S),
        (True, SIGNED_URL_LIFE_S),
        ("60", SIGNED_URL_LIFE_S),
        (None, SIGNED_URL_LIFE_S),
        (float("nan"), SIGNED_URL_LIFE_S),
        (MAX_LIFE_S, MAX_LIFE_S),
    ],
)
def test_a_life_is_a_sane_number_of_seconds(name: str, value: object, life_s: float) -> None:
    assert read_grant({"signed_url": URL, name: value}).life_s == life_s


@pytest.mark.parametrize("value", [float("inf"), 10**400, 1_795_000_000])
def test_a_life_of_more_than_a_day_is_a_mistake_and_named(value: float) -> None:
    with pytest.raises(GrantError, match="expires_in"):
        read_grant({"signed_url": URL, "expires_in": value})


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "wss://x",
        7,
        {},
        {"signed_url": None},
        {"signed_url": ""},
        {"signed_url": 7},
        {"signed_url": "https://x"},
        {"signed_url": " wss://x"},
        {"error": "no"},
    ],
)
def test_what_is_no_grant_is_refused(body: object) -> None:
    with pytest.raises(GrantError):
        read_grant(body)


def test_a_refusal_never_quotes_a_value() -> None:
    with pytest.raises(GrantError) as caught:
        read_grant({"signed_url": "http://s3cret"})
    assert "s3cret" not in str(caught.value)


@given(grants)
def test_a_secret_is_never_shown(grant: Grant) -> None:
    assert repr(grant) == repr(
        Grant(
            grant.life_s,
            None if grant.signed_url is None else "another",
            None if grant.conversation_token is None else "another",
            grant.conversation_id,
            grant.single_use,
        )
    )


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.dictionaries(
                st.sampled_from(["signed_url", "token", "expires_in", "conversation_id", "x"]),
                inner,
            )
            | st.lists(inner, max_size=3)
        ),
        max_leaves=5,
    )
)
def test_any_json_is_a_grant_or_refused(body: object) -> None:
    try:
        grant = read_grant(body)
    except GrantError:
        return
    assert 0 < grant.life_s <= MAX_LIFE_S
    assert (grant.signed_url is None) != (grant.conversation_token is None)


def test_of_both_credentials_that_of_the_wanted_road_counts() -> None:
    body = {"signed_url": URL, "conversation_token": "jwt"}
    assert read_grant(body, "webrtc") == Grant(
        CONVERSATION_TOKEN_LIFE_S, conversation_token="jwt", single_use=True
    )
    assert read_grant({"signed_url": URL}, "webrtc").signed_url == URL
