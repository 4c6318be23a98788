"""What of an agent's sound is a voice, and what is its background."""

import subprocess

import pytest

from kiosk.audio.ambience import speech_ear
from kiosk.audio.pcm import Samples, silence
from kiosk.audio.resample import resample
from kiosk.audio.wav import read_wav
from kiosk.base.espeak import espeak_command
from tests.unit.sounds import noise

RATE_HZ = 16_000
TEXT = (
    "The blue whale above the main hall is twenty-four metres long. The fishermen of the town "
    "towed her here with eleven boats."
)


def spoken(voice: str, rate_hz: int = RATE_HZ) -> Samples:
    wav = subprocess.run(
        espeak_command(voice, 170), input=TEXT.encode(), capture_output=True, check=True
    ).stdout
    samples, recorded_hz = read_wav(wav)
    return resample(samples, recorded_hz, rate_hz)


def voiced(sound: Samples, rate_hz: int = RATE_HZ) -> list[bool]:
    """Of each second, as the service sends it."""
    has_voice = speech_ear(rate_hz)
    return [has_voice(sound[at : at + rate_hz]) for at in range(0, len(sound), rate_hz)]


def quiet_s(heard: list[bool]) -> int:
    """The longest stretch without a voice."""
    return max(map(len, "".join(".#"[each] for each in heard).split("#")))


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 24_000, 44_100])
@pytest.mark.parametrize("voice", ["en-us+f2", "en-gb+m4", "en+whisper"])
def test_speech_is_a_voice_at_every_rate(voice: str, rate_hz: int) -> None:
    assert quiet_s(voiced(spoken(voice, rate_hz), rate_hz)[:-1]) <= 1


@pytest.mark.parametrize(
    "sound",
    [noise(40, RATE_HZ, rms=300), noise(40, RATE_HZ, rms=3000), silence(40 * RATE_HZ)],
    ids=["a fan", "rain", "zeros"],
)
def test_a_steady_background_is_known_after_ten_seconds(sound: Samples) -> None:
    assert not any(voiced(sound)[10:])


def test_a_voice_over_the_background_is_one() -> None:
    speech = spoken("en-us+f2")
    background = noise(20 + len(speech) / RATE_HZ, RATE_HZ, rms=300)
    background[20 * RATE_HZ : 20 * RATE_HZ + len(speech)] += speech // 2
    heard = voiced(background)
    assert not any(heard[10:20])
    assert quiet_s(heard[21:-1]) <= 1
