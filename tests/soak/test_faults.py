"""Faults of the soak do what they say: or nothing would be tried by them."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from kiosk.audio.capture import CapturedChunk
from kiosk.base.clock import loop_now_s
from kiosk.base.files import remove, write_whole
from kiosk.devices.bridge import FIRST_SOUND_S, REOPEN_INTERVAL_S, STALL_S
from kiosk.devices.ports import BusyError, Lost, MicrophoneEvent, Opened, Running
from tests.lockstep import in_lockstep
from tests.soak.devices import BUSY, SLOW, STUCK, CountedMicrophone
from tests.soak.disk import Disk

Heard = list[tuple[float, MicrophoneEvent]]


def microphone() -> tuple[CountedMicrophone, Heard]:
    """One, and what it reported when, counted from now."""
    heard: Heard = []
    zero_s = loop_now_s()

    def hear(event: MicrophoneEvent) -> None:
        heard.append((loop_now_s() - zero_s, event))

    return CountedMicrophone(hear, np.zeros(16_000, np.int16)), heard


def test_a_full_disk_takes_nothing_new_and_leaves_what_is_there(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "state")
    disk.format()
    path = disk.directory / Disk.FILES[0]
    write_whole(path, "old")
    disk.fail(full=True)
    with pytest.raises(OSError, match="directory"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    remove(path)
    disk.mend()
    write_whole(path, "new")
    assert path.read_text() == "new"
    assert [each.name for each in disk.directory.iterdir()] == [path.name]


@in_lockstep
async def test_a_card_that_another_program_has_is_lost_when_it_is_to_start() -> None:
    card, heard = microphone()
    card.fail(BUSY)
    await asyncio.sleep(10)
    assert heard == []
    card.start()
    await asyncio.sleep(10)
    [(at_s, lost)] = heard
    assert at_s == pytest.approx(10)
    assert isinstance(lost, Lost)
    assert isinstance(lost.error, BusyError)
    card.mend()
    await asyncio.sleep(1)
    assert [event for _, event in heard[1:]] == [Opened("a card"), Running(True)]


@in_lockstep
async def test_a_card_that_is_stuck_is_given_up_and_opened_again() -> None:
    card, heard = microphone()
    card.start()
    await asyncio.sleep(1)
    card.fail(STUCK)
    await asyncio.sleep(STALL_S + REOPEN_INTERVAL_S + FIRST_SOUND_S + 0.1)
    times_s = [at_s for at_s, event in heard if isinstance(event, Lost)]
    again_s = 1 + STALL_S + REOPEN_INTERVAL_S + FIRST_SOUND_S
    assert times_s == pytest.approx([1 + STALL_S, again_s])
    assert [event for _, event in heard if isinstance(event, Running)] == [
        *(Running(True), Running(False), Running(True), Running(False)),
    ]


@in_lockstep
async def test_a_slow_card_starts_late_and_delivers_late() -> None:
    card, heard = microphone()
    card.fail(SLOW, 1.5)
    card.start()
    await asyncio.sleep(2)
    [(at_s, started)] = heard
    assert at_s == pytest.approx(1.5)
    assert started == Running(True)
    card.sound(1.0, speech=True)
    await asyncio.sleep(10)
    chunks = [(at_s, event) for at_s, event in heard if isinstance(event, CapturedChunk)]
    zero_s = loop_now_s() - 12
    assert chunks[0][0] == pytest.approx(3.5)
    assert chunks[0][1].captured_at_s - zero_s == pytest.approx(2.0)
