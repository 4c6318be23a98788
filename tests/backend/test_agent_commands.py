"""`agent check` and `agent apply`, against the local agent."""

import argparse
import asyncio
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from kiosk.agent.server import DEFAULT_AGENT_ID, DEFAULT_API_KEY
from kiosk.backend.cli.agent_commands import add_agent_commands, run_agent
from kiosk.backend.settings import PREFIX
from kiosk.errors import ConfigError, KioskError, UnavailableError
from tests.agent.wire import initiation, opened, words
from tests.integration.conftest import StartAgent, guide, recogniser, start_agent

from .test_provider_questions import Scripted, answer

__all__ = ["guide", "recogniser", "start_agent"]

CHARACTER = """
language = "en"
first_message = "Ahoy from {kiosk}."
[voice]
speed = 1.1
"""


def parsed(*options: str) -> argparse.Namespace:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--database")
    parser = argparse.ArgumentParser()
    add_agent_commands(parser.add_subparsers(), common)
    return parser.parse_args(["agent", *options])


@pytest.fixture(autouse=True)
def _key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text(DEFAULT_API_KEY)
    monkeypatch.setenv(f"{PREFIX}API_KEY_FILE", str(tmp_path / "key"))


@pytest.fixture
def characters(tmp_path: Path) -> Path:
    directory = tmp_path / "characters"
    directory.mkdir()
    (directory / "sailor.toml").write_text(CHARACTER)
    return directory


class Command:
    """One command as the command line runs it, in a thread: it has an event loop of its own."""

    def __init__(self, url: str, *options: str) -> None:
        where = [f"--provider-url={url}", f"--agent-id={DEFAULT_AGENT_ID}"]
        self._args = parsed(*options, *where)
        self.said: list[str] = []

    async def run(self) -> list[str]:
        await asyncio.to_thread(run_agent, self._args, self.said.append)
        return self.said

    async def fail(self) -> KioskError:
        with pytest.raises(KioskError) as caught:
            await self.run()
        return caught.value


async def test_check_apply_and_check_again(start_agent: StartAgent, characters: Path) -> None:
    sends = f"--characters={characters}"
    async with start_agent() as (url, _):
        check = Command(url, "check", sends)
        error = await check.fail()
        assert type(error) is KioskError
        assert error.exit_code == 1
        assert "4 of 8 findings" in str(error)
        assert "agent apply" in str(error)
        ids = [line.split(": ")[1] for line in check.said if line[:4] in ("fail", "warn")]
        assert ids == [
            "auth-off",
            "override-agent-first-message",
            "override-agent-language",
            "override-tts-speed",
            "turn-timeout",
            "bursting",
            "record-voice",
            "retention",
        ]
        said = await Command(url, "apply", sends, "--yes").run()
        assert "platform_settings.auth.enable_auth: false -> true" in said
        assert "conversation_config.turn.turn_timeout: 7.0 -> 30.0" in said
        assert said[-2:] == [
            f"changed the agent {DEFAULT_AGENT_ID}",
            f"the agent {DEFAULT_AGENT_ID} is as kiosks need it",
        ]
        assert await Command(url, "check", sends).run() == [said[-1]]
        assert await Command(url, "check", sends, "--json").run() == []
        assert (await Command(url, "apply", sends).run())[0] == "there is nothing to change"
        # And what is checked is what counts.
        async with opened(url) as wire:
            assert await wire.closed() == (3000, "Could not authorize the conversation.")


async def test_what_was_applied_lets_the_character_speak(
    start_agent: StartAgent, characters: Path
) -> None:
    async with start_agent() as (url, _):
        await Command(url, "apply", f"--characters={characters}", "--yes").run()
        signed = await _signed_url(url)
        async with opened(signed) as wire:
            await wire.send(
                initiation(
                    agent={"first_message": "Ahoy.", "language": "en"},
                    tts={"speed": 1.1},
                    conversation={"text_only": True},
                )
            )
            assert words(await wire.until("agent_response")) == "Ahoy."


async def _signed_url(url: str) -> str:
    from pydantic import SecretStr

    from kiosk.backend.provider.client import AgentAccess, open_provider

    access = AgentAccess(url, DEFAULT_AGENT_ID)
    async with open_provider(access, SecretStr(DEFAULT_API_KEY)) as provider:
        grant = await provider.mint("r1")
        assert (await provider.mint("r1", "webrtc")).conversation_token
    assert grant.signed_url is not None
    return grant.signed_url


async def test_findings_as_json_are_one_object_a_line(start_agent: StartAgent) -> None:
    async with start_agent() as (url, _):
        check = Command(url, "check", "--json")
        await check.fail()
    findings = [json.loads(line) for line in check.said]
    assert findings[0]["id"] == "auth-off"
    assert findings[0]["patch"] == {"platform_settings": {"auth": {"enable_auth": True}}}
    assert {tuple(finding) for finding in findings} == {("id", "severity", "what", "fix", "patch")}


async def test_what_only_a_human_can_do_stays_a_failure(
    start_agent: StartAgent, characters: Path
) -> None:
    (characters / "friend.toml").write_text('prompt = "Be kind to {{name}}."')
    async with start_agent() as (url, _):
        apply = Command(url, "apply", "--yes", f"--characters={characters}")
        error = await apply.fail()
        assert "1 of 1 findings" in str(error)
        assert "agent apply" not in str(error)
        assert apply.said[-2].startswith("fail: variable-name: ")
        options = (f"--characters={characters}", "--variable=name")
        assert (await Command(url, "check", *options).run())[-1].endswith("is as kiosks need it")


async def test_a_variable_of_one_character_is_missing_in_the_others(
    start_agent: StartAgent, characters: Path
) -> None:
    (characters / "friend.toml").write_text('first_message = "I am {{name}}."\n[variables]\nname=1')
    async with start_agent() as (url, _):
        await Command(url, "apply", "--yes", f"--characters={characters}").run()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("typed", "changed"), [("y\n", True), ("Yes\n", True), ("\n", False)])
async def test_a_human_is_asked_before_anything_changes(
    typed: str, changed: bool, start_agent: StartAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    async with start_agent() as (url, _):
        said = await Command(url, "apply").run()
        assert "change the agent so? [y/N]" in said
        assert ("nothing was changed" in said) is not changed
        monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
        again = Command(url, "check")
        if changed:
            await again.run()
        else:
            await again.fail()


async def test_without_a_terminal_and_without_yes_nothing_changes(
    start_agent: StartAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    async with start_agent() as (url, _):
        error = await Command(url, "apply").fail()
        assert isinstance(error, ConfigError)
        assert "--yes" in str(error)
        await Command(url, "check").fail()


async def test_the_setting_names_the_characters_too(
    start_agent: StartAgent, characters: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIOSK_BACKEND_CHARACTERS_DIR", str(characters))
    async with start_agent() as (url, _):
        check = Command(url, "check")
        await check.fail()
    assert any("override-tts-speed" in line for line in check.said)


@pytest.mark.parametrize(
    ("status", "error", "words_"),
    [
        (401, ConfigError, "refuses the API key (some_code)"),
        (404, ConfigError, f"knows no agent {DEFAULT_AGENT_ID}"),
        (429, UnavailableError, "allows no more"),
        (500, UnavailableError, "does not answer (some_code)"),
        (400, UnavailableError, "does not answer as expected"),
    ],
)
async def test_what_the_provider_refuses_is_said_in_the_operators_words(
    status: int, error: type[KioskError], words_: str
) -> None:
    script = Scripted(answer(status, {"detail": {"status": "some_code", "message": "secret"}}))
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        raised = await Command(url, "check").fail()
    assert type(raised) is error
    assert words_ in str(raised)
    assert url in str(raised)
    assert "secret" not in str(raised)


@pytest.mark.parametrize(
    "options",
    [
        ["--idle-s=0"],
        ["--idle-s=nan"],
        ["--idle-s=x"],
        ["--visit-max-s=7201"],
        ["--kiosks=0"],
        ["--kiosks=1.5"],
        ["--retention-days=-1"],
        ["--longest-s=99999999999"],
    ],
)
def test_figures_that_cannot_be_are_usage_errors(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parsed("check", *options)
    assert caught.value.code == 2
    assert options[0].split("=")[0] in capsys.readouterr().err


async def test_an_override_that_does_not_exist_is_named() -> None:
    error = await Command("http://127.0.0.1:9", "check", "--override=tts.style").fail()
    assert isinstance(error, ConfigError)
    assert "'tts.style'" in str(error)
    assert "tts.speed" in str(error)


async def test_bad_characters_and_no_agent_are_told_before_anything_is_asked(
    characters: Path,
) -> None:
    (characters / "bad.toml").write_text("[voice]\nspeed = 9")
    error = await Command("http://127.0.0.1:9", "check", f"--characters={characters}").fail()
    assert isinstance(error, ConfigError)
    assert "bad.toml, line 2: voice.speed" in str(error)
    said: list[Any] = []
    with pytest.raises(ConfigError, match="no agent"):
        await asyncio.to_thread(run_agent, parsed("check"), said.append)
    assert said == []


async def test_languages_of_kiosks_and_who_says_it_are_told_by_options(
    start_agent: StartAgent,
) -> None:
    async with start_agent() as (url, _):
        await Command(url, "apply", "--yes").run()
        check = Command(url, "check", "--language=de", "--no-disclosure")
        await check.fail()
    assert [line.split(": ")[1] for line in check.said if not line.startswith(" ")] == [
        "override-agent-language",
        "disclosure",
        "language-de",
    ]
