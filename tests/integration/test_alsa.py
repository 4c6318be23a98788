"""The daemon over the real ALSA API, on a virtual card with a clock."""

import asyncio
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kiosk.agent.guide import Guide, load_guide
from kiosk.agent.hearing import Recogniser
from kiosk.agent.voice import Voice
from kiosk.audio.levels import rms_dbfs
from kiosk.audio.pcm import Samples, read_wav, samples_from_bytes, write_wav
from kiosk.audio.resample import resample
from tests.integration.conftest import AgentEvents, StartAgent
from tests.integration.daemon import RunningKiosk, running_kiosk
from tests.rig import Rig

pytestmark = pytest.mark.rig

RIG_HZ = 48_000
ALSA_SOUNDS = Path("/usr/share/sounds/alsa")

CONFIG = """
[agent]
id = "agent_local"
url = "{url}"
[credentials]
mode = "public"
[button]
driver = "none"
[indicator]
driver = "none"
[capture]
device = "vmic"
rate_hz = {capture_hz}
channels = {capture_channels}
[playback]
device = "vspk"
rate_hz = {playback_hz}
channels = 2
[visit]
disclosure = false
"""


class Recorder:
    """`arecord` on the virtual loudspeaker."""

    def __init__(self, rig: Rig) -> None:
        self._process = subprocess.Popen(
            f"arecord -q -D spkmon -f S16_LE -r {RIG_HZ} -c 1 -t raw --buffer-time=500000".split(),
            env=rig.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdout is not None
        self._reading = asyncio.create_task(asyncio.to_thread(self._process.stdout.read))

    async def stop(self) -> Samples:
        self._process.terminate()
        recording = samples_from_bytes(await self._reading)
        self._process.wait(5)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return recording


async def play_into_microphone(rig: Rig, samples: Samples, rate_hz: int, directory: Path) -> None:
    path = directory / "speech.wav"
    path.write_bytes(write_wav(resample(samples, rate_hz, RIG_HZ), RIG_HZ))
    process = await asyncio.create_subprocess_exec(
        "aplay", "-q", "-D", "feed", str(path), env=rig.env, stderr=asyncio.subprocess.PIPE
    )
    _, complaint = await process.communicate()
    assert process.returncode == 0, complaint


async def wait_for_event(events: AgentEvents, name: str, count: int) -> dict[str, object]:
    """The agent's `count`-th event of this name."""
    async with asyncio.timeout(20):
        while True:
            found = [event for event in events if event["event"] == name]
            if len(found) >= count:
                return found[count - 1]
            await asyncio.sleep(0.02)


def correlation(recorded: Samples, sent: Samples) -> tuple[float, int]:
    """The best normalised cross-correlation of `sent` within `recorded`, and where it lies."""
    size = len(recorded) + len(sent)
    wide, reference = recorded.astype(np.float64), sent.astype(np.float64)
    cross = np.fft.irfft(np.fft.rfft(wide, size) * np.conj(np.fft.rfft(reference, size)), size)[
        : len(recorded)
    ]
    at = int(np.argmax(cross))
    part = wide[at : at + len(sent)]
    reference = reference[: len(part)]
    norm = np.linalg.norm(part) * np.linalg.norm(reference)
    return float(part @ reference / norm), at


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


async def ask_through_the_card(
    kiosk: RunningKiosk, rig: Rig, question: Samples, rate_hz: int, events: AgentEvents, tmp: Path
) -> tuple[dict[str, object], Samples]:
    """Press, let the agent greet, ask; what the agent heard and what the loudspeaker played."""
    await kiosk.ask("press")
    await kiosk.wait_for_state("speaking")
    await kiosk.wait_for_state("listening")
    recorder = Recorder(rig)
    await play_into_microphone(rig, question, rate_hz, tmp)
    heard = await wait_for_event(events, "heard", 1)
    await kiosk.wait_for_state("speaking")
    await kiosk.wait_for_state("listening", timeout_s=30)
    recording = await recorder.stop()
    await kiosk.ask("end")
    await kiosk.wait_for_state("idle")
    return heard, recording


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
    question = await Voice("en-us+f2", 150).render("where is the planetarium", RIG_HZ)
    async with start_agent(replace(guide, greeting="Yes?")) as (url, events):
        config = CONFIG.format(
            url=url.replace("http", "ws"),
            capture_hz=capture_hz,
            capture_channels=capture_channels,
            playback_hz=playback_hz,
        )
        async with running_kiosk(short_dir, config, rig.env) as kiosk:
            heard, recording = await ask_through_the_card(
                kiosk, rig, question, RIG_HZ, events, short_dir
            )
    assert heard["text"] == "where is the planetarium"
    answer = guide.entry_for("where is the planetarium")
    assert answer is not None
    voice = Voice(guide.voice, guide.words_per_minute)
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
    recogniser = Recogniser(guide.jsgf())
    async with start_agent(guide, recogniser) as (url, events):
        config = CONFIG.format(
            url=url.replace("http", "ws"),
            capture_hz=48_000,
            capture_channels=1,
            playback_hz=48_000,
        )
        async with running_kiosk(short_dir, config, rig.env) as kiosk:
            heard, _ = await ask_through_the_card(kiosk, rig, speech, rate_hz, events, short_dir)
    assert heard["text"] == "front center"
