import logging
import math

import pytest

from kiosk.devices.mixer import Reading, Volume, gain, gain_db, mixer_device, reading
from kiosk.errors import DeviceError
from tests.unit.devices.scripted_alsa import Control, ScriptedAlsa

DEVICE = "hw:CARD=Device"
PCM = "plughw:CARD=Device,DEV=0"


def apply(percent: int | None, wanted: str = "auto", **controls: Control) -> float:
    named = {name.replace("_", " "): its for name, its in controls.items()}
    machine = ScriptedAlsa(mixers={DEVICE: named})
    return Volume(percent, wanted, machine.module).apply(PCM)


def test_the_curve_is_the_same_in_decibels_and_as_a_factor() -> None:
    assert gain_db(100) == 0
    assert gain_db(50) == pytest.approx(-18.06, abs=0.01)
    assert gain(0) == 0
    assert gain_db(0) == -math.inf
    for percent in range(1, 101):
        assert 20 * math.log10(gain(percent)) == pytest.approx(gain_db(percent))


@pytest.mark.parametrize(
    ("pcm", "device"),
    [
        ("plughw:CARD=Device,DEV=0", "hw:CARD=Device"),
        ("hw:Device,0", "hw:CARD=Device"),
        ("vspk", "vspk"),
        ("default", None),
    ],
)
def test_the_controls_are_the_cards(pcm: str, device: str | None) -> None:
    assert mixer_device(pcm) == device


def test_of_a_name_that_tells_no_card_the_controls_are_those_of_the_card_that_was_opened() -> None:
    assert mixer_device("default", 2) == "hw:2"
    assert mixer_device("speakers", 2) == "hw:2"
    assert mixer_device(PCM, 2) == "hw:CARD=Device"


@pytest.mark.parametrize("percent", [1, 50, 80, 100])
def test_a_control_with_decibels_is_set_by_the_curve_and_unmuted(percent: int) -> None:
    control = Control(db=(-130.0, 4.0))
    assert apply(percent, PCM=control) == 1.0
    assert control.value_db == pytest.approx(gain_db(percent), abs=0.005)
    assert not control.muted


def test_what_a_controls_range_does_not_reach_is_left_to_arithmetic() -> None:
    control = Control(db=(-20.0, 0.0))
    assert apply(20, PCM=control) == pytest.approx(gain(20) / 10 ** (-20 / 20))
    assert control.value_db == -20


def test_a_control_that_is_never_loud_is_set_to_its_loudest() -> None:
    control = Control(db=(-60.0, -10.0))
    assert apply(100, PCM=control) == 1.0
    assert control.value_db == -10


@pytest.mark.parametrize("db", [None, (-130.0, 0.0), (-99999.99, 0.0)])
def test_zero_is_silence(db: tuple[float, float] | None) -> None:
    control = Control(db=db)
    left = apply(0, PCM=control)
    assert control.muted
    assert left == 0 or control.value == 0


def test_a_control_without_decibels_is_set_on_its_own_scale() -> None:
    control = Control(raw=(0, 65536))
    assert apply(50, Master=control) == 1.0
    assert control.value == 32768
    assert not control.muted


def test_a_control_without_a_switch_is_set_all_the_same() -> None:
    control = Control(switch=False)
    assert apply(50, PCM=control) == 1.0
    assert control.value == 50


def test_the_first_of_the_usual_controls_that_can_play_is_taken() -> None:
    capture = Control(capabilities=("Capture Volume",))
    speaker, sidetone = Control(), Control()
    assert apply(50, Master=capture, Mic=sidetone, Speaker=speaker) == 1.0
    assert (speaker.value, sidetone.value, capture.value) == (50, 0, 0)


def test_a_control_beside_it_that_cannot_be_set_is_left_and_the_volume_is_set() -> None:
    master, locked, speaker = Control(), Control(locked=True), Control()
    assert apply(50, Master=master, PCM=locked, Speaker=speaker) == 1.0
    assert (master.value, locked.value, speaker.value) == (50, 0, 100)


def test_a_named_control_is_taken_before_the_usual_ones() -> None:
    master, named = Control(), Control()
    assert apply(50, "Amp Out", Master=master, Amp_Out=named) == 1.0
    assert (master.value, named.value) == (0, 50)


def test_without_a_volume_nothing_is_touched() -> None:
    control = Control()
    assert apply(None, PCM=control) == 1.0
    assert control.muted
    assert control.value == 0


def test_in_software_nothing_is_touched() -> None:
    control = Control()
    assert apply(50, "none", PCM=control) == gain(50)
    assert control.muted


def test_a_card_without_a_volume_control_has_its_volume_by_arithmetic() -> None:
    assert apply(50) == gain(50)
    assert apply(50, Mic=Control()) == gain(50)


def test_it_is_said_once_what_is_missing_and_which_setting_names_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    machine = ScriptedAlsa(mixers={DEVICE: {"Mic": Control()}})
    volume = Volume(50, "Speaker", machine.module)
    for _ in range(3):
        assert volume.apply(PCM) == gain(50)
    [line] = caplog.messages
    assert "'Speaker' with a range (there: 'Mic'); playback.mixer can name one" in line


def test_a_card_without_any_mixer_has_its_volume_by_arithmetic(
    caplog: pytest.LogCaptureFixture,
) -> None:
    volume = Volume(50, "auto", ScriptedAlsa().module)
    for _ in range(3):
        assert volume.apply("strange") == gain(50)
    [line] = caplog.messages
    assert "strange" in line


# --- how it stands ------------------------------------------------------------------------------


def read(wanted: str = "auto", **controls: Control) -> Reading | None:
    return reading(PCM, wanted, ScriptedAlsa(mixers={DEVICE: controls}).module)


@pytest.mark.parametrize("percent", [1, 50, 100])
def test_what_was_set_is_read_on_the_same_curve(percent: int) -> None:
    for control in (Control(db=(-130.0, 0.0)), Control(raw=(0, 400))):
        apply(percent, PCM=control)
        assert read(PCM=control) == Reading("PCM", percent, muted=False)


def test_what_was_silenced_is_muted() -> None:
    control = Control(raw=(0, 400))
    apply(0, PCM=control)
    assert read(PCM=control) == Reading("PCM", 0, muted=True)


def test_a_control_without_a_switch_is_not_muted() -> None:
    assert read(PCM=Control(switch=False)) == Reading("PCM", 0, muted=False)


def test_a_card_without_a_volume_has_no_reading() -> None:
    assert read() is None
    assert read("Nothing", PCM=Control()) is None


def test_a_mixer_that_is_away_is_told() -> None:
    with pytest.raises(DeviceError, match="hw:CARD=Device"):
        reading(PCM, "auto", ScriptedAlsa().module)
