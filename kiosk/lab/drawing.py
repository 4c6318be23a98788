"""Drawing of a visit against time: rows of bars and of sound, on one page by itself. Pure: no I/O,
no clock."""

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

from kiosk.audio.pcm import Samples

_PX_PER_S = 40
_TOP_PX, _GAP_PX, _LABEL_PX = 20, 10, 16
_BAR_PX = 18
_WAVE_PX = 90  # of one side's sound, from edge to edge
_CHARACTER_PX = 7
_STATES = {
    "idle": "#9aa0a6", "opening": "#e3b341", "queued": "#e3b341", "listening": "#3fa55c",
    "thinking": "#4a7fd6", "speaking": "#9b6bd3", "closing": "#9aa0a6",
}  # fmt: skip
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
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
.visitor {{ fill: #2f8f9d; }} .kiosk {{ fill: #9b6bd3; }} .voice {{ fill: #b0762f; }}
</style>
<h1>{title}</h1>
<figure>
<svg role="img" aria-label="{label}" width="{width}" height="{height}">
{drawing}
</svg>
</figure>
<p>{note}</p>
<table>
<tr>{heading}</tr>
{rows}
</table>
</html>
"""


class Drawing:
    """Rows from above to below, over so many seconds."""

    def __init__(self, length_s: float) -> None:
        self._length_s = length_s
        self._parts: list[str] = []
        self._y = _TOP_PX

    def states(self, entered: Sequence[tuple[float, str]]) -> None:
        """A row of the visit's states, each from when it was entered."""
        ends_s = [*(at_s for at_s, _ in entered), self._length_s][1:]
        for (from_s, state), to_s in zip(entered, ends_s, strict=True):
            colour = _STATES.get(state, "#888")
            self._parts.append(self._bar(from_s, to_s, f'fill="{colour}"', state))
            if to_s - from_s > len(state) * _CHARACTER_PX / _PX_PER_S:
                y = self._y + 13
                self._parts.append(f'<text x="{_x(from_s) + 3:.1f}" y="{y}">{escape(state)}</text>')
        self._y += _BAR_PX

    def wave(self, label: str, samples: Samples, rate_hz: int, side: str) -> None:
        """A row of sound: the loudest sample of each pixel, up and down."""
        self._label(label)
        size = rate_hz // _PX_PER_S
        whole = samples[: len(samples) // size * size].reshape(-1, size).astype(np.int32)
        peaks = np.abs(whole).max(axis=1, initial=0) / 32768 * _WAVE_PX / 2
        middle = self._y + _WAVE_PX / 2
        up = [f"{x},{middle - peak:.1f}" for x, peak in enumerate(peaks)]
        down = [f"{x},{middle + peak:.1f}" for x, peak in enumerate(peaks)]
        points = " ".join([*up, *reversed(down)])
        self._parts.append(f'<polygon class="{side}" points="{points}"/>')
        self._y += _WAVE_PX

    def bars(self, label: str, bars: Iterable[tuple[float, float, str, str]]) -> None:
        """A row of bars: from, to, whose (`own`, `agents`, `visitor`, `kiosk`, `voice`), and what
        it says of itself."""
        self._label(label)
        for from_s, to_s, whose, title in bars:
            self._parts.append(self._bar(from_s, to_s, f'class="{whose}"', title))
        self._y += _BAR_PX

    def page(
        self, title: str, note: str, heading: Sequence[str], rows: Iterable[Sequence[str]]
    ) -> str:
        """The whole page, with a table under the drawing."""
        self._y += _LABEL_PX + _GAP_PX
        for second in range(0, round(self._length_s) + 1, 5):
            self._parts.append(f'<text x="{_x(second):.0f}" y="{self._y}">{second} s</text>')
        return _PAGE.format(
            title=escape(title),
            label=f"A visit of {self._length_s:.0f} seconds: states, who speaks, waits",
            width=round(self._length_s * _PX_PER_S) + 20,
            height=self._y + _GAP_PX,
            drawing="\n".join(self._parts),
            note=escape(note),
            heading="".join(f"<th>{escape(each)}</th>" for each in heading),
            rows="\n".join(
                f"<tr>{''.join(f'<td>{escape(each)}</td>' for each in row)}</tr>" for row in rows
            ),
        )

    def _label(self, text: str) -> None:
        self._y += _GAP_PX + _LABEL_PX
        self._parts.append(f'<text x="0" y="{self._y - 6}">{escape(text)}</text>')

    def _bar(self, from_s: float, to_s: float, style: str, title: str) -> str:
        width = max(0.0, to_s - max(0.0, from_s)) * _PX_PER_S
        return (
            f'<rect x="{_x(from_s):.1f}" y="{self._y}" width="{width:.1f}" height="{_BAR_PX}" '
            f"{style}><title>{escape(title)}</title></rect>"
        )


def _x(at_s: float) -> float:
    return max(0.0, at_s) * _PX_PER_S
