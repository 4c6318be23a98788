"""Cards of a virtual room with which something may be wrong; their threads are the kiosk's own."""

import random

import numpy as np

from kiosk.audio.pcm import Samples
from kiosk.base.clock import loop_now_s
from kiosk.devices.ports import BusyError
from kiosk.devices.virtual import Room, VirtualCapture, VirtualPlayback
from kiosk.errors import DeviceError
from tests.soak.devices import BUSY, LOST, SLOW, STUCK

# A thread that is closed meanwhile is waited for for a second.
_LATEST_S = 0.8


class Card:
    """What is wrong with one, whoever has it open."""

    def __init__(self) -> None:
        self.wrong: str | None = None
        self.late_s = 0.0

    def fail(self, how: str, late_s: float = 0.0) -> None:
        """LOST, BUSY, STUCK or SLOW by so much, until `mend`."""
        self.wrong = how
        if how == SLOW:
            self.late_s = min(late_s, _LATEST_S)

    def mend(self) -> None:
        self.wrong, self.late_s = None, 0.0

    def check(self) -> None:
        if self.wrong == LOST:
            raise DeviceError("unplugged")

    def start(self) -> None:
        self.check()
        if self.wrong == BUSY:
            raise BusyError("another program has it")


class RoomMicrophone(Card):
    """A microphone, and visitors before it."""

    def __init__(self, room: Room, speech: Samples, rng: random.Random) -> None:
        super().__init__()
        self.running = False
        self.room = room
        self._speech = speech
        self._noise = np.random.default_rng(rng.getrandbits(32))

    def sound(self, seconds: float, *, speech: bool) -> None:
        count = round(seconds * self.room.rate_hz)
        if speech:
            self.say(np.resize(self._speech, count))
        else:
            self.say(self._noise.normal(0, 6000, count).astype(np.int16))

    def say(self, samples: Samples) -> None:
        self.room.say(samples, loop_now_s())

    def open(self) -> "FaultyCapture":
        self.start()
        return FaultyCapture(self)


class FaultyCapture(VirtualCapture):
    """It, as its thread has it open."""

    def __init__(self, card: RoomMicrophone) -> None:
        super().__init__(card.room)
        self._card = card

    def read(self) -> bytes:
        card = self._card
        card.check()
        if not card.running:
            card.start()
            if card.late_s:
                card.room.clock.wake_up().wait(card.late_s)
            card.running = True
        return b"" if card.wrong == STUCK else super().read()

    def drop(self) -> None:
        super().drop()
        self._card.running = False

    def check(self) -> None:
        self._card.check()

    def close(self) -> None:
        super().close()
        self._card.running = False


class RoomSpeaker(Card):
    """A loudspeaker."""

    def __init__(self, room: Room) -> None:
        super().__init__()
        self.room = room
        self._open: FaultyPlayback | None = None

    @property
    def sounds(self) -> bool:
        return self._open is not None and self._open.queued() > 0

    def open(self) -> "FaultyPlayback":
        self.start()
        self._open = FaultyPlayback(self)
        return self._open


class FaultyPlayback(VirtualPlayback):
    """It, as its thread has it open."""

    def __init__(self, card: RoomSpeaker) -> None:
        super().__init__(card.room)
        self._card = card
        self._left: int | None = None  # in a card that is stuck

    def write(self, data: bytes) -> int:
        if self._end is None:
            self._card.start()
        self._card.check()
        return 0 if self._card.wrong == STUCK else super().write(data)

    def queued(self) -> int:
        if self._card.wrong != STUCK or self._end is None:
            self._left = None
            return super().queued()
        if self._left is None:
            self._left = super().queued()
        return self._left

    def check(self) -> None:
        self._card.check()
