"""What the unit tests share: a header of mock pins, a virtual clock, and Hypothesis, which finds
the same examples every time and never complains of a busy machine."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from kiosk.lab.virtual_clock import VirtualClock

settings.register_profile(
    "unit",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("unit")


@pytest.fixture
def pins(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """gpiozero's own mock factory."""
    from gpiozero import Device
    from gpiozero.pins.mock import MockFactory, MockPin

    monkeypatch.setenv("LG_WD", "/nonexistent")  # nothing here imports lgpio
    factory = MockFactory(pin_class=MockPin)
    before, Device.pin_factory = Device.pin_factory, factory
    yield factory
    factory.reset()
    Device.pin_factory = before


@pytest.fixture
def clock() -> Iterator[VirtualClock]:
    """A virtual clock that this thread lives by."""
    clock = VirtualClock()
    clock.adopt("test")
    yield clock
    clock.close()
