"""Button and lamps on gpiozero's own mock pins."""

from typing import Any

import gpiozero
import pytest
from gpiozero.pins.mock import MockPin

from kiosk.doctor import gpio
from kiosk.doctor.findings import Finding, Result
from kiosk.doctor.subject import Subject
from tests.unit.doctor.subjects import barred, is_good_form, subject

GPIO: dict[str, dict[str, Any]] = {"button": {"driver": "gpio"}, "indicator": {"driver": "gpio"}}


pytestmark = pytest.mark.usefixtures("pins")


def look(of: Subject) -> tuple[Finding, Finding]:
    button, lamps = gpio.look(of)
    assert is_good_form(button)
    assert is_good_form(lamps)
    return button, lamps


def test_free_lines_pass_and_are_given_back() -> None:
    for _ in range(2):
        button, lamps = look(subject(**GPIO))
        assert (button.value, lamps.value) == (
            "GPIO 17: free, not pressed",
            "GPIO 27 and GPIO 22: free",
        )


class Leant(MockPin):  # type: ignore[misc]  # the library has no annotations
    """A pin that stays low, whatever pulls it up."""

    def _set_pull(self, value: str) -> None:
        super()._set_pull(value)
        self._change_state(False)


def test_a_button_that_is_down_is_warned_of(pins: Any) -> None:
    pins.pin_class = Leant
    button, _ = look(subject(**GPIO))
    assert (button.result, button.value) == (Result.WARN, "GPIO 17: pressed")
    assert "stuck" in str(button.next_step)


def test_a_line_that_is_taken_fails_with_who_to_ask(pins: Any) -> None:
    from kiosk.devices import gpio

    taken = gpio._load().LED(17)
    button, _ = look(subject(**GPIO))
    taken.close()
    assert button.result is Result.FAIL
    assert "GPIO 17" in button.value


def test_a_running_kiosk_tells_of_its_button_and_the_line_is_not_claimed(pins: Any) -> None:
    status: dict[str, object] = {"button_down_s": None}
    button, lamps = look(subject(status, **GPIO))
    assert (button.result, lamps.result) == (Result.PASS, Result.PASS)
    assert pins.pins == {}
    button, _ = look(subject({"button_down_s": 42.0}, **GPIO))
    assert (button.result, button.value) == (Result.WARN, "GPIO 17: pressed for 42 s")


def test_who_may_not_ask_the_kiosk_claims_nothing(pins: Any) -> None:
    assert [each.result for each in look(barred(**GPIO))] == [Result.SKIP] * 2
    assert pins.pins == {}


def test_without_gpio_there_is_nothing_to_look_at() -> None:
    button, lamps = look(subject())
    assert button.value == 'button.driver = "none"'
    assert lamps.value == 'indicator.driver = "none"'


KEYS = {"de": 5, "fr": 6}


def test_keys_are_named_by_language_and_line() -> None:
    button, _ = look(subject(languages=KEYS, **GPIO))
    assert button.value == "GPIO 17, de on GPIO 5, fr on GPIO 6: free, not pressed"


def test_a_key_that_is_down_is_warned_of(pins: Any) -> None:
    pins.pin_class = Leant
    button, _ = look(subject(languages=KEYS, **GPIO))
    assert (button.result, button.value.partition(": ")[2]) == (
        Result.WARN,
        "pressed is the button",
    )


def test_a_key_whose_line_is_taken_fails() -> None:
    taken = gpiozero.LED(6)
    try:
        button, _ = look(subject(languages=KEYS, **GPIO))
    finally:
        taken.close()
    assert button.result is Result.FAIL
    assert "GPIO 6" in button.value
