import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest

from kiosk.audio.capture import CapturedChunk, Treatment
from kiosk.audio.echo import Canceller
from kiosk.audio.gate import Gate, GateSettings
from kiosk.audio.levels import rms_dbfs
from kiosk.audio.pcm import Samples
from kiosk.devices.bridge import STALL_S
from kiosk.devices.microphone import MicrophoneThread
from kiosk.devices.ports import CapturePcm, Lost, MicrophoneEvent, Opened, Running
from kiosk.devices.virtual import Room, VirtualCapture
from tests.unit.devices.cards import CaptureCard, Ears, Slot, stand_still
from tests.unit.sounds import tone


@dataclass
class Stage:
    """A microphone thread, what it reported, and the gates it asked for."""

    microphone: MicrophoneThread
    ears: Ears[MicrophoneEvent]
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
        return Treatment(self.gates[-1])

    def fall_back(self) -> Canceller | None:
        return None


@asynccontextmanager
async def listening_on(*cards: CapturePcm) -> AsyncIterator[Stage]:
    """The thread over these cards, one after the other; it must end promptly."""
    ears, plain = Ears[MicrophoneEvent](), Plain()
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
    ears = Ears[MicrophoneEvent]()
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
        assert time.monotonic() - stalled_s == pytest.approx(STALL_S, abs=0.5)
        await stage.running(True, False)


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
