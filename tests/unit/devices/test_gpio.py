"""Button and lamps on gpiozero's own mock pins."""

import asyncio
import importlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gpiozero
import pytest

from kiosk.base.clock import WakeUp
from kiosk.config import Settings
from kiosk.devices import debounce, gpio
from kiosk.devices.debounce import STANDS_S
from kiosk.devices.gpio import GpioButton, GpioIndicator, count_edges, is_active, try_lamp
from kiosk.devices.hardware import configured_hardware
from kiosk.devices.keys import STEP_DB
from kiosk.devices.ports import ButtonEdge, ButtonEvent, KeyPressed, LineTrouble, Pattern
from kiosk.errors import DeviceError
from kiosk.lab.virtual_clock import VirtualClock
from tests.unit.devices.cards import TurnDetector, stand_still

DEBOUNCE_S = 0.04
BUTTON, LAMP, RECORDING = 17, 27, 22
DARK: Pattern = ((False, 60.0),)
LIT: Pattern = ((True, 60.0),)


pytestmark = pytest.mark.usefixtures("pins")


class Pressed:
    """A button with its finger."""

    def __init__(self, pins: Any, *, pull_up: bool = True) -> None:
        self.ears = TurnDetector[ButtonEdge]()
        self._pull_up = pull_up
        self.button = GpioButton(
            BUTTON,
            pull_up=pull_up,
            debounce_s=DEBOUNCE_S,
            handler=self._hear,
            loop=asyncio.get_running_loop(),
        )
        self._pin = pins.pin(BUTTON)
        self.troubles = TurnDetector[LineTrouble]()

    def _hear(self, event: ButtonEvent) -> None:
        if isinstance(event, LineTrouble):
            self.troubles.hear(event)
        else:
            self.ears.hear(event)

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
async def test_a_press_is_dated_at_its_edge(pins: Any, pull_up: bool) -> None:
    pressed = Pressed(pins, pull_up=pull_up)
    before_s = time.monotonic()
    pressed.down()
    after_s = time.monotonic()
    await pressed.reported(True)
    [edge] = pressed.ears.events
    assert before_s <= edge.at_s <= after_s
    pressed.button.close()


async def test_a2_dips_of_microseconds_are_no_press_and_no_release(pins: Any) -> None:
    for _ in range(50):
        pressed = Pressed(pins)
        longest_s = await dips(pressed.down, pressed.up)
        pressed.down()
        await pressed.ears.until(lambda: pressed.ears.events)  # noqa: B023
        await asyncio.sleep(1.5 * DEBOUNCE_S)
        longest_s = max(longest_s, await dips(pressed.up, pressed.down))
        pressed.button.close()
        if longest_s < STANDS_S / 2:  # else this machine did something else within one
            assert [edge.pressed for edge in pressed.ears.events] == [True]
            return
        pressed.up()
    raise AssertionError("this machine is too busy to make a dip of microseconds")


async def dips(there: Callable[[], None], back: Callable[[], None]) -> float:
    """Ten of them; how long the longest was."""
    longest_s = 0.0
    for _ in range(10):
        began_s = time.monotonic()
        there()
        back()
        longest_s = max(longest_s, time.monotonic() - began_s)
        await asyncio.sleep(2 * STANDS_S)
    return longest_s


async def test_a_tap_while_the_loop_stands_still_is_a_press_and_a_release(pins: Any) -> None:
    pressed = Pressed(pins)
    pressed.down()
    stand_still(0.06)
    pressed.up()
    await pressed.reported(True, False)
    pressed.button.close()


async def test_b7_chatter_is_one_press(pins: Any) -> None:
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
    await pressed.ears.until(lambda: pressed.ears.events)
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
    await pressed.ears.until(lambda: pressed.ears.events)
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


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("GPIO busy", "GPIO 17 is taken .*another program"),
        ("GPIO already in use", "GPIO 17 is taken .*another program"),
        ("can not open gpiochip", r"GPIO 17 cannot be used .*gpiochip0 is the header's"),
        ("no permission to access file", r"GPIO 17 cannot be used .*is the header's"),
        ("bad GPIO number", r"GPIO 17 is no line of this board's .*not places on the header"),
        ("something new", r"GPIO 17 cannot be used \('something new'\)$"),
    ],
)
def test_a16_b8_chip_line_and_pin_have_each_its_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str, told: str
) -> None:
    monkeypatch.setenv("LG_WD", str(tmp_path))  # it makes a FIFO there as it is imported
    lgpio = importlib.import_module("lgpio")
    monkeypatch.setattr(gpio, "_DEVICES", tmp_path)
    (tmp_path / "gpiochip0").touch()

    def refuse(*_: object, **__: object) -> None:
        raise lgpio.error(said)

    monkeypatch.setattr(gpiozero, "DigitalInputDevice", refuse)
    with pytest.raises(DeviceError, match=told):
        is_active(BUTTON, pull_up=True)


def test_a16_so_have_a_machine_without_a_chip_and_a_user_outside_the_group(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no such thing")

    monkeypatch.setattr(gpio, "_DEVICES", tmp_path)
    monkeypatch.setattr(gpiozero, "DigitalInputDevice", refuse)
    with pytest.raises(DeviceError, match=r"no /dev/gpiochip.*button.driver.*\"none\""):
        is_active(BUTTON, pull_up=True)
    (tmp_path / "gpiochip0").touch()
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(DeviceError, match=r"must be in the group gpio, which may use .*gpiochip0"):
        is_active(BUTTON, pull_up=True)


def test_a_pin_that_is_none_is_told_as_that() -> None:
    with pytest.raises(DeviceError, match="GPIO 99 is no line of this board's"):
        is_active(99, pull_up=True)


async def test_c5_lamps_that_are_lit_when_low(pins: Any) -> None:
    loop = asyncio.get_running_loop()
    indicator = GpioIndicator(LAMP, RECORDING, loop, active_low=True)
    assert pins.pin(LAMP).state
    assert pins.pin(RECORDING).state
    indicator.show(LIT)
    indicator.recording(on=True)
    assert not pins.pin(LAMP).state
    assert not pins.pin(RECORDING).state
    indicator.close()
    try_lamp(LAMP, active_low=True)
    assert pins.pin(LAMP).state


async def test_a2_a_line_that_takes_up_the_mains_is_a_fault_and_no_button(
    pins: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debounce, "BOUNCE_S", 0.0)  # the mains in no time
    pressed = Pressed(pins)
    for _ in range(100):
        pressed.down()
        pressed.up()
    await pressed.troubles.until(lambda: len(pressed.troubles.events) == 2)
    assert [(its.cause, its.over) for its in pressed.troubles.events] == [
        ("button_flutters", False),
        ("button_flutters", True),
    ]
    assert (
        "the button on GPIO 17 changes faster than any finger" in pressed.troubles.events[0].detail
    )
    # A busy machine may let the line stand for 3 ms, which is a press, as long as nothing is known.
    mistaken = [edge.pressed for edge in pressed.ears.events]
    assert mistaken == [True, False] * (len(mistaken) // 2)
    presses = pressed.button.presses
    assert pressed.button.bounces >= 90 - 2 * presses
    pressed.ears.events.clear()
    pressed.down()
    await pressed.reported(True)
    assert pressed.button.presses == presses + 1
    pressed.button.close()


async def test_a_button_that_stays_down_is_a_fault_until_it_comes_up(
    pins: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debounce, "STUCK_S", 0.1)
    pressed = Pressed(pins)
    pressed.down()
    await pressed.troubles.until(lambda: len(pressed.troubles.events) == 1)
    [stuck] = pressed.troubles.events
    assert (stuck.cause, stuck.over) == ("button_stuck", False)
    pressed.up()
    await pressed.troubles.until(lambda: len(pressed.troubles.events) == 2)
    assert pressed.troubles.events[1].over
    pressed.button.close()


@pytest.mark.skipif(any(Path("/dev").glob("gpiochip*")), reason="this machine has a gpiochip")
def test_lgpio_itself_says_that_a_chip_cannot_be_opened(tmp_path: Path) -> None:
    program = """
import gpiozero.pins.lgpio as lgpio_pins
from kiosk.devices.debounce import STANDS_S
from kiosk.devices.gpio import is_active
lgpio_pins.LGPIOFactory._get_revision = lambda self: 0xC04170  # a Raspberry Pi 5
is_active(17, pull_up=True)
"""
    environment = {**os.environ, "GPIOZERO_PIN_FACTORY": "lgpio", "LG_WD": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment
    )
    assert "DeviceError: GPIO 17 cannot be used" in ran.stderr
    assert "taken" not in ran.stderr


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


# --- keys ---------------------------------------------------------------------------------------


def with_keys(driver: str = "gpio") -> Settings:
    keys = [
        {"pin": 5, "language": "de"},
        {"pin": 6, "language": "fr"},
        {"pin": 12, "ask": "What is that?"},
        {"pin": 13, "volume": "down"},
    ]
    return Settings.model_validate({"button": {"driver": driver}, "keys": keys})


async def test_a_key_tells_its_language(pins: Any) -> None:
    ears = TurnDetector[ButtonEdge | KeyPressed]()
    hardware = configured_hardware(with_keys())
    loop = asyncio.get_running_loop()
    keys = hardware.open_keys(presses_only(ears), loop)
    try:
        pins.pin(6).drive_low()
        await ears.until(lambda: len(ears.events) == 1)
        pins.pin(6).drive_high()
        await ears.until(lambda: len(ears.events) == 2)
    finally:
        for key in keys:
            key.close()
    assert [replace(edge, at_s=0) for edge in edges(ears.events)] == [
        ButtonEdge(pressed, 0, "fr") for pressed in (True, False)
    ]


async def test_a_key_with_another_use_tells_that_once_when_it_goes_down(pins: Any) -> None:
    ears = TurnDetector[ButtonEdge | KeyPressed]()
    keys = configured_hardware(with_keys()).open_keys(
        presses_only(ears), asyncio.get_running_loop()
    )
    try:
        for number, pin in enumerate((12, 13), 1):
            pins.pin(pin).drive_low()
            await ears.until(partial(_heard, ears.events, number))
            pins.pin(pin).drive_high()
    finally:
        for key in keys:
            key.close()
    assert ears.events == [KeyPressed(ask="What is that?"), KeyPressed(step_db=-STEP_DB)]


def edges(events: Sequence[ButtonEdge | KeyPressed]) -> list[ButtonEdge]:
    return [edge for edge in events if isinstance(edge, ButtonEdge)]


async def test_a_key_that_cannot_be_had_gives_the_others_back(pins: Any) -> None:
    taken = gpiozero.LED(6)
    loop = asyncio.get_running_loop()
    try:
        with pytest.raises(DeviceError, match="GPIO 6"):
            configured_hardware(with_keys()).open_keys(lambda _: None, loop)
        gpiozero.LED(5).close()
    finally:
        taken.close()


async def test_a_kiosk_without_gpio_has_no_keys_to_open() -> None:
    loop = asyncio.get_running_loop()
    assert configured_hardware(with_keys("none")).open_keys(lambda _: None, loop) == ()


def presses_only(
    ears: TurnDetector[ButtonEdge | KeyPressed],
) -> Callable[[ButtonEvent | KeyPressed], None]:
    def hear(event: ButtonEvent | KeyPressed) -> None:
        assert not isinstance(event, LineTrouble)
        ears.hear(event)

    return hear


def _heard(events: Sequence[object], wanted: int) -> bool:
    return len(events) >= wanted


async def test_on_a_terminal_a_language_is_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    reads, writes = os.pipe()
    ears = TurnDetector[ButtonEdge | KeyPressed]()
    with os.fdopen(reads) as terminal, os.fdopen(writes, "w", buffering=1) as typed:
        monkeypatch.setattr(sys, "stdin", terminal)
        loop = asyncio.get_running_loop()
        keyboard = configured_hardware(with_keys("keyboard")).open_button(presses_only(ears), loop)
        for number, line in enumerate(("", "fr", " de ", "nonsense"), 1):
            typed.write(f"{line}\n")
            await ears.until(partial(_heard, ears.events, 2 * number))
        typed.write("3\n")
        await ears.until(partial(_heard, ears.events, 9))
        keyboard.close()
    assert ears.events[-1] == KeyPressed(ask="What is that?")
    assert [edge.language for edge in edges(ears.events) if edge.pressed] == [
        None,
        "fr",
        "de",
        None,
    ]


class Hands(VirtualClock):
    """Time in which something happens to a line while it is watched."""

    def __init__(self, happens: Callable[[], None]) -> None:
        super().__init__()
        self.adopt("doctor")
        self._happens = happens

    def wake_up(self) -> WakeUp:
        self._happens()
        return super().wake_up()


@pytest.mark.parametrize("times", [0, 1, 150])
def test_a_lines_edges_are_counted_while_it_is_watched(pins: Any, times: int) -> None:
    def flutter() -> None:
        for _ in range(times):
            pins.pin(BUTTON).drive_low()
            pins.pin(BUTTON).drive_high()

    pins.pin(BUTTON).drive_high()
    assert count_edges(BUTTON, pull_up=True, for_s=3, clock=Hands(flutter)) == 2 * times
    assert not is_active(BUTTON, pull_up=True), "the line is free again"
