"""Button and lamps on gpiozero's own mock pins."""

import asyncio
import time
from typing import Any

import gpiozero
import pytest

from kiosk.devices.gpio import GpioButton, GpioIndicator, is_active, try_lamp
from kiosk.devices.ports import ButtonEdge, Pattern
from kiosk.errors import DeviceError
from tests.unit.devices.cards import Ears

DEBOUNCE_S = 0.04
BUTTON, LAMP, RECORDING = 17, 27, 22
DARK: Pattern = ((False, 60.0),)
LIT: Pattern = ((True, 60.0),)


pytestmark = pytest.mark.usefixtures("pins")


class Pressed:
    """A button with its finger."""

    def __init__(self, pins: Any, *, pull_up: bool = True) -> None:
        self.ears = Ears[ButtonEdge]()
        self._pull_up = pull_up
        self.button = GpioButton(
            BUTTON,
            pull_up=pull_up,
            debounce_s=DEBOUNCE_S,
            handler=self.ears.hear,
            loop=asyncio.get_running_loop(),
        )
        self._pin = pins.pin(BUTTON)

    def down(self) -> None:
        self._pin.drive_low() if self._pull_up else self._pin.drive_high()

    def up(self) -> None:
        self._pin.drive_high() if self._pull_up else self._pin.drive_low()

    async def reported(self, *pressed: bool) -> None:
        """Exactly these edges come, and no other within two settle times."""
        await self.ears.until(lambda: len(self.ears.events) >= len(pressed))
        await asyncio.sleep(2 * DEBOUNCE_S)
        assert [edge.pressed for edge in self.ears.events] == list(pressed)


@pytest.mark.parametrize("pull_up", [True, False])
async def test_a_press_acts_at_its_first_edge(pins: Any, pull_up: bool) -> None:
    pressed = Pressed(pins, pull_up=pull_up)
    before_s = time.monotonic()
    pressed.down()
    await asyncio.sleep(0)
    [edge] = pressed.ears.events
    assert edge.pressed
    assert before_s <= edge.at_s <= time.monotonic()
    pressed.button.close()


async def test_chatter_is_one_press(pins: Any) -> None:
    pressed = Pressed(pins)
    for _ in range(5):
        pressed.down()
        pressed.up()
    pressed.down()
    await pressed.reported(True)
    pressed.button.close()


async def test_a_release_inside_the_settle_time_is_still_reported(pins: Any) -> None:
    pressed = Pressed(pins)
    pressed.down()
    await asyncio.sleep(0)
    pressed.up()
    await pressed.reported(True, False)
    released = pressed.ears.events[1].at_s - pressed.ears.events[0].at_s
    assert released >= DEBOUNCE_S - 0.001
    pressed.button.close()


async def test_presses_and_releases_follow_each_other(pins: Any) -> None:
    pressed = Pressed(pins)
    for _ in range(2):
        pressed.down()
        await asyncio.sleep(1.5 * DEBOUNCE_S)
        pressed.up()
        await asyncio.sleep(1.5 * DEBOUNCE_S)
    await pressed.reported(True, False, True, False)
    pressed.button.close()


async def test_chatter_of_a_release_is_one_release(pins: Any) -> None:
    pressed = Pressed(pins)
    pressed.down()
    await asyncio.sleep(1.5 * DEBOUNCE_S)
    for _ in range(5):
        pressed.up()
        pressed.down()
    pressed.up()
    await pressed.reported(True, False)
    pressed.button.close()


async def test_a_closed_button_reports_nothing_and_frees_its_pin(pins: Any) -> None:
    pressed = Pressed(pins)
    pressed.down()
    await asyncio.sleep(0)
    pressed.button.close()
    pressed.up()
    await pressed.reported(True)
    Pressed(pins).button.close()


async def test_closing_does_not_wait_for_the_visitor_to_let_go(pins: Any) -> None:
    pressed = Pressed(pins)
    pressed.down()
    await asyncio.sleep(0)
    started_s = time.monotonic()
    pressed.button.close()
    assert time.monotonic() - started_s < 0.05


async def test_a_pin_that_is_taken_names_itself(pins: Any) -> None:
    first = Pressed(pins)
    with pytest.raises(DeviceError, match="GPIO 17"):
        Pressed(pins)
    first.button.close()


# --- lamps --------------------------------------------------------------------------------------


async def test_the_lamp_shows_its_pattern(pins: Any) -> None:
    indicator = GpioIndicator(LAMP, RECORDING, asyncio.get_running_loop())
    indicator.show(LIT)
    assert pins.pin(LAMP).state
    indicator.show(DARK)
    assert not pins.pin(LAMP).state
    indicator.show(((True, 0.02), (False, 0.02)))
    seen = set()
    for _ in range(20):
        seen.add(bool(pins.pin(LAMP).state))
        await asyncio.sleep(0.005)
    assert seen == {True, False}
    indicator.close()


async def test_the_recording_lamp_is_its_own(pins: Any) -> None:
    indicator = GpioIndicator(LAMP, RECORDING, asyncio.get_running_loop())
    indicator.show(DARK)
    indicator.recording(on=True)
    assert pins.pin(RECORDING).state
    assert not pins.pin(LAMP).state
    indicator.recording(on=False)
    assert not pins.pin(RECORDING).state
    indicator.close()


async def test_a_kiosk_without_a_recording_lamp_has_none(pins: Any) -> None:
    indicator = GpioIndicator(LAMP, None, asyncio.get_running_loop())
    indicator.recording(on=True)
    indicator.close()
    assert RECORDING not in pins.pins


async def test_closed_lamps_are_dark_and_free(pins: Any) -> None:
    for _ in range(2):
        indicator = GpioIndicator(LAMP, RECORDING, asyncio.get_running_loop())
        indicator.show(((True, 0.01), (False, 0.01)))
        indicator.recording(on=True)
        indicator.close()
        await asyncio.sleep(0.03)
        assert not pins.pin(LAMP).state
        assert not pins.pin(RECORDING).state


# --- lines that are only tried ------------------------------------------------------------------


def test_a_line_that_is_tried_is_given_back(pins: Any) -> None:
    for _ in range(2):
        assert is_active(BUTTON, pull_up=True) is False
        try_lamp(LAMP)
    assert pins.pin(LAMP).state is False


def test_a_line_that_another_holds_is_named(pins: Any) -> None:
    with gpiozero.LED(LAMP), pytest.raises(DeviceError, match=f"GPIO {LAMP}"):
        try_lamp(LAMP)


async def test_a_button_tells_whether_it_is_down(pins: Any) -> None:
    pressed = Pressed(pins)
    assert not pressed.button.pressed
    pressed.down()
    assert pressed.button.pressed
    pressed.button.close()
