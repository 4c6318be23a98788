"""The sound threads over cards that no virtual one stands for: rare formats, xruns, ENODEV."""

import asyncio

import numpy as np
import pytest

from kiosk.audio.pcm import SampleFormat
from kiosk.devices.ports import Began, Clip, Lost, Opened, Source
from tests.unit.devices.cards import CaptureCard, PlaybackCard
from tests.unit.devices.test_microphone import listening_on
from tests.unit.devices.test_speaker import after_the_lead, playing_on
from tests.unit.sounds import noise

FORMATS = pytest.mark.parametrize("sample_format", list(SampleFormat))


@FORMATS
async def test_every_sample_is_captured_in_every_format(sample_format: SampleFormat) -> None:
    async with listening_on(CaptureCard(channels=2, sample_format=sample_format)) as stage:
        stage.microphone.start()
        await stage.hear(4)
        np.testing.assert_array_equal(stage.sound, np.arange(len(stage.sound)))


@FORMATS
async def test_one_channel_of_an_array_is_heard_alone(sample_format: SampleFormat) -> None:
    card = CaptureCard(channels=4, sample_format=sample_format, channel=3)
    async with listening_on(card) as stage:
        stage.microphone.start()
        await stage.hear(4)
        np.testing.assert_array_equal(stage.sound, np.arange(len(stage.sound)))


@FORMATS
@pytest.mark.parametrize("most", [10**9, 7])
async def test_every_sample_is_played_in_every_format_even_in_pieces(
    sample_format: SampleFormat, most: int
) -> None:
    card = PlaybackCard(channels=4, most=most, sample_format=sample_format)
    sound = noise(0.1, 48_000)
    async with playing_on(card) as stage:
        stage.speaker.play(Clip(sound, 48_000, Source.AGENT))
        await stage.drained(1)
    np.testing.assert_array_equal(after_the_lead(card), sound)


async def test_b13_after_an_overrun_the_microphone_goes_on() -> None:
    card = CaptureCard()
    async with listening_on(card) as stage:
        stage.microphone.start()
        await stage.hear(2)
        card.overrun.set()
        heard = len(stage.chunks)
        await stage.hear(heard + 5)
        assert card.xruns == 1
        assert not stage.ears.of(Lost)
        steps = np.diff(stage.sound.astype(int))
        assert (steps != 1).sum() == 1  # one gap, and nothing twice
        assert steps.min() == 1


async def test_a_card_pulled_while_it_captures_is_lost_at_once_and_its_successor_serves() -> None:
    pulled = CaptureCard(sample_format=SampleFormat.S24_3LE)
    async with listening_on(pulled, CaptureCard(sample_format=SampleFormat.S32_LE)) as stage:
        stage.microphone.start()
        await stage.hear(2)
        pulled.lost.set()
        loop = asyncio.get_running_loop()
        pulled_s = loop.time()
        await stage.ears.until(lambda: stage.ears.of(Lost))
        assert loop.time() - pulled_s < 1
        await stage.ears.until(lambda: len(stage.ears.of(Opened)) == 2)
        heard = len(stage.chunks)
        await stage.hear(heard + 2)
        assert pulled.closed


async def test_a_card_pulled_while_it_plays_is_lost_at_once_and_its_successor_serves() -> None:
    pulled, spare = PlaybackCard(), PlaybackCard(sample_format=SampleFormat.S32_LE)
    async with playing_on(pulled, spare) as stage:
        stage.speaker.play(Clip(noise(5, 48_000), 48_000, Source.AGENT))
        await stage.ears.until(lambda: stage.ears.of(Began))
        pulled.lost.set()
        await stage.drained(1)
        await stage.ears.until(lambda: len(stage.ears.of(Opened)) == 2)
        sound = noise(0.05, 48_000)
        stage.speaker.play(Clip(sound, 48_000, Source.AGENT))
        await stage.drained(2)
    assert pulled.closed
    np.testing.assert_array_equal(after_the_lead(spare), sound)
