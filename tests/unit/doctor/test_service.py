"""What is said of the daemon, and of who may not ask it; and the kiosk's own voice."""

import os
import socket
from pathlib import Path

import pytest

from kiosk import __version__
from kiosk.causes import CAUSES, NOTICE
from kiosk.config import Settings
from kiosk.devices.ports import ButtonEdge
from kiosk.devices.virtual import VirtualButton
from kiosk.doctor import service, voice
from kiosk.doctor.findings import Finding, Result
from kiosk.doctor.subject import Service, Subject, in_use
from kiosk.endings import Kind
from kiosk.listeners.status import StatusReport
from kiosk.moments import What
from kiosk.ops.messages import MESSAGES
from kiosk.visit.fitness import Cause
from tests.moments import a_moment
from tests.unit.doctor.subjects import is_good_form, settings, subject
from tests.virtual_kiosk import tones_for_sentences

STATUS: dict[str, object] = {
    "state": "idle",
    "cause": None,
    "visits": 4,
    "uptime_s": 3720,
    "ready": True,
    "version": __version__,
    "last_ending": "hung_up",
}


def look(of: Service) -> Finding:
    [found] = service.look(Subject(settings(), None, of))
    assert is_good_form(found)
    return found


def test_a_kiosk_that_is_fit_passes_with_how_it_is() -> None:
    found = look(Service(STATUS))
    assert found.result is Result.PASS
    assert found.value == "fit, idle, 4 visits, up 1 h 2 min, the last visit ended: hung_up"


@pytest.mark.parametrize("cause", list(Cause))
def test_every_reason_for_holding_no_visit_has_its_next_step(cause: Cause) -> None:
    found = look(Service({**STATUS, "cause": cause.value}))
    assert found.result is (Result.WARN if cause in service._WANTED else Result.FAIL)
    assert cause.value in found.value
    assert found.next_step == service._STEPS[cause]


@pytest.mark.parametrize("kind", list(Kind))
def test_a_last_visit_that_ended_by_a_fault_counts_as_gravely_as_its_rule_says(kind: Kind) -> None:
    said = {"last_ending": kind.value, "last_ending_detail": "HTTP 403 instead of a WebSocket"}
    found = look(Service({**STATUS, **said}))
    assert f"{kind} (HTTP 403 instead" in found.value
    severity = CAUSES[kind].severity
    assert found.result is {3: Result.FAIL, 4: Result.WARN}.get(severity, Result.PASS)
    if found.result is not Result.PASS:
        assert str(found.next_step).startswith(CAUSES[kind].remedy)


def test_the_remedy_of_an_ending_is_the_journal_catalogs() -> None:
    for kind in Kind:
        if CAUSES[kind].severity < NOTICE:
            assert CAUSES[kind].remedy in MESSAGES["visit_ended"].remedy


def test_what_the_kiosk_cannot_do_now_counts_before_how_its_last_visit_ended() -> None:
    found = look(Service({**STATUS, "cause": "no_speaker", "last_ending": "unreachable"}))
    assert (found.result, found.next_step) == (Result.FAIL, service._STEPS[Cause.NO_SPEAKER])


def test_an_ending_that_another_version_has_is_no_fault() -> None:
    assert look(Service({**STATUS, "last_ending": "gone_fishing"})).result is Result.PASS


def test_a_kiosk_that_is_not_ready_yet_is_asked_again() -> None:
    assert look(Service({**STATUS, "ready": False})).result is Result.WARN


def test_a_service_that_does_not_run_fails_with_its_state() -> None:
    unit = {"ActiveState": "failed", "SubState": "failed", "Result": "exit-code"}
    found = look(Service(unit=unit))
    assert found.result is Result.FAIL
    assert "failed (failed, exit-code)" in found.value


def test_without_a_service_a_kiosk_that_does_not_run_is_a_warning() -> None:
    assert look(Service()).result is Result.WARN


def asked(path: Path) -> Service:
    its: Settings = settings(control={"socket": path})
    return in_use(its).service


def nobody(found: Service) -> bool:
    return (found.status, found.trouble) == (None, None)


def test_a_socket_that_is_not_there_or_was_left_behind_is_nobody(tmp_path: Path) -> None:
    assert nobody(asked(tmp_path / "none"))
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "left"))
    left.close()
    assert nobody(asked(tmp_path / "left"))


@pytest.mark.skipif(os.getuid() == 0, reason="root may ask everybody")
def test_a_socket_that_this_user_may_not_use_may_be_a_kiosk(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "other"))
        other.listen()
        (tmp_path / "other").chmod(0)
        found = asked(tmp_path / "other")
    assert found.trouble is not None
    assert look(found).result is Result.SKIP


# --- what the kiosk tells of itself -------------------------------------------------------------


def test_a_kiosk_tells_of_its_cards_and_its_last_visit() -> None:
    standing, button = StatusReport("lobby"), VirtualButton(lambda _: None)
    told = standing.status([button], ready=False)
    assert (told["kiosk"], told["version"], told["ready"]) == ("lobby", __version__, False)
    assert told["microphone_open"] is None
    assert told["last_ending"] is None, "a start anew forgets how a visit ended"
    opened = {"device": "microphone", "detail": "48000 Hz"}
    standing.observe(a_moment(What.DEVICE_OPENED, 0.0, opened))
    standing.observe(a_moment(What.DEVICE_LOST, 1.0, {"device": "speaker", "detail": "gone"}))
    standing.observe(a_moment(What.VISIT_ENDED, 2.0, {"kind": "no_answer", "detail": "20 s"}))
    told = standing.status([button], ready=True)
    assert (told["microphone_open"], told["microphone"]) == (True, "48000 Hz")
    assert (told["speaker_open"], told["speaker"]) == (False, "gone")
    assert (told["last_ending"], told["last_ending_detail"]) == ("no_answer", "20 s")


async def test_a_button_tells_how_long_it_has_been_down() -> None:
    standing = StatusReport("lobby")
    button = VirtualButton(standing.on_button, held=True)
    assert standing.status([button], ready=True)["button_down_s"] is None
    button.press()
    assert standing.status([button], ready=True)["button_down_s"] == pytest.approx(0, abs=0.1)
    button.release()
    assert standing.status([button], ready=True)["button_down_s"] is None
    assert standing.status([button, button], ready=True)["button_edges"] == [2, 2]
    button.pressed = True  # since before the kiosk was started: there was no edge
    standing.on_button(ButtonEdge(False, 0.0))
    assert standing.status([button], ready=True)["button_down_s"] == pytest.approx(0, abs=0.1)


# --- the voice ----------------------------------------------------------------------------------


def speaks(monkeypatch: pytest.MonkeyPatch, of: Subject, path: Path | None) -> Finding:
    if path is not None:
        monkeypatch.setenv("PATH", str(path))
    [found] = voice.look(of)
    assert is_good_form(found)
    return found


def test_without_espeak_and_recordings_the_kiosk_is_mute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = speaks(monkeypatch, subject(), tmp_path)
    assert found.result is Result.FAIL
    assert f"{found.value} {found.next_step}".count("apt install espeak-ng") == 1


def test_recordings_of_every_sentence_are_enough_for_visitors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = tones_for_sentences(tmp_path)
    found = speaks(monkeypatch, subject(visit={"messages_dir": messages}), tmp_path)
    assert found.result is Result.WARN
    (messages / "goodbye.wav").unlink()
    found = speaks(monkeypatch, subject(visit={"messages_dir": messages}), tmp_path)
    assert found.result is Result.FAIL


def test_a_voice_that_espeak_does_not_have_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    assert speaks(monkeypatch, subject(), None).result is Result.PASS
    found = speaks(monkeypatch, subject(visit={"voice": "xx-nobody"}), None)
    assert found.result is Result.FAIL
    assert "visit.voice" in str(found.next_step)
    assert "`espeak-ng --voices`" in str(found.next_step)
    assert "install" not in f"{found.value} {found.next_step}"


def test_a_language_has_the_voice_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "(uk+f2)" in speaks(monkeypatch, subject(kiosk={"language": "uk"}), None).value
    english = subject(kiosk={"language": "uk"}, visit={"voice": "en-us"})
    assert "(en-us)" in speaks(monkeypatch, english, None).value
