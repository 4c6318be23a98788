import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np
import pytest

from kiosk.audio.pcm import Samples
from kiosk.audio.resample import Resampler
from kiosk.devices.bridge import STALL_S
from kiosk.devices.played import PlayedSound
from kiosk.devices.ports import (
    Began,
    Clip,
    Drained,
    Flushed,
    Lost,
    Opened,
    PlaybackPcm,
    Source,
    SpeakerEvent,
)
from kiosk.devices.speaker import SpeakerThread
from kiosk.devices.virtual import Room, VirtualPlayback
from tests.slowness import patient_s
from tests.unit.devices.cards import PlaybackCard, Slot, TurnDetector
from tests.unit.sounds import noise, tone


@dataclass
class Stage:
    """A speaker thread and what it reported."""

    speaker: SpeakerThread
    ears: TurnDetector[SpeakerEvent]

    async def drained(self, clips: int) -> Drained:
        await self.ears.until(lambda: clips in [event.clips for event in self.ears.of(Drained)])
        return next(event for event in self.ears.of(Drained) if event.clips == clips)

    async def silent(self) -> None:
        await self.ears.until(lambda: self.ears.of(Flushed))


@asynccontextmanager
async def playing_on(
    *cards: PlaybackPcm,
    played: PlayedSound | None = None,
    wake_lead_ms: int = 0,
    cancels: bool = True,
) -> AsyncIterator[Stage]:
    """The thread over these cards, one after the other; it must end promptly. `cancels`: an echo
    canceller listens to what is played."""
    played = played or PlayedSound() if cancels else None
    ears, loop = TurnDetector[SpeakerEvent](), asyncio.get_running_loop()
    thread = SpeakerThread(
        Slot(*cards).open, ears.hear, loop, played=played, wake_lead_ms=wake_lead_ms
    )
    thread.open()
    try:
        await ears.until(lambda: ears.events)
        yield Stage(thread, ears)
    finally:
        started_s = time.monotonic()
        assert thread.close()
        assert time.monotonic() - started_s < 0.5


def clip(samples: Samples, source: Source = Source.AGENT, rate_hz: int = 48_000) -> Clip:
    return Clip(samples, rate_hz, source)


def after_the_lead(card: PlaybackCard) -> Samples:
    """What was heard after the silence from which the echo canceller learns of it in time."""
    lead = card.rate_hz // 100
    assert not card.heard[:lead].any()
    return card.heard[lead:]


def ones(seconds: float, value: int) -> Samples:
    return np.full(round(seconds * 48_000), value, dtype=np.int16)


@pytest.mark.parametrize("most", [10**9, 7])
@pytest.mark.parametrize("channels", [1, 2])
async def test_every_sample_is_heard_once_and_in_order(most: int, channels: int) -> None:
    card = PlaybackCard(channels=channels, most=most)
    sound = noise(0.15, 48_000)
    async with playing_on(card) as stage:
        assert stage.speaker.play(clip(sound[:5000])) == 1
        assert stage.speaker.play(clip(sound[5000:])) == 2
        await stage.drained(2)
    np.testing.assert_array_equal(after_the_lead(card), sound)


async def test_a_clip_of_another_rate_is_converted_without_a_seam_or_a_lost_tail() -> None:
    card = PlaybackCard()
    sound = noise(0.15, 16_000)
    async with playing_on(card) as stage:
        for at in range(0, len(sound), 700):
            stage.speaker.play(clip(sound[at : at + 700], rate_hz=16_000))
        await stage.drained(len(range(0, len(sound), 700)))
    resampler = Resampler(16_000, 48_000)
    expected = np.concatenate((resampler.push(sound), resampler.flush()))
    np.testing.assert_array_equal(after_the_lead(card), expected)


async def test_the_beginning_of_each_clip_is_reported_with_its_time() -> None:
    async with playing_on(PlaybackCard()) as stage:
        started_s = time.monotonic()
        clips = [clip(ones(0.1, 1)), clip(ones(0.1, 2), Source.SPEECH)]
        for each in clips:
            stage.speaker.play(each)
        drained = await stage.drained(2)
        began = stage.ears.of(Began)
        assert [event.clip for event in began] == clips
        assert began[0].heard_at_s - started_s < 0.1
        assert began[1].heard_at_s - began[0].heard_at_s == pytest.approx(0.1, abs=0.03)
        assert drained.at_s - began[0].heard_at_s >= 0.19


async def test_drained_counts_the_clips_given_and_comes_once() -> None:
    async with playing_on(PlaybackCard()) as stage:
        stage.speaker.play(clip(ones(0.03, 1)))
        await stage.drained(1)
        assert stage.speaker.play(clip(ones(0.0, 1))) == 2  # an empty one was heard already
        await stage.drained(2)
        assert stage.speaker.play(clip(ones(0.03, 1))) == 3
        await stage.drained(3)
        assert [event.clips for event in stage.ears.of(Drained)] == [1, 2, 3]


async def test_a_drained_card_is_stopped_and_not_left_to_run_dry() -> None:
    card = PlaybackCard()
    async with playing_on(card) as stage:
        stage.speaker.play(clip(ones(0.05, 1)))
        await stage.drained(1)
        assert card.drops == 1


async def test_the_card_never_owns_more_than_its_buffer() -> None:
    room = Room(8000, keep_s=5)
    playback = VirtualPlayback(room, buffer_ms=40)
    async with playing_on(playback) as stage:
        stage.speaker.play(Clip(tone(440, 0.3, 8000), 8000, Source.AGENT))
        await stage.ears.until(lambda: stage.ears.of(Began))
        assert playback.queued() <= playback.buffer_frames
        await stage.drained(1)
        [began] = stage.ears.of(Began)
    heard = room.loudspeaker(began.heard_at_s - 0.01, began.heard_at_s + 0.35)
    assert np.count_nonzero(heard) > 0.28 * 8000
    assert playback.xruns == 0


# --- flushing -----------------------------------------------------------------------------------


async def test_flushing_one_source_keeps_the_others() -> None:
    card = PlaybackCard()
    async with playing_on(card) as stage:
        stage.speaker.play(clip(ones(30, 1)))
        stage.speaker.play(clip(ones(0.1, 2), Source.SPEECH))
        stage.speaker.play(clip(ones(30, 3)))
        await stage.ears.until(lambda: stage.ears.of(Began))
        stage.speaker.flush(Source.AGENT)
        await stage.drained(3)
    assert (card.heard == 2).sum() == 4800
    assert (card.heard == 1).sum() < 48_000
    assert (card.heard == 3).sum() == 0


async def test_flushing_another_source_leaves_what_sounds_alone() -> None:
    card = PlaybackCard()
    async with playing_on(card) as stage:
        stage.speaker.play(clip(ones(0.2, 1)))
        stage.speaker.play(clip(ones(30, 2), Source.EARCON))
        await stage.ears.until(lambda: stage.ears.of(Began))
        stage.speaker.flush(Source.EARCON)
        await stage.drained(2)
        assert stage.ears.of(Flushed) == []
    np.testing.assert_array_equal(after_the_lead(card), ones(0.2, 1))


async def test_flushing_everything_is_silence_at_once() -> None:
    card = PlaybackCard()
    async with playing_on(card) as stage:
        for source in Source:
            stage.speaker.play(clip(ones(30, 1), source))
        await stage.ears.until(lambda: stage.ears.of(Began))
        flushed_s = time.monotonic()
        stage.speaker.flush()
        await stage.silent()
        await stage.drained(3)
        [silent] = stage.ears.of(Flushed)
        assert silent.at_s - flushed_s < 0.1
        assert card.queued() == 0


async def test_after_a_flush_the_next_clip_is_heard_from_its_beginning() -> None:
    card = PlaybackCard()
    async with playing_on(card) as stage:
        stage.speaker.play(clip(ones(30, 1)))
        await stage.ears.until(lambda: stage.ears.of(Began))
        stage.speaker.flush(Source.AGENT)
        stage.speaker.play(clip(ones(0.05, 2)))
        await stage.drained(2)
        assert [int(event.clip.samples[0]) for event in stage.ears.of(Began)] == [1, 2]
    assert (card.heard == 2).sum() == 2400


async def test_flushing_silence_reports_nothing() -> None:
    async with playing_on(PlaybackCard()) as stage:
        stage.speaker.flush()
        stage.speaker.play(clip(ones(0.03, 1)))
        await stage.drained(1)
        assert stage.ears.of(Flushed) == []


# --- ducking ------------------------------------------------------------------------------------

LOUD = 20_000
SOFT = round(LOUD * 10 ** (-12 / 20))
FADE = 48_000 * 30 // 1000


async def heard_last(card: PlaybackCard, value: int) -> None:
    """Wait until a steady sound has come to this level."""
    for _ in range(800):
        if value in card.heard[-1:]:
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"never came to {value}")


async def test_the_speaker_steps_back_within_thirty_milliseconds_and_comes_back() -> None:
    card = PlaybackCard()
    async with playing_on(card) as stage:
        stage.speaker.play(clip(ones(30, LOUD)))
        await heard_last(card, LOUD)
        stage.speaker.duck(on=True)
        await heard_last(card, SOFT)
        stage.speaker.duck(on=False)
        await heard_last(card, LOUD)
    sounding = card.heard[card.rate_hz // 100 :]
    assert np.count_nonzero((sounding > SOFT) & (sounding < LOUD)) <= 2 * FADE
    assert np.abs(np.diff(sounding.astype(int))).max() < LOUD / 100


@pytest.mark.parametrize("cut", [True, False])
async def test_the_next_sound_after_a_ducked_one_begins_without_a_fade(cut: bool) -> None:
    card = PlaybackCard()
    async with playing_on(card) as stage:
        stage.speaker.duck(on=True)
        stage.speaker.play(clip(ones(30 if cut else 0.1, LOUD)))
        await heard_last(card, SOFT)
        if cut:
            stage.speaker.flush()
        await stage.drained(1)
        stage.speaker.duck(on=False)
        stage.speaker.play(clip(ones(0.05, 10_000)))
        await stage.drained(2)
    assert (card.heard == 10_000).sum() == 2400


async def test_what_begins_while_ducked_is_soft_from_its_first_sample_on() -> None:
    card = PlaybackCard()
    async with playing_on(card) as stage:
        stage.speaker.duck(on=True)
        stage.speaker.play(clip(ones(0.05, LOUD)))
        await stage.drained(1)
    assert set(card.heard.tolist()) == {0, SOFT}


@pytest.mark.parametrize("ducked", [True, False])
async def test_the_echo_cancellers_reference_is_as_loud_as_the_loudspeaker(ducked: bool) -> None:
    played = PlayedSound()
    async with playing_on(PlaybackCard(), played=played) as stage:
        stage.speaker.duck(on=ducked)
        stage.speaker.play(clip(ones(0.1, LOUD)))
        await stage.drained(1)
        [began] = stage.ears.of(Began)
    reference = played.get(began.heard_at_s - 0.5, 16_000)
    assert int(np.median(reference[reference != 0])) == pytest.approx(
        SOFT if ducked else LOUD, abs=60
    )
    assert np.count_nonzero(reference) == pytest.approx(1600, abs=80)


async def test_the_reference_ends_with_a_flush() -> None:
    played = PlayedSound()
    async with playing_on(PlaybackCard(), played=played) as stage:
        stage.speaker.play(clip(ones(30, LOUD)))
        await stage.ears.until(lambda: stage.ears.of(Began))
        stage.speaker.flush()
        await stage.silent()
        [silent] = stage.ears.of(Flushed)
        assert not played.get(silent.at_s, 16_000).any()


async def test_an_amplifier_that_was_asleep_is_woken_before_the_sound() -> None:
    card = PlaybackCard()
    async with playing_on(card, wake_lead_ms=100) as stage:
        asked_s = time.monotonic()
        stage.speaker.play(clip(ones(0.02, 1)))
        await stage.drained(1)
        [began] = stage.ears.of(Began)
        assert began.heard_at_s - asked_s >= 0.1
    np.testing.assert_array_equal(card.heard, [0] * 4800 + [1] * 960)


# --- trouble ------------------------------------------------------------------------------------


async def test_a_card_lost_while_playing_is_reported_and_opened_again() -> None:
    first, second = PlaybackCard(), PlaybackCard(rate_hz=16_000, channels=1)
    async with playing_on(first, second) as stage:
        stage.speaker.play(clip(ones(30, 1)))
        await stage.ears.until(lambda: stage.ears.of(Began))
        first.lost.set()
        await stage.drained(1)  # nobody waits for what will never be heard
        [lost] = stage.ears.of(Lost)
        assert str(lost.error) == "unplugged"
        assert stage.speaker.play(clip(ones(1, 2))) == 2
        await stage.drained(2)
        await stage.ears.until(lambda: len(stage.ears.of(Opened)) == 2)
        assert first.closed
        stage.speaker.play(clip(noise(0.05, 16_000), rate_hz=16_000))
        await stage.drained(3)
    assert len(after_the_lead(second)) == 800
    assert "16000 Hz, 1 channel" in stage.ears.of(Opened)[1].description


async def test_a_card_that_cannot_be_opened_is_reported_and_keeps_nobody_waiting() -> None:
    async with playing_on() as stage:
        assert stage.ears.of(Lost)
        stage.speaker.play(clip(ones(1, 1)))
        await stage.drained(1)


async def test_a_card_that_takes_nothing_more_is_lost() -> None:
    card = PlaybackCard()
    async with playing_on(card) as stage:
        stage.speaker.play(clip(ones(30, 1)))
        await stage.ears.until(lambda: stage.ears.of(Began))
        card.stalled.set()
        stalled_s = time.monotonic()
        await stage.ears.until(lambda: stage.ears.of(Lost))
        assert time.monotonic() - stalled_s == pytest.approx(STALL_S, abs=patient_s(0.5))
        assert "took nothing" in str(stage.ears.of(Lost)[0].error)


async def test_closing_while_playing_drops_and_closes_the_card() -> None:
    card = PlaybackCard()
    async with playing_on(card) as stage:
        stage.speaker.play(clip(ones(30, 1)))
        await stage.ears.until(lambda: stage.ears.of(Began))
    assert card.closed
    assert card.drops == 1


async def test_a_thread_can_be_closed_at_any_moment() -> None:
    loop = asyncio.get_running_loop()
    for turn in range(60):
        thread = SpeakerThread(Slot(PlaybackCard()).open, lambda _: None, loop)
        thread.open()
        if turn % 2:
            thread.play(clip(ones(1, 1)))
        await asyncio.sleep(turn * 0.0001)
        assert thread.close()


def test_a_thread_that_was_never_opened_closes() -> None:
    loop = asyncio.new_event_loop()
    assert SpeakerThread(Slot[PlaybackPcm]().open, lambda _: None, loop).close()
    loop.close()


async def test_without_an_echo_canceller_nothing_is_heard_before_the_sound() -> None:
    card = PlaybackCard()
    async with playing_on(card, cancels=False) as stage:
        stage.speaker.play(clip(ones(0.1, 9)))
        await stage.drained(1)
    assert card.heard[:4800].tolist() == [9] * 4800
