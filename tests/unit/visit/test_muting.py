"""What a visit hears while the microphone is muted."""

import numpy as np
import pytest

from kiosk.audio.capture import CapturedChunk
from kiosk.audio.gate import Edge, Verdict
from kiosk.visit.muting import Muting

START, END = Edge.SPEECH_STARTED, Edge.SPEECH_ENDED


def edges(speech: str, muted: str) -> str:
    """What a visit is told of a gate that is open at each `x`, muted at each `m`: `<` is a start,
    `>` an end."""
    muting, told, before = Muting(), "", False
    for spoken, hidden in zip(speech, muted, strict=True):
        open_ = spoken == "x"
        edge = None if open_ == before else START if open_ else END
        before = open_
        muting.on = hidden == "m"
        verdict = Verdict(open_, passes=open_, edge=edge, held=open_, voiced_ms=20)
        heard = muting.heard(CapturedChunk(np.full(320, 7, np.int16), 1.0, verdict))
        told += {START: "<", END: ">", None: "-"}[heard.verdict.edge]
        assert bool(np.any(heard.samples)) != muting.on
        assert not (muting.on and (heard.verdict.passes or heard.verdict.held))
        if not muting.on:
            assert heard.verdict.speech == open_
    return told


@pytest.mark.parametrize(
    ("speech", "muted", "told"),
    [
        ("--xxxx--", "--------", "--<---->"[:6] + ">-"),
        ("--xxxx--", "mmmmmmmm", "--------"),
        ("--xxxx--", "----mmmm", "--<->---"),  # somebody speaks when it is switched on
        ("--xxxx--", "mmmm----", "----<->-"),  # and when it is switched off
        ("-xxxxxx-", "---mm---", "-<->-<->"),
        ("-xx-----", "--mmm---", "-<>-----"),  # it ended meanwhile
        ("---xx---", "--mmm---", "--------"),  # all of it was hidden
        ("--xx-xx-", "--mmmm--", "------<>"),
    ],
)
def test_starts_and_ends_are_told_in_pairs(speech: str, muted: str, told: str) -> None:
    assert edges(speech, muted) == told
