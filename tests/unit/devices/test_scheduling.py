import logging
import os
import subprocess
import sys
import textwrap
import threading

import pytest

from kiosk.devices.bridge import DeviceThread
from kiosk.errors import DeviceError
from tests.unit.devices.cards import CaptureCard

ASK = """
    import logging, os, resource, sys
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    from kiosk.devices.scheduling import go_first
    try:
        resource.setrlimit(resource.RLIMIT_RTPRIO, (int(sys.argv[1]),) * 2)
    except ValueError:
        print("no such limit here")
        sys.exit()
    if os.getuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    print(go_first("speaker"), os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK)
"""


def ask_as_nobody(limit: int) -> tuple[str, str]:
    """What an ordinary user's process is told, with this limit of real-time priority."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(ASK), str(limit)],
        capture_output=True,
        check=True,
        timeout=30,
    )
    answer = done.stdout.decode().strip()
    if answer == "no such limit here":
        pytest.skip("this user may not raise the limit")
    return answer, done.stderr.decode()


def test_a_user_without_the_limit_is_refused_told_what_to_do_and_goes_on() -> None:
    answer, said = ask_as_nobody(0)
    assert answer == f"False {os.SCHED_OTHER}"
    [line] = said.splitlines()
    assert "speaker" in line
    assert "LimitRTPRIO=20" in line
    assert "limits.conf" in line


def test_a_user_with_the_limit_goes_first() -> None:
    answer, said = ask_as_nobody(20)
    assert answer == f"True {os.SCHED_FIFO}"
    assert len(said.splitlines()) == 1


class Nothing(DeviceThread[CaptureCard]):
    """A device thread that only rests."""

    def _serve(self, device: CaptureCard) -> None:
        while self._awake():
            self._rest(device)

    def _report_opened(self, device: CaptureCard) -> None:
        """Nobody asks."""

    def _report_lost(self, error: DeviceError) -> None:
        """Nobody asks."""


def test_a_sound_thread_asks_when_it_starts_and_the_rest_of_the_process_stays_ordinary(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    policies: list[int] = []
    opened = threading.Event()

    def open_card() -> CaptureCard:
        policies.append(os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK)
        opened.set()
        return CaptureCard()

    thread = Nothing("microphone", open_card)
    thread.open()
    assert opened.wait(5)
    assert thread.close()
    [line] = [text for text in caplog.messages if "priority" in text]
    assert "microphone" in line
    granted = "goes first" in line
    assert policies == [os.SCHED_FIFO if granted else os.SCHED_OTHER]
    assert os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == os.SCHED_OTHER
