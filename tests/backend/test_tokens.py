from hypothesis import example, given
from hypothesis import strategies as st

from kiosk.backend.tokens import DeviceToken


def test_a_new_token_is_read_back_as_itself() -> None:
    token = DeviceToken.new()
    assert DeviceToken.parse(token.reveal()) == token
    assert DeviceToken.bearer(f"Bearer {token.reveal()}") == token
    assert DeviceToken.bearer(f"bearer   {token.reveal()}") == token


def test_the_secret_has_256_bits_and_is_never_repeated() -> None:
    tokens = [DeviceToken.new() for _ in range(100)]
    assert all(len(bytes.fromhex(token.secret)) == 32 for token in tokens)
    assert len({token.secret for token in tokens}) == 100


def test_only_the_same_secret_matches_a_digest() -> None:
    token = DeviceToken.new()
    assert token.matches(token.digest())
    assert not DeviceToken.new().matches(token.digest())
    assert not DeviceToken(token.credential_id, token.secret[:-1] + "g").matches(token.digest())


def test_neither_repr_nor_digest_shows_the_secret() -> None:
    token = DeviceToken.new()
    assert token.secret not in repr(token) + str(token) + token.digest()


@given(st.text())
@example("kdk_")
@example("kdk__")
@example("kdk_" + "0" * 16 + "_" + "0" * 63)
@example("kdk_" + "0" * 16 + "_" + "0" * 64 + "\n")
@example("kdk_" + "\u0660" * 16 + "_" + "0" * 64)
def test_junk_is_no_token_and_no_exception(text: str) -> None:
    assert DeviceToken.parse(text) is None
    assert DeviceToken.bearer(text) is None
    assert DeviceToken.bearer("Bearer " + text) is None


@given(st.text(alphabet="kdk_0123456789abcdefABCDEF", max_size=100))
def test_whatever_parses_is_written_the_same_again(text: str) -> None:
    token = DeviceToken.parse(text)
    assert token is None or token.reveal() == text
