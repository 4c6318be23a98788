"""View of a fleet: what the page shows, made of the books' lines. No I/O, no clock."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from kiosk.backend.books.costs import Month
from kiosk.backend.books.history import Figures, VisitLine
from kiosk.backend.books.liveness import KioskLine, Presence
from kiosk.backend.books.orders import Order
from kiosk.backend.books.rules import Limit, Scope
from kiosk.causes import CAUSES, NOTHING

# What a row's lamp shows: a sign for the eye, and a word for everybody.
_LAMPS = {
    "ready": "●", "talks": "◆", "paused": "❙❙", "unfit": "▲", "late": "◌", "offline": "○",
    "never": "?", "revoked": "✕",
}  # fmt: skip
_WORDS = {
    "ready": "ready", "talks": "in a visit", "paused": "paused", "unfit": "holds no visits",
    "late": "late", "offline": "offline", "never": "never seen", "revoked": "revoked",
}  # fmt: skip
_ABSENT = {
    Presence.NEVER_SEEN: "never", Presence.OFFLINE: "offline", Presence.STALE: "late",
    Presence.REVOKED: "revoked",
}  # fmt: skip
_IDLE, _FIT, _PAUSED = "idle", (None, "fit"), "paused"
# The worst first: it is looked for.
_ORDER = tuple(_LAMPS)


@dataclass(frozen=True, slots=True)
class KioskRow:
    """One kiosk. `trouble` and `remedy` are empty where all is well; `waiting`: what it has yet to
    be told, in words."""

    name: str
    lamp: str
    trouble: str
    remedy: str
    seen: str
    version: str
    waiting: tuple[str, ...]
    is_paused: bool

    @property
    def sign(self) -> str:
        return _LAMPS[self.lamp]

    @property
    def word(self) -> str:
        return _WORDS[self.lamp]

    @property
    def is_let_in(self) -> bool:
        return self.lamp != "revoked"


@dataclass(frozen=True, slots=True)
class SiteRows:
    """The kiosks of one site."""

    name: str
    is_paused: bool
    kiosks: Sequence[KioskRow]


@dataclass(frozen=True, slots=True)
class VisitRow:
    """One visit."""

    began: datetime | None
    kiosk: str
    lasted: str
    ending: str
    verdict: str
    trouble: str
    press_id: str


@dataclass(frozen=True, slots=True)
class FleetView:
    """The page."""

    sites: Sequence[SiteRows]
    visits: Sequence[VisitRow]
    counts: Mapping[str, int]
    visits_open: int
    minutes_today: int
    minutes_allowed: int | None
    is_paused: bool
    # Of the month, once it was reckoned up: so far, by its end, and at most.
    credits_used: int | None
    credits_expected: int | None
    credits_allowed: int | None


@dataclass(frozen=True, slots=True)
class Books:
    """What the view is made of."""

    kiosks: Sequence[KioskLine]
    visits: Sequence[VisitLine]
    figures: Figures
    paused: Sequence[tuple[Scope, str]] = ()
    limits: Sequence[Limit] = ()
    orders: Sequence[Order] = field(default_factory=tuple)
    month: Month | None = None
    budget: int = 0


def fleet_view(books: Books, now: datetime) -> FleetView:
    """The whole page."""
    rows = [(line.site, _row(books, line, now)) for line in books.kiosks]
    names = sorted({site for site, _ in rows})
    counts = {_WORDS[lamp]: sum(row.lamp == lamp for _, row in rows) for lamp in _ORDER}
    return FleetView(
        sites=[
            SiteRows(
                site,
                (Scope.SITE, site) in books.paused,
                sorted((row for of, row in rows if of == site), key=_worst_first),
            )
            for site in names
        ],
        visits=[_visit(line) for line in books.visits],
        counts={word: count for word, count in counts.items() if count},
        visits_open=books.figures.visits_open,
        minutes_today=round(books.figures.minutes_today),
        minutes_allowed=_minutes_allowed(books.limits),
        is_paused=(Scope.FLEET, "") in books.paused,
        credits_used=None if books.month is None else round(books.month.cost),
        credits_expected=None
        if books.month is None or books.month.forecast is None
        else round(books.month.forecast),
        credits_allowed=books.budget or None,
    )


def _worst_first(row: KioskRow) -> tuple[bool, str]:
    return row.lamp in ("ready", "talks", "revoked"), row.name


def _row(books: Books, line: KioskLine, now: datetime) -> KioskRow:
    talks = any(
        visit.kiosk == line.name and visit.closed_at is None and visit.admitted_at is not None
        for visit in books.visits
    )
    paused = (Scope.KIOSK, line.name) in books.paused
    under = paused or (Scope.SITE, line.site) in books.paused or (Scope.FLEET, "") in books.paused
    lamp = _lamp(line, talks=talks, paused=under)
    meaning = CAUSES.get(line.cause or "")
    remedy = "" if meaning is None or meaning.remedy == NOTHING else meaning.remedy
    is_unfit = lamp == "unfit"
    clone = "two kiosks use this token: revoke it, and enrol both anew"
    return KioskRow(
        name=line.name,
        lamp=lamp,
        trouble=(line.cause or "").replace("_", " ") if is_unfit else "",
        remedy=clone if line.cloned_at is not None else remedy if is_unfit else "",
        seen="" if line.seen_at is None else ago(now - line.seen_at),
        version=_version(line),
        waiting=tuple(_waiting(books.orders, line.name)),
        is_paused=paused,
    )


def _lamp(line: KioskLine, *, talks: bool, paused: bool) -> str:
    if (absent := _ABSENT.get(line.presence)) is not None:
        return absent
    if talks or line.state not in (None, _IDLE):
        return "talks"
    if paused or line.cause == _PAUSED:
        return "paused"
    return "ready" if line.cause in _FIT else "unfit"


def _version(line: KioskLine) -> str:
    if line.version is None:
        return ""
    return f"{line.version}, should be {line.target_version}" if line.differs else line.version


def _waiting(orders: Sequence[Order], name: str) -> Iterator[str]:
    for order in orders:
        if order.kiosk == name:
            what = order.what.value.replace("_", " ")
            yield f"{what}: {order.text}" if order.text else what


def _visit(line: VisitLine) -> VisitRow:
    return VisitRow(
        line.admitted_at,
        line.kiosk,
        ""
        if line.duration_s is None
        else f"{line.duration_s // 60:.0f}:{line.duration_s % 60:02.0f}",
        "under way" if line.closed_at is None else (line.outcome or "").replace("_", " "),
        line.verdict or "",
        (line.spoilt_by or "").replace("_", " "),
        line.press_id or "",
    )


def _minutes(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"


def _minutes_allowed(limits: Sequence[Limit]) -> int | None:
    fleet = (line.minutes_per_day for line in limits if line.scope is Scope.FLEET)
    return next(fleet, None)


def ago(passed: timedelta) -> str:
    """How long ago, in a word: two minutes or two days are what matters."""
    seconds = max(0, round(passed.total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return "now" if seconds < 5 else f"{seconds} s ago"
