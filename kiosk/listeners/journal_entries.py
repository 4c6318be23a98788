"""Entries of the journal about moments, with fields, causes, and what is over.

A fault's entry carries KIOSK_CAUSE; the entry that ends one that lasts carries KIOSK_OVER.
"""

from collections.abc import Mapping

from kiosk import __version__, moments
from kiosk.causes import NOTICE
from kiosk.config.tables import KioskTable
from kiosk.devices.ports import LineTrouble
from kiosk.listeners.visit_record import VisitRecords
from kiosk.moments import Moment
from kiosk.ops.journal import Journal
from kiosk.ops.messages import MESSAGES

FIT = "fit"
# So every kiosk begins, while the backend is being asked for the first time. It is told as a fault
# if it is still so at the first sign of life.
_NOT_ASKED_YET = "cannot_reach"


class JournalEntries:
    """An observer of moments that keeps the journal. `records` observes them before it."""

    def __init__(self, kiosk: KioskTable, records: VisitRecords) -> None:
        self._journal = Journal(kiosk.name, kiosk.site, __version__)
        self._records = records
        self._fitness = FIT
        self._unfit_told: str | None = None
        self._ready = False
        self._lost: dict[str, str] = {}  # devices, and why
        self._failed: dict[str, None] = {}  # the causes of visits since one ended well
        self._journal.record("starting", {"version": __version__})

    def ready(self) -> None:
        """A press is answered from now on. Until now devices and credentials were on their way."""
        self._journal.record("ready", {"fitness": self._fitness})
        self._ready = True
        if self._fitness != _NOT_ASKED_YET and self._cause() is not None:
            self._tell_fitness()

    def stopping(self) -> None:
        self._journal.record("stopping", {})

    def alive(self, counters: Mapping[str, float | None]) -> None:
        """A sign of life; None is left out."""
        if self._cause() != self._unfit_told:
            self._tell_fitness()
        whole = {name: _plain(value) for name, value in counters.items()}
        self._journal.record("alive", {"fitness": self._fitness, **whole})

    def reloaded(self, kiosk: KioskTable, taken: str, restart: str) -> None:
        """The settings were read again; what is over is that they were refused."""
        self._journal.rename(kiosk.name, kiosk.site)
        fields = {"taken": taken, "restart": restart, "over": "settings_refused"}
        self._journal.record("reloaded", fields)

    def button(self, trouble: LineTrouble) -> None:
        """A button's line is none, or is one again."""
        name = "button_mended" if trouble.over else "button_fault"
        kind = "over" if trouble.over else "cause"
        self._journal.record(name, {"detail": trouble.detail, kind: trouble.cause})

    def observe(self, moment: Moment) -> None:
        match moment:
            case moments.FitnessChanged(cause=cause):
                self._fitness = cause
                self._tell_fitness()
            case moments.VisitEnded():
                self._visit_ended(moment)
            case moments.DeviceLost(device=device, cause=cause):
                cause = self._lost[device] = cause or f"{device}_lost"
                self._record(moment, {"cause": cause})
            case moments.DeviceOpened(device=device):
                self._record(moment, {"over": self._lost.pop(device, f"{device}_lost")})
            case moments.ConversationLost(kind=kind):
                self._record(moment, {"ending": kind, "cause": kind})
            case moments.SoundOverloaded():
                self._record(moment, {"cause": "overloaded"})
            case moments.FrameMalformed():
                self._record(moment, {"cause": "malformed_frame"})
            case moments.LoopStalled():
                self._record(moment, {"cause": "loop_stalled"})
            case moments.AgentTextCame():
                pass  # many in a turn, and nothing but words
            case _:
                self._remember(moment)
                self._record(moment)

    def _remember(self, moment: Moment) -> None:
        match moment:
            case moments.StateChanged(state=state):
                self._journal.remember("KIOSK_STATE", state)
            case moments.VisitStarted(press_id=press_id):
                self._journal.remember("PRESS_ID", press_id)
            case moments.ConversationConnected(conversation_id=conversation_id):
                self._journal.remember("CONVERSATION_ID", conversation_id)

    def _visit_ended(self, ended: moments.VisitEnded) -> None:
        fields: dict[str, object] = {
            "severity": None,  # which is the entry's priority
            "ending": ended.kind,  # which KIOSK_KIND was called before 0.2
        }
        if (record := self._records.of(None)) is not None:
            verdict = record.verdict
            fields |= {**record.figures, "verdict": verdict.worth, "spoilt_by": verdict.cause}
        if ended.severity < NOTICE:
            fields["cause"] = ended.kind
            self._failed[ended.kind] = None
        else:
            fields["over"] = " ".join(self._failed) or None
            self._failed.clear()
        self._record(ended, fields, ended.severity)
        self._journal.remember("PRESS_ID", None)
        self._journal.remember("CONVERSATION_ID", None)

    def _tell_fitness(self) -> None:
        cause = self._cause() if self._ready else None
        over = None if self._unfit_told == cause else self._unfit_told
        self._unfit_told = cause
        fields = {"fitness": self._fitness, "cause": cause, "over": over}
        self._journal.record("fitness", fields, NOTICE if cause is None else NOTICE - 1)

    def _cause(self) -> str | None:
        """Being paused is no fault."""
        return self._fitness if self._fitness in MESSAGES["fitness"].causes else None

    def _record(
        self,
        moment: Moment,
        beside: Mapping[str, object] | None = None,
        priority: int | None = None,
    ) -> None:
        """An entry of the moment's own fields, and some beside."""
        self._journal.record(moment.what, {**moment.fields, **(beside or {})}, priority)


def _plain(value: float | None) -> float | int | None:
    return int(value) if value is not None and value == int(value) else value
