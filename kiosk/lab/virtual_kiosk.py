"""A daemon on virtual devices, in this process: for the demo and for tests."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from kiosk.daemon.kiosk import Daemon
from kiosk.devices.hardware import Hardware
from kiosk.devices.ports import ButtonHandler
from kiosk.devices.virtual import (
    Room,
    VirtualButton,
    VirtualCapture,
    VirtualIndicator,
    VirtualPlayback,
)


class VirtualDevices:
    """The devices of one kiosk in a room. `held`: a press keeps the button down."""

    def __init__(self, room: Room, *, held: bool = False) -> None:
        self.indicator = VirtualIndicator()
        self.playbacks: list[VirtualPlayback] = []  # as they were opened
        self._room = room
        self._held = held
        self._button: VirtualButton | None = None

    @property
    def button(self) -> VirtualButton:
        """Exists once a daemon has opened it."""
        assert self._button is not None
        return self._button

    def hardware(self) -> Hardware:
        return Hardware(
            lambda: VirtualCapture(self._room),
            self._open_playback,
            self._open_button,
            lambda _: self.indicator,
        )

    def _open_playback(self) -> VirtualPlayback:
        self.playbacks.append(VirtualPlayback(self._room))
        return self.playbacks[-1]

    def _open_button(self, handler: ButtonHandler, _: asyncio.AbstractEventLoop) -> VirtualButton:
        self._button = VirtualButton(handler, held=self._held)
        return self._button


@contextlib.asynccontextmanager
async def running(daemon: Daemon) -> AsyncIterator[None]:
    """The daemon runs and is ready while the block lasts; what ends it sooner is raised."""
    run = asyncio.create_task(daemon.run(), name="daemon")
    ready = asyncio.create_task(daemon.ready.wait(), name="ready")
    try:
        await asyncio.wait((run, ready), return_when=asyncio.FIRST_COMPLETED)
        if run.done():
            await run
        yield
    finally:
        for task in (ready, run):
            task.cancel()
        await asyncio.wait((ready, run))
        if not run.cancelled():
            await run
