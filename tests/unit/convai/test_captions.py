import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.convai.captions import caption


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("[happy] Hello there.", "Hello there."),
        ("Hello [laughs softly] there.", "Hello there."),
        ("Hello there. [sighs]", "Hello there."),
        ("[Excited][WHISPERS] Hello.", "Hello."),
        ("[slow, sad] Hello.", "Hello."),
        ("[dry-humoured] Hello.", "Hello."),
        ("Hello[pause]there.", "Hello there."),
        ("[happy]", ""),
    ],
)
def test_audio_tags_are_for_the_voice_only(said: str, shown: str) -> None:
    assert caption(said) == shown


@pytest.mark.parametrize(
    "said",
    [
        "See note [1].",
        "Room [2b] is upstairs.",
        "Read [https://example.org/a] first.",
        "An empty [] pair.",
        "An open [bracket",
        "A [" + "very " * 10 + "long] remark.",
        "A (happy) end {sad} <b>.",
        "Look at [our map](https://example.org/map).",
    ],
)
def test_other_brackets_are_text(said: str) -> None:
    assert caption(said) == said


def test_a_caption_is_one_line_without_blanks_around_it() -> None:
    assert caption("  Hello\n\n there,\tvisitor. \n") == "Hello there, visitor."


@pytest.mark.parametrize("stop", list(".,;:!?"))
def test_a_tag_before_a_stop_leaves_no_blank(stop: str) -> None:
    assert caption(f"Well [sighs]{stop} yes") == f"Well{stop} yes"
    assert caption(f"Well [sighs] {stop} yes") == f"Well{stop} yes"


@pytest.mark.parametrize("said", ["Bonjour !", "Combien ? Trois.", "It costs .5 of it."])
def test_a_blank_before_a_stop_is_kept_where_no_tag_was(said: str) -> None:
    assert caption(said) == said


@given(st.text(max_size=60) | st.text("[]ab1 .!(", max_size=30))
def test_a_caption_of_a_caption_without_tags_is_itself(said: str) -> None:
    shown = caption(said)
    assert shown == " ".join(shown.split())
    assert len(shown) <= len(said)


def test_a_whole_frame_of_open_brackets_takes_no_time() -> None:
    assert caption("[a" * 200_000 + " " * 200_000).startswith("[a[a")
