from pathlib import Path

import pytest
from pydantic import ValidationError

from kiosk.backend.settings import (
    PREFIX,
    BackendSettings,
    load_settings,
    read_api_key,
    read_llm_secrets,
    require_agent,
)
from kiosk.errors import ConfigError

from .conftest import API_KEY


def test_the_defaults_are_local_and_complete() -> None:
    settings = load_settings()
    assert (settings.host, settings.port) == ("127.0.0.1", 8080)
    assert settings.provider_url == "https://api.elevenlabs.io"
    assert settings.database_url.database == "kiosk-backend.db"
    assert settings.include_conversation_id


def test_under_systemd_the_database_lies_in_the_state_directory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/kiosk-backend:/var/lib/other")
    assert load_settings().database == "sqlite:////var/lib/kiosk-backend/kiosk-backend.db"
    assert load_settings().database_url.database == "/var/lib/kiosk-backend/kiosk-backend.db"


def test_the_command_line_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREFIX + "PORT", "1")
    monkeypatch.setenv(PREFIX + "HOST", "::1")
    settings = load_settings({"port": "2", "host": None})
    assert (settings.port, settings.host) == (2, "::1")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "eighty"),
        ("PORT", "65536"),
        ("HOST", ""),
        ("DATABASE", "mysql://db/kiosk"),
        ("DATABASE", "postgresql://db"),
        ("DATABASE", "postgresql://me:pw@db/kiosk"),
        ("DATABASE", "sqlite://"),
        ("DATABASE", "sqlite:///:memory:"),
        ("PROVIDER_URL", "api.elevenlabs.io"),
        ("PROVIDER_URL", "http://[broken"),
        ("PROVIDER_URL", "https://me:pw@api.elevenlabs.io"),
        ("AGENT_ID", "agent lobby"),
        ("INCLUDE_CONVERSATION_ID", "maybe"),
    ],
)
def test_a_bad_variable_is_named_and_not_quoted(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(ConfigError, match=rf"^{PREFIX}{name}: ") as caught:
        load_settings()
    assert caught.value.exit_code == 78
    assert caught.value.__cause__ is None
    assert "pw" not in str(caught.value)


def test_a_bad_option_is_named_as_the_option() -> None:
    with pytest.raises(ConfigError, match=r"^--provider-url: "):
        load_settings({"provider_url": "ftp://x"})


@pytest.mark.parametrize("name", ["API_KEY", "PROT"])
def test_an_unknown_variable_is_named_and_its_value_is_not(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(PREFIX + name, API_KEY)
    with pytest.raises(ConfigError, match=PREFIX + name) as caught:
        load_settings()
    assert API_KEY not in str(caught.value)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        load_settings().port = 1
    with pytest.raises(ConfigError, match="unknown"):
        load_settings({"unknown": 1})


def test_the_key_comes_from_systemds_credential_or_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "elevenlabs-api-key").write_text(API_KEY + "\n")
    (tmp_path / "other").write_text("sk_other")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    key = read_api_key(BackendSettings())
    assert key.get_secret_value() == API_KEY
    assert API_KEY not in repr(key) + str(key)
    named = BackendSettings(api_key_file=tmp_path / "other")
    assert read_api_key(named).get_secret_value() == "sk_other"


def test_a_missing_key_names_both_ways_to_give_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = r"elevenlabs-api-key.*KIOSK_BACKEND_API_KEY_FILE"
    with pytest.raises(ConfigError, match=expected):
        read_api_key(BackendSettings())
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(ConfigError, match=expected):
        read_api_key(BackendSettings())
    with pytest.raises(ConfigError, match="nowhere: No such file"):
        read_api_key(BackendSettings(api_key_file=tmp_path / "nowhere"))


def test_the_secrets_of_a_custom_llm_may_be_two_or_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert read_llm_secrets(BackendSettings()) == []
    (tmp_path / "llm-secret").write_text("new\nold\n")
    (tmp_path / "other").write_text("another")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    both = read_llm_secrets(BackendSettings())
    assert [secret.get_secret_value() for secret in both] == ["new", "old"]
    (only,) = read_llm_secrets(BackendSettings(llm_secret_file=tmp_path / "other"))
    assert only.get_secret_value() == "another"
    (tmp_path / "other").write_text("\n")
    with pytest.raises(ConfigError, match="other does not hold a custom LLM's secrets"):
        read_llm_secrets(BackendSettings(llm_secret_file=tmp_path / "other"))


@pytest.mark.parametrize("content", [b"", b" \n", b"sk_one\nsk_two", b"sk_\xc3\xa4", b"a\x00b"])
def test_a_file_that_holds_no_key_is_named_and_not_quoted(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="does not hold an API key") as caught:
        read_api_key(BackendSettings(api_key_file=path))
    assert "sk_" not in str(caught.value)


def test_a_missing_agent_names_the_setting() -> None:
    with pytest.raises(ConfigError, match="KIOSK_BACKEND_AGENT_ID"):
        require_agent(BackendSettings())
