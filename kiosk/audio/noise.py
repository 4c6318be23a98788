"""A copy of the sound in which the room is always about as loud, for detectors of speech.

Pure: no I/O, no clock. It may not decide what is speech; nobody but a detector hears the copy.

webrtcvad judges absolute levels. Steady noise above -31 dBFS (pink; white: -26) is speech to it for
ever, whatever its distance to the speech, and of speech at -46 dBFS it hears four chunks in ten.
At a fixed distance of 10 or 5 dB it hears speech best when the noise stands at -43 to -37 dBFS
(pink noise 5 dB below: 48 % of the chunks; with the noise at -50 dBFS 4 %). Babble is quiet to
it only below that: at -43 dBFS 1 % of its chunks are speech, at -40 14 %, at -37 35 %.
"""

from kiosk.audio.levels import RoomFloor
from kiosk.audio.pcm import Samples, to_int16

# Where the floor may stand in the copy. The mean of steady noise is 1 dB above its floor, that of
# babble 3 dB. With -48 and -45 the first words 5 dB above pink noise are lost six times as often.
_QUIETEST_FLOOR_DBFS = -47.0
_LOUDEST_FLOOR_DBFS = -44.0
# With 15 dB people talking in the next room (-60 dBFS) are heard ten times a minute.
_MOST_LIFT_DB = 10.0


class RoomLeveller:
    """Copies a stream of 20 ms chunks so that the room's floor stands at -47 to -44 dBFS in it.

    A quiet room is turned up by at most 10 dB. Turned down is only what was there for all of
    `window_ms`: a visitor who speaks from the first moment on is heard as they are. It cuts
    nothing by itself: of speech without a pause, the gaps become the floor, and what stands above
    them is still heard. A window of 4 s would do for a dry room; in a hall that rings for 1.5 s,
    the echo as loud as the voice, the gate then closed for a moment 50 times in ten minutes of
    such speech, with 8 s 18 times.
    """

    def __init__(self, window_ms: int) -> None:
        self._floor = RoomFloor(window_ms)

    @property
    def gain_db(self) -> float:
        """By how much the copy is louder than the sound."""
        floor_dbfs = self._floor.dbfs
        if floor_dbfs is None:
            return 0.0
        if floor_dbfs > _LOUDEST_FLOOR_DBFS:
            return _LOUDEST_FLOOR_DBFS - floor_dbfs if self._floor.settled else 0.0
        return min(_MOST_LIFT_DB, max(0.0, _QUIETEST_FLOOR_DBFS - floor_dbfs))

    def push(self, chunk: Samples, *, learn: bool = True) -> Samples:
        """The copy of the next chunk, clipped at full scale. `learn`: it is the room's own sound,
        and not what an echo canceller has left of it."""
        if learn:
            self._floor.push(chunk)
        return to_int16(chunk * 10 ** (self.gain_db / 20))
