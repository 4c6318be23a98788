"""Rates, channels and formats of cards, over the real ALSA API."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kiosk.agent.guide import Guide
from kiosk.agent.voice import AgentVoice
from kiosk.audio.levels import rms_dbfs
from kiosk.audio.pcm import samples_from_bytes
from tests import rig as rigs
from tests.integration.cards import RIG_HZ, ask_through_the_card, card_config
from tests.integration.conftest import StartAgent
from tests.integration.daemon import running_kiosk
from tests.integration.sounds import pitch_hz
from tests.rig import Rig, Shape

pytestmark = pytest.mark.rig

TONE_HZ = 1000
# Plays a tone on one card and captures it on the other, each through its driver; on a machine with
# many channels the tone is on channel 3 alone, and noise on the others.
LOOP = """
    import sys, time
    from dataclasses import replace
    import numpy as np
    from kiosk.audio.pcm import SampleFormat, downmix, upmix
    from kiosk.devices.alsa import AlsaCapture, AlsaPlayback, CardSettings

    rate_hz, channels, channel = (int(text) for text in sys.argv[1:4])
    format_ = SampleFormat(sys.argv[4])
    heard_on = CardSettings("vmic", rate_hz, channels, 20, 80, format_, channel or None)
    capture = AlsaCapture(heard_on)
    playback = AlsaPlayback(replace(heard_on, device="feed"))
    for device in (capture, playback):
        given = [device.rate_hz, device.channels, str(device.sample_format), device.xruns]
        assert given == [rate_hz, channels, str(format_), 0], given
    time_s = np.arange(rate_hz) / rate_hz
    tone = np.round(8000 * np.sin(2 * np.pi * 1000 * time_s)).astype(np.int16)
    octets = np.frombuffer(upmix(tone, channels, format_), dtype=np.uint8)
    frames = octets.reshape(rate_hz, channels, -1).copy()
    if channel:
        noise = np.random.default_rng(1).normal(0, 6000, rate_hz).astype(np.int16)
        other = np.frombuffer(upmix(noise, channels, format_), dtype=np.uint8)
        others = [n for n in range(channels) if n != channel - 1]
        frames[:, others] = other.reshape(frames.shape)[:, others]
    waiting, heard, until_s = frames.tobytes(), b"", time.monotonic() + 1.1
    while time.monotonic() < until_s:
        if waiting:
            written = playback.write(waiting)
            waiting = waiting[written * channels * format_.sample_bytes:]
        heard += capture.read()
        time.sleep(0.005)
    sound = downmix(heard, capture.channels, capture.sample_format, capture.channel)
    capture.close()
    playback.close()
    sys.stdout.buffer.write(sound.tobytes())
"""


@pytest.fixture
def rig_directory(short_dir: Path) -> Path:
    if reason := rigs.missing():
        pytest.skip(reason)
    directory = short_dir / "rig"
    directory.mkdir()
    return directory


@pytest.mark.parametrize(
    ("rate_hz", "channels", "channel", "sample_format"),
    [
        (8000, 1, 0, "S16_LE"),
        (16_000, 2, 0, "S32_LE"),
        (44_100, 4, 3, "S16_LE"),
        (48_000, 4, 3, "S24_LE"),
        (48_000, 2, 0, "S24_3LE"),
        (96_000, 1, 0, "S32_LE"),
    ],
)
async def test_a_tone_goes_through_cards_of_every_rate_width_and_number_of_channels(
    rig_directory: Path, rate_hz: int, channels: int, channel: int, sample_format: str
) -> None:
    rig = rigs.start(rig_directory, microphone=Shape(rate_hz, channels))
    try:
        child = rig.run_with(LOOP, str(rate_hz), str(channels), str(channel), sample_format)
        out, complaint = await asyncio.to_thread(child.communicate)
    finally:
        rig.stop()
    assert child.returncode == 0, complaint
    heard = samples_from_bytes(out)
    middle = heard[len(heard) * 2 // 5 : len(heard) * 4 // 5]
    assert pitch_hz(middle, rate_hz) == pytest.approx(TONE_HZ, abs=4)
    tone_dbfs = 20 * np.log10(8000 / 32768 / np.sqrt(2))
    assert rms_dbfs(middle) == pytest.approx(tone_dbfs, abs=0.5)


async def test_a_whole_visit_on_one_channel_of_an_array_and_a_wide_loudspeaker(
    rig_directory: Path, short_dir: Path, start_agent: StartAgent, guide: Guide
) -> None:
    question = await AgentVoice("en-us+f2", 150).render("where is the planetarium", RIG_HZ)
    rig = rigs.start(rig_directory, microphone=Shape(44_100, 4), speaker=Shape(96_000, 4))
    try:
        async with start_agent(replace(guide, greeting="Yes?")) as (url, events):
            config = card_config(
                url,
                capture='rate_hz = 44100\nchannels = 4\nchannel = 3\nformat = "S32_LE"',
                playback='rate_hz = 96000\nchannels = 4\nformat = "S24_3LE"\nvolume = 50',
            )
            async with running_kiosk(short_dir, config, rig.env) as kiosk:
                heard, recording = await ask_through_the_card(
                    kiosk, rig, question, RIG_HZ, events, short_dir, channel=3, of=4
                )
        volume = rig.speaker.describe()
    finally:
        rig.stop()
    assert heard["text"] == "where is the planetarium"
    assert rms_dbfs(recording) > -60
    assert "50%" in volume
    assert "Traceback" not in kiosk.stderr.decode()


VOLUME = """
    import json
    from kiosk.devices.mixer import Volume
    print(json.dumps([Volume(percent, "auto").apply("vspk") for percent in (0, 80)]))
"""


def test_the_volume_is_set_in_the_mixer_of_the_loudspeakers_card(rig: Rig) -> None:
    out, complaint = rig.run_with(VOLUME).communicate()
    assert json.loads(out) == [1.0, 1.0], complaint
    described = rig.speaker.describe()
    assert "80%" in described
    assert "Mute: no" in described
