"""`kiosk check` gives a verdict, and the settings that are not the usual ones."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from kiosk.cli import main
from kiosk.config.loading import load_settings
from kiosk.config.tables import Settings
from kiosk.config.written import as_toml

TOML = """
[agent]
id = "a"
custom_llm_extra_body = {tools = [{function = [{name = "x"}]}, {function = {name = "y"}}]}
overrides = {agent = {first_message = "Say \\"hello\\"."}, tts = {speed = 1.1}}
[agent.variables]
"a b" = ["x", 1, true]
floor = 2
[credentials]
mode = "public"
[capture]
device = "plughw:CARD=Device,DEV=0"
[[keys]]
pin = 5
language = "de"
[[keys]]
pin = 6
language = "fr"
[visit]
disclosure = false
max_s = 300
"""


def read(path: Path, text: str) -> Settings:
    path.write_text(text, encoding="utf-8")
    return load_settings(path)


def without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_none(it) for key, it in value.items() if it is not None}
    return [without_none(it) for it in value] if isinstance(value, list) else value


@pytest.mark.parametrize("full", [False, True])
def test_what_is_written_brings_the_same_settings_about(tmp_path: Path, *, full: bool) -> None:
    settings = read(tmp_path / "config.toml", TOML)
    written = as_toml(settings, full=full)
    assert read(tmp_path / "again.toml", written) == settings
    if full:
        assert tomllib.loads(written) == without_none(settings.model_dump(mode="json"))
    else:
        assert set(tomllib.loads(written)) == {"agent", "credentials", "capture", "keys", "visit"}


def test_the_usual_ones_are_no_lines_at_all(tmp_path: Path) -> None:
    assert as_toml(read(tmp_path / "config.toml", ""), full=False) == ""


def test_the_verdict_comes_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[agent]\nid = "a"\n[credentials]\nmode = "public"\n')
    assert main(["check", "--config", str(path)]) == 0
    said = capsys.readouterr().out
    assert said.splitlines() == [
        f"# {path}: every setting is right",
        "# These are not the usual ones:",
        "[agent]",
        'id = "a"',
        "[credentials]",
        'mode = "public"',
    ]
    assert main(["check", "--full", "--config", str(path)]) == 0
    everything = tomllib.loads(capsys.readouterr().out)
    assert everything["gate"]["hangover_ms"] == Settings().gate.hangover_ms


def test_what_is_named_and_not_there_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(
        f'[credentials]\ndevice_token_file = "{tmp_path}/token"\n'
        f'[metrics]\ntextfile = "{tmp_path}/there/kiosk.prom"\n'
    )
    assert main(["check", "--config", str(path)]) == 0
    said = capsys.readouterr().err
    assert f"kiosk: credentials.device_token_file: {tmp_path}/token is no file, or " in said
    assert f"kiosk: metrics.textfile: there is no directory {tmp_path}/there, or " in said


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        (
            '[credentials]\nbackend_url = "http://kiosks.example.org"\n',
            "credentials.backend_url: the device token can be read by everybody on the way",
        ),
        (
            '[agent]\nid = "a"\nurl = "ws://agent.example.org"\n[credentials]\nmode = "public"\n',
            "agent.url: what visitors say can be read by everybody on the way; use wss://",
        ),
        ('[credentials]\nbackend_url = "http://[::1]:8080"\n', None),
        ('[agent]\nid = "a"\nurl = "ws://localhost:1"\n[credentials]\nmode = "public"\n', None),
    ],
)
def test_what_goes_in_the_clear_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], toml: str, says: str | None
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(toml)
    assert main(["check", "--config", str(path)]) == 0
    said = capsys.readouterr().err
    assert ("on the way" in said) is (says is not None)
    assert says is None or says in said


def test_what_cannot_be_a_path_is_told_and_ends_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f'[credentials]\ndevice_token_file = "/tmp/{"x" * 300}"\n')
    assert main(["check", "--config", str(path)]) == 0
    assert "is no file, or not for this user to see" in capsys.readouterr().err


def test_an_agents_id_has_no_space(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[agent]\nid = "my agent"\n')
    assert main(["check", "--config", str(path)]) == 78
    assert "line 2: agent.id: must be the id of an agent" in capsys.readouterr().err
