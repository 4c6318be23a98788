"""View: what the page shows, made of the control socket's events. Pure: no I/O, no clock."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace

from kiosk.causes import CAUSES
from kiosk.visit.languages import Language
from kiosk.visit.states import State

# What the view is made of.
KINDS = (
    "state", "cause", "language", "visit_started", "visit_ended", "sentence", "caption", "visitor",
    "agent", "handout",
)  # fmt: skip
AWAY = "away"
UNFIT = "unfit"
# The end of a long answer: what is said now is what is read now.
_MOST_CHARACTERS = 600

# The language of this code, in the kiosk's own words.
Languages = Callable[[str], Language]


@dataclass(frozen=True, slots=True)
class View:
    """`mode`: the visit's state, `unfit` or `away`; `headline` says it in words. `said`: what the
    kiosk or the agent says; `asked`: what the visitor said before. `speaks`: `visitor`, `agent` or
    nobody. `language`: that of all texts. `code`: a QR code, its rows of 0 and 1 a line each, with
    `take_along` above it."""

    mode: str = AWAY
    headline: str = ""
    said: str = ""
    asked: str = ""
    speaks: str = ""
    language: str = ""
    take_along: str = ""
    code: str = ""

    def as_json(self) -> dict[str, str]:
        return asdict(self)


class Screen:
    """Follows one kiosk. `own_language` is that of its site; `held`: its button is held to talk."""

    def __init__(self, languages: Languages, own_language: str, *, held: bool) -> None:
        self._languages = languages
        self._own_language = own_language
        self._invitation = "hold" if held else "press"
        self._cause: str | None = None
        self._state = State.IDLE.value
        self._is_there = False
        self._in_visit = False
        self._code = ""  # of what the last visitor may take along
        self._answer = ""  # the agent's, which may come before the kiosk's own sentence is over
        self.view = View()
        self.away()

    def away(self) -> None:
        """The kiosk does not answer."""
        self._is_there, self._in_visit, self._answer, self._code = False, False, "", ""
        self.view = self._headed(View(language=self._own_language))

    def snapshot(self, fields: Mapping[str, object]) -> None:
        """The kiosk answers, and is like this."""
        self._is_there = True
        self._in_visit = _text(fields.get("press_id")) is not None
        self._state = str(fields.get("state"))
        self._cause = _text(fields.get("cause"))
        language = _text(fields.get("language")) or self._own_language
        self.view = self._headed(View(language=language))

    def follow(self, event: Mapping[str, object]) -> None:
        """Something happened; what is not known is left alone."""
        view = self.view
        match event:
            case {"event": "state", "state": str(state)}:
                self._state = state
            case {"event": "cause", "cause": cause}:
                self._cause = _text(cause)
            case {"event": "visit_started"}:
                self._in_visit, self._answer, self._code = True, "", ""
                view = View(language=_text(event.get("language")) or self._own_language)
            case {"event": "visit_ended"}:
                self._in_visit, self._answer = False, ""
                view = View(language=self._own_language)
            case {"event": "language", "language": str(language)}:
                view = replace(view, language=language)
            case {"event": "handout", "address": str(address)}:
                self._code = qr_code(address)
            case {"event": "sentence", "text": str(text)}:
                view = replace(view, said=_shown(text))
            case {"event": "caption"} if not self._in_visit:
                pass  # too late: nothing that was said is left after a visit
            case {"event": "caption", "who": "visitor", "text": str(text)}:
                self._answer = ""
                view = replace(view, asked=_shown(text), said="")
            case {"event": "caption", "who": "agent", "text": str(text)}:
                self._answer = _shown(text)
                view = replace(view, said=self._answer)
            case {"event": "visitor" | "agent" as who, "speaks": True}:
                said = self._answer if who == "agent" else ""
                view = replace(view, speaks=str(who), said=said or view.said)
            case {"event": "visitor" | "agent" as who, "speaks": False} if view.speaks == who:
                view = replace(view, speaks="")
        self.view = self._headed(view)

    def hush(self) -> None:
        """What the kiosk said between visits was read: it does not stand there for the next one."""
        if not self._in_visit:
            self.view = replace(self.view, said="", asked="")

    def put_away(self) -> None:
        """What the last visitor could take along was there for long enough."""
        if not self._in_visit:
            self._code = ""
            self.view = self._headed(self.view)

    def _headed(self, view: View) -> View:
        language = self._languages(view.language)
        mode = self._mode()
        if mode == UNFIT:
            key = CAUSES[self._cause].sentence if self._cause in CAUSES else None
            headline = language.sentences[key or "out_of_order"]
        else:
            headline = language.screen[self._invitation if mode == State.IDLE else mode]
        code = "" if self._in_visit else self._code
        take_along = language.screen["handout"] if code else ""
        return replace(view, mode=mode, headline=headline, code=code, take_along=take_along)

    def _mode(self) -> str:
        if not self._is_there or self._state not in set(State):
            return AWAY
        return UNFIT if self._state == State.IDLE and self._cause is not None else self._state


def qr_code(text: str) -> str:
    """The rows of a QR code that says this, from the top, each of 0 and 1: 1 is dark."""
    import segno

    return "\n".join("".join(map(str, row)) for row in segno.make(text, micro=False).matrix)


def type_size_vh(reading_distance_m: float, height_mm: float) -> float:
    """The size of the type in hundredths of the display's height, so that a capital is seen under
    0.7 degrees (EN 301 549, 5.1.4)."""
    capital_mm = reading_distance_m * 1000 * _CAPITAL_PER_DISTANCE
    return 100 * capital_mm / _CAPITAL_PER_SIZE / height_mm


_CAPITAL_PER_DISTANCE = 0.01222  # 2 tan(0.35 degrees)
_CAPITAL_PER_SIZE = 0.7  # of the usual fonts


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _shown(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"… {text[-_MOST_CHARACTERS:]}"
