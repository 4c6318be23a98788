"""Button and lamps on GPIO through gpiozero.

gpiozero calls back on its own thread; every edge goes through an Outbox. `bounce_time` stays None:
it would add its whole time to every press, and `Debouncer` asks for 3 ms only.
"""

import asyncio
import os
import sys
import tempfile
from collections.abc import Callable
from types import ModuleType
from typing import Any

from kiosk.base.clock import REAL, Clock
from kiosk.devices.bridge import Outbox
from kiosk.devices.debounce import Change, Debouncer
from kiosk.devices.lamps import PatternPlayer
from kiosk.devices.ports import ButtonEdge, Pattern
from kiosk.errors import DeviceError

_OUTBOX_LIMIT = 100
# lgpio tells its errors by their texts only: of a line that somebody has, of a chip that is away.
_TAKEN = ("GPIO busy", "GPIO already in use")
_NO_CHIP = ("gpiochip", "no permission")


class GpioButton:
    """A button between a pin and ground (`pull_up`) or 3.3 V. Close it before the loop closes.
    `language`: that of a key for one."""

    def __init__(
        self,
        pin: int,
        *,
        pull_up: bool,
        debounce_s: float,
        handler: Callable[[ButtonEdge], None],
        loop: asyncio.AbstractEventLoop,
        language: str | None = None,
    ) -> None:
        self.edges = 0
        self._language = language
        self._handler = handler
        self._loop = loop
        self._debouncer = Debouncer(debounce_s)
        self._look: asyncio.TimerHandle | None = None
        self._outbox: Outbox[tuple[bool, float]] = Outbox(loop, self._on_edge, _OUTBOX_LIMIT)
        gpiozero = _load()
        # Not gpiozero.Button: its thread for held buttons wakes ten times a second, and keeps close
        # waiting for a second while the button is down.
        self._button = _claim(
            gpiozero, pin, gpiozero.DigitalInputDevice, pull_up=pull_up, bounce_time=None
        )
        self._button.when_activated = lambda: self._outbox.put((True, loop.time()))
        self._button.when_deactivated = lambda: self._outbox.put((False, loop.time()))

    @property
    def pressed(self) -> bool:
        return bool(self._button.is_active)

    def close(self) -> None:
        if self._look is not None:
            self._look.cancel()
        self._button.close()

    def _on_edge(self, edge: tuple[bool, float]) -> None:
        self.edges += 1
        self._report(self._debouncer.edge(*edge))

    def _report(self, changes: list[Change]) -> None:
        for change in changes:
            self._handler(ButtonEdge(*change, self._language))
        if self._look is not None:
            self._look.cancel()
            self._look = None
        if (look_at_s := self._debouncer.look_at_s) is not None:
            wait_s = max(0.0, look_at_s - self._loop.time())
            self._look = self._loop.call_later(wait_s, self._look_at_line)

    def _look_at_line(self) -> None:
        self._look = None
        self._report(self._debouncer.look(bool(self._button.is_active), self._loop.time()))


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


def count_edges(pin: int, *, pull_up: bool, for_s: float, clock: Clock = REAL) -> int:
    """Claim a button's line for some seconds: how often does it change? Raises DeviceError."""
    gpiozero = _load()
    line = _claim(gpiozero, pin, gpiozero.DigitalInputDevice, pull_up=pull_up, bounce_time=None)
    seen: list[None] = []
    line.when_activated = line.when_deactivated = lambda: seen.append(None)
    try:
        clock.wake_up().wait(for_s)
        return len(seen)
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
        raise DeviceError(f"GPIO {pin} {_refusal(str(error))}") from error


def _refusal(said: str) -> str:
    """What lgpio's words mean for a line, and the next step."""
    if any(words in said for words in _TAKEN):
        return (
            f"is taken ({said}): another program holds the line, or the pin is already used for "
            "something else"
        )
    if any(words in said for words in _NO_CHIP):
        return (
            f"cannot be used ({said}): the kiosk's user must be in the group gpio, and "
            "/dev/gpiochip* must be there; `kiosk devices` lists the chips"
        )
    return f"cannot be used ({said})"


def _lgpio_errors() -> tuple[type[Exception], ...]:
    """lgpio's own exception, which exists once gpiozero has imported lgpio."""
    lgpio = sys.modules.get("lgpio")
    return () if lgpio is None else (lgpio.error,)
