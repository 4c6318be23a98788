"""Turns of a voice on a track that never stops: where they begin and end. Pure: no I/O, no clock.

A track comes in real time, and silence stands between the turns. A loudspeaker that began with the
first 20 ms would run dry at the next delay, so a turn begins with a short lead; its pauses are part
of it.
"""

from dataclasses import dataclass

import numpy as np

from kiosk.audio.pcm import Samples

# What a decoder makes of digital silence is below; -54 dBFS.
_QUIET = 64
# What comes before the first sound, for its onset may be softer.
_ONSET_MS = 40
# The loudspeaker's reserve against jitter that the library's own buffer leaves.
LEAD_MS = 100
# As long as a turn is waited for that comes in frames; pauses between sentences are shorter.
PAUSE_MS = 600
# What was cut may come later than the word that it was. It is over when nothing is heard of it for
# longer than a stop within a word is; the next turn comes later still, for somebody has to say
# something first. A server that did not stop is heard again.
_CUT_LEAST_MS = 260
_CUT_PAUSE_MS = 160
_CUT_LIMIT_MS = 1500


@dataclass(frozen=True, slots=True, eq=False)
class VoicePiece:
    """Sound of a turn; `final`: its end."""

    samples: Samples
    final: bool


class VoiceTurns:
    """One track. `push` its chunks in order, all of one length in ms."""

    def __init__(self, rate_hz: int) -> None:
        self._per_ms = rate_hz // 1000
        self._held: list[Samples] = []  # the onset, or the lead
        self._open = False
        self._began = False
        self._quiet_ms = 0
        self._cut_ms: int | None = None  # for how long

    def push(self, samples: Samples) -> VoicePiece | None:
        """What is to be heard now."""
        ms = len(samples) // self._per_ms
        sounds = bool(np.abs(samples.astype(np.int32)).max(initial=0) >= _QUIET)
        self._quiet_ms = 0 if sounds else self._quiet_ms + ms
        if self._cut_ms is not None:
            self._cut_ms += ms
            over = self._cut_ms >= _CUT_LEAST_MS and self._quiet_ms >= _CUT_PAUSE_MS
            if over or self._cut_ms >= _CUT_LIMIT_MS:
                self._cut_ms = None
            return None
        if self._open:
            self._open = self._quiet_ms < PAUSE_MS
            return VoicePiece(samples, final=not self._open)
        self._held.append(samples)
        if not self._began and not sounds:
            self._held = self._held[-(_ONSET_MS // ms) :]
            return None
        self._began = True
        if sum(map(len, self._held)) < LEAD_MS * self._per_ms:
            return None
        lead, self._held = np.concatenate(self._held), []
        self._began, self._open = False, True
        return VoicePiece(lead, final=False)

    def cut(self) -> None:
        """The server stopped: what is on its way of the turn is stale."""
        self._held, self._began, self._open = [], False, False
        self._cut_ms = 0
