"""Reading the settings again while the kiosk runs: what may change is taken between visits.

A file that cannot be used changes nothing: the kiosk goes on, and the journal tells key and line.
"""

import logging
import time
from collections.abc import Callable

from kiosk.config import Settings
from kiosk.config.changes import Changes, changes
from kiosk.errors import ConfigError
from kiosk.faults import fault
from kiosk.logbook import Logbook
from kiosk.ops import journal, systemd
from kiosk.visit.plan import Plan
from kiosk.visit.planning import plan_of

log = logging.getLogger(__name__)


class Reloading:
    """Holds the settings of now. `load` reads them again and raises ConfigError; `plan` is the one
    that visits are held by, and changes only while `between_visits` is true."""

    def __init__(
        self,
        settings: Settings,
        load: Callable[[], Settings],
        plan: Plan,
        logbook: Logbook,
        between_visits: Callable[[], bool],
    ) -> None:
        self.settings = settings
        self._load = load
        self._plan = plan
        self._logbook = logbook
        self._between_visits = between_visits
        self._waiting: Changes | None = None

    def reload(self) -> None:
        """Read them again; they are used now, or when the visit under way is over."""
        # systemd wants the time of its own clock, and READY=1 when it is done.
        systemd.notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        mistake = self._read()
        if mistake is not None:
            log.error("%s\nThe kiosk goes on as before", mistake, extra=fault("settings_refused"))
        self.visit_over()
        if self._waiting is not None:
            log.info("the settings are taken when the visit is over")
        systemd.notify("READY=1")

    def _read(self) -> ConfigError | None:
        try:
            self._waiting = changes(self.settings, self._load())
        except ConfigError as error:
            return error
        return None

    def visit_over(self) -> None:
        """Use what waits, unless a visit is under way."""
        if self._waiting is None or not self._between_visits():
            return
        new, self._waiting = self._waiting, None
        self.settings = new.settings
        self._plan.follow(plan_of(new.settings))
        if "journal.level" in new.taken:
            journal.set_level(new.settings.journal.level)
        self._logbook.reloaded(
            new.settings.kiosk,
            ", ".join(new.taken) or "nothing",
            ", ".join(new.restart) or "nothing",
        )
