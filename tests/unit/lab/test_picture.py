"""The picture of a visit: a page that needs nothing else."""

from html.parser import HTMLParser

import numpy as np

from kiosk.lab.demo.picture import page

RATE_HZ = 8000
TIMELINE: list[dict[str, object]] = [
    {"at_s": 0.0, "who": "kiosk", "event": "state", "state": "opening"},
    {"at_s": 0.5, "who": "visitor", "event": "speaks", "words": "<script>alert(1)</script>"},
    {"at_s": 1.0, "who": "visitor", "event": "speaks", "words": None},
    {"at_s": 1.0, "who": "kiosk", "event": "state", "state": "listening"},
    {"at_s": 2.0, "who": "agent", "event": "agent_started", "text": "Left & right."},
    {"at_s": 2.5, "who": "turn", "event": "answered", "at_agent_ms": 100.0, "answered_ms": 900.0,
     "heard_ms": 1000.0},
]  # fmt: skip


class Page(HTMLParser):
    """What stands in it, by tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())


def drawn(timeline: list[dict[str, object]], seconds: float = 4.0) -> tuple[str, Page]:
    sound = np.zeros(round(seconds * RATE_HZ), np.int16)
    text = page(timeline, sound, sound, RATE_HZ)
    return text, Page(text)


def test_nothing_is_fetched_from_anywhere_and_no_word_is_markup() -> None:
    text, found = drawn(TIMELINE)
    assert "http" not in text
    assert not {tag for tag, _ in found.tags} & {"script", "link", "img", "iframe"}
    assert "<script>alert(1)</script>" in found.words
    assert "Left & right." in found.words
    assert "(a recording)" in found.words


def test_the_wait_is_drawn_as_long_as_it_was_and_by_whose_it_was() -> None:
    _, found = drawn(TIMELINE)
    waits = [
        (attributes["class"], float(attributes["x"] or 0), float(attributes["width"] or 0))
        for tag, attributes in found.tags
        if tag == "rect" and "class" in attributes
    ]
    assert waits == [("own", 60.0, 4.0), ("agents", 64.0, 32.0), ("own", 96.0, 4.0)]


def test_a_loud_sound_is_drawn_high_and_silence_flat() -> None:
    sound = np.concatenate([np.zeros(RATE_HZ, np.int16), np.full(RATE_HZ, 32767, np.int16)])
    text = page([], sound, np.zeros(0, np.int16), RATE_HZ)
    points = text.partition('class="visitor" points="')[2].partition('"')[0].split()
    heights = [float(point.split(",")[1]) for point in points[:80]]
    [flat], [high] = set(heights[:40]), set(heights[40:])
    assert flat - high == 45.0


def test_a_visit_in_which_nothing_happened_has_a_picture_too() -> None:
    text, _ = drawn([], 0.0)
    assert text.startswith("<!doctype html>")
