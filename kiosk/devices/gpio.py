"""Button and lamps on GPIO through gpiozero.

gpiozero calls back on its own thread; every edge goes through an Outbox. `bounce_time` stays None:
gpiozero's debounce waits for a stable level, which adds its time to every press.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

from kiosk.devices.bridge import Outbox
from kiosk.devices.debounce import Debouncer
from kiosk.devices.lamps import PatternPlayer
from kiosk.devices.ports import ButtonEdge, Pattern
from kiosk.errors import DeviceError

_OUTBOX_LIMIT = 100


class GpioButton:
    """A button between a pin and ground (`pull_up`) or 3.3 V. Close it before the loop closes."""

    def __init__(
        self,
        pin: int,
        *,
        pull_up: bool,
        debounce_s: float,
        handler: Callable[[ButtonEdge], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._handler = handler
        self._loop = loop
        self._debouncer = Debouncer(debounce_s)
        self._recheck: asyncio.TimerHandle | None = None
        self._outbox: Outbox[tuple[bool, float]] = Outbox(loop, self._on_edge, _OUTBOX_LIMIT)
        gpiozero = _load()
        # Not gpiozero.Button: its thread for held buttons wakes ten times a second, and keeps close
        # waiting for a second while the button is down.
        self._button = _claim(
            gpiozero, pin, gpiozero.DigitalInputDevice, pull_up=pull_up, bounce_time=None
        )
        self._button.when_activated = lambda: self._outbox.put((True, time.monotonic()))
        self._button.when_deactivated = lambda: self._outbox.put((False, time.monotonic()))

    @property
    def pressed(self) -> bool:
        return bool(self._button.is_active)

    def close(self) -> None:
        if self._recheck is not None:
            self._recheck.cancel()
        self._button.close()

    def _on_edge(self, edge: tuple[bool, float]) -> None:
        pressed, at_s = edge
        if self._debouncer.edge(pressed, at_s):
            self._handler(ButtonEdge(pressed, at_s))
        if self._recheck is None:
            # What the chatter ended in is read once it is over.
            wait_s = self._debouncer.settle_in_s(time.monotonic())
            self._recheck = self._loop.call_later(wait_s, self._on_settled)

    def _on_settled(self) -> None:
        self._recheck = None
        pressed = bool(self._button.is_active)
        if pressed != self._debouncer.pressed:
            self._on_edge((pressed, time.monotonic()))


class GpioIndicator:
    """The state lamp and, where there is a pin for it, the recording lamp; lit when high."""

    def __init__(
        self, pin: int, recording_pin: int | None, loop: asyncio.AbstractEventLoop
    ) -> None:
        gpiozero = _load()
        self._lamp = _claim(gpiozero, pin, gpiozero.LED)
        self._recording = (
            None if recording_pin is None else _claim(gpiozero, recording_pin, gpiozero.LED)
        )
        self._player = PatternPlayer(lambda lit: _switch(self._lamp, lit), loop)

    def show(self, pattern: Pattern) -> None:
        self._player.show(pattern)

    def recording(self, *, on: bool) -> None:
        if self._recording is not None:
            _switch(self._recording, on)

    def close(self) -> None:
        self._player.stop()
        for led in (self._lamp, self._recording):
            if led is not None:
                led.off()
                led.close()


def is_active(pin: int, *, pull_up: bool) -> bool:
    """Claim a button's line for a moment: is it pressed? Raises DeviceError."""
    gpiozero = _load()
    line = _claim(gpiozero, pin, gpiozero.DigitalInputDevice, pull_up=pull_up, bounce_time=None)
    try:
        return bool(line.is_active)
    finally:
        line.close()


def try_lamp(pin: int) -> None:
    """Claim a lamp's line for a moment; it stays dark. Raises DeviceError."""
    gpiozero = _load()
    _claim(gpiozero, pin, gpiozero.LED).close()


def _switch(led: Any, lit: bool) -> None:
    if lit:
        led.on()
    else:
        led.off()


def _load() -> ModuleType:
    # lgpio makes a FIFO where LG_WD points (default: the working directory, which a service with a
    # read-only file system does not have) the moment it is imported.
    os.environ.setdefault("LG_WD", os.environ.get("RUNTIME_DIRECTORY", tempfile.gettempdir()))
    import gpiozero

    if gpiozero.Device.pin_factory is None:
        # Named, because gpiozero otherwise falls back to whatever imports, with warnings only.
        os.environ.setdefault("GPIOZERO_PIN_FACTORY", "lgpio")
    module: ModuleType = gpiozero
    return module


def _claim(gpiozero: ModuleType, pin: int, kind: Callable[..., Any], **options: object) -> Any:
    try:
        return kind(pin, **options)
    except (gpiozero.GPIOZeroError, OSError, ImportError) as error:
        raise DeviceError(
            f"GPIO {pin} cannot be used ({error or type(error).__name__}); on a machine without "
            'GPIO set button.driver and indicator.driver to "none"'
        ) from error
    except _lgpio_errors() as error:
        raise DeviceError(
            f"GPIO {pin} is taken ({error}): another program holds the line, or the pin is "
            "already used for something else"
        ) from error


def _lgpio_errors() -> tuple[type[Exception], ...]:
    """lgpio's own exception, which exists once gpiozero has imported lgpio."""
    lgpio = sys.modules.get("lgpio")
    return () if lgpio is None else (lgpio.error,)
