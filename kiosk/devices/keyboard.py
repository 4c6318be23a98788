"""Enter on the terminal as the button: for trying a kiosk on a machine without GPIO. A language
before it makes it the key of that language: `de`, Enter. A number makes it that of the keys."""

import asyncio
import sys
from collections.abc import Sequence

from kiosk.config.tables import KeyTable
from kiosk.devices.keys import pressed_key
from kiosk.devices.ports import ButtonEdge, ButtonHandler
from kiosk.errors import DeviceError


class KeyboardButton:
    """Each line typed is a press and its release."""

    pressed = False
    edges = 0  # it has no line
    bounces = 0

    def __init__(
        self,
        handler: ButtonHandler,
        loop: asyncio.AbstractEventLoop,
        keys: Sequence[KeyTable] = (),
    ) -> None:
        self.presses = 0
        self._languages = {key.language for key in keys}
        self._others = {
            str(number): pressed_key(key)
            for number, key in enumerate(keys, 1)
            if key.language is None
        }
        self._handler = handler
        self._loop = loop
        try:
            loop.add_reader(sys.stdin.fileno(), self._on_line)
        except (OSError, ValueError) as error:
            raise DeviceError('button.driver = "keyboard" needs a terminal on stdin') from error

    def close(self) -> None:
        self._loop.remove_reader(sys.stdin.fileno())

    def _on_line(self) -> None:
        line = sys.stdin.readline()
        if not line:  # end of input: there will be no more presses
            self.close()
            return
        typed = line.strip()
        self.presses += 1
        if (other := self._others.get(typed)) is not None:
            self._handler(other)
            return
        language = typed if typed in self._languages else None
        for pressed in (True, False):
            self._handler(ButtonEdge(pressed, self._loop.time(), language))
