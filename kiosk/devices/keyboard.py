"""Enter on the terminal as the button: for trying a kiosk on a machine without GPIO. A language
before it makes it the key of that language: `de`, Enter."""

import asyncio
import sys
from collections.abc import Callable, Collection

from kiosk.devices.ports import ButtonEdge
from kiosk.errors import DeviceError


class KeyboardButton:
    """Each line typed is a press and its release. `languages`: those that have a key."""

    pressed = False
    bounces = 0

    def __init__(
        self,
        handler: Callable[[ButtonEdge], None],
        loop: asyncio.AbstractEventLoop,
        languages: Collection[str] = (),
    ) -> None:
        self.presses = 0
        self._languages = languages
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
        language = typed if typed in self._languages else None
        self.presses += 1
        for pressed in (True, False):
            self._handler(ButtonEdge(pressed, self._loop.time(), language))
