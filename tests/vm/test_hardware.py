"""The kiosk as installed, with real sound cards, a real header, and limits that hold.

The tests are one story: each needs those before it.
"""

import base64
import json
from pathlib import Path

import numpy as np
import pytest

from kiosk.audio.wav import read_wav
from tests.machines.asking import main_pid, shown, until
from tests.machines.virtual import VirtualMachine
from tests.vm import hardware
from tests.vm.hardware import LAMP, MICROPHONE, RECORDING_LAMP, SPEAKER
from tests.vm.installation import Place
from tests.vm.sandbox import run_instead

pytestmark = [pytest.mark.timeout(2400)]

# An emulated processor: what takes a second on a Pi takes five to ten.
_ANSWER_S = 120.0
_CGROUP = "/sys/fs/cgroup/system.slice/kiosk.service"
# Of full scale 32768; the loops add no noise of their own.
_SILENCE_RMS = 300.0
_QUESTION = "Where is the cafe please"

_TAKE_MEMORY = "taken = bytearray(500 << 20)\nprint('taken')\n"
_FORK = """
import os, time
started = 0
try:
    while started < 200:
        if os.fork() == 0:
            time.sleep(20)
            os._exit(0)
        started += 1
except BlockingIOError:
    print(started)
"""


def until_state(kiosk: VirtualMachine, *states: str, timeout_s: float = _ANSWER_S) -> None:
    until(lambda: kiosk.ask("status").get("state") in states, timeout_s, " or ".join(states))


def hang_up(kiosk: VirtualMachine) -> None:
    kiosk.ask("end")
    until_state(kiosk, "idle")


# --- the unit -------------------------------------------------------------------------------------


def test_the_installed_unit_is_ready(place: Place) -> None:
    kiosk = place.kiosk
    until_state(kiosk, "idle")
    found = shown(kiosk, "ActiveState", "SubState", "NRestarts", "Type")
    assert found == {
        "ActiveState": "active",
        "SubState": "running",
        "NRestarts": "0",
        "Type": "notify",
    }


def test_the_doctor_finds_cards_button_lamps_and_lease(place: Place) -> None:
    examined = place.kiosk.try_run("kiosk doctor --json", timeout_s=300)
    found = {check["id"]: check for check in json.loads(examined.stdout)["checks"]}
    for name in ("capture_card", "playback_card", "button", "lamps", "permissions", "lease"):
        assert found[name]["result"] == "pass", found[name]
    assert examined.returncode == 0, [each for each in found.values() if each["result"] == "fail"]


def test_the_sound_threads_go_first(place: Place) -> None:
    pid = main_pid(place.kiosk)
    threads = place.kiosk.run(f"ps -L -o cls=,rtprio= -p {pid}").splitlines()
    assert [line.split() for line in threads].count(["FF", "20"]) == 2, threads


def test_the_unit_as_it_runs_is_exposed_to_1_3_at_most(place: Place) -> None:
    place.kiosk.run("systemd-analyze security --threshold=13 kiosk.service")


def test_memory_and_tasks_are_bounded(place: Place) -> None:
    kiosk = place.kiosk
    assert int(kiosk.run(f"cat {_CGROUP}/memory.max")) == 384 << 20
    assert int(kiosk.run(f"cat {_CGROUP}/pids.max")) == 64
    greedy = run_instead(kiosk, _TAKE_MEMORY)
    assert greedy.result == "oom-kill", greedy
    assert "taken" not in greedy.output
    forking = run_instead(kiosk, _FORK)
    assert int(forking.output) == 63
    assert shown(kiosk, "ActiveState")["ActiveState"] == "active"


# --- button and lamps -----------------------------------------------------------------------------


def test_an_edge_on_the_buttons_line_starts_a_visit_and_lights_the_lamps(place: Place) -> None:
    kiosk = place.kiosk
    assert hardware.level(kiosk, LAMP) == 1, "ready: steady"
    assert hardware.level(kiosk, RECORDING_LAMP) == 0
    hardware.press(kiosk)
    until_state(kiosk, "opening", "listening", "speaking")
    until(lambda: hardware.level(kiosk, RECORDING_LAMP) == 1, 20, "the recording lamp")
    seen = {hardware.level(kiosk, LAMP) for _ in range(20)}
    assert seen == {0, 1}, "in a visit: not steady"


def test_another_edge_ends_it_and_the_recording_lamp_goes_out(place: Place) -> None:
    kiosk = place.kiosk
    hardware.press(kiosk)
    until_state(kiosk, "idle")
    until(lambda: hardware.level(kiosk, RECORDING_LAMP) == 0, 20, "dark")
    until(lambda: hardware.level(kiosk, LAMP) == 1, 20, "ready again")


# --- speech ---------------------------------------------------------------------------------------


def _heard(place: Place) -> list[str]:
    return [str(each["text"]) for each in place.provider.events() if each["event"] == "heard"]


def test_a_question_is_heard_and_its_answer_is_played(place: Place, tmp_path: Path) -> None:
    kiosk = place.kiosk
    kiosk.run(f"espeak-ng -v en-us -s 140 -w /tmp/question.wav '{_QUESTION}'")
    hardware.press(kiosk)
    until_state(kiosk, "listening")
    before = len(_heard(place))
    kiosk.run(f"aplay -q -D plughw:CARD={MICROPHONE},DEV=1 /tmp/question.wav")
    until(lambda: _heard(place)[before:], _ANSWER_S, "something heard")
    assert "cafe" in _heard(place)[-1]
    until_state(kiosk, "speaking")
    recorded = f"arecord -q -D plughw:CARD={SPEAKER},DEV=1 -f S16_LE -r 16000 -d 4 /tmp/answer.wav"
    answer = kiosk.run(f"{recorded} && base64 /tmp/answer.wav", timeout_s=60)
    hang_up(kiosk)
    assert _rms(base64.b64decode(answer)) > _SILENCE_RMS


def _rms(wav: bytes) -> float:
    samples, _ = read_wav(wav)
    return float(np.sqrt(np.mean(np.square(samples.astype(np.float64)))))


# --- plugs ----------------------------------------------------------------------------------------


def test_a_card_that_is_pulled_and_plugged_in_again_serves(place: Place) -> None:
    kiosk = place.kiosk
    pid = main_pid(kiosk)
    hardware.unplug(kiosk, MICROPHONE)
    until(lambda: kiosk.ask("status").get("microphone_open") is False, _ANSWER_S, "the card lost")
    assert MICROPHONE not in kiosk.run("cat /proc/asound/cards")
    hardware.press(kiosk)
    until_state(kiosk, "idle")
    hardware.plug_in(kiosk, MICROPHONE)
    until(lambda: kiosk.ask("status").get("microphone_open") is True, _ANSWER_S, "the card back")
    until(lambda: "unfit" in (told := kiosk.ask("status")) and told["unfit"] is None, 60, "fit")
    hardware.press(kiosk)
    until_state(kiosk, "listening", "speaking")
    hang_up(kiosk)
    assert main_pid(kiosk) == pid


def test_a_card_that_was_not_there_at_the_start_serves_once_it_is(place: Place) -> None:
    kiosk = place.kiosk
    kiosk.run("systemctl stop kiosk.service")
    for card in (MICROPHONE, SPEAKER):
        hardware.unplug(kiosk, card)
    kiosk.run("systemctl start kiosk.service", timeout_s=300)
    until(lambda: kiosk.ask("status").get("unfit"), _ANSWER_S, "unfit without cards")
    for card in (MICROPHONE, SPEAKER):
        hardware.plug_in(kiosk, card)
    until(lambda: "unfit" in (told := kiosk.ask("status")) and told["unfit"] is None, 180, "fit")
    hardware.press(kiosk)
    until_state(kiosk, "listening", "speaking")
    hang_up(kiosk)
