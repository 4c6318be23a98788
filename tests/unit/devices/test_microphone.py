import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

import numpy as np
import pytest

from kiosk.audio.capture import CapturedChunk, Treatment
from kiosk.audio.echo import Canceller, Heard
from kiosk.audio.gate import Gate, GateSettings
from kiosk.audio.levels import rms_dbfs
from kiosk.audio.pcm import SampleFormat, Samples, samples_to_bytes
from kiosk.base.clock import RealClock
from kiosk.devices import microphone
from kiosk.devices.bridge import FIRST_SOUND_S, STALL_S
from kiosk.devices.microphone import MicrophoneThread
from kiosk.devices.ports import CapturePcm, Lost, MicrophoneEvent, Opened, Overloaded, Running
from kiosk.devices.virtual import Room, VirtualCapture
from tests.slowness import patient_s
from tests.unit.devices.cards import CaptureCard, Slot, TurnDetector, stand_still
from tests.unit.sounds import noise, tone


@dataclass
class Stage:
    """A microphone thread, what it reported, and the gates it asked for."""

    microphone: MicrophoneThread
    ears: TurnDetector[MicrophoneEvent]
    gates: list[Gate] = field(default_factory=list)

    @property
    def chunks(self) -> list[CapturedChunk]:
        return self.ears.of(CapturedChunk)

    @property
    def sound(self) -> Samples:
        return np.concatenate([chunk.samples for chunk in self.chunks])

    async def hear(self, chunks: int) -> None:
        await self.ears.until(lambda: len(self.chunks) >= chunks)

    async def running(self, *expected: bool) -> None:
        await self.ears.until(
            lambda: [event.running for event in self.ears.of(Running)] == list(expected)
        )


class Plain:
    """Sound goes through untouched; nothing is speech. Keeps the gates of its visits."""

    def __init__(self) -> None:
        self.gates: list[Gate] = []

    def prepare(self) -> None:
        """Nothing to load."""

    def treatment(self) -> Treatment:
        self.gates.append(Gate(GateSettings(), lambda _: False))
        return Treatment(self.gates[-1], high_pass=None)  # every sample as the card gave it

    def fall_back(self) -> Canceller | None:
        return None


@asynccontextmanager
async def listening_on(*cards: CapturePcm) -> AsyncIterator[Stage]:
    """The thread over these cards, one after the other; it must end promptly."""
    ears, plain = TurnDetector[MicrophoneEvent](), Plain()
    loop = asyncio.get_running_loop()
    thread = MicrophoneThread(Slot(*cards).open, plain, ears.hear, loop)
    thread.open()
    try:
        await ears.until(lambda: ears.events)
        yield Stage(thread, ears, plain.gates)
    finally:
        started_s = time.monotonic()
        assert thread.close()
        assert time.monotonic() - started_s < 0.5


async def test_the_card_does_not_run_before_it_is_started() -> None:
    card = CaptureCard()
    async with listening_on(card) as stage:
        await asyncio.sleep(0.05)
        assert card.began_s is None
        assert stage.ears.events == [Opened("16000 Hz, 1 channel(s)")]


@pytest.mark.parametrize("channels", [1, 2])
async def test_between_start_and_stop_every_sample_arrives(channels: int) -> None:
    card = CaptureCard(channels=channels)
    async with listening_on(card) as stage:
        stage.microphone.start()
        await stage.hear(8)
        stage.microphone.stop()
        await stage.running(True, False)
        assert card.drops == 1
        assert card.began_s is None
        np.testing.assert_array_equal(stage.sound, np.arange(len(stage.sound)))
        assert isinstance(stage.ears.events[1], Running)
        heard = len(stage.chunks)
        await asyncio.sleep(0.05)
        assert len(stage.chunks) == heard


async def test_chunks_are_dated_when_they_were_captured() -> None:
    card = CaptureCard()
    async with listening_on(card) as stage:
        stage.microphone.start()
        await stage.hear(8)
        began_s = card.began_s
        assert began_s is not None
        assert stage.chunks[0].captured_at_s == pytest.approx(began_s, abs=0.015)
        for one, following in pairwise(stage.chunks):
            assert following.captured_at_s - one.captured_at_s == pytest.approx(0.02, abs=0.015)


async def test_every_visit_starts_the_card_and_the_gate_anew() -> None:
    async with listening_on(CaptureCard()) as stage:
        for visit in (1, 2):
            stage.microphone.start()
            before = len(stage.chunks)
            await stage.hear(before + 2)
            assert stage.chunks[before].samples[0] == 0
            stage.microphone.stop()
            await stage.running(*[True, False] * visit)
        assert len(stage.gates) == 2


async def test_a_loop_that_stands_still_for_a_while_loses_nothing() -> None:
    async with listening_on(CaptureCard()) as stage:
        stage.microphone.start()
        await stage.hear(1)
        stand_still(0.3)
        await stage.hear(17)
        assert stage.microphone.dropped_chunks == 0
        np.testing.assert_array_equal(stage.sound, np.arange(len(stage.sound)))


async def test_a_card_of_another_rate_is_converted() -> None:
    room = Room(48_000, noise_dbfs=None)
    recording = tone(440, 1, 48_000, 10_000)
    async with listening_on(VirtualCapture(room, recording=recording)) as stage:
        stage.microphone.start()
        await stage.hear(6)
        # The middle of what came: past the filter's beginning.
        assert rms_dbfs(stage.sound[640:1600]) == pytest.approx(-13.3, abs=0.3)


async def test_a_card_lost_while_running_is_opened_again_and_goes_on() -> None:
    first, second = CaptureCard(), CaptureCard()
    async with listening_on(first, second) as stage:
        stage.microphone.start()
        await stage.hear(2)
        first.lost.set()
        await stage.ears.until(lambda: stage.ears.of(Lost))
        await stage.running(True, False)
        await stage.running(True, False, True)
        assert first.closed
        assert len(stage.ears.of(Opened)) == 2
        heard = len(stage.chunks)
        await stage.hear(heard + 2)


async def test_a_card_that_cannot_be_opened_is_tried_again() -> None:
    slot = Slot[CaptureCard]()
    ears = TurnDetector[MicrophoneEvent]()
    loop = asyncio.get_running_loop()
    thread = MicrophoneThread(slot.open, Plain(), ears.hear, loop)
    thread.open()
    await ears.until(lambda: ears.of(Lost))
    slot.cards.append(CaptureCard())
    await ears.until(lambda: ears.of(Opened))
    assert slot.opened == 1
    assert thread.close()


async def test_a_card_that_delivers_nothing_is_lost() -> None:
    card = CaptureCard()
    async with listening_on(card) as stage:
        stage.microphone.start()
        await stage.hear(1)
        card.stalled.set()
        stalled_s = time.monotonic()
        await stage.ears.until(lambda: stage.ears.of(Lost))
        assert time.monotonic() - stalled_s == pytest.approx(STALL_S, abs=patient_s(0.5))
        await stage.running(True, False)


async def test_a15_a_card_may_deliver_its_first_sound_later_than_any_other() -> None:
    card = CaptureCard()
    card.stalled.set()
    async with listening_on(card) as stage:
        stage.microphone.start()
        await asyncio.sleep(STALL_S + 0.4)
        card.stalled.clear()
        await stage.hear(1)
        assert not stage.ears.of(Lost)


async def test_a_card_that_never_delivers_anything_is_lost() -> None:
    card = CaptureCard()
    card.stalled.set()
    async with listening_on(card) as stage:
        stage.microphone.start()
        await stage.ears.until(lambda: stage.ears.of(Lost), timeout_s=30)
        [lost] = stage.ears.of(Lost)
        assert f"nothing for {FIRST_SOUND_S:g} s" in str(lost.error)


async def test_closing_while_running_closes_the_card() -> None:
    card = CaptureCard()
    async with listening_on(card) as stage:
        stage.microphone.start()
        await stage.hear(1)
    assert card.closed
    await stage.running(True, False)


async def test_a_thread_can_be_closed_at_any_moment() -> None:
    loop = asyncio.get_running_loop()
    for turn in range(60):
        thread = MicrophoneThread(
            Slot(CaptureCard()).open,
            Plain(),
            lambda _: None,
            loop,
        )
        thread.open()
        if turn % 2:
            thread.start()
        await asyncio.sleep(turn * 0.0001)
        assert thread.close()


# --- a machine that is too slow -----------------------------------------------------------------


class Clock(RealClock):
    """The thread's clock: only work makes it go on."""

    def __init__(self) -> None:
        self.at_s = 5000.0

    def now_s(self) -> float:
        return self.at_s

    def thread_time_s(self) -> float:
        return self.at_s


@dataclass
class Work:
    """A canceller that takes so long for a chunk, and leaves its mark on it."""

    clock: Clock
    spent_s: float
    mark: int

    def begin(self) -> None: ...

    def push(self, mic: Samples, far: Samples) -> Heard:
        self.clock.at_s += self.spent_s
        marked = np.full(len(mic), self.mark, dtype=np.int16)
        return Heard(marked, marked)


class Hurried(Plain):
    """Treats with these cancellers, the next when the last is too slow."""

    def __init__(self, *cancellers: Canceller) -> None:
        super().__init__()
        self._cancellers = list(cancellers)

    def treatment(self) -> Treatment:
        treatment = super().treatment()
        treatment.canceller = self._cancellers[0]
        return treatment

    def fall_back(self) -> Canceller | None:
        if len(self._cancellers) == 1:
            return None
        self._cancellers.pop(0)
        return self._cancellers[0]


class Recording(CaptureCard):
    """Has so many chunks at once, at every start, and then nothing more."""

    sample_format = SampleFormat.S16_LE

    def __init__(self, chunks: int) -> None:
        super().__init__()
        self._chunks = chunks
        self._left = chunks

    def read(self) -> bytes:
        if not self._left:
            return b""
        self._left -= 1
        return samples_to_bytes(noise(0.02, 16_000))

    def drop(self) -> None:
        self._left = self._chunks


async def overloads(visits: int, *spent_s: float) -> tuple[list[Overloaded], list[int]]:
    """What is said of the load in visits of four seconds, and which canceller had each chunk."""
    clock, ears = Clock(), TurnDetector[MicrophoneEvent]()
    cancellers = [Work(clock, each_s, mark) for mark, each_s in enumerate(spent_s, start=1)]
    thread = MicrophoneThread(
        Slot(Recording(200)).open,
        Hurried(*cancellers),
        ears.hear,
        asyncio.get_running_loop(),
        clock,
    )

    def heard(kind: type[object], count: int) -> bool:
        return len(ears.of(kind)) == count

    thread.open()
    for visit in range(1, visits + 1):
        thread.start()
        # Waited for in real time, four seconds of it where the canceller takes next to none.
        await ears.until(partial(heard, CapturedChunk, 200 * visit), timeout_s=20.0)
        thread.stop()
        await ears.until(partial(heard, Running, 2 * visit))
    assert thread.close()
    return ears.of(Overloaded), [int(chunk.samples[0]) for chunk in ears.of(CapturedChunk)]


async def test_a_machine_that_keeps_up_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    said, marks = await overloads(1, 0.011, 0.001)
    assert said == []
    assert set(marks) == {1}


async def test_a_machine_that_does_not_keep_up_does_less_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said, marks = await overloads(2, 0.015, 0.001)
    assert [event.half_duplex for event in said] == [True]
    assert said[0].share == pytest.approx(0.75)
    assert marks == [1] * 150 + [2] * 250


async def test_what_insists_on_full_duplex_is_told_once_that_it_is_too_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said, marks = await overloads(2, 0.015)
    assert [event.half_duplex for event in said] == [False]
    assert said[0].share == pytest.approx(0.75)
    assert set(marks) == {1}


async def test_a_machine_too_slow_even_for_less_says_that_once_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said, _ = await overloads(3, 0.015, 0.015)
    assert [event.half_duplex for event in said] == [True, False]


def test_the_card_is_looked_at_just_before_a_chunk_can_be_complete_then_soon_then_seldom() -> None:
    looks = microphone.Looks()
    looks.found(100.0, 0.002, 0.020)
    assert looks.next_in_s(100.0) == pytest.approx(0.0195)
    waits_ms = [round(1000 * looks.next_in_s(100.0195 + at)) for at in range(7)]
    assert waits_ms == [1, 2, 2, 3, 5, 8, 8]
    looks.found(105.05, 0.002, None)
    assert looks.next_in_s(105.0525) == pytest.approx(0.001)


def test_a_card_that_delivers_in_pieces_is_looked_at_again_when_the_next_one_is_due() -> None:
    looks = microphone.Looks()
    for at in range(3):
        looks.found(99.94 + 0.02 * at, 0.020, 0.0085)  # with 11.5 ms more than a chunk
    now_s = 100.0
    for _ in range(5):
        looks.found(now_s, 0.020, 0.0085)
        assert looks.next_in_s(now_s) == pytest.approx(0.008)
        assert looks.next_in_s(now_s + 0.008) == pytest.approx(0.0115), "nothing comes before"
        assert looks.next_in_s(now_s + 0.0195) == pytest.approx(0.001)
        now_s += 0.0205


def test_a_look_that_came_late_does_not_make_the_next_piece_late() -> None:
    looks = microphone.Looks()
    for at in range(4):
        looks.found(99.94 + 0.02 * at, 0.020, 0.0085)
    looks.next_in_s(100.008)
    looks.next_in_s(100.0195)
    looks.found(100.0205, 0.020, 0.0085)
    looks.found(100.050, 0.020, 0.0085)  # at the first look, 10 ms after the piece
    assert looks.next_in_s(100.058) == pytest.approx(100.060 - 100.058)
