"""Alerts that are open, by the rules: one per kiosk and cause until it is over.

No I/O and no clock: times come in, as seconds of the watcher's own wall clock; only how often
something happened is counted by the kiosk's.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel

from kiosk.watch.entries import OF_VISITS, SILENT, JournalEntry, explained, lasts
from kiosk.watch.settings import RuleTable, VisitsTable, WatchTable
from kiosk.watch.visits import Visits

# However wrong a collected journal is, the watcher's memory is bounded.
_MOST_ALERTS = 5000
_MOST_KIOSKS = 20_000
_ERROR = 3


class Notice(BaseModel):
    """What is delivered."""

    what: Literal["raised", "over", "test"]
    kiosk: str
    site: str = ""
    cause: str
    message: str
    priority: int
    count: int = 1
    since: str
    at: str
    subject: str
    remedy: str
    told: dict[str, str] = {}

    @property
    def headline(self) -> str:
        over = "over: " if self.what == "over" else ""
        return f"{self.kiosk}: {over}{self.cause}"


class Alert(BaseModel):
    """One cause of one kiosk. `ended`: it is over unless it comes back; `moved_s`: when it was
    last told of, or ended."""

    kiosk: str
    site: str
    cause: str
    message: str
    priority: int
    rule: RuleTable
    since_s: float
    moved_s: float
    passing: bool
    ended: bool
    raised: bool = False
    count: int = 0
    times_s: list[float] = []
    told: dict[str, str] = {}


class Memory(BaseModel):
    """What must outlive the process."""

    alerts: list[Alert] = []
    kiosk_of: dict[str, str] = {}  # by host


class Alerts:
    """Follows entries; `due` tells what is to be delivered."""

    def __init__(
        self,
        watch: WatchTable,
        rules: Iterable[RuleTable],
        memory: Memory,
        now_s: float,
        visits: VisitsTable | None = None,
    ) -> None:
        self._watch = watch
        self._visits = Visits(visits or VisitsTable())
        self._rules = tuple(rules)
        self._open = {(alert.kiosk, alert.cause): alert for alert in memory.alerts}
        self._kiosk_of = dict(memory.kiosk_of)
        # Who was not heard while nobody watched has the whole time again.
        self._heard_s = dict.fromkeys(watch.kiosks, now_s)

    def memory(self) -> Memory:
        return Memory(alerts=list(self._open.values()), kiosk_of=self._kiosk_of)

    def observe(self, entry: JournalEntry, now_s: float) -> None:
        """The next entry of a kiosk's journal."""
        kiosk = self._identified(entry)
        if kiosk in self._heard_s:
            self._heard_s[kiosk] = now_s
        self._end(kiosk, SILENT, now_s)
        over = entry.over
        if entry.name == "starting":  # what is still so is told again
            told = (cause for name, cause in self._open if name == kiosk)
            over = tuple(cause for cause in told if cause not in OF_VISITS)
        for cause in over:
            self._end(kiosk, cause, now_s)
        for cause, holds in self._visits.ended(kiosk, entry):
            if holds:
                self._holds(kiosk, cause, entry.site, now_s, now_s)
            else:
                self._end(kiosk, cause, now_s)
        rule = next((rule for rule in self._rules if _fits(rule, entry)), None)
        if rule is not None:
            self._happened(kiosk, entry, rule, now_s)

    def due(self, now_s: float) -> list[Notice]:
        """What is to be delivered now; asked often."""
        self._look_for_silence(now_s)
        notices = []
        for key, alert in list(self._open.items()):
            if not alert.raised and _is_due(alert, now_s):
                alert.raised = True
                notices.append(_notice("raised", alert, now_s))
            if self._is_over(alert, now_s):
                del self._open[key]
                if alert.raised:
                    notices.append(_notice("over", alert, now_s))
        return notices

    def _identified(self, entry: JournalEntry) -> str:
        """The kiosk's name; an entry without one is that of the kiosk last heard from its host."""
        if entry.kiosk is None:
            return self._kiosk_of.get(entry.host, entry.host)
        if entry.host in self._kiosk_of or len(self._kiosk_of) < _MOST_KIOSKS:
            self._kiosk_of[entry.host] = entry.kiosk
        return entry.kiosk

    def _happened(self, kiosk: str, entry: JournalEntry, rule: RuleTable, now_s: float) -> None:
        cause, passing = entry.cause or entry.name, not lasts(entry.name)
        alert = self._open.get((kiosk, cause))
        if alert is None:
            if len(self._open) >= _MOST_ALERTS:
                return
            alert = self._open[kiosk, cause] = Alert(
                kiosk=kiosk,
                site=entry.site,
                cause=cause,
                message=entry.name,
                priority=entry.priority,
                rule=rule,
                since_s=now_s,
                moved_s=now_s,
                passing=passing,
                ended=passing,
            )
        if not passing:
            alert.passing = alert.ended = False
        alert.priority = min(alert.priority, entry.priority)
        alert.moved_s, alert.count, alert.told = now_s, alert.count + 1, dict(entry.told)
        oldest_s = entry.at_s - 60 * rule.within_minutes
        times_s = [at_s for at_s in alert.times_s if at_s > oldest_s] + [entry.at_s]
        alert.times_s = times_s[-alert.rule.count :]

    def _end(self, kiosk: str, cause: str, now_s: float) -> None:
        alert = self._open.get((kiosk, cause))
        if alert is not None and not alert.ended:
            alert.ended, alert.moved_s = True, now_s

    def _look_for_silence(self, now_s: float) -> None:
        for kiosk in self._watch.kiosks:
            silent_s = now_s - self._heard_s[kiosk]
            if silent_s >= 60 * self._watch.silent_minutes and (kiosk, SILENT) not in self._open:
                self._holds(kiosk, SILENT, "", self._heard_s[kiosk], now_s)

    def _holds(self, kiosk: str, cause: str, site: str, since_s: float, now_s: float) -> None:
        """Something that the watcher itself has found lasts."""
        alert = self._open.get((kiosk, cause))
        if alert is not None:
            alert.ended, alert.moved_s = False, now_s
        elif len(self._open) < _MOST_ALERTS:
            self._open[kiosk, cause] = Alert(
                kiosk=kiosk,
                site=site,
                cause=cause,
                message=cause,
                priority=_ERROR,
                rule=RuleTable(priority=_ERROR),
                since_s=since_s,
                moved_s=now_s,
                passing=False,
                ended=False,
                count=1,
                times_s=[now_s],
            )

    def _is_over(self, alert: Alert, now_s: float) -> bool:
        if alert.cause == SILENT:  # it speaks; or nobody waits for it any more
            return alert.ended or alert.kiosk not in self._watch.kiosks
        calm_s = 60 * self._watch.calm_minutes
        if not alert.raised:  # what was too seldom is counted for longer than it is calm
            calm_s = max(calm_s, 60 * alert.rule.within_minutes)
        return alert.ended and now_s - alert.moved_s >= calm_s


def _fits(rule: RuleTable, entry: JournalEntry) -> bool:
    """Only what has a cause is a fault, unless the rule names the message."""
    if entry.cause is None and rule.message is None:
        return False
    return (
        rule.cause in (None, entry.cause)
        and rule.message in (None, entry.name)
        and (rule.priority is None or entry.priority <= rule.priority)
    )


def _is_due(alert: Alert, now_s: float) -> bool:
    after_s = 60 * alert.rule.after_minutes
    long_enough = alert.passing or not after_s or not alert.ended
    waited = alert.passing or now_s - alert.since_s >= after_s
    return len(alert.times_s) >= alert.rule.count and long_enough and waited


def _notice(what: Literal["raised", "over"], alert: Alert, now_s: float) -> Notice:
    subject, remedy = explained(alert.cause, alert.message)
    return Notice(
        what=what,
        kiosk=alert.kiosk,
        site=alert.site,
        cause=alert.cause,
        message=alert.message,
        priority=alert.priority,
        count=alert.count,
        since=utc(alert.since_s),
        at=utc(now_s),
        subject=subject,
        remedy=remedy,
        told=alert.told,
    )


def utc(seconds: float) -> str:
    """As ISO 8601."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
