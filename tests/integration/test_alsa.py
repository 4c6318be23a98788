"""The daemon over the real ALSA API, on a virtual card with a clock."""

from dataclasses import replace
from pathlib import Path

import pytest

from kiosk.agent.guide import Guide, load_guide
from kiosk.agent.recogniser import Recogniser
from kiosk.agent.voice import AgentVoice
from kiosk.audio.levels import rms_dbfs
from kiosk.audio.pcm import Samples
from kiosk.audio.resample import resample
from kiosk.audio.wav import read_wav
from tests.integration.cards import RIG_HZ, ask_through_the_card, card_config, correlation
from tests.integration.conftest import StartAgent
from tests.integration.daemon import running_kiosk
from tests.rig import Rig

pytestmark = pytest.mark.rig

ALSA_SOUNDS = Path("/usr/share/sounds/alsa")


def longest_gap_ms(recorded: Samples, sent: Samples) -> float:
    """The longest stretch in which something was sent and nothing is heard."""
    window = RIG_HZ // 1000
    longest = run = 0
    for at in range(0, min(len(sent), len(recorded)) - window, window):
        sounded = rms_dbfs(sent[at : at + window]) > -45
        heard = rms_dbfs(recorded[at : at + window]) > -65
        run = run + 1 if sounded and not heard else 0
        longest = max(longest, run)
    return float(longest)


@pytest.mark.parametrize(
    ("capture_hz", "capture_channels", "playback_hz"),
    [(48_000, 1, 48_000), (48_000, 2, 44_100), (16_000, 1, 16_000)],
)
async def test_a_question_goes_in_and_the_whole_answer_comes_out(
    rig: Rig,
    short_dir: Path,
    start_agent: StartAgent,
    guide: Guide,
    capture_hz: int,
    capture_channels: int,
    playback_hz: int,
) -> None:
    question = await AgentVoice("en-us+f2", 150).render("where is the planetarium", RIG_HZ)
    async with start_agent(replace(guide, greeting="Yes?")) as (url, events):
        config = card_config(
            url,
            capture=f"rate_hz = {capture_hz}\nchannels = {capture_channels}",
            playback=f"rate_hz = {playback_hz}\nchannels = 2",
        )
        async with running_kiosk(short_dir, config, rig.env) as kiosk:
            heard, recording = await ask_through_the_card(
                kiosk, rig, question, RIG_HZ, events, short_dir
            )
    assert heard["text"] == "where is the planetarium"
    answer = guide.entry_for("where is the planetarium")
    assert answer is not None
    voice = AgentVoice(guide.voice, guide.words_per_minute)
    sent = resample(await voice.render(answer.say, 16_000), 16_000, RIG_HZ)
    alike, at = correlation(recording, sent)
    assert alike >= 0.95
    assert longest_gap_ms(recording[at:], sent) <= 10
    assert kiosk.process.returncode == 0


HUMAN_GUIDE = """
language = "en"
voice = "en-gb-x-rp"
greeting = "Yes?"
ask_again = ["Again, please."]
[[entry]]
key = "front_center"
ask = ["front center"]
say = "In front."
[[entry]]
key = "rear_left"
ask = ["rear left"]
say = "Behind, on the left."
[[entry]]
key = "side_right"
ask = ["side right"]
say = "Beside, on the right."
"""


@pytest.mark.skipif(not ALSA_SOUNDS.exists(), reason="the recordings are in Debian's alsa-utils")
async def test_a_human_voice_is_understood_through_the_card(
    rig: Rig, short_dir: Path, start_agent: StartAgent
) -> None:
    path = short_dir / "guide.toml"
    path.write_text(HUMAN_GUIDE, encoding="utf-8")
    guide = load_guide(path)
    speech, rate_hz = read_wav((ALSA_SOUNDS / "Front_Center.wav").read_bytes())
    recogniser = Recogniser(guide.jsgf(), guide.ignore)
    async with start_agent(guide, recogniser) as (url, events):
        config = card_config(url)
        async with running_kiosk(short_dir, config, rig.env) as kiosk:
            heard, _ = await ask_through_the_card(kiosk, rig, speech, rate_hz, events, short_dir)
    assert heard["text"] == "front center"
