"""What devices and credentials report, kept as the kiosk's fitness."""

from collections.abc import Callable

from kiosk.base.clock import loop_now_s
from kiosk.convai.endings import Ending, Kind
from kiosk.devices.ports import Lost, Opened, Overloaded
from kiosk.link.credentials import Standing
from kiosk.visit.fitness import Cause, Condition
from kiosk.visit.states import Event
from kiosk.visit.timeline import FieldValue, Moment, Observer, What


class Health:
    """Keeps the condition up to date; a device lost during a visit ends the visit."""

    def __init__(
        self,
        post: Callable[[Event, Ending | None], None],
        observe: Observer,
        changed: Callable[[], None],
    ) -> None:
        self._condition = Condition()
        self._post = post
        self._observe = observe
        self._changed = changed
        self._said: Cause | None = None
        self._reported: dict[str, tuple[What, str]] = {}

    @property
    def cause(self) -> Cause | None:
        """Why a visit cannot be held now; None means fit."""
        return self._condition.cause()

    @property
    def shown(self) -> Cause | None:
        """What is told of it: a paused kiosk holds none, and yet asks the backend at a press."""
        return self._condition.shown()

    def microphone(self, event: Opened | Lost) -> None:
        self._condition.microphone = self._device("microphone", event, Kind.MICROPHONE_LOST)
        self.look()

    def speaker(self, event: Opened | Lost) -> None:
        self._condition.speaker = self._device("speaker", event, Kind.SPEAKER_LOST)
        self.look()

    def overloaded(self, event: Overloaded) -> None:
        """The machine is too slow for full duplex."""
        fields: dict[str, FieldValue] = {
            "percent": round(100 * event.share),
            "consequence": "half duplex from now on" if event.half_duplex else "sound may be lost",
        }
        self._observe(Moment(What.OVERLOADED, loop_now_s(), fields))

    def standing(self, standing: Standing) -> None:
        """The credentials changed."""
        self._condition.credential = standing.ready
        self._condition.refused = standing.refused
        self.look()

    def paused(self, paused: bool, end_visit: bool = False) -> None:
        """What the backend last said; `end_visit` pulls the plug on the visit under way."""
        self._condition.paused = paused
        if end_visit:
            self._post(Event.ENDED, Ending(Kind.PAUSED, None, "ended by an operator"))
        self.look()

    def look(self) -> None:
        """Say what changed, if it changed whether a visit can be held."""
        cause = self.shown
        if cause is not self._said:
            self._said = cause
            self._observe(Moment(What.FITNESS, loop_now_s(), {"cause": cause or "fit"}))
        self._changed()

    def _device(self, name: str, event: Opened | Lost, kind: Kind) -> bool:
        opened = isinstance(event, Opened)
        what = What.DEVICE_OPENED if opened else What.DEVICE_LOST
        detail = event.description if isinstance(event, Opened) else str(event.error)
        # A card that stays away is tried every second, and told of once.
        if self._reported.get(name) != (what, detail):
            self._reported[name] = (what, detail)
            self._observe(Moment(what, loop_now_s(), {"device": name, "detail": detail}))
        if not opened:
            self._post(Event.ENDED, Ending(kind, None, detail))
        return opened
