"""Picture of a visit: one page by itself, with who spoke when and what was waited for.

Pure: no I/O, no clock.
"""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

import numpy as np

from kiosk.audio.pcm import Samples

Entry = dict[str, Any]

_PX_PER_S = 40
_WAVE_PX = 90  # of one side's sound, from edge to edge
_ROWS_PX = {"states": 20, "microphone": 70, "speaker": 180, "waits": 250, "seconds": 290}
_HEIGHT_PX = 300
_COLOURS = {
    "idle": "#9aa0a6", "opening": "#e3b341", "queued": "#e3b341", "listening": "#3fa55c",
    "thinking": "#4a7fd6", "speaking": "#9b6bd3", "closing": "#9aa0a6",
}  # fmt: skip
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>A visit</title>
<style>
:root {{ color-scheme: light dark; --ink: #1b1b1b; --paper: #fff; --faint: #8886; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ink: #e8e8e8; --paper: #16181c; }} }}
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem;
  color: var(--ink); background: var(--paper); }}
figure {{ margin: 0; overflow-x: auto; }}
svg text {{ fill: var(--ink); font: 12px system-ui, sans-serif; }}
table {{ border-collapse: collapse; margin-top: 1.5rem; }}
td, th {{ padding: .2rem 1rem .2rem 0; text-align: left; vertical-align: top; }}
td:first-child {{ font-variant-numeric: tabular-nums; text-align: right; }}
.own {{ fill: #c8382e; }} .agents {{ fill: #9aa0a6; }}
.visitor {{ fill: #2f8f9d; }} .kiosk {{ fill: #9b6bd3; }}
</style>
<h1>A visit</h1>
<figure>
<svg role="img" aria-label="{label}" width="{width}" height="{height}">
{drawing}
</svg>
</figure>
<p>Under each question the wait for its answer: grey is the agent's share, red the kiosk's own.</p>
<table>
<tr><th>s</th><th>who</th><th>says</th></tr>
{rows}
</table>
</html>
"""


def page(timeline: Sequence[Entry], microphone: Samples, speaker: Samples, rate_hz: int) -> str:
    """A visit as HTML: its timeline, in seconds since the press, and both sides' sound."""
    length_s = max(len(microphone), len(speaker)) / rate_hz
    drawing = [
        *_states(timeline, length_s),
        _label("microphone", "microphone"),
        _wave(microphone, rate_hz, "visitor", _ROWS_PX["microphone"]),
        _label("loudspeaker", "speaker"),
        _wave(speaker, rate_hz, "kiosk", _ROWS_PX["speaker"]),
        *_waits(timeline),
        *_seconds(length_s),
    ]
    said = [(at_s, who, words) for at_s, who, words in _said(timeline) if words]
    rows = [
        f"<tr><td>{at_s:.1f}</td><td>{who}</td><td>{escape(words)}</td></tr>"
        for at_s, who, words in said
    ]
    return _PAGE.format(
        label=f"A visit of {length_s:.0f} seconds: states, sound of both sides, waits",
        width=round(length_s * _PX_PER_S) + 20,
        height=_HEIGHT_PX,
        drawing="\n".join(drawing),
        rows="\n".join(rows),
    )


def _said(timeline: Sequence[Entry]) -> Iterator[tuple[float, str, str]]:
    for entry in timeline:
        match entry:
            case {"who": "visitor", "words": words, "at_s": at_s}:
                yield at_s, "visitor", words or "(a recording)"
            case {"who": "agent", "event": "agent_started", "text": text, "at_s": at_s}:
                yield at_s, "agent", str(text)


def _states(timeline: Sequence[Entry], length_s: float) -> Iterator[str]:
    entered = [
        (entry["at_s"], str(entry["state"])) for entry in timeline if entry.get("event") == "state"
    ]
    ends_s = [*(at_s for at_s, _ in entered), length_s][1:]
    for (from_s, state), to_s in zip(entered, ends_s, strict=True):
        yield _bar(from_s, to_s, "states", f'fill="{_COLOURS.get(state, "#888")}"', state)
        if to_s - from_s > len(state) * 7 / _PX_PER_S:
            y = _ROWS_PX["states"] + 13
            yield f'<text x="{_x(from_s) + 3:.1f}" y="{y}">{escape(state)}</text>'


def _waits(timeline: Sequence[Entry]) -> Iterator[str]:
    for entry in timeline:
        if entry.get("who") != "turn":
            continue
        shares = [0.0, entry["at_agent_ms"], entry["answered_ms"], entry["heard_ms"]]
        asked_s = entry["at_s"] - entry["heard_ms"] / 1000
        whose = ('class="own"', 'class="agents"', 'class="own"')
        for kind, from_ms, to_ms in zip(whose, shares[:-1], shares[1:], strict=True):
            label = f"{to_ms - from_ms:.0f} ms"
            yield _bar(asked_s + from_ms / 1000, asked_s + to_ms / 1000, "waits", kind, label)


def _bar(from_s: float, to_s: float, row: str, style: str, title: str) -> str:
    width = max(0.0, to_s - from_s) * _PX_PER_S
    return (
        f'<rect x="{_x(from_s):.1f}" y="{_ROWS_PX[row]}" width="{width:.1f}" height="18" {style}>'
        f"<title>{escape(title)}</title></rect>"
    )


def _label(text: str, row: str) -> str:
    return f'<text x="0" y="{_ROWS_PX[row] - 8}">{text}</text>'


def _wave(samples: Samples, rate_hz: int, side: str, top_px: int) -> str:
    """The loudest sample of each pixel, up and down."""
    size = rate_hz // _PX_PER_S
    whole = samples[: len(samples) // size * size].reshape(-1, size).astype(np.int32)
    peaks = np.abs(whole).max(axis=1, initial=0) / 32768 * _WAVE_PX / 2
    middle = top_px + _WAVE_PX / 2
    up = [f"{x},{middle - peak:.1f}" for x, peak in enumerate(peaks)]
    down = [f"{x},{middle + peak:.1f}" for x, peak in enumerate(peaks)]
    return f'<polygon class="{side}" points="{" ".join([*up, *reversed(down)])}"/>'


def _seconds(length_s: float) -> Iterator[str]:
    for second in range(0, round(length_s) + 1, 5):
        yield f'<text x="{_x(second):.0f}" y="{_ROWS_PX["seconds"]}">{second} s</text>'


def _x(at_s: float) -> float:
    return max(0.0, at_s) * _PX_PER_S
