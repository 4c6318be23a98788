"""Events for who watches a kiosk: what is told, to whom, and to whom not any more."""

from typing import Any

import pytest

from kiosk.listeners.events import KINDS, MOST_SUBSCRIBERS, EventStream, Subscription
from kiosk.listeners.visit_record import LOSSES, VisitRecords
from kiosk.measures import Measures
from kiosk.moments import What
from tests.moments import a_moment
from tests.virtual_time import virtual_time

WORDS = (What.TRANSCRIPT, What.RESPONSE, What.CORRECTION, What.RESPONSE_TEXT)


class Watched:
    """A kiosk that is watched, and how it stands."""

    def __init__(self, *, captions: bool = False) -> None:
        self.status: dict[str, object] = {
            "state": "idle", "cause": None, "press_id": None, "language": "en", "left_s": None,
            "visits": 3, "microphone": "a card",
        }  # fmt: skip
        self.level_dbfs: float | None = None
        self.records = VisitRecords(Measures, lambda: dict.fromkeys(LOSSES, 0))
        self.stream = EventStream(
            lambda: self.status,
            {"goodbye": "Goodbye."}.get,
            lambda: self.level_dbfs,
            self.records,
            captions=captions,
        )

    def subscribe(self, *kinds: str) -> Subscription:
        subscription = self.stream.subscribe(kinds or KINDS)
        assert subscription is not None
        return subscription

    def happens(self, what: What, words: str | None = None, **fields: Any) -> None:
        moment = a_moment(what, 1.0, fields, words)
        self.records.observe(moment)
        self.stream.observe(moment)


async def told(subscription: Subscription) -> list[dict[str, object]]:
    """Everything up to now; it is closed then."""
    subscription._queue.put_nowait(None)
    return [dict(event) async for event in subscription]


async def test_a_snapshot_is_in_the_words_of_the_events() -> None:
    kiosk = Watched()
    assert kiosk.stream.snapshot() == {
        "state": "idle", "lamp": "idle", "cause": None, "press_id": None, "language": "en",
        "left_s": None, "visits": 3,
    }  # fmt: skip
    kiosk.status["cause"] = "no_network"
    assert kiosk.stream.snapshot()["lamp"] == "unfit"


async def test_a_visit_is_told_from_its_beginning_to_its_end() -> None:
    kiosk = Watched()
    subscription = kiosk.subscribe()
    kiosk.happens(What.VISIT_STARTED, press_id="p1")
    kiosk.status |= {"state": "opening", "left_s": 570}
    kiosk.happens(What.STATE, state="opening")
    kiosk.happens(What.EARCON_HEARD, earcon="pressed")
    kiosk.happens(What.LANGUAGE, language="de", by="visitor")
    kiosk.happens(What.QUEUED)
    kiosk.happens(What.ADMITTED)
    kiosk.happens(What.SPEECH_STARTED)
    kiosk.happens(What.SPEECH_ENDED)
    kiosk.happens(What.AGENT_HEARD)
    kiosk.happens(What.DRAINED)
    kiosk.happens(What.SENTENCE_HEARD, key="goodbye")
    kiosk.happens(What.SENTENCE_HEARD, key="bulletin")
    kiosk.happens(What.VISIT_ENDED, kind="abandoned")
    assert await told(subscription) == [
        {"event": "visit_started", "press_id": "p1", "language": "en"},
        {"event": "state", "state": "opening", "left_s": 570},
        {"event": "lamp", "lamp": "opening"},
        {"event": "chime", "chime": "pressed"},
        {"event": "language", "language": "de", "by": "visitor"},
        {"event": "queue", "waits": True},
        {"event": "queue", "waits": False},
        {"event": "visitor", "speaks": True},
        {"event": "visitor", "speaks": False},
        {"event": "agent", "speaks": True},
        {"event": "agent", "speaks": False},
        {"event": "sentence", "key": "goodbye", "text": "Goodbye."},
        {"event": "sentence", "key": "bulletin", "text": None},
        {
            "event": "visit_ended",
            "press_id": "p1",
            "kind": "abandoned",
            "verdict": "lost",
            "spoilt_by": "visitor_left",
        },
    ]


async def test_the_lamp_is_told_to_who_comes_later_too() -> None:
    kiosk = Watched()
    first = kiosk.subscribe("lamp")
    kiosk.status["cause"] = "paused"
    kiosk.happens(What.FITNESS, cause="paused")
    kiosk.stream.leave(first)
    kiosk.status["cause"] = None
    kiosk.happens(What.FITNESS, cause="fit")
    second = kiosk.subscribe("lamp")
    kiosk.status["cause"] = "paused"
    kiosk.happens(What.FITNESS, cause="paused")
    assert await told(second) == [{"event": "lamp", "lamp": "unfit"}]


async def test_what_cannot_be_held_shows_on_the_lamp() -> None:
    kiosk = Watched()
    subscription = kiosk.subscribe()
    for cause in ("no_network", None):
        kiosk.status["cause"] = cause
        kiosk.happens(What.FITNESS, cause=cause or "fit")
    assert await told(subscription) == [
        {"event": "cause", "cause": "no_network"},
        {"event": "lamp", "lamp": "unfit"},
        {"event": "cause", "cause": None},
        {"event": "lamp", "lamp": "idle"},
    ]


@pytest.mark.parametrize("what", WORDS)
async def test_nobody_learns_what_was_said_unless_captions_are_wanted(what: What) -> None:
    kiosk = Watched()
    subscription = kiosk.subscribe()
    kiosk.happens(what, "where is the marzipan")
    assert await told(subscription) == []


async def test_captions_grow_with_the_agents_words_and_end_with_all_of_them() -> None:
    kiosk = Watched(captions=True)
    subscription = kiosk.subscribe("caption")
    kiosk.happens(What.TRANSCRIPT, "Where is the exit?")
    kiosk.happens(What.RESPONSE_TEXT, "", begins=1)
    kiosk.happens(What.RESPONSE_TEXT, "[happy] The exit")
    kiosk.happens(What.RESPONSE_TEXT, " is over there.")
    kiosk.happens(What.RESPONSE, "The exit is over there.")
    kiosk.happens(What.RESPONSE_TEXT, "By the way", begins=1)
    kiosk.happens(What.CORRECTION, "By the...")
    captions = [(each["who"], each["text"], each["final"]) for each in await told(subscription)]
    assert captions == [
        ("visitor", "Where is the exit?", True),
        ("agent", "The exit", False),
        ("agent", "The exit is over there.", False),
        ("agent", "The exit is over there.", True),
        ("agent", "By the way", False),
        ("agent", "By the...", True),
    ]


async def test_only_what_is_wanted_is_told() -> None:
    kiosk = Watched()
    states, chimes = kiosk.subscribe("state"), kiosk.subscribe("chime")
    kiosk.happens(What.STATE, state="idle")
    kiosk.happens(What.EARCON_HEARD, earcon="ready")
    assert [each["event"] for each in await told(states)] == ["state"]
    assert [each["event"] for each in await told(chimes)] == ["chime"]


async def test_who_does_not_read_is_dropped_and_the_others_go_on() -> None:
    kiosk = Watched()
    asleep, awake = kiosk.subscribe(), kiosk.subscribe()
    heard = 0
    for _ in range(20):
        for _ in range(100):
            kiosk.happens(What.EARCON_HEARD, earcon="ready")
        while awake._queue.qsize():
            awake._queue.get_nowait()
            heard += 1
    assert heard == 2000
    assert kiosk.stream.subscribers == 1
    assert [event async for event in asleep] == [], "and what it missed is not kept"


async def test_there_is_room_for_so_many_and_for_the_next_when_one_leaves() -> None:
    kiosk = Watched()
    subscriptions = [kiosk.subscribe() for _ in range(MOST_SUBSCRIBERS)]
    assert kiosk.stream.subscribe(KINDS) is None
    kiosk.stream.leave(subscriptions[0])
    kiosk.stream.leave(subscriptions[0])
    assert kiosk.stream.subscribe(KINDS) is not None


@virtual_time
async def test_levels_are_told_four_times_a_second_while_there_is_a_visit() -> None:
    import asyncio

    kiosk = Watched()
    telling = asyncio.create_task(kiosk.stream.tell_levels())
    without, subscription = kiosk.subscribe("state"), kiosk.subscribe("level")
    await asyncio.sleep(1.1)
    kiosk.level_dbfs = -31.26
    await asyncio.sleep(1.0)
    telling.cancel()
    assert await told(subscription) == [{"event": "level", "dbfs": -31.3}] * 4
    assert await told(without) == []


def test_nothing_that_was_said_is_kept_after_the_visit() -> None:
    kiosk = Watched(captions=True)
    kiosk.subscribe()
    kiosk.happens(What.RESPONSE_TEXT, "The exit is over there.", begins=1)
    assert kiosk.stream._agent_text
    kiosk.happens(What.VISIT_ENDED, kind="hung_up")
    assert kiosk.stream._agent_text == ""


@virtual_time
@pytest.mark.parametrize("captions", [True, False])
async def test_what_was_made_for_a_visitor_is_told_where_captions_are(*, captions: bool) -> None:
    kiosk = Watched(captions=captions)
    subscription = kiosk.subscribe()
    kiosk.happens(What.VISIT_STARTED, press_id="p1")
    await told(subscription)
    subscription = kiosk.subscribe("handout")
    kiosk.stream.hand_out("https://backend.test/v1/handouts/x", "p1")
    kiosk.happens(What.VISIT_STARTED, press_id="p2")
    kiosk.stream.hand_out("https://backend.test/v1/handouts/x", "p1")  # of somebody who has gone
    event = {"event": "handout", "address": "https://backend.test/v1/handouts/x"}
    assert await told(subscription) == ([event] if captions else [])
