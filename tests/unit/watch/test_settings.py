"""The watcher's file: checked, and its mistakes explained."""

from pathlib import Path

import pytest

from kiosk.cli import main
from kiosk.errors import ConfigError
from kiosk.watch.settings import (
    RULES,
    WEBHOOK_CREDENTIAL,
    WatchSettings,
    load_watch_settings,
    secret,
    state_file,
)

DOCUMENTED = """
[watch]
journal = "/var/log/journal/remote"
state_file = "/tmp/state.json"
kiosks = ["lobby", "shop"]
silent_minutes = 15
calm_minutes = 15
poll_s = 2
[visits]
of = 20
lost_percent = 10
spoilt_percent = 30
answer_p95_ms = 3000
[[rule]]
cause = "microphone_lost"
message = "device_lost"
priority = 3
count = 1
within_minutes = 10
after_minutes = 0
[email]
host = "mail.example.org"
port = 587
tls = "starttls"
user = "kiosks"
password_file = "/etc/password"
sender = "kiosks@example.org"
to = ["operators@example.org"]
[webhook]
url_file = "/etc/webhook"
"""


def loaded(directory: Path, text: str) -> WatchSettings:
    path = directory / "watch.toml"
    path.write_text(text, encoding="utf-8")
    return load_watch_settings(path)


def test_every_documented_key_is_a_setting(tmp_path: Path) -> None:
    settings = loaded(tmp_path, DOCUMENTED)
    assert settings.watch.kiosks == ("lobby", "shop")
    import kiosk.watch.settings as documented

    keys = [line.split(" = ")[0] for line in DOCUMENTED.splitlines() if " = " in line]
    assert documented.__doc__ is not None
    assert [key for key in keys if f"    {key} = " not in documented.__doc__] == []
    assert {*WatchSettings.model_fields} == {"watch", "visits", "rule", "email", "webhook"}


def test_a_webhook_alone_is_enough(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "[webhook]\n")
    assert (settings.rule, settings.email) == (RULES, None)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "nobody hears of an alert"),
        ("[webhook]\nurl = 1\n", "line 2: webhook.url: no such setting"),
        ("[webhook]\n[watch]\npoll_s = 0\n", "line 3: watch.poll_s"),
        ("[webhook]\n[[rule]]\npriority = 3\n[[rule]]\npriority = 9\n", "line 5: rule.1.priority"),
        ("[webhook]\n[[rule]]\ncause = 'mice'\n", "line 2: rule.0: cause: 'mice' is none of"),
        ("[webhook]\n[[rule]]\nmessage = 'mice'\n", "line 2: rule.0: message: 'mice' is none of"),
        ("[webhook]\n[[rule]]\ncount = 3\n", "line 2: rule.0: a rule needs"),
        ("[email]\nhost = 'm'\nsender = 'a@b'\nto = []\n", "line 4: email.to"),
        ("[email]\nhost = 'm'\nsender = 'a@b\\nBcc: c@d'\nto = ['a@b']\n", "line 3: email.sender"),
        ("[webhook]\n[watch]\nkiosks = ['a b']\n", "line 3: watch.kiosks.0"),
        ("webhook", "watch.toml"),
    ],
)
def test_a_mistake_is_told_with_its_key_and_line(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as refused:
        loaded(tmp_path, text)
    assert complaint in str(refused.value)


def test_a_secret_comes_from_its_file_or_from_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(ConfigError, match="LoadCredentialEncrypted=watch-webhook-url"):
        secret(None, WEBHOOK_CREDENTIAL, "webhook.url_file")
    (tmp_path / WEBHOOK_CREDENTIAL).write_text("https://hook\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert secret(None, WEBHOOK_CREDENTIAL, "webhook.url_file") == "https://hook"
    with pytest.raises(ConfigError, match="cannot read"):
        secret(tmp_path / "none", WEBHOOK_CREDENTIAL, "webhook.url_file")
    (tmp_path / "empty").touch()
    with pytest.raises(ConfigError, match="one line"):
        secret(tmp_path / "empty", WEBHOOK_CREDENTIAL, "webhook.url_file")


def test_the_state_is_kept_where_the_service_may_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = loaded(tmp_path, "[webhook]\n")
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    with pytest.raises(ConfigError, match=r"watch\.state_file"):
        state_file(settings)
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/kiosk-watch")
    assert state_file(settings) == Path("/var/lib/kiosk-watch/state.json")


def test_check_prints_the_effective_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "watch.toml"
    path.write_text("[webhook]\n")
    assert main(["watch", "--check", "--config", str(path)]) == 0
    assert WatchSettings.model_validate_json(capsys.readouterr().out).watch.silent_minutes == 15
    path.write_text("[webhooks]\n")
    assert main(["watch", "--check", "--config", str(path)]) == 78
    assert "line 1: webhooks" in capsys.readouterr().err
