"""What the page shows, by the events of the control socket."""

import math
from collections.abc import Mapping
from functools import cache

import pytest

from kiosk.causes import CAUSES, UNFIT
from kiosk.listeners.events import KINDS as ALL_KINDS
from kiosk.screen.view import KINDS, Screen, type_size_vh
from kiosk.visit.languages import load_language, shipped_languages
from kiosk.visit.states import State

language = cache(load_language)

IDLE = {"state": "idle", "cause": None, "language": "en"}


def screen(*events: Mapping[str, object], held: bool = False, own: str = "en") -> Screen:
    """One of an idle kiosk to which this happened."""
    screen = Screen(language, own, held=held)
    screen.snapshot({**IDLE, "language": own})
    for event in events:
        screen.follow(event)
    return screen


def state(name: str) -> dict[str, object]:
    return {"event": "state", "state": name, "left_s": None}


STARTED = {"event": "visit_started", "press_id": "p", "language": "en"}


def caption(who: str, text: str) -> dict[str, object]:
    return {"event": "caption", "who": who, "text": text, "final": True}


def test_a_kiosk_that_does_not_answer_is_away() -> None:
    away = Screen(language, "de", held=False)
    assert (away.view.mode, away.view.headline) == ("away", "Ich bin gleich wieder da")
    away.snapshot({**IDLE, "press_id": "p", "state": "speaking"})
    away.follow(caption("agent", "marzipan"))
    assert away.view.said == "marzipan"
    away.away()
    assert (away.view.mode, away.view.said) == ("away", "")


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("code", shipped_languages())
def test_every_state_has_its_words_in_every_language(code: str, held: bool) -> None:
    texts = language(code).screen
    invitation = texts["hold" if held else "press"]
    assert screen(held=held, own=code).view.headline == invitation
    for each in State:
        view = screen(state(each), held=held, own=code).view
        assert view.headline == (invitation if each is State.IDLE else texts[each])
        assert (view.mode, view.language) == (each, code)


@pytest.mark.parametrize("cause", UNFIT)
def test_an_unfit_kiosk_says_what_it_would_say_to_a_press(cause: str) -> None:
    view = screen({"event": "cause", "cause": cause}).view
    assert view.mode == "unfit"
    assert view.headline == language("en").sentences[str(CAUSES[cause].sentence)]
    assert screen({"event": "cause", "cause": cause}, {"event": "cause", "cause": None}).view == (
        screen().view
    )


def test_a_cause_of_a_later_release_is_one_too() -> None:
    view = screen({"event": "cause", "cause": "moonlight"}).view
    assert (view.mode, view.headline) == ("unfit", language("en").sentences["out_of_order"])


def test_a_question_takes_the_place_of_the_answer_before() -> None:
    followed = screen(
        STARTED,
        state("listening"),
        caption("agent", "Welcome."),
    )
    assert (followed.view.asked, followed.view.said) == ("", "Welcome.")
    followed.follow(caption("visitor", "where is the exit"))
    assert (followed.view.asked, followed.view.said) == ("where is the exit", "")
    followed.follow(caption("agent", "Over"))
    followed.follow(caption("agent", "Over there."))
    assert (followed.view.asked, followed.view.said) == ("where is the exit", "Over there.")
    followed.follow({"event": "sentence", "key": "warning", "text": "We have to stop soon."})
    assert followed.view.said == "We have to stop soon."


def test_what_comes_late_is_not_shown() -> None:
    followed = screen(STARTED, {"event": "visit_ended", "press_id": "p", "kind": "hung_up"})
    followed.follow(caption("agent", "marzipan"))
    followed.follow(caption("visitor", "marzipan"))
    assert followed.view == screen().view


def test_what_the_kiosk_said_between_visits_does_not_stay() -> None:
    apology = {"event": "sentence", "key": "closed", "text": "I do not answer at this hour."}
    followed = screen(apology)
    assert followed.view.said != ""
    followed.hush()
    assert followed.view == screen().view
    in_visit = screen(STARTED, apology)
    in_visit.hush()
    assert in_visit.view.said != ""


def test_an_answer_that_came_early_is_shown_when_it_is_heard() -> None:
    followed = screen(
        STARTED,
        state("listening"),
        caption("agent", "Welcome."),
        {"event": "sentence", "key": "disclosure", "text": "An A I will answer you."},
    )
    assert followed.view.said == "An A I will answer you."
    followed.follow({"event": "agent", "speaks": True})
    assert followed.view.said == "Welcome."
    followed.follow(caption("visitor", "thank you"))
    followed.follow({"event": "agent", "speaks": True})  # of the next answer no text has come yet
    assert followed.view.said == ""


def test_nothing_that_was_said_is_left_after_a_visit() -> None:
    followed = screen(
        {"event": "visit_started", "press_id": "p", "language": "de"},
        state("listening"),
        caption("visitor", "marzipan"),
        caption("agent", "marzipan"),
        state("idle"),
        {"event": "visit_ended", "press_id": "p", "kind": "hung_up"},
    )
    assert "marzipan" not in str(followed.view)
    assert followed.view == screen().view


def test_the_visitors_language_is_that_of_the_page_until_the_visit_is_over() -> None:
    followed = screen(
        {"event": "visit_started", "press_id": "p", "language": "en"},
        state("listening"),
        {"event": "language", "language": "fr", "by": "visitor"},
    )
    assert (followed.view.language, followed.view.headline) == ("fr", "Je vous écoute")
    followed.follow({"event": "visit_ended", "press_id": "p", "kind": "hung_up"})
    assert followed.view.language == "en"


def test_who_speaks_is_who_began_last() -> None:
    spoken = [
        {"event": "agent", "speaks": True},
        {"event": "visitor", "speaks": True},
        {"event": "agent", "speaks": False},
    ]
    assert screen(*spoken).view.speaks == "visitor"
    assert screen(*spoken, {"event": "visitor", "speaks": False}).view.speaks == ""


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"event": "state", "state": 7},
        {"event": "caption", "who": "agent", "text": None},
        {"event": "sentence", "key": "bulletin", "text": None},
        {"event": "moonlight", "text": "x"},
        {"event": "visitor", "speaks": "yes"},
    ],
)
def test_what_makes_no_sense_changes_nothing(event: Mapping[str, object]) -> None:
    assert screen(event).view == screen().view


def test_a_state_of_a_later_release_is_none_that_invites_to_press() -> None:
    assert screen(state("dancing")).view.mode == "away"


def test_of_a_long_answer_the_end_is_shown() -> None:
    said = screen(STARTED, state("speaking"), caption("agent", "a" * 1_000_000 + "z")).view.said
    assert len(said) < 1000
    assert said.startswith("… aaa")
    assert said.endswith("az")


def test_the_page_asks_for_events_that_there_are() -> None:
    assert set(KINDS) <= set(ALL_KINDS)


@pytest.mark.parametrize(("distance_m", "height_mm"), [(0.5, 49), (0.8, 155), (3.0, 600)])
def test_a_capital_is_seen_under_no_less_than_0_7_degrees(
    distance_m: float, height_mm: float
) -> None:
    size_mm = type_size_vh(distance_m, height_mm) / 100 * height_mm
    seen = 2 * math.degrees(math.atan(0.7 * size_mm / 2 / (distance_m * 1000)))
    assert seen == pytest.approx(0.7, abs=0.001)


HANDOUT = {"event": "handout", "address": "https://backend.test/v1/handouts/default~0a~17~ff"}
ENDED = {"event": "visit_ended", "press_id": "p", "kind": "hung_up"}


@pytest.mark.parametrize("code", shipped_languages())
def test_what_may_be_taken_along_is_a_code_after_the_visit(code: str) -> None:
    during = screen(STARTED, HANDOUT, own=code)  # as when a visit's connection broke
    assert (during.view.code, during.view.take_along) == ("", "")
    for shown in (
        screen(STARTED, HANDOUT, ENDED, own=code),
        screen(STARTED, ENDED, HANDOUT, own=code),
    ):
        rows = shown.view.code.split("\n")
        assert {len(row) for row in rows} == {len(rows)}
        assert set("".join(rows)) == {"0", "1"}
        # The mark of a corner, which every reader looks for.
        assert [row[:7] for row in rows[:3]] == ["1111111", "1000001", "1011101"]
        assert shown.view.take_along == language(code).screen["handout"]


def test_the_next_visitor_does_not_see_it_nor_whoever_comes_later() -> None:
    later = screen(STARTED, ENDED, HANDOUT)
    later.follow(STARTED)
    assert later.view.code == ""
    later.follow(ENDED)
    assert later.view.code == ""
    left = screen(STARTED, ENDED, HANDOUT)
    left.put_away()
    assert (left.view.code, left.view.take_along) == ("", "")
    gone = screen(STARTED, ENDED, HANDOUT)
    gone.away()
    gone.snapshot(IDLE)
    assert gone.view.code == ""
