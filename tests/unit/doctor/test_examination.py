"""The whole examination: what breaks, hangs or is wrong with one check leaves the others be."""

import asyncio
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from kiosk.cli import main
from kiosk.devices.bridge import FIRST_SOUND_S
from kiosk.doctor import examination, lease, network, wifi
from kiosk.doctor.examination import ADMISSION_S, GROUPS, LAST, Group, examine
from kiosk.doctor.findings import CHECKS, Finding, Result, passed
from kiosk.doctor.subject import _SYSTEMCTL_S, Subject, admit
from kiosk.errors import DeviceError
from kiosk.ops.control import serve
from kiosk.visit.speech import TRIAL_S
from tests.silence import BLACK_HOLE, black_hole
from tests.unit.configs import WITHOUT_HARDWARE
from tests.unit.doctor.subjects import is_good_form, subject

TOML = f"""{WITHOUT_HARDWARE}
[kiosk]
name = "lobby"
[agent]
id = "agent_local"
url = "ws://127.0.0.1:1"
[credentials]
mode = "public"
[control]
socket = "{{socket}}"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(TOML.format(socket=tmp_path / "control.sock"))
    return path


def with_group(monkeypatch: pytest.MonkeyPatch, group: Group) -> None:
    kept = tuple(each for each in GROUPS if each.ids != group.ids)
    monkeypatch.setattr(examination, "GROUPS", (*kept, group))


def of(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.id: finding for finding in findings}


async def test_every_check_is_told_in_the_tables_order() -> None:
    _, findings = await examine(subject)
    assert [finding.id for finding in findings] == list(CHECKS)
    assert all(map(is_good_form, findings))


async def test_a_check_that_breaks_says_so_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(_: Subject) -> Iterator[Finding]:
        yield passed("storage", "plenty")
        raise ZeroDivisionError("oops")

    with_group(monkeypatch, Group(("storage", "memory"), broken, 1.0))
    _, findings = await examine(subject)
    found = of(findings)
    assert found["storage"].value == "plenty"
    assert found["memory"].result is Result.FAIL
    assert "ZeroDivisionError: oops" in found["memory"].value
    assert found["capture_card"].result is Result.PASS


async def test_an_error_for_operators_is_told_in_its_own_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(_: Subject) -> Iterator[Finding]:
        raise DeviceError("the card is on fire")
        yield

    with_group(monkeypatch, Group(("voice",), refused, 1.0))
    _, findings = await examine(subject)
    assert of(findings)["voice"].value == "the card is on fire"


async def test_a_check_that_hangs_is_given_up_and_what_it_found_before_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def hanging(_: Subject) -> Iterator[Finding]:
        yield passed("storage", "plenty")
        time.sleep(2)

    with_group(monkeypatch, Group(("storage", "memory"), hanging, 0.2))
    _, findings = await examine(subject)
    found = of(findings)
    assert found["storage"].result is Result.PASS
    assert found["memory"].value == "no answer within 0.2 s"


@pytest.mark.parametrize(
    ("check", "limits_s"),
    [
        ("dns", (network.NAME_S, network.HEALTH_S, network.CONNECTION_S)),
        ("provider", (network.PROVIDER_S,)),
        ("lease", (lease._ANSWER_S,)),
        ("voice", (TRIAL_S,)),
        ("wifi_power_save", (wifi._IW_S,)),
        ("updates", (_SYSTEMCTL_S,)),
        ("capture_card", (FIRST_SOUND_S,)),
    ],
)
def test_what_its_checks_wait_for_is_less_than_a_groups_limit(
    check: str, limits_s: tuple[float, ...]
) -> None:
    """Else what hangs is "something hangs", and never told by the check that knows what to do."""
    [group] = [each for each in GROUPS if check in each.ids]
    assert sum(limits_s) + 0.5 <= group.limit_s


def test_the_whole_examination_takes_twenty_seconds_at_most() -> None:
    longest_s = [max(group.limit_s for group in stage) for stage in (GROUPS, LAST)]
    assert ADMISSION_S + sum(longest_s) <= 20


async def test_a_firewall_that_drops_is_told_by_the_check_that_knows_what_to_do() -> None:
    with black_hole() as port:
        url = f"https://{BLACK_HOLE}:{port}"
        credentials = {"mode": "backend", "backend_url": url}
        agent = {"id": "", "url": f"wss://{BLACK_HOLE}:{port}"}
        _, findings = await examine(lambda: subject(credentials=credentials, agent=agent))
    found = of(findings)
    assert (found["tls"].result, found["provider"].result) == (Result.SKIP, Result.WARN)
    assert f"is {BLACK_HOLE}:{port} let through?" in str(found["backend"].next_step)


def test_without_a_kiosk_the_devices_are_tried_and_the_exit_code_is_that_of_the_failures(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--json", "--config", str(config)]) == 1
    body = json.loads(capsys.readouterr().out)
    results = {check["id"]: check["result"] for check in body["checks"]}
    assert body["kiosk"] == "lobby"
    assert results["capture_card"] == results["playback_card"] == "pass"
    assert results["backend"] == "fail", "nobody answers for the agent"
    assert results["button"] == "skip"


def test_text_is_the_default(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor", "--config", str(config)])
    assert "PASS  configuration" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text",
    ['[capture]\ndevicee = "x"\n', "[capture\n", '[kiosk]\nlanguage = "xx"\n', "a\x00b = 1"],
)
def test_a_configuration_that_cannot_be_used_is_the_one_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    assert main(["doctor", "--json", "--config", str(path)]) == 1
    out, err = capsys.readouterr()
    assert err == ""
    body = json.loads(out)
    assert (body["ok"], body["kiosk"]) == (False, None)
    first, *rest = body["checks"]
    assert (first["id"], first["result"]) == ("configuration", "fail")
    assert first["next_step"]
    assert {check["result"] for check in rest if check["id"] in ("capture_card", "dns")} == {"skip"}
    assert next(c for c in rest if c["id"] == "clock")["result"] != "skip"


def test_a_mistake_is_told_with_its_key_and_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[button]\npin = 99\n")
    main(["doctor", "--json", "--config", str(path)])
    value = json.loads(capsys.readouterr().out)["checks"][0]["value"]
    assert f"{path}, line 2: button.pin" in value


async def test_a_running_kiosk_is_asked_and_none_of_its_devices_is_opened(config: Path) -> None:
    def status(_: Mapping[str, object]) -> dict[str, object]:
        return {
            "state": "listening",
            "unfit": None,
            "visits": 3,
            "ready": True,
            "uptime_s": 90,
            "version": "0.0.1",
            "microphone": "48000 Hz, of the kiosk's own",
            "microphone_open": True,
            "speaker": "unplugged",
            "speaker_open": False,
            "peak_dbfs": -20.0,
            "room_dbfs": -60.0,
            "speech_dbfs": None,
        }

    async with serve(config.parent / "control.sock", {"status": status}):
        _, findings = await examine(lambda: admit(config))
    found = of(findings)
    assert "of the kiosk's own" in found["capture_card"].value
    assert (found["playback_card"].result, found["playback_card"].value) == ("fail", "unplugged")
    assert found["capture_level"].result is Result.PASS
    assert found["daemon"].result is Result.WARN
    assert "it is version 0.0.1" in found["daemon"].value


async def test_a_kiosk_that_does_not_answer_is_left_alone(config: Path) -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_unix_server(mute, config.parent / "control.sock"):
        _, findings = await examine(lambda: admit(config))
    found = of(findings)
    assert found["daemon"].result is Result.FAIL
    assert found["capture_card"].result is found["playback_card"].result is Result.SKIP


async def test_settings_that_break_the_reader_are_a_finding_too() -> None:
    def broken() -> Subject:
        raise ZeroDivisionError("oops")

    _, findings = await examine(broken)
    assert findings[0].result is Result.FAIL
    assert "ZeroDivisionError: oops" in findings[0].value
