"""`kiosk sentences` and what `kiosk check` says of the sentences, neither with sound hardware."""

import os
from pathlib import Path

import pytest

from kiosk.audio.wav import read_wav
from kiosk.cli import main
from kiosk.visit.languages import load_language
from tests.virtual_kiosk import tones_for_sentences


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.upper().startswith("KIOSK_"):
            monkeypatch.delenv(name)
    path = tmp_path / "config.toml"
    path.write_text(f'[kiosk]\nsentences_dir = "{tmp_path}"\ninstitution = "das Stadtmuseum"\n')
    return path


def added(config: Path, text: str) -> None:
    with config.open("a", encoding="utf-8") as file:
        file.write(text)


def test_every_sentence_is_printed_as_it_would_be_said(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sentences", "--language", "de", "--config", str(config)]) == 0
    said = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    german = load_language("de").said("das Stadtmuseum")
    assert said == german
    assert "das Stadtmuseum" in said["disclosure"]


def test_every_sentence_is_written_for_whoever_records_it_and_no_recording_is_replaced(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["sentences", "--config", str(config), "--out", str(out)]
    assert main(command) == 0
    assert {path.stem for path in out.iterdir()} == set(load_language("en").said("das Stadtmuseum"))
    for path in out.iterdir():
        samples, rate_hz = read_wav(path.read_bytes())
        assert len(samples) > 0.3 * rate_hz
    (out / "goodbye.wav").write_bytes(b"mine")
    assert main(command) == 69
    assert (out / "goodbye.wav").read_bytes() == b"mine"
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["sentences", "demo"])
def test_a_language_that_nobody_has_is_refused_with_the_list(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--language", "tlh"]) == 78
    told = capsys.readouterr().err
    assert "--language: no sentences in 'tlh'; there are: de, en, es, fr, it, nl, pl, uk" in told


def test_the_check_finds_a_mistake_in_the_operators_sentences(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--config", str(config)]) == 0
    assert capsys.readouterr().err == ""
    (tmp_path / "en.toml").write_text('godbye = "Bye."')
    assert main(["check", "--config", str(config)]) == 78
    assert "en.toml, line 1: godbye: no such key; did you mean goodbye?" in capsys.readouterr().err


def test_the_check_refuses_a_voice_that_espeak_does_not_have(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    added(config, '[visit]\nvoice = "xx-nobody"\n')
    assert main(["check", "--config", str(config)]) == 78
    told = capsys.readouterr().err
    assert "visit.voice" in told
    assert "'xx-nobody'" in told
    assert "install" not in told
    assert told.count("`espeak-ng --voices`") == 1
    added(config, f'messages_dir = "{tones_for_sentences(tmp_path)}"\n')
    assert main(["check", "--config", str(config)]) == 0, "every sentence is recorded"
    assert "every sentence is recorded, but" in capsys.readouterr().err


def test_the_check_says_once_that_espeak_is_to_be_installed(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    assert main(["check", "--config", str(config)]) == 0, "the settings themselves are right"
    assert capsys.readouterr().err.count("sudo apt install espeak-ng") == 1
