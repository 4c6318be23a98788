"""The examination of the sound: who measures, what is written, and what a program is told."""

import json
import os
import stat
import tomllib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from kiosk.base.clock import WakeUp
from kiosk.cli import main
from kiosk.devices.gpio import count_edges
from kiosk.devices.ports import CapturePcm, PlaybackPcm
from kiosk.devices.virtual import VirtualIndicator
from kiosk.devices.whole_cards import WholeCards
from kiosk.doctor import report, sounding
from kiosk.doctor.findings import Finding, Result, failed, passed
from kiosk.doctor.sound_findings import SOUND_CHECKS, Judged, Proposed
from kiosk.doctor.sounding import Sounded, as_answer, examine_sound, told, write
from kiosk.doctor.subject import Subject, admit
from kiosk.errors import ConfigError, DeviceError
from kiosk.lab.virtual_clock import VirtualClock
from kiosk.ops.control import Command, serve
from tests.unit.configs import WITHOUT_HARDWARE
from tests.unit.doctor.subjects import barred, is_good_form, settings, subject


class Nothing:
    """A machine without cards, which remembers whether its lamp was lit when it was asked."""

    def __init__(self) -> None:
        self.indicator = VirtualIndicator()
        self.lit: list[bool] = []

    def cards(self, _: object) -> WholeCards:
        return WholeCards(self._open_capture, self._open_playback)

    def _open_capture(self, device: str) -> CapturePcm:
        self.lit.append(bool(self.indicator.recorded) and self.indicator.recorded[-1][1])
        raise DeviceError(f"sound device {device!r}: No such device; plug it in")

    def _open_playback(self, device: str) -> PlaybackPcm:
        raise AssertionError("the microphone comes first")


class Fluttering(VirtualClock):
    """Time in which a line picks up mains hum."""

    def __init__(self, pin: Any) -> None:
        super().__init__()
        self.adopt("doctor")
        self._pin = pin

    def wake_up(self) -> WakeUp:
        for _ in range(20):
            self._pin.drive_low()
            self._pin.drive_high()
        return super().wake_up()


def still(pin: int, **_: object) -> int:
    return 0


async def found(its: Subject, nothing: Nothing) -> dict[str, Finding]:
    _, sounded = await examine_sound(lambda: its, None, nothing.cards)
    assert all(map(is_good_form, sounded.findings))
    assert {finding.id for finding in sounded.findings} == {"configuration", *SOUND_CHECKS}
    return sounded.found


async def test_without_a_card_that_is_told_and_the_rest_waits() -> None:
    findings = await found(subject(), Nothing())
    assert findings["sound_heard"].result is Result.FAIL
    assert findings["sound_heard"].next_step == "plug it in"
    assert findings["sound_drift"].value == "sound_heard comes first"


async def test_who_may_not_ask_a_running_kiosk_opens_nothing() -> None:
    nothing = Nothing()
    findings = await found(barred(), nothing)
    assert findings["sound_heard"].result is Result.FAIL
    assert nothing.lit == []


async def test_nobody_is_recorded_without_the_lamp(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = Nothing()

    class Dark:
        def open_indicator(self, _: object) -> None:
            raise DeviceError("GPIO 22 is taken (GPIO busy): another program holds the line")

    monkeypatch.setattr(sounding, "configured_hardware", lambda _: Dark())
    findings = await found(subject(), nothing)
    assert findings["sound_lamp"].result is Result.FAIL
    assert nothing.lit == []


async def test_the_lamp_is_lit_while_the_microphone_is_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nothing = Nothing()

    class Lit:
        def open_indicator(self, _: object) -> VirtualIndicator:
            return nothing.indicator

    monkeypatch.setattr(sounding, "configured_hardware", lambda _: Lit())
    await found(subject(), nothing)
    assert nothing.lit == [True]


@pytest.mark.parametrize(("flutters", "result"), [(False, Result.PASS), (True, Result.FAIL)])
async def test_a_floating_line_is_told_where_no_kiosk_runs(
    pins: Any, monkeypatch: pytest.MonkeyPatch, flutters: bool, result: Result
) -> None:
    def count(pin: int, **_: object) -> int:
        return count_edges(pin, pull_up=True, for_s=3, clock=Fluttering(pins.pin(pin)))

    monkeypatch.setattr("kiosk.devices.gpio.count_edges", count if flutters else still)
    its = subject(button={"driver": "gpio", "pin": 17}, languages={"de": 5})
    findings = await found(its, Nothing())
    assert findings["sound_line"].result is result
    assert ("GPIO 17: 40, GPIO 5: 40" in findings["sound_line"].value) is flutters


@asynccontextmanager
async def asked_kiosk(
    directory: Path, measure: Command, status: Command | None = None, tables: str = WITHOUT_HARDWARE
) -> AsyncIterator[Path]:
    """A kiosk that answers so, as long as the block; its configuration."""
    config, socket = directory / "config.toml", directory / "control.sock"
    config.write_text(f'[control]\nsocket = "{socket}"\n{tables}\n')
    async with serve(socket, {"status": status or _idle, sounding.COMMAND: measure}):
        yield config


def _idle(_: Mapping[str, object]) -> Mapping[str, object]:
    return {"state": "idle"}


async def test_a_running_kiosk_is_asked_until_it_has_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sounding, "_AGAIN_S", 0.01)
    its = Sounded()
    its.add(Judged(failed("sound_volume", "too loud", "set it"), {"playback.volume": 64}))
    its.add(Judged(passed("sound_heard", "fine"), {}))
    asked: list[object] = []

    def measure(request: Mapping[str, object]) -> Mapping[str, object]:
        asked.append(request.get("what"))
        return {"done": False} if len(asked) < 3 else as_answer(its)

    async with asked_kiosk(tmp_path, measure) as config:
        _, sounded = await examine_sound(lambda: admit(config))
    assert asked == ["sound", None, None]
    assert sounded.found["sound_volume"].value == "too loud"
    assert sounded.proposed == {"playback.volume": 64}


async def test_who_is_there_is_asked_for_quiet_and_then_for_a_sentence(tmp_path: Path) -> None:
    happened: list[str] = []

    def measure(request: Mapping[str, object]) -> Mapping[str, object]:
        what = str(request["what"])
        happened.append(what)
        its = Sounded()
        check = {"sound": "sound_heard", "speech": "sound_speech"}[what]
        its.add(Judged(passed(check, "fine"), {}))
        return as_answer(its)

    async with asked_kiosk(tmp_path, measure) as config:
        _, sounded = await examine_sound(lambda: admit(config), happened.append)
    quiet, first, sentence, second = happened
    assert "Be quiet" in quiet
    assert "Say a sentence" in sentence
    assert (first, second) == ("sound", "speech")
    assert sounded.found["sound_speech"].result is Result.PASS


@pytest.mark.parametrize(("a_look", "result"), [(0, Result.PASS), (150, Result.FAIL)])
async def test_a_floating_line_is_told_by_the_kiosk_that_holds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, a_look: int, result: Result
) -> None:
    monkeypatch.setattr(sounding, "LINE_S", 0.01)
    edges = [7, 0]

    def status(_: Mapping[str, object]) -> Mapping[str, object]:
        edges[1] += a_look
        return {"state": "speaking", "button_edges": edges}

    refusal = {"ok": False, "error": "a visit is under way"}
    async with asked_kiosk(
        tmp_path, lambda _: refusal, status, tables='[[keys]]\npin = 5\nlanguage = "de"'
    ) as config:
        _, sounded = await examine_sound(lambda: admit(config))
    assert sounded.found["sound_line"].result is result
    assert f"GPIO 5: {a_look}" in sounded.found["sound_line"].value


async def test_a_running_kiosk_that_refuses_is_told_in_its_words(tmp_path: Path) -> None:
    refusal = {"ok": False, "error": "a visit is under way"}
    async with asked_kiosk(tmp_path, lambda _: refusal, lambda _: {"state": "speaking"}) as config:
        _, sounded = await examine_sound(lambda: admit(config))
    assert sounded.found["sound_heard"].value == "a visit is under way"


@pytest.mark.parametrize(
    "answer",
    [{}, {"findings": 3}, {"findings": [[1], ["clock", "pass", "x", None], None]}],
)
def test_an_answer_of_another_form_is_none(answer: dict[str, Any]) -> None:
    assert list(told(answer)) == []


def test_what_is_no_measurements_to_set_is_left_out() -> None:
    proposed = {"playback.volume": 64, "backend.url": "https://elsewhere.example", "a.b.c": 1}
    findings = [["sound_volume", "fail", "too loud", "lower it"], ["sound_hum", "odd", "x", None]]
    [judged] = told({"findings": findings, "proposed": proposed})
    assert judged.proposed == {"playback.volume": 64}


# --- what is written ----------------------------------------------------------------------------


def test_what_is_proposed_is_written_and_the_file_stays_whose_it_is(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("# by Ana\n[playback]\nvolume = 80 # loud\n")
    path.chmod(0o640)
    its = (1, 1) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    os.chown(path, *its)
    write(path, {"playback.volume": 64})
    assert path.read_text() == "# by Ana\n[playback]\nvolume = 64 # loud\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert (path.stat().st_uid, path.stat().st_gid) == its


def test_a_file_behind_a_link_is_written_where_it_is(tmp_path: Path) -> None:
    path, link = tmp_path / "site" / "kiosk.toml", tmp_path / "config.toml"
    path.parent.mkdir()
    path.write_text("[playback]\nvolume = 80\n")
    link.symlink_to("site/kiosk.toml")
    write(link, {"playback.volume": 64})
    assert link.is_symlink()
    assert path.read_text() == "[playback]\nvolume = 64\n"


def test_what_the_settings_do_not_allow_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[playback]\nvolume = 80\n")
    with pytest.raises(ConfigError):
        write(path, {"playback.volume": 640})
    assert path.read_text() == "[playback]\nvolume = 80\n"
    with pytest.raises(ConfigError, match="there is no file"):
        write(None, {"playback.volume": 64})


def test_the_proposal_is_lines_of_the_file() -> None:
    proposed: Proposed = {"capture.channels": 2, "echo.mode": "half_duplex", "capture.channel": 1}
    title, *lines = report.proposal(proposed, written=False)
    assert "--write" in title
    assert tomllib.loads("\n".join(lines)) == {
        "capture": {"channels": 2, "channel": 1},
        "echo": {"mode": "half_duplex"},
    }
    assert list(report.proposal({}, written=True)) == []


def test_the_command_prints_findings_and_proposal_and_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f"{WITHOUT_HARDWARE}\n[kiosk]\nname = 'lobby'\n")

    async def measured(admitted: Any, say: object, *, keep: bool) -> tuple[Subject, Sounded]:
        assert say is None, "nobody is at a terminal"
        assert not keep
        sounded = Sounded()
        sounded.add(Judged(failed("sound_volume", "too loud", "set it"), {"gain.fixed_db": 9}))
        return Subject(settings(kiosk={"name": "lobby"}), path, admitted().service), sounded

    monkeypatch.setattr("kiosk.doctor.sounding.examine_sound", measured)
    assert main(["doctor", "--sound", "--config", str(path)]) == 1
    assert "[gain]\nfixed_db = 9\n" in capsys.readouterr().out
    assert main(["doctor", "--sound", "--write", "--json", "--config", str(path)]) == 1
    body = json.loads(capsys.readouterr().out)
    assert body["proposed"] == {"gain.fixed_db": 9}
    assert [check["id"] for check in body["checks"]] == ["sound_volume"]
    assert tomllib.loads(path.read_text())["gain"]["fixed_db"] == 9


def test_sound_is_measured_alone() -> None:
    with pytest.raises(SystemExit) as refused:
        main(["doctor", "--sound", "--call"])
    assert refused.value.code == 2


@pytest.mark.parametrize("option", ["--write", "--keep"])
def test_what_goes_with_a_measurement_is_refused_without_one(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", option]) == 1
    assert "go with --sound" in capsys.readouterr().err
