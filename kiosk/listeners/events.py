"""Events for who watches a kiosk from outside: a screen, a lamp, a program of the house.

The page deploy/control.md has them all. Words of visitors and agents are in them only where the
operator wants captions, and they are never logged. A subscriber that does not read loses its place.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import suppress
from typing import TypeAlias

from kiosk.convai.captions import caption
from kiosk.listeners.visit_record import VisitRecords
from kiosk.moments import Moment, What

Event: TypeAlias = Mapping[str, object]

KINDS = (
    "state", "lamp", "cause", "visit_started", "visit_ended", "language", "visitor", "agent",
    "queue", "chime", "sentence", "caption", "handout", "level",
)  # fmt: skip
MOST_SUBSCRIBERS = 8
# Of a visitor who talks with an agent for some minutes.
_BEHIND_LIMIT = 500
_LEVEL_EVERY_S = 0.25

_SPEAKS = {
    What.SPEECH_STARTED: ("visitor", True),
    What.SPEECH_ENDED: ("visitor", False),
    What.AGENT_HEARD: ("agent", True),
    What.DRAINED: ("agent", False),
    What.SILENT: ("agent", False),
}


class Subscription:
    """One subscriber's events, as an async iterator that ends when it is `closed`."""

    def __init__(self, kinds: Collection[str]) -> None:
        self.kinds = frozenset(kinds)
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self._closed = False

    def offer(self, event: Event) -> bool:
        """Add an event that it wants; False if the subscriber is too far behind."""
        if self._closed or event["event"] not in self.kinds:
            return not self._closed
        if self._queue.qsize() >= _BEHIND_LIMIT:
            self.close()
            return False
        self._queue.put_nowait(event)
        return True

    def close(self) -> None:
        """No more events; those that wait are dropped."""
        self._closed = True
        with suppress(asyncio.QueueEmpty):
            while True:
                self._queue.get_nowait()
        self._queue.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[Event]:
        while (event := await self._queue.get()) is not None:
            yield event


class EventStream:
    """An observer of moments with subscribers. `status`: how the kiosk stands, for snapshots;
    `text_of`: the text of a sentence of the kiosk's; `level_dbfs`: the microphone's now; `records`
    observes each moment before it."""

    def __init__(
        self,
        status: Callable[[], Mapping[str, object]],
        text_of: Callable[[str], str | None],
        level_dbfs: Callable[[], float | None],
        records: VisitRecords,
        *,
        captions: bool,
    ) -> None:
        self._status = status
        self._text_of = text_of
        self._level_dbfs = level_dbfs
        self._records = records
        self._captions = captions
        self._subscribers: list[Subscription] = []
        self._level_wanted = asyncio.Event()
        self._agent_text = ""
        self._press_id = ""
        self._lamp: object = None

    @property
    def subscribers(self) -> int:
        return len(self._subscribers)

    def subscribe(self, kinds: Collection[str]) -> Subscription | None:
        """A new subscriber of these kinds; None where there are enough."""
        if len(self._subscribers) >= MOST_SUBSCRIBERS:
            return None
        subscription = Subscription(kinds)
        self._lamp = _lamp(self._status())
        if "level" in subscription.kinds:
            self._level_wanted.set()
        self._subscribers.append(subscription)
        return subscription

    def leave(self, subscription: Subscription) -> None:
        """It is over."""
        subscription.close()
        with suppress(ValueError):
            self._subscribers.remove(subscription)

    def snapshot(self) -> Event:
        """How it is now, in the words of the events."""
        status = self._status()
        names = ("state", "cause", "press_id", "language", "left_s", "visits")
        return {**{name: status.get(name) for name in names}, "lamp": _lamp(status)}

    def observe(self, moment: Moment) -> None:
        if moment.what is What.VISIT_STARTED:
            self._press_id, self._agent_text = str(moment.fields["press_id"]), ""
        elif moment.what is What.VISIT_ENDED:
            self._agent_text = ""  # what was said is gone with the visit
        if self._subscribers:
            for event in self._events(moment):
                self._publish(event)

    def hand_out(self, address: str, press_id: str) -> None:
        """There is something for the visitor of this press to take along; what it says is in it, as
        in a caption. When the next has pressed, it is nobody's here any more."""
        if self._captions and press_id == self._press_id:
            self._publish({"event": "handout", "address": address})

    async def tell_levels(self) -> None:
        """Publish the microphone's level while somebody wants it, until cancelled."""
        while True:
            await self._level_wanted.wait()
            await asyncio.sleep(_LEVEL_EVERY_S)
            if not any("level" in each.kinds for each in self._subscribers):
                self._level_wanted.clear()
            elif (level_dbfs := self._level_dbfs()) is not None:
                self._publish({"event": "level", "dbfs": round(level_dbfs, 1)})

    def _publish(self, event: Event) -> None:
        self._subscribers = [each for each in self._subscribers if each.offer(event)]

    def _events(self, moment: Moment) -> Iterator[Event]:
        fields = moment.fields
        match moment.what:
            case What.STATE:
                status = self._status()
                yield {"event": "state", "state": fields["state"], "left_s": status.get("left_s")}
                yield from self._lamps()
            case What.FITNESS:
                cause = fields["cause"]
                yield {"event": "cause", "cause": None if cause == "fit" else cause}
                yield from self._lamps()
            case What.VISIT_STARTED:
                language = self._status().get("language")
                yield {"event": "visit_started", "press_id": self._press_id, "language": language}
            case What.VISIT_ENDED:
                yield self._ended(str(fields["kind"]))
            case What.LANGUAGE:
                yield {"event": "language", **fields}
            case What.QUEUED | What.ADMITTED:
                yield {"event": "queue", "waits": moment.what is What.QUEUED}
            case What.EARCON_HEARD:
                yield {"event": "chime", "chime": fields["earcon"]}
            case What.SENTENCE_HEARD:
                key = str(fields["key"])
                yield {"event": "sentence", "key": key, "text": self._text_of(key)}
            case What.SPEECH_STARTED | What.SPEECH_ENDED:
                yield self._speaks(moment.what)
            case What.AGENT_HEARD | What.DRAINED | What.SILENT:
                yield self._speaks(moment.what)
            case _ if self._captions and moment.words is not None:
                yield from self._caption(moment, moment.words)

    def _ended(self, kind: str) -> Event:
        record = self._records.of(self._press_id)
        judged: Event = {}
        if record is not None:
            judged = {"verdict": record.verdict.worth, "spoilt_by": record.verdict.cause}
        return {"event": "visit_ended", "press_id": self._press_id, "kind": kind, **judged}

    def _speaks(self, what: What) -> Event:
        who, speaks = _SPEAKS[what]
        return {"event": who, "speaks": speaks}

    def _lamps(self) -> Iterator[Event]:
        lamp = _lamp(self._status())
        if lamp != self._lamp:
            self._lamp = lamp
            yield {"event": "lamp", "lamp": lamp}

    def _caption(self, moment: Moment, words: str) -> Iterator[Event]:
        who, final = "agent", True
        match moment.what:
            case What.TRANSCRIPT:
                who, text = "visitor", words
            case What.RESPONSE_TEXT:
                self._agent_text = words if moment.fields["begins"] else self._agent_text + words
                text, final = caption(self._agent_text), False
            case What.RESPONSE | What.CORRECTION:
                text = words
            case _:
                return
        if text:
            yield {"event": "caption", "who": who, "text": text, "final": final}


def _lamp(status: Mapping[str, object]) -> object:
    """What the lamp shows: the state, or that no visit can be held."""
    unfit = status.get("state") == "idle" and status.get("cause") is not None
    return "unfit" if unfit else status.get("state")
