"""Whole visits at odd cards, in virtual time: tests by the rows of what public bug reports tell of.

A10 a microphone of zeros is a fault before anybody is left unheard; A20 a loudspeaker that is late.
"""

import asyncio
from pathlib import Path

import pytest

from kiosk.devices.virtual import Echo, Room, VirtualCapture
from kiosk.lab.virtual_loop import running_clock
from kiosk.moments import DeviceLost, What
from kiosk.visit.states import State
from tests.integration.conftest import StartAgent
from tests.integration.sounds import RATE_HZ
from tests.lockstep import in_lockstep
from tests.virtual_kiosk import settings, virtual_kiosk


@in_lockstep
async def test_a10_a_microphone_of_zeros_ends_the_visit_and_is_unfit_until_it_hears(
    short_dir: Path, start_agent: StartAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(VirtualCapture, "has_converter", True)
    room = Room(RATE_HZ, noise_dbfs=None, clock=running_clock())
    async with (
        start_agent() as (url, _),
        virtual_kiosk(settings(short_dir, url.replace("http", "ws")), room) as kiosk,
    ):
        began_s = kiosk.button.press()
        lost = await kiosk.moment(What.DEVICE_LOST)
        assert isinstance(lost, DeviceLost)
        assert lost.cause == "microphone_silent"
        assert 2 <= lost.at_s - began_s < 3
        ended = await kiosk.moment(What.VISIT_ENDED)
        assert ended.fields["kind"] == "microphone_lost"
        await kiosk.state(State.IDLE)
        await asyncio.sleep(30)
        assert kiosk.host.cause == "no_microphone"
        assert kiosk.count(What.DEVICE_LOST) == 1
        room._noise_peak = 3.0  # its mute is off
        await kiosk.until(lambda: kiosk.host.cause is None, timeout_s=15)
        kiosk.button.press()
        await asyncio.sleep(4)
        assert kiosk.count(What.DEVICE_LOST) == 1
        assert kiosk.daemon._status()["button_presses"] == 2


@pytest.mark.parametrize("late_s", [0.6, 0.9])
@in_lockstep
async def test_a20_a_loudspeaker_that_is_late_interrupts_nobody_once_it_is_known(
    short_dir: Path, start_agent: StartAgent, late_s: float
) -> None:
    room = Room(
        RATE_HZ, noise_dbfs=-70, echo=Echo(delay_s=late_s, gain_db=-14), clock=running_clock()
    )
    its = settings(short_dir, "ws://127.0.0.1:1", echo={"mode": "cancel"})
    async with start_agent() as (url, _):
        its = settings(short_dir, url.replace("http", "ws"), echo={"mode": "cancel"})
        async with virtual_kiosk(its, room) as kiosk:
            for visit in (1, 2):
                kiosk.button.press()
                await asyncio.sleep(11)
                if visit == 1:
                    kiosk.moments.clear()
                    kiosk.button.press()
                    await kiosk.state(State.IDLE)
            assert kiosk.daemon._sound.status()["loudspeaker_late_ms"] == pytest.approx(
                1000 * late_s, abs=20
            )
            assert not kiosk.count(What.INTERRUPTED)
            assert not kiosk.count(What.SPEECH_STARTED)
