"""The ALSA driver over a scripted library: what cards do that no virtual one does."""

import errno
import logging
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest

from kiosk.audio.pcm import SampleFormat
from kiosk.config import Settings
from kiosk.devices.alsa import AlsaCapture, AlsaPlayback, CardSettings
from kiosk.devices.hardware import configured_hardware
from kiosk.devices.mixer import gain
from kiosk.devices.ports import BusyError
from kiosk.errors import DeviceError
from tests.unit.devices.scripted_alsa import Card, Control, ScriptedAlsa

ASKED = CardSettings("plughw:CARD=Device", 48_000, 2, 20, 80)
BOTH = pytest.mark.parametrize("kind", [AlsaCapture, AlsaPlayback])
Kind = Callable[[CardSettings], AlsaCapture | AlsaPlayback]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> ScriptedAlsa:
    machine = ScriptedAlsa(cards={ASKED.device: Card()})
    monkeypatch.setitem(sys.modules, "alsaaudio", machine.module())
    return machine


@BOTH
@pytest.mark.parametrize(
    ("has", "taken"),
    [
        (["S16_LE", "S32_LE"], "S16_LE"),
        (["S24_3LE", "S32_LE"], "S32_LE"),
        (["S24_3LE", "S24_LE"], "S24_LE"),
        (["S24_3LE"], "S24_3LE"),
    ],
)
def test_the_first_format_that_the_card_really_has_is_taken(
    machine: ScriptedAlsa, kind: Kind, has: list[str], taken: str
) -> None:
    card = machine.cards[ASKED.device] = Card(has)
    pcm = kind(ASKED)
    assert pcm.sample_format is SampleFormat(taken)
    pcm.close()
    assert card.opened == card.closed


@BOTH
def test_a_format_asked_for_is_taken_or_refused(machine: ScriptedAlsa, kind: Kind) -> None:
    card = machine.cards[ASKED.device] = Card(["S16_LE", "S24_3LE"])
    asked = replace(ASKED, sample_format=SampleFormat.S24_3LE)
    assert kind(asked).sample_format is SampleFormat.S24_3LE
    with pytest.raises(DeviceError, match=r'has no S32_LE: with \w+\.format = "auto"'):
        kind(replace(ASKED, sample_format=SampleFormat.S32_LE))
    assert card.opened == card.closed + 1


@BOTH
@pytest.mark.parametrize(
    ("device", "advice"),
    [("hw:CARD=vc4hdmi0", "plughw:CARD="), ("plughw:CARD=vc4hdmi0", "sysdefault:CARD=")],
)
def test_a_card_with_none_of_the_formats_is_advised_otherwise_than_it_was_named(
    machine: ScriptedAlsa, kind: Kind, device: str, advice: str
) -> None:
    machine.cards[device] = Card(["IEC958_SUBFRAME_LE"])
    with pytest.raises(DeviceError, match=f"none of the formats.*name it as {advice}"):
        kind(replace(ASKED, device=device))


@BOTH
def test_a_busy_card_says_who_can_be_asked(machine: ScriptedAlsa, kind: Kind) -> None:
    machine.cards[ASKED.device].refusal = errno.EBUSY
    with pytest.raises(BusyError, match=r"another program has it; `fuser -v /dev/snd/\*` names it"):
        kind(ASKED)


@BOTH
@pytest.mark.parametrize(
    ("number", "advice"),
    [(errno.EACCES, "in the group audio"), (errno.ENODEV, "`kiosk devices` lists")],
)
def test_a_refused_card_says_what_to_do(
    machine: ScriptedAlsa, kind: Kind, number: int, advice: str
) -> None:
    machine.cards[ASKED.device].refusal = number
    with pytest.raises(DeviceError, match=f"'plughw:CARD=Device'.*{advice}"):
        kind(ASKED)


@BOTH
def test_what_a_card_gives_is_used_and_said_once_if_it_was_not_asked_for(
    machine: ScriptedAlsa, kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    name = f"plughw:CARD={kind.__name__}"
    machine.cards[name] = Card(rate_hz=44_100, channels=1)
    for _ in range(3):
        pcm = kind(replace(ASKED, device=name))
        assert (pcm.rate_hz, pcm.channels) == (44_100, 1)
    [line] = caplog.messages
    assert "rate_hz = 48000" in line
    assert "gives 44100 and 1" in line


def test_a_channel_that_the_card_does_not_have_is_refused(machine: ScriptedAlsa) -> None:
    card = machine.cards[ASKED.device] = Card(channels=2)
    with pytest.raises(DeviceError, match=r"2 channel\(s\): there is no capture.channel = 3"):
        AlsaCapture(replace(ASKED, channels=4, channel=3))
    assert card.opened == card.closed


@BOTH
def test_a_resting_card_that_is_unplugged_is_noticed(machine: ScriptedAlsa, kind: Kind) -> None:
    pcm = kind(ASKED)
    pcm.check()
    machine.cards[ASKED.device].gone = True
    with pytest.raises(DeviceError, match="unplugged"):
        pcm.check()
    pcm.close()


def test_the_volume_is_set_at_every_opening(machine: ScriptedAlsa) -> None:
    control = Control()
    machine.mixers["hw:CARD=Device"] = {"PCM": control}
    settings = Settings.model_validate({"playback": {"device": ASKED.device, "volume": 60}})
    hardware = configured_hardware(settings)
    for _ in range(2):
        control.value = 0
        assert hardware.open_playback().software_gain == 1.0
        assert control.value == 60


def test_without_a_mixer_the_stream_tells_the_gain_that_is_left(machine: ScriptedAlsa) -> None:
    settings = Settings.model_validate({"playback": {"device": ASKED.device, "volume": 60}})
    assert configured_hardware(settings).open_playback().software_gain == gain(60)


def test_a_name_that_neither_alsa_nor_a_card_has_says_so(machine: ScriptedAlsa) -> None:
    settings = Settings.model_validate({"capture": {"device": "Nonesuch"}})
    with pytest.raises(DeviceError, match=r"'Nonesuch'.*no card for capture has that in its name"):
        configured_hardware(settings).open_capture()
