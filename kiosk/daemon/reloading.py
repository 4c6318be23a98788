"""Reading the settings again while the kiosk runs: what may change is the plan of the next visit.

A file that cannot be used changes nothing: the kiosk goes on, and the journal tells key and line.
"""

import logging
import time
from collections.abc import Callable

from kiosk.causes import fault
from kiosk.config import Settings
from kiosk.config.changes import changes
from kiosk.errors import ConfigError
from kiosk.listeners.journal_entries import JournalEntries
from kiosk.ops import journal, systemd
from kiosk.visit.plan import Plan
from kiosk.visit.planning import plan_of

log = logging.getLogger(__name__)


class Reloading:
    """Holds the settings of now. `load` reads them again and raises ConfigError; `follow` is given
    the plan that the next visits are held by."""

    def __init__(
        self,
        settings: Settings,
        load: Callable[[], Settings],
        entries: JournalEntries,
        follow: Callable[[Plan], None],
    ) -> None:
        self.settings = settings
        self._load = load
        self._entries = entries
        self._follow = follow

    def reload(self) -> None:
        """Read them again. A visit under way goes on as it began."""
        # systemd wants the time of its own clock, and READY=1 when it is done.
        systemd.notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        mistake = self._take()
        if mistake is not None:
            log.error("%s\nThe kiosk goes on as before", mistake, extra=fault("settings_refused"))
        systemd.notify("READY=1")

    def _take(self) -> ConfigError | None:
        try:
            new = changes(self.settings, self._load())
        except ConfigError as error:
            return error
        self.settings = new.settings
        self._follow(plan_of(new.settings))
        if "journal.level" in new.taken:
            journal.set_level(new.settings.journal.level)
        self._entries.reloaded(
            new.settings.kiosk,
            ", ".join(new.taken) or "nothing",
            ", ".join(new.restart) or "nothing",
        )
        return None
