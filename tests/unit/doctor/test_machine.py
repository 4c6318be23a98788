"""Clock, power, room and Wi-Fi, on made-up /sys and /proc."""

import time
from pathlib import Path

import pytest

from kiosk.doctor import machine, wifi
from kiosk.doctor.findings import Finding, Result
from tests.unit.doctor.subjects import is_good_form, subject

THROTTLED = "devices/platform/soc/soc:firmware/get_throttled"


def power(sys: Path) -> Finding:
    [found] = machine.look_at_power(subject(), sys)
    assert is_good_form(found)
    return found


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_clock_that_was_never_set_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)
    [found] = machine.look_at_clock(subject())
    assert found.result is Result.FAIL
    assert found.value.startswith("1970-01-12")


@pytest.mark.parametrize(
    ("synchronised", "result"), [(True, "pass"), (False, "warn"), (None, "pass")]
)
def test_a_clock_that_nobody_corrects_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, synchronised: bool | None, result: str
) -> None:
    monkeypatch.setattr(machine, "_synchronised", lambda: synchronised)
    [found] = machine.look_at_clock(subject())
    assert found.result == result


def test_the_kernel_tells_whether_the_clock_is_synchronised() -> None:
    assert machine._synchronised() in (True, False, None)


def test_a_machine_that_does_not_tell_its_power_is_skipped(tmp_path: Path) -> None:
    assert power(tmp_path).result is Result.SKIP


@pytest.mark.parametrize(
    ("word", "result", "said"),
    [
        ("0x0", "pass", "enough voltage"),
        ("50005", "warn", "too little voltage, throttled now"),
        ("0x50000", "warn", "too little voltage, throttled since the start"),
        ("0x8", "warn", "too hot now"),
    ],
)
def test_the_firmwares_word_is_put_into_words(
    tmp_path: Path, word: str, result: str, said: str
) -> None:
    write(tmp_path / THROTTLED, f"{word}\n")
    assert power(tmp_path).result == result
    assert power(tmp_path).value.startswith(said)


def test_where_there_is_only_an_alarm_that_is_told(tmp_path: Path) -> None:
    write(tmp_path / "class/hwmon/hwmon0/name", "cpu_thermal\n")
    write(tmp_path / "class/hwmon/hwmon1/name", "rpi_volt\n")
    write(tmp_path / "class/hwmon/hwmon1/in0_lcrit_alarm", "1\n")
    assert power(tmp_path).value == "too little voltage"


@pytest.mark.parametrize(("free_mb", "result"), [(20, "fail"), (200, "warn"), (2000, "pass")])
def test_room_on_the_card_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free_mb: int, result: str
) -> None:
    class Usage:
        free = free_mb * 1_000_000

    monkeypatch.setattr("kiosk.doctor.machine.shutil.disk_usage", lambda _: Usage)
    state = {"state_dir": tmp_path}
    storage, _ = machine.look_at_room(subject(credentials=state))
    assert storage.result == result
    assert f"{tmp_path} {free_mb} MB free" in storage.value
    assert is_good_form(storage)


@pytest.mark.parametrize(("kilobytes", "result"), [(10_000, "fail"), (60_000, "warn")])
def test_memory_that_runs_out_is_told(tmp_path: Path, kilobytes: int, result: str) -> None:
    write(tmp_path / "meminfo", f"MemTotal: 500000 kB\nMemAvailable:   {kilobytes} kB\n")
    _, memory = machine.look_at_room(subject(), tmp_path / "meminfo")
    assert memory.result == result
    assert is_good_form(memory)


def test_memory_that_is_not_told_is_skipped(tmp_path: Path) -> None:
    _, memory = machine.look_at_room(subject(), tmp_path / "none")
    assert memory.result is Result.SKIP


# --- Wi-Fi --------------------------------------------------------------------------------------


def interface(sys: Path, state: str) -> None:
    write(sys / "class/net/wlan9/operstate", state)
    (sys / "class/net/wlan9/phy80211").mkdir()


def wi_fi(sys: Path) -> Finding:
    [found] = wifi.look(subject(), sys)
    assert is_good_form(found)
    return found


def test_without_wi_fi_nothing_sleeps(tmp_path: Path) -> None:
    write(tmp_path / "class/net/eth0/operstate", "up")
    assert (wi_fi(tmp_path).result, wi_fi(tmp_path).value) == (Result.PASS, "no Wi-Fi")


def test_a_wi_fi_that_is_not_in_use_is_no_matter(tmp_path: Path) -> None:
    interface(tmp_path, "down\n")
    assert wi_fi(tmp_path).result is Result.PASS


@pytest.mark.parametrize(("sleeps", "result"), [(True, "warn"), (False, "pass")])
def test_a_wi_fi_that_sleeps_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sleeps: bool, result: str
) -> None:
    interface(tmp_path, "up\n")
    monkeypatch.setattr(wifi, "_by_ioctl", lambda _: sleeps)
    assert wi_fi(tmp_path).result == result


@pytest.mark.parametrize(
    ("answer", "sleeps"),
    [("Power save: on\n", True), ("Power save: off\n", False), ("command failed\n", None)],
)
def test_where_the_driver_does_not_tell_iw_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, sleeps: bool | None
) -> None:
    interface(tmp_path, "up\n")
    iw = tmp_path / "iw"
    iw.write_text(f"#!/bin/sh\nprintf '{answer}'\n")
    iw.chmod(0o755)
    monkeypatch.setattr("kiosk.doctor.wifi.shutil.which", lambda *_, **__: str(iw))
    result = {True: Result.WARN, False: Result.PASS, None: Result.SKIP}[sleeps]
    assert wi_fi(tmp_path).result is result


def test_an_interface_that_is_not_there_tells_nothing() -> None:
    assert wifi._by_ioctl("wlan9") is None
