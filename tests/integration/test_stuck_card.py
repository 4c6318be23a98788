"""A card that only a new process can open: the daemon ends, for systemd to start it again."""

import asyncio
from pathlib import Path

import pytest

from kiosk.daemon.kiosk import Daemon
from kiosk.devices.hardware import Hardware
from kiosk.devices.ports import CapturePcm, StuckError
from kiosk.devices.virtual import Room, VirtualButton, VirtualIndicator, VirtualPlayback
from tests.slowness import patient_s
from tests.virtual_kiosk import settings


async def test_a_card_that_only_a_new_process_can_open_ends_the_idle_daemon(
    short_dir: Path,
) -> None:
    room = Room()

    def open_capture() -> CapturePcm:
        raise StuckError("it is there and cannot be opened")

    hardware = Hardware(
        open_capture,
        lambda: VirtualPlayback(room),
        lambda handler, _: VirtualButton(handler),
        lambda _: VirtualIndicator(),
    )
    daemon = Daemon(settings(short_dir, "ws://127.0.0.1:1"), hardware)
    with pytest.raises(ExceptionGroup) as ended:
        async with asyncio.timeout(patient_s(10)):
            await daemon.run()
    assert ended.group_contains(StuckError)
