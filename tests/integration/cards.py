"""Speaking into the virtual microphone, and listening to the virtual loudspeaker."""

import asyncio
import subprocess
import wave
from pathlib import Path
from typing import Self

import numpy as np

from kiosk.audio.pcm import Samples, samples_from_bytes
from kiosk.audio.resample import resample
from tests.integration.conftest import AgentEvents
from tests.integration.daemon import RunningKiosk
from tests.rig import Rig
from tests.slowness import patient_s

RIG_HZ = 48_000

_CONFIG = """
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
{capture}
[playback]
device = "vspk"
{playback}
{more}
[visit]
disclosure = false
{visit}
"""


def card_config(
    url: str, *, capture: str = "", playback: str = "", visit: str = "", more: str = ""
) -> str:
    """A public agent at this address, the virtual cards, and what the caller adds to the tables."""
    address = url.replace("http", "ws", 1)
    return _CONFIG.format(url=address, capture=capture, playback=playback, visit=visit, more=more)


class Recorder:
    """`arecord` on the virtual loudspeaker; `async with` ends it whatever happens."""

    def __init__(self, rig: Rig) -> None:
        self._process = subprocess.Popen(
            f"arecord -q -D spkmon -f S16_LE -r {RIG_HZ} -c 1 -t raw --buffer-time=500000".split(),
            env=rig.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdout is not None
        self._reading = asyncio.create_task(asyncio.to_thread(self._process.stdout.read))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> Samples:
        """What was heard."""
        self._process.terminate()
        recording = samples_from_bytes(await self._reading)
        self._process.wait(5)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return recording


async def play_into_microphone(
    rig: Rig, samples: Samples, rate_hz: int, directory: Path, channel: int = 1, of: int = 1
) -> None:
    """Say it on channel number `channel`, with noise on the `of` - 1 others."""
    speech = resample(samples, rate_hz, RIG_HZ)
    frames = np.random.default_rng(1).normal(0, 4000, (len(speech), of)).astype("<i2")
    frames[:, channel - 1] = speech
    path = directory / "speech.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((of, 2, RIG_HZ, 0, "NONE", ""))
        file.writeframes(frames.tobytes())
    process = await asyncio.create_subprocess_exec(
        "aplay", "-q", "-D", "feed", str(path), env=rig.env, stderr=asyncio.subprocess.PIPE
    )
    _, complaint = await process.communicate()
    assert process.returncode == 0, complaint


async def wait_for_event(events: AgentEvents, name: str, count: int) -> dict[str, object]:
    """The agent's `count`-th event of this name."""
    async with asyncio.timeout(patient_s(20)):
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


async def ask_through_the_card(
    kiosk: RunningKiosk,
    rig: Rig,
    question: Samples,
    rate_hz: int,
    events: AgentEvents,
    tmp: Path,
    channel: int = 1,
    of: int = 1,
) -> tuple[dict[str, object], Samples]:
    """Press, let the agent greet, ask; what the agent heard and what the loudspeaker played."""
    await kiosk.ask("press")
    await kiosk.wait_for_state("speaking")
    await kiosk.wait_for_state("listening")
    async with Recorder(rig) as recorder:
        await play_into_microphone(rig, question, rate_hz, tmp, channel, of)
        heard = await wait_for_event(events, "heard", 1)
        await kiosk.wait_for_state("speaking")
        await kiosk.wait_for_state("listening", timeout_s=30)
        recording = await recorder.stop()
    await kiosk.ask("end")
    await kiosk.wait_for_state("idle")
    return heard, recording
