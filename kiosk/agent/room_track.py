"""Sound of a room, both ways: the agent's voice in the room's own time, and the visitor's as
chunks without gaps."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from fractions import Fraction

import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame

from kiosk.audio.pcm import CHUNK_MS, PcmFormat, Samples, silence
from kiosk.audio.resample import Resampler
from kiosk.base.clock import loop_now_s

# Opus in WebRTC.
_RATE_HZ = 48_000
_CHUNK_SAMPLES = _RATE_HZ * CHUNK_MS // 1000
_CHUNK_S = CHUNK_MS / 1000
# A microphone of which nothing comes for so long is silent: its client sends no packets then. What
# comes late would be torn apart by silence if it were less; what is waited for is made up for.
_SILENT_AFTER_S = 0.2


class VoiceTrack(MediaStreamTrack):
    """The agent's voice: what was said waits for its time, and between turns there is silence."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._to_say: deque[Samples] = deque()
        self._resampler, self._rate_hz = Resampler(_RATE_HZ, _RATE_HZ), _RATE_HZ
        self._chunks = 0
        self._began_s = 0.0

    def say(self, samples: Samples, rate_hz: int) -> None:
        """Add to what waits."""
        if rate_hz != self._rate_hz:
            self._resampler, self._rate_hz = Resampler(rate_hz, _RATE_HZ), rate_hz
        self._to_say.append(self._resampler.push(samples))

    def fall_silent(self) -> None:
        """Forget what waits."""
        self._to_say.clear()

    async def recv(self) -> AudioFrame:
        """The next chunk, when it is due."""
        if self.readyState != "live":
            raise MediaStreamError
        if not self._chunks:
            self._began_s = loop_now_s()
        due_s = self._began_s + self._chunks * CHUNK_MS / 1000
        await asyncio.sleep(due_s - loop_now_s())
        frame = AudioFrame.from_ndarray(self._next().reshape(1, -1), "s16", "mono")
        frame.sample_rate = _RATE_HZ
        frame.pts = self._chunks * _CHUNK_SAMPLES
        frame.time_base = Fraction(1, _RATE_HZ)
        self._chunks += 1
        return frame

    def _next(self) -> Samples:
        chunk = silence(_CHUNK_SAMPLES)
        filled = 0
        while self._to_say and filled < _CHUNK_SAMPLES:
            first = self._to_say.popleft()
            taken = first[: _CHUNK_SAMPLES - filled]
            chunk[filled : filled + len(taken)] = taken
            filled += len(taken)
            if len(taken) < len(first):
                self._to_say.appendleft(first[len(taken) :])
        return chunk


async def heard(track: MediaStreamTrack, format_: PcmFormat) -> AsyncIterator[bytes]:
    """What comes of a microphone, until it ends; where nothing comes, silence in its time."""
    resampler = Resampler(_RATE_HZ, format_.rate_hz)
    expected: int | None = None
    heard_until_s, patience_s = 0.0, _SILENT_AFTER_S
    while True:
        try:
            frame = await _next_frame(track, patience_s)
        except MediaStreamError:
            return
        if frame is None:
            if expected is not None:
                chunks = max(1, int((loop_now_s() - heard_until_s) / _CHUNK_S))
                heard_until_s, patience_s = heard_until_s + chunks * _CHUNK_S, _CHUNK_S
                expected += chunks * _CHUNK_SAMPLES
                yield format_.encode(resampler.push(silence(chunks * _CHUNK_SAMPLES)))
            continue
        assert frame.pts is not None
        heard_until_s, patience_s = loop_now_s(), _SILENT_AFTER_S
        samples = frame.to_ndarray().reshape(-1, 2).astype(np.int32).sum(axis=1) // 2
        missing = 0 if expected is None else min(max(frame.pts - expected, 0), _RATE_HZ)
        expected = max(frame.pts, expected or 0) + len(samples)
        sound = np.concatenate((silence(missing), samples.astype(np.int16)))
        yield format_.encode(resampler.push(sound))


async def _next_frame(track: MediaStreamTrack, patience_s: float) -> AudioFrame | None:
    """The next one, None if none comes for so long; raises MediaStreamError at the track's end.

    It waits twice: the first wait may be over because this loop was held up, with frames waiting.
    """
    for wait_s in (patience_s, _CHUNK_S):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                frame = await track.recv()
                assert isinstance(frame, AudioFrame)
                return frame
    return None
