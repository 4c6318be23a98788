"""Picture of the demo's visit: who spoke when, with the sound of both sides, and what was waited
for. Pure: no I/O, no clock."""

from collections.abc import Iterator, Sequence
from typing import Any

from kiosk.audio.pcm import Samples
from kiosk.lab.drawing import Drawing

Entry = dict[str, Any]


def page(timeline: Sequence[Entry], microphone: Samples, speaker: Samples, rate_hz: int) -> str:
    """A visit as HTML: its timeline, in seconds since the press, and both sides' sound."""
    drawing = Drawing(max(len(microphone), len(speaker)) / rate_hz)
    entered = [entry for entry in timeline if entry.get("event") == "state"]
    drawing.states([(entry["at_s"], str(entry["state"])) for entry in entered])
    drawing.wave("microphone", microphone, rate_hz, "visitor")
    drawing.wave("loudspeaker", speaker, rate_hz, "kiosk")
    drawing.bars("waits", _waits(timeline))
    return drawing.page(
        "A visit",
        "Under each question the wait for its answer: grey is the agent's share, red the kiosk's "
        "own.",
        ("s", "who", "says"),
        [(f"{at_s:.1f}", who, words) for at_s, who, words in _said(timeline) if words],
    )


def _said(timeline: Sequence[Entry]) -> Iterator[tuple[float, str, str]]:
    for entry in timeline:
        match entry:
            case {"who": "visitor", "words": words, "at_s": at_s}:
                yield at_s, "visitor", words or "(a recording)"
            case {"who": "agent", "event": "agent_started", "text": text, "at_s": at_s}:
                yield at_s, "agent", str(text)


def _waits(timeline: Sequence[Entry]) -> Iterator[tuple[float, float, str, str]]:
    for entry in timeline:
        if entry.get("who") != "turn":
            continue
        shares = [0.0, entry["at_agent_ms"], entry["answered_ms"], entry["heard_ms"]]
        asked_s = entry["at_s"] - entry["heard_ms"] / 1000
        for whose, from_ms, to_ms in zip(
            ("own", "agents", "own"), shares, shares[1:], strict=False
        ):
            yield (
                asked_s + from_ms / 1000, asked_s + to_ms / 1000, whose,
                f"{to_ms - from_ms:.0f} ms",
            )  # fmt: skip
