"""The watcher's one loop: reads, decides, keeps, and leaves the rest to the outbox."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Iterable, Sequence

from kiosk.base import patience
from kiosk.ops import systemd
from kiosk.watch.alerts import Alerts, Notice
from kiosk.watch.channels import Channel
from kiosk.watch.entries import entry_of
from kiosk.watch.journals import Journals
from kiosk.watch.outbox import AlertOutbox
from kiosk.watch.settings import WatchSettings
from kiosk.watch.state import StateFile, WatcherState

# Of one host at a time, so that no kiosk's backlog keeps the others waiting.
_MOST = 500
# How far was read is kept this often; what alerts and deliveries there are, at once.
_KEEP_S = 60.0


class Watcher:
    """`run` it once; `ready` is set when everything there was has been read."""

    def __init__(
        self,
        settings: WatchSettings,
        file: StateFile,
        channels: Sequence[Channel],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.ready = asyncio.Event()
        state = file.load()
        self._poll_s = settings.watch.poll_s
        self._file = file
        self._clock = clock
        self._journals = Journals(settings.watch.journal, state.cursors)
        self._alerts = Alerts(settings.watch, settings.rule, state.memory, clock(), settings.visits)
        self._outbox = AlertOutbox(channels, state.outbox, self._to_keep)
        self._kept = state
        self._keep_now = True
        self._keep_at_s = 0.0

    @property
    def undelivered(self) -> int:
        return len(self._outbox.waiting)

    async def run(self) -> None:
        """Watch until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._outbox.run(), name="outbox")
                tasks.create_task(systemd.feed_watchdog(), name="watchdog")
                await self._watch()
        finally:
            self._keep()
            self._journals.close()

    async def _watch(self) -> None:
        while True:
            found = 0 if self._outbox.full else await self._read()
            await self._outbox.add(self._due())
            if self._keep_now or self._clock() >= self._keep_at_s:
                self._keep()
            if not found and not self.ready.is_set():
                self.ready.set()
                systemd.notify("READY=1")
            if not found:
                systemd.notify(f"STATUS={self.undelivered} alerts to be delivered")
                await asyncio.sleep(self._poll_s)

    async def _read(self) -> int:
        """Take in what is new; how many entries."""
        found = 0
        for fields in self._journals.read(_MOST):
            found += 1
            if (entry := entry_of(fields)) is not None:
                self._alerts.observe(entry, self._clock())
            if found % _MOST == 0:
                await asyncio.sleep(0)
        return found

    def _due(self) -> Iterable[Notice]:
        notices = self._alerts.due(self._clock())
        self._keep_now |= bool(notices)
        return notices

    def _to_keep(self) -> None:
        self._keep_now = True

    def _keep(self) -> None:
        """Write down how things stand, if that has changed."""
        state = WatcherState(
            cursors=self._journals.cursors,
            memory=self._alerts.memory(),
            outbox=self._outbox.waiting,
        )
        self._keep_now, self._keep_at_s = False, self._clock() + _KEEP_S
        if state != self._kept and self._file.save(state):
            self._kept = state.model_copy(deep=True)


def run(settings: WatchSettings, file: StateFile, channels: Sequence[Channel]) -> int:
    """Watch until SIGTERM or SIGINT and return 0."""
    # The one place where a cancellation ends: a signal asked for it.
    with contextlib.suppress(asyncio.CancelledError):
        patience.run(_run_until_signalled(settings, file, channels))
    return 0


async def _run_until_signalled(
    settings: WatchSettings, file: StateFile, channels: Sequence[Channel]
) -> None:
    main = asyncio.current_task()
    assert main is not None

    def stop() -> None:
        systemd.notify("STOPPING=1")
        main.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    await Watcher(settings, file, channels).run()
