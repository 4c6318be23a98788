"""Synthesis by espeak-ng: its command line, and the trimming of its recording. Pure: starts no
process."""

import numpy as np

from kiosk.audio.pcm import Samples, ms_to_samples

PROGRAM = "espeak-ng"
DEBIAN_PACKAGE = "espeak-ng"

_EDGE_MS = 50  # of silence left on each side: a plosive's closure is shorter
_AUDIBLE = 33  # -60 dBFS; espeak-ng's own silence is exact zeros


def espeak_command(voice: str, words_per_minute: int) -> list[str]:
    """The argv that speaks the text on its standard input as a WAV file on its standard output.

    The text is never in argv: it would show in the process list, and could be taken for an option.
    """
    return [PROGRAM, "-v", voice, "-s", str(words_per_minute), "-b", "1", "--stdin", "--stdout"]


def trim_silence(samples: Samples, rate_hz: int) -> Samples:
    """The recording with at most 50 ms of silence before and after; empty if nothing is heard."""
    audible = np.flatnonzero(np.abs(samples.astype(np.int32)) >= _AUDIBLE)
    if not len(audible):
        return samples[:0]
    edge = ms_to_samples(_EDGE_MS, rate_hz)
    return samples[max(0, audible[0] - edge) : audible[-1] + 1 + edge]
