"""Muting of the microphone: what a visit hears while somebody wants it to hear nothing. Pure."""

from dataclasses import replace

import numpy as np

from kiosk.audio.capture import CapturedChunk
from kiosk.audio.gate import Edge, Verdict


class Muting:
    """Stands between microphone and visit; off at first."""

    def __init__(self) -> None:
        self.on = False
        self._speaks = False  # as the visit was told
        self._hidden = False  # somebody speaks, and the visit was not told

    def heard(self, chunk: CapturedChunk) -> CapturedChunk:
        """The chunk, or silence in its place. Who speaks when it is switched on has ended, and who
        speaks when it is switched off begins."""
        verdict = chunk.verdict
        if self.on:
            edge = Edge.SPEECH_ENDED if self._speaks else None
            self._speaks, self._hidden = False, verdict.speech
            quiet = Verdict(speech=False, passes=False, edge=edge)
            silence = np.zeros_like(chunk.samples)
            return replace(chunk, samples=silence, verdict=quiet, stand_in=None)
        edge = verdict.edge
        if self._hidden:
            edge = Edge.SPEECH_STARTED if verdict.speech else None
            self._hidden = False
        if edge is not None:
            self._speaks = edge is Edge.SPEECH_STARTED
        return (
            chunk if edge is verdict.edge else replace(chunk, verdict=replace(verdict, edge=edge))
        )
