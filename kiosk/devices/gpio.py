"""Button and lamps on GPIO through gpiozero.

gpiozero calls back on its own thread; every edge goes through an Outbox. `bounce_time` stays None:
it would add its whole time to every press, and `Debouncer` asks for 3 ms only.
"""

import asyncio
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from kiosk.base.clock import REAL, Clock
from kiosk.devices.bridge import Outbox
from kiosk.devices.debounce import STUCK_S, Change, Debouncer, LineWatch, Trouble
from kiosk.devices.lamps import PatternPlayer
from kiosk.devices.ports import ButtonEdge, ButtonEvent, LineTrouble, Pattern
from kiosk.errors import DeviceError

_OUTBOX_LIMIT = 100
_TROUBLES = {
    "button_flutters": "changes faster than any finger: its wire is loose, or takes up the mains",
    "button_stuck": f"has been down for {STUCK_S:g} s: it is stuck, or its wires touch",
}
_RIGHT_AGAIN = "is a button again"
# lgpio and gpiozero tell their errors by their texts only.
_TAKEN = ("GPIO busy", "GPIO already in use", "already in use by")
_NO_CHIP = ("gpiochip", "no permission")
_NO_PIN = ("bad GPIO number", "is not a valid pin", "not a valid")
_DEVICES = Path("/dev")
# The chip's own resistor (50 kilohm) needs it to charge the 100 nF across a button.
_CHARGE_S = 0.03


class GpioButton:
    """A button between a pin and ground (`pull_up`) or 3.3 V. Close it before the loop closes.
    `language`: that of a key for one."""

    def __init__(
        self,
        pin: int,
        *,
        pull_up: bool,
        debounce_s: float,
        handler: Callable[[ButtonEvent], None],
        loop: asyncio.AbstractEventLoop,
        language: str | None = None,
    ) -> None:
        self.edges = 0
        self._name = f"the button on GPIO {pin}"
        self._language = language
        self._given = False  # what was handed on last
        self._line = LineWatch(loop.time())
        self._line_look: asyncio.TimerHandle | None = None
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
        self._trouble([])  # it may be down from the start: no edge tells of it

    @property
    def pressed(self) -> bool:
        return bool(self._button.is_active)

    @property
    def presses(self) -> int:
        return self._debouncer.presses

    @property
    def bounces(self) -> int:
        return self._debouncer.bounces

    def close(self) -> None:
        for timer in (self._look, self._line_look):
            if timer is not None:
                timer.cancel()
        self._button.close()

    def _on_edge(self, edge: tuple[bool, float]) -> None:
        pressed, at_s = edge
        self.edges += 1
        self._report(self._debouncer.edge(pressed, at_s))
        self._trouble([*self._line.edge(at_s), *self._line.look(pressed, at_s)])

    def _report(self, changes: list[Change]) -> None:
        for pressed, at_s in changes:
            if not self._line.flutters:
                self._hand_on(pressed=pressed, at_s=at_s)
        if self._look is not None:
            self._look.cancel()
            self._look = None
        if (look_at_s := self._debouncer.look_at_s) is not None:
            wait_s = max(0.0, look_at_s - self._loop.time())
            self._look = self._loop.call_later(wait_s, self._look_at_line)

    def _look_at_line(self) -> None:
        self._look = None
        self._report(self._debouncer.look(bool(self._button.is_active), self._loop.time()))

    def _look_for_trouble(self) -> None:
        self._trouble(self._line.look(self.pressed, self._loop.time()))

    def _trouble(self, found: list[Trouble]) -> None:
        """Tell it, and look again when there may be more."""
        for cause, over in found:
            what = _RIGHT_AGAIN if over else _TROUBLES[cause]
            self._handler(LineTrouble(cause, f"{self._name} {what}", over=over))
        if self._line.flutters and self._given:  # what it held down is let go
            self._hand_on(pressed=False, at_s=self._loop.time())
        if self._line_look is not None:
            self._line_look.cancel()
            self._line_look = None
        if (look_at_s := self._line.look_at_s(self.pressed)) is not None:
            wait_s = max(0.0, look_at_s - self._loop.time())
            self._line_look = self._loop.call_later(wait_s, self._look_for_trouble)

    def _hand_on(self, *, pressed: bool, at_s: float) -> None:
        if pressed != self._given:
            self._given = pressed
            self._handler(ButtonEdge(pressed, at_s, self._language))


class GpioIndicator:
    """The state lamp and, where there is a pin for it, the recording lamp; lit when high, or with
    `active_low` when low."""

    def __init__(
        self,
        pin: int,
        recording_pin: int | None,
        loop: asyncio.AbstractEventLoop,
        *,
        active_low: bool = False,
    ) -> None:
        gpiozero = _load()

        def claim(its: int) -> Any:
            return _claim(gpiozero, its, gpiozero.LED, active_high=not active_low)

        self._lamp = claim(pin)
        self._recording = None if recording_pin is None else claim(recording_pin)
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
        REAL.wake_up().wait(_CHARGE_S)
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


def try_lamp(pin: int, *, active_low: bool = False) -> None:
    """Claim a lamp's line for a moment; it stays dark. Raises DeviceError."""
    gpiozero = _load()
    _claim(gpiozero, pin, gpiozero.LED, active_high=not active_low).close()


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
    except (gpiozero.GPIOZeroError, OSError, ImportError, *_lgpio_errors()) as error:
        said = str(error) or type(error).__name__
        raise DeviceError(f"GPIO {pin} {_refusal(said)}") from error


def _refusal(said: str) -> str:
    """What lgpio's words mean for a line, and the next step."""
    if any(words in said for words in _TAKEN):
        return (
            f"is taken ({said}): another program holds the line, or the pin is already used for "
            "something else"
        )
    if any(words in said for words in _NO_PIN):
        return (
            f"is no line of this board's ({said}): button.pin, indicator.pin and the keys' are "
            "GPIO numbers, not places on the header"
        )
    chips = sorted(_DEVICES.glob("gpiochip*"))
    if not chips:
        return (
            f"cannot be used ({said}): this machine has no /dev/gpiochip*; on one without GPIO set "
            'button.driver and indicator.driver to "none"'
        )
    if not any(os.access(chip, os.R_OK | os.W_OK) for chip in chips):
        return (
            f"cannot be used ({said}): the kiosk's user must be in the group gpio, which may use "
            f"{chips[0]}"
        )
    if any(words in said for words in _NO_CHIP):
        return (
            f"cannot be used ({said}): none of {', '.join(map(str, chips))} is the header's; the "
            "service may be kept from it (DeviceAllow=)"
        )
    return f"cannot be used ({said})"


def _lgpio_errors() -> tuple[type[Exception], ...]:
    """lgpio's own exception, which exists once gpiozero has imported lgpio."""
    lgpio = sys.modules.get("lgpio")
    return () if lgpio is None else (lgpio.error,)
