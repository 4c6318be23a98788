"""Microphones that public bug reports tell of, behind the real libasound: tests by their rows.

A1 an offset; A10 digital silence, muted or not; A11 opposite phases; A15 a late first sound; B1,
B2, B5, B9, B10, B12 rates, formats, arrays, the card's controls, quiet, clipped and dead ones.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np
import pytest

from kiosk.audio.capture import CapturedChunk, Treatment
from kiosk.audio.echo import Canceller
from kiosk.audio.gate import Gate, GateSettings
from kiosk.audio.levels import Meter, rms_dbfs
from kiosk.audio.pcm import Samples
from kiosk.config import Settings
from kiosk.devices.hardware import configured_hardware
from kiosk.devices.microphone import MicrophoneThread
from kiosk.devices.ports import Lost, MicrophoneEvent, Opened, SilentError
from tests.odd_cards import OddCard, OddMachine
from tests.odd_cards.conftest import Machine
from tests.slowness import patient_s
from tests.unit.devices.cards import TurnDetector
from tests.unit.sounds import Floats, noise

VOICE = noise(1, 48_000, 3000).astype(np.float64)
VOICE_DBFS = rms_dbfs(VOICE.astype(np.int16))
CMEDIA = """
    Mic Capture Volume|int|1|0|35|minmax:-1200,2300|{volume}
    Mic Capture Switch|bool|1|0|1|none|{switch}
    Auto Gain Control|bool|1|0|1|none|1
"""


class Plain:
    """The chain as a visit has it, but for gate, canceller and gain."""

    def __init__(self) -> None:
        self.meter = Meter()

    def prepare(self) -> None: ...

    def treatment(self) -> Treatment:
        return Treatment(Gate(GateSettings(), lambda _: False), meter=self.meter)

    def fall_back(self) -> Canceller | None:
        return None


@dataclass
class Listening:
    """A microphone's thread on a card, and what it reported."""

    ears: TurnDetector[MicrophoneEvent]
    treating: Plain

    async def sound(self, seconds: float) -> Samples:
        chunks = round(seconds * 50)
        await self.ears.until(
            lambda: len(self.ears.of(CapturedChunk)) >= chunks or self.ears.of(Lost), timeout_s=9
        )
        assert not self.ears.of(Lost)
        return np.concatenate([chunk.samples for chunk in self.ears.of(CapturedChunk)])

    async def lost(self) -> SilentError:
        await self.ears.until(lambda: self.ears.of(Lost), timeout_s=9)
        error = self.ears.of(Lost)[0].error
        assert isinstance(error, SilentError)
        return error


@asynccontextmanager
async def listening(device: str, **capture: object) -> AsyncIterator[Listening]:
    settings = Settings.model_validate({"capture": {"device": device, **capture}})
    ears, plain = TurnDetector[MicrophoneEvent](), Plain()
    loop = asyncio.get_running_loop()
    opens = configured_hardware(settings).open_capture
    thread = MicrophoneThread(opens, plain, ears.hear, loop)
    thread.open()
    try:
        async with asyncio.timeout(patient_s(5)):
            await ears.until(lambda: ears.of(Opened))
        thread.start()
        yield Listening(ears, plain)
    finally:
        assert thread.close()


def frames(*channels: Floats, sample_format: str = "S16_LE") -> bytes:
    """Interleaved, in a card's format."""
    together = np.stack(channels, axis=1)
    match sample_format:
        case "U8":
            return (np.rint(together / 256) + 128).astype(np.uint8).tobytes()
        case "S32_LE":
            return (together * 65536).astype("<i4").tobytes()
        case "FLOAT_LE":
            return (together / 32768).astype("<f4").tobytes()
    return np.rint(together).astype("<i2").tobytes()


async def level_dbfs(made: OddMachine, **capture: object) -> float:
    async with listening(made.cards[0].id, **capture) as microphone:
        return rms_dbfs((await microphone.sound(0.5))[4000:])


@pytest.mark.parametrize(
    ("rates", "formats"),
    [("48000", "S16_LE"), ("44100", "S16_LE"), ("16000", "S32_LE"), ("8000", "U8"),
     ("48000", "FLOAT_LE")],
)  # fmt: skip
async def test_b1_any_rate_and_format_is_heard(machine: Machine, rates: str, formats: str) -> None:
    heard = frames(VOICE, sample_format=formats)
    made = machine(OddCard("mic", rates=rates, channels="1", formats=formats, heard=heard))
    # White noise: half of it lies above what a voice needs, or what so slow a card has.
    assert await level_dbfs(made) == pytest.approx(VOICE_DBFS, abs=7)


@pytest.mark.parametrize(
    "name", ["dead", "constant", "inverted", "loudspeaker's", "dead, the other way"]
)
async def test_a11_b12_two_channels_of_which_one_is_no_microphone_are_served(
    machine: Machine, name: str
) -> None:
    nothing = np.zeros_like(VOICE)
    pairs = {
        "dead": (VOICE, nothing),
        "dead, the other way": (nothing, VOICE),
        "constant": (VOICE, nothing - 15_729),
        "inverted": (VOICE, -VOICE),
        "loudspeaker's": (VOICE, nothing),
    }
    made = machine(OddCard("mic", heard=frames(*pairs[name])))
    alone = await level_dbfs(made, channels=2, channel=2 if name.endswith("way") else 1)
    assert await level_dbfs(made) == pytest.approx(alone, abs=0.5)


async def test_b2_an_array_is_heard_by_its_first_channel(machine: Machine) -> None:
    microphones = [VOICE / 4] + [noise(1, 48_000, 6000, seed).astype(float) for seed in range(4)]
    heard = frames(*microphones, np.zeros_like(VOICE))
    made = machine(OddCard("ArrayUAC10", channels="6", rates="16000", heard=heard))
    assert await level_dbfs(made) == pytest.approx(VOICE_DBFS - 12, abs=1)


async def test_a1_an_offset_is_no_sound(machine: Machine) -> None:
    made = machine(OddCard("mic", channels="1", heard=frames(VOICE / 100 + 3277)))
    assert await level_dbfs(made) == pytest.approx(VOICE_DBFS - 40, abs=7)


async def test_b9_a_quiet_microphone_is_not_taken_for_a_dead_one(machine: Machine) -> None:
    heard = frames(np.rint(noise(1, 48_000, 1).astype(float)))
    made = machine(OddCard("mic", channels="1", heard=heard))
    async with listening("mic") as microphone:
        assert len(await microphone.sound(2.3))
    assert made.log("mic").count("start") == 1


@pytest.mark.parametrize("value", [0, -15_729])
async def test_a10_a_microphone_that_delivers_one_value_only_is_a_fault(
    machine: Machine, value: int
) -> None:
    machine(OddCard("mic", heard=frames(np.full(4800, value), np.full(4800, value))))
    async with listening("mic") as microphone:
        error = await microphone.lost()
    assert error.why == "microphone_silent"
    assert "switch its mute off, on the device" in str(error)


@pytest.mark.parametrize(("volume", "switch"), [(20, 0), (0, 1)])
async def test_a10_one_that_its_mixer_silences_is_told_from_it(
    machine: Machine, volume: int, switch: int
) -> None:
    machine(OddCard("mic", mixer=CMEDIA.format(volume=volume, switch=switch)))
    async with listening("mic") as microphone:
        error = await microphone.lost()
    assert error.why == "microphone_muted"
    assert "silenced by 'Mic' in its card's mixer" in str(error)


async def test_b10_a_microphone_that_clips_is_heard_and_counted(machine: Machine) -> None:
    machine(OddCard("mic", channels="1", heard=frames(np.clip(VOICE * 16, -32768, 32767))))
    async with listening("mic") as microphone:
        assert len(await microphone.sound(1.1))
        assert microphone.treating.meter.levels.clipped_samples > 1000


async def test_a10_a_loop_of_the_kernels_may_be_silent(machine: Machine) -> None:
    machine(OddCard("loop", driver="Loopback", channels="1,2,8"))
    async with listening("loop") as microphone:
        assert microphone.ears.of(Opened) == [Opened("48000 Hz, 1 channel(s)")]
        assert not (await microphone.sound(2.3)).any()


async def test_a15_a_first_sound_after_two_seconds_is_waited_for(machine: Machine) -> None:
    machine(OddCard("mic", channels="1", start_ms=1900, heard=frames(VOICE)))
    async with listening("mic") as microphone:
        assert len(await microphone.sound(0.1))


def test_b5_volume_switch_and_automatic_gain_are_set_at_every_opening(machine: Machine) -> None:
    made = machine(OddCard("mic", mixer=CMEDIA.format(volume=0, switch=0)))
    settings = {"device": "mic", "volume": 80, "agc": False}
    hardware = configured_hardware(Settings.model_validate({"capture": settings}))
    for _ in range(2):
        hardware.open_capture().close()
        assert made.mixer("mic") == {
            "Mic Capture Volume": 28,
            "Mic Capture Switch": 1,
            "Auto Gain Control": 0,
        }


def test_b5_what_cannot_be_set_is_said(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    machine(OddCard("mic", mixer="Speaker Playback Volume|int|1|0|35|none"))
    settings = {"device": "mic", "volume": 80, "agc": True}
    configured_hardware(Settings.model_validate({"capture": settings})).open_capture().close()
    assert "no volume for capture (there: 'Speaker')" in caplog.text
    assert "no gain of its own to switch (there: 'Speaker')" in caplog.text
