"""Commands of the control socket, and the agent's tool that says where it is."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime

from kiosk.base.clock import Clock
from kiosk.config.tables import KioskTable
from kiosk.convai.fields import Json
from kiosk.daemon.sound_check import SoundCheck
from kiosk.devices.ports import ButtonEdge
from kiosk.doctor import call, lease, sounding
from kiosk.link.backend import BackendClient
from kiosk.listeners import events
from kiosk.listeners.events import EventStream
from kiosk.listeners.visit_record import VisitRecords
from kiosk.ops import control
from kiosk.visit.host import SOFTEST_DB, Host
from kiosk.visit.initiation import are_variables
from kiosk.visit.states import Event, State

_NO_SUCH_VISIT = "no such visit among the last ones; `kiosk logs visits`"


class OperatorCommands:
    """What an operator may ask of a running kiosk. `client` None: the agent is public."""

    def __init__(
        self,
        host: Host,
        client: BackendClient | None,
        status: Callable[[], Mapping[str, object]],
        clock: Clock,
        stream: EventStream,
        records: VisitRecords,
        sound: SoundCheck,
        *,
        held_to_talk: bool,
    ) -> None:
        self._host = host
        self._client = client
        self._status = status
        self._clock = clock
        self._events = stream
        self._records = records
        self._sound = sound
        self._held_to_talk = held_to_talk
        self._held = False
        self._held_key: str | None = None

    def table(self) -> Mapping[str, control.Command]:
        return {
            "status": lambda _: self._status(),
            "press": self._press,
            "end": self._end,
            "tell": self._tell,
            "ask": self._ask,
            "say": self._say,
            "ring": self._ring,
            "mute": self._mute,
            "volume": self._volume,
            "subscribe": self._subscribe,
            "trace": self._trace,
            "why": self._why,
            lease.COMMAND: self._check_lease,
            call.COMMAND: self._call_agent,
            sounding.COMMAND: self._measure_sound,
        }

    def reading(self) -> Mapping[str, control.Command]:
        """Those that change nothing, for the other socket."""
        return {
            "status": lambda _: self._status(),
            "subscribe": self._subscribe,
            "why": self._why,
        }

    async def _press(self, request: Mapping[str, object]) -> Mapping[str, object]:
        language = request.get("language")
        if language is not None and language not in self._host.languages:
            return _refused(f"languages: {', '.join(self._host.languages)}")
        key = str(language) if language else None
        variables = request.get("variables")
        if variables:
            if not are_variables(variables):
                return _refused("variables are names with texts, numbers or lists of them")
            if self._host.state is not State.IDLE:
                return _refused("variables are those of a visit that begins; `kiosk end` ends this")
            self._host.bring_variables(variables)
        if self._held_to_talk:  # one press holds it and the next lets go
            self._held = not self._held
            self._held_key = key if self._held else self._held_key
            self._host.on_button(ButtonEdge(self._held, self._clock.now_s(), self._held_key))
        else:
            self._host.press(key)
        return {"did": await self._host.what_a_press_did(), "state": self._host.state}

    async def _call_agent(self, _: Mapping[str, object]) -> Mapping[str, object]:
        trial = await self._host.call()
        return {"well": trial.well, "why": trial.why, "took_s": round(trial.took_s, 1)}

    def _measure_sound(self, request: Mapping[str, object]) -> Mapping[str, object]:
        what = request.get("what")
        if what is None:
            return self._sound.answer()
        if what not in sounding.KINDS:
            return _refused(f"what: {' or '.join(sounding.KINDS)}")
        refused = self._sound.ask(str(what), keep=request.get("keep") is True)
        return {"done": False} if refused is None else _refused(refused)

    def _end(self, _: Mapping[str, object]) -> Mapping[str, object]:
        self._host.post(Event.HANG_UP)
        return {}

    def _tell(self, request: Mapping[str, object]) -> Mapping[str, object]:
        text = _text_of(request)
        if text is None:
            return _refused("tell needs a text")
        if not self._host.tell(text):
            return _refused("no conversation is open; press first")
        return {}

    def _ask(self, request: Mapping[str, object]) -> Mapping[str, object]:
        text = _text_of(request)
        if text is None:
            return _refused("ask needs a text")
        if not self._host.ask(text):
            return _refused("no conversation is open; press first")
        return {}

    def _ring(self, _: Mapping[str, object]) -> Mapping[str, object]:
        self._host.ring()
        return {}

    def _mute(self, request: Mapping[str, object]) -> Mapping[str, object]:
        on = request.get("on", True)
        if not isinstance(on, bool):
            return _refused("on: true or false")
        if self._host.state is State.IDLE:
            return _refused("there is no visit")
        self._host.mute(on=on)
        return {"muted": on}

    def _volume(self, request: Mapping[str, object]) -> Mapping[str, object]:
        level_db = request.get("db")
        known = isinstance(level_db, int | float) and not isinstance(level_db, bool)
        if not known or not SOFTEST_DB <= float(str(level_db)) <= 0:
            return _refused(f"db: from {SOFTEST_DB:g} to 0")
        if self._host.state is State.IDLE:
            return _refused("there is no visit")
        self._host.set_level(float(str(level_db)))
        return {"db": level_db}

    def _subscribe(self, request: Mapping[str, object]) -> control.Stream | Mapping[str, object]:
        wanted = request.get("events", list(events.KINDS))
        if not isinstance(wanted, list) or not set(map(str, wanted)) <= set(events.KINDS):
            return _refused(f"events: {', '.join(events.KINDS)}")
        subscription = self._events.subscribe(wanted)
        if subscription is None:
            return _refused(f"{events.MOST_SUBSCRIBERS} subscribers are enough")
        return control.Stream(
            {"snapshot": self._events.snapshot()},
            aiter(subscription),
            lambda: self._events.leave(subscription),
        )

    async def _say(self, request: Mapping[str, object]) -> Mapping[str, object]:
        text = _text_of(request)
        if text is None:
            return _refused("say needs a text")
        refused = await self._host.say(text)
        return {} if refused is None else _refused(refused)

    async def _trace(self, request: Mapping[str, object]) -> Mapping[str, object]:
        from kiosk.visit import replay  # what only operators need, and seldom

        press_id = request.get("press_id")
        trace = self._host.traces.of(press_id if isinstance(press_id, str) else None)
        if trace is None:
            return _refused(_NO_SUCH_VISIT)
        lines = []
        for line in replay.lines(trace):
            lines.append(line)
            await asyncio.sleep(0)  # a long visit takes a while to play again
        return {"lines": lines}

    def _why(self, request: Mapping[str, object]) -> Mapping[str, object]:
        press_id = request.get("press_id")
        record = self._records.of(press_id if isinstance(press_id, str) else None)
        if record is None:
            return _refused(_NO_SUCH_VISIT)
        return {
            "press_id": record.press_id,
            "kind": record.kind,
            "verdict": record.verdict.worth,
            "spoilt_by": record.verdict.cause,
            "sentence": record.sentence,
            "record": record.figures,
        }

    async def _check_lease(self, _: Mapping[str, object]) -> Mapping[str, object]:
        if self._client is None:
            return _refused("the agent is public: nobody gives leases")
        return await lease.asked(self._client)


def _text_of(request: Mapping[str, object]) -> str | None:
    text = request.get("text")
    return text if isinstance(text, str) and text.strip() else None


def _refused(why: str) -> Mapping[str, object]:
    return {"ok": False, "error": why}


def kiosk_info(kiosk: KioskTable, language: str) -> Json:
    """The tool `kiosk_info`: where the visitor stands, in which language, and what time it is."""
    now = datetime.now().astimezone()
    return {
        "name": kiosk.name,
        "site": kiosk.site,
        "language": language,
        "local_time": now.isoformat(timespec="minutes"),
        "weekday": f"{now:%A}",
    }
