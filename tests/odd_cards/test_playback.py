"""Loudspeakers that public bug reports tell of, behind the real libasound: tests by their rows.

A3 digital frames only; A4 names with a colon; A5 another card's mixer; A6 a lowest step that mutes;
A7 controls in a row; A8 no range; A9 decibels that are nonsense; A13 amplifiers that pop whenever
the clock stops; A17 another user's sound server;
B1-B8 what always held.
"""

import asyncio
import logging
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kiosk.audio.pcm import upmix
from kiosk.config import Settings
from kiosk.devices.cards import Direction, read_cards, resolve
from kiosk.devices.hardware import configured_hardware
from kiosk.devices.listing import list_devices
from kiosk.devices.mixer import gain, gain_db, reading
from kiosk.devices.ports import Clip, Drained, PlaybackPcm, Source
from kiosk.devices.speaker import SpeakerThread
from kiosk.errors import DeviceError
from tests.odd_cards import OddCard
from tests.odd_cards.conftest import Machine
from tests.slowness import patient_s
from tests.unit.sounds import noise

WM8960 = """
    Headphone Playback Volume|int|2|0|127|scale:-12100,100,1
    Speaker Playback Volume|int|2|0|127|scale:-12100,100,1
    Playback Volume|int|2|0|255|scale:-12750,50,1
    Capture Volume|int|2|0|63|scale:-1725,75,0
"""
TWO_IN_A_ROW = """
    Master Playback Volume|int|2|0|64|minmax:-6400,0|58
    Speaker Playback Volume|int|2|0|64|minmax:-6400,0|64
    Speaker Playback Switch|bool|1|0|1|none
    PCM Playback Volume|int|2|0|255|minmax:-5100,0
"""
MUTES_AT_ITS_LEAST = """
    PCM Playback Volume|int|2|0|7248|minmaxmute:-2837,0
    PCM Playback Switch|bool|1|0|1|none
"""
TWELVE_STEPS = "Headset Playback Volume|int|1|0|11|minmaxmute:-3600,0"
NO_RANGE = """
    D10s  Playback Volume|int|2|0|0|minmax:0,0
    D10s  Playback Switch|bool|1|0|1|none
"""
NONSENSE = "PCM Playback Volume|int|2|0|37|minmax:-37,0"
CMEDIA = """
    Speaker Playback Volume|int|2|0|37|minmax:-3700,0
    Speaker Playback Switch|bool|1|0|1|none
    Mic Playback Volume|int|1|0|32|minmax:-3200,0|7
    Mic Capture Volume|int|1|0|35|minmax:-1200,2300
    Mic Capture Switch|bool|1|0|1|none
    Auto Gain Control|bool|1|0|1|none|1
"""
BCM2835 = "PCM Playback Volume|int|1|-10239|400|scale:-10239,1,1|400"
RAW_ONLY = "Softmaster Playback Volume|int|2|0|99|none"


def opened(device: str, **playback: object) -> PlaybackPcm:
    settings = Settings.model_validate({"playback": {"device": device, **playback}})
    return configured_hardware(settings).open_playback()


def left(device: str, **playback: object) -> float:
    """The factor that is left to arithmetic once the card is open."""
    pcm = opened(device, **playback)
    pcm.close()
    return pcm.software_gain


def left_db(device: str, **playback: object) -> float:
    return float(20 * np.log10(left(device, **playback)))


# --- which PCM ----------------------------------------------------------------------------------


def test_a3_a_card_of_digital_frames_alone_plays_by_its_own_configuration(machine: Machine) -> None:
    hdmi = OddCard("vc4hdmi0", "vc4-hdmi-0", driver="vc4-hdmi", formats="IEC958_SUBFRAME_LE")
    machine(hdmi)
    for device in ("vc4-hdmi-0", "plughw:CARD=vc4hdmi0"):
        pcm = opened(device)
        assert pcm.write(upmix(np.ones(960, np.int16), 2)) == 960
        pcm.drop()
        pcm.close()


@pytest.mark.parametrize("formats", ["IEC958_SUBFRAME_LE", "FLOAT_LE", "U8", "S16_BE"])
def test_a3_so_does_every_card_that_has_none_of_the_usual_formats(
    machine: Machine, formats: str
) -> None:
    machine(OddCard("spdif", "Some S/PDIF", driver="imx-spdif", formats=formats))
    assert opened("Some S/PDIF").channels == 2


def test_a4_a_name_with_a_colon_is_a_name(machine: Machine) -> None:
    where = "USB Device 0x46d:0x825 at usb-0000:01:00.0-1.4, high speed"
    machine(OddCard("U0x46d0x825", "USB Device 0x46d:0x825", where))
    for device in ("USB Device 0x46d:0x825", "usb-0000:01:00.0-1.4"):
        opened(device).close()


def twins() -> list[OddCard]:
    name = "USB PnP Sound Device"
    where = "C-Media Inc. USB PnP Sound Device at usb-0000:01:00.0-{}, full speed"
    ports = {"Device": "1.3", "Device_1": "1.3.1"}
    return [OddCard(its, name, where.format(port)) for its, port in ports.items()]


def test_twin_cards_are_listed_and_chosen_by_their_port(machine: Machine) -> None:
    made = machine(*twins())
    listed = [line for line in list_devices() if line.startswith('device = "usb')]
    assert listed[:2] == [
        'device = "usb-0000:01:00.0-1.3,"',
        'device = "usb-0000:01:00.0-1.3.1"',
    ]
    cards = read_cards(made.proc)
    ids = [resolve(line.split('"')[1], Direction.PLAYBACK, [], cards) for line in listed[:2]]
    assert ids == ["plughw:CARD=Device", "plughw:CARD=Device_1"]
    with pytest.raises(DeviceError, match=r'fits 2 cards.*device = "usb-0000:01:00.0-1.3,"'):
        opened("USB PnP")


def test_kiosk_devices_lists_what_can_work_and_marks_the_rest(machine: Machine) -> None:
    machine(OddCard("Good", "A good one"), more="pcm.away { type plug slave.pcm nowhere }")
    lines = list(list_devices())
    assert lines.count('device = "A good one"') == 2
    at = lines.index("\n[playback]")
    playback = lines[at:]
    marked = playback.index("# These cannot be used now:")
    assert any(line.startswith('# device = "away": No such') for line in playback[marked:])
    assert 'device = "odd_Good_0"' in playback[:marked]


@contextmanager
def another_users_server(directory: Path) -> Iterator[str]:
    """A socket that is there, and that nobody serves any more."""
    path = directory / "native"
    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(str(path))
    yield f'type pulse server "unix:{path}"'


def test_a17_a_sound_server_of_another_user_is_told_as_that(
    machine: Machine, short_dir: Path
) -> None:
    with another_users_server(short_dir) as pulse:
        machine(OddCard("Good"), more=f"pcm.!default {{ {pulse} }}\nctl.!default {{ {pulse} }}")
        with pytest.raises(DeviceError, match=r"a sound server, of another user.*name the card"):
            opened("default")
        lines = list(list_devices())
        assert 'device = "default"' not in lines
        assert 'device = "Good"' in lines


# --- the loudness asked for is the loudness there -----------------------------------------------


def test_a5_of_default_no_other_cards_volume_is_set(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    made = machine(
        OddCard("onboard", mixer=BCM2835),
        OddCard("usbspk", mixer=CMEDIA),
        more="""
            pcm.!default { type asym playback.pcm "plughw:CARD=usbspk" capture.pcm "null" }
            ctl.!default { type hw card onboard }
        """,
    )
    with caplog.at_level(logging.WARNING):
        assert left("default", volume=30) == gain(30)
    assert made.mixer("onboard") == {}
    assert made.mixer("usbspk") == {}
    assert "'default' does not tell which card it is" in caplog.text
    assert left("usbspk", volume=30) == pytest.approx(1.0)
    assert made.mixer("usbspk")["Speaker Playback Volume"] > 0


@pytest.mark.parametrize("percent", [1, 10, 25, 33, 34, 60, 100])
@pytest.mark.parametrize(
    ("mixer", "steps_db"), [(MUTES_AT_ITS_LEAST, 0.0), (TWELVE_STEPS, 36 / 11)]
)
def test_a6_no_volume_but_0_is_silence(
    machine: Machine, mixer: str, steps_db: float, percent: int
) -> None:
    made = machine(OddCard("spk", mixer=mixer))
    arithmetic_db = left_db("spk", volume=percent)
    value = next(iter(made.mixer("spk").values()))
    least_db, highest = (-28.37, 7248) if mixer is MUTES_AT_ITS_LEAST else (-36.0, 11)
    assert value > 0
    is_db = least_db * (1 - value / highest) + arithmetic_db
    assert is_db == pytest.approx(gain_db(percent), abs=steps_db + 0.6)


def test_a6_and_0_is(machine: Machine) -> None:
    made = machine(OddCard("spk", mixer=MUTES_AT_ITS_LEAST))
    assert left("spk", volume=0) == 0
    assert made.mixer("spk") == {"PCM Playback Volume": 0, "PCM Playback Switch": 0}


def test_a7_the_outputs_share_one_volume_and_are_all_opened(machine: Machine) -> None:
    made = machine(OddCard("wm8960", mixer=WM8960))
    assert left("wm8960", volume=80) == pytest.approx(1.0)
    state = made.mixer("wm8960")
    assert -127.5 + state["Playback Volume"] / 2 == pytest.approx(gain_db(80), abs=0.5)
    assert (state["Headphone Playback Volume"], state["Speaker Playback Volume"]) == (121, 121)
    assert state["Capture Volume"] == 0
    its = reading("wm8960", "auto")
    assert its is not None
    assert its.percent == pytest.approx(80, abs=2)


def test_a7_of_controls_in_a_row_the_first_has_the_volume(machine: Machine) -> None:
    made = machine(OddCard("two", mixer=TWO_IN_A_ROW))
    assert left("two", volume=50) == pytest.approx(1.0)
    state = made.mixer("two")
    assert state["Master Playback Volume"] - 64 == pytest.approx(gain_db(50), abs=0.6)
    assert state["PCM Playback Volume"] == 255
    assert state["Speaker Playback Switch"] == 1


def test_a7_one_that_is_named_is_set_alone(machine: Machine) -> None:
    made = machine(OddCard("two", mixer=TWO_IN_A_ROW))
    left("two", volume=50, mixer="PCM")
    assert made.mixer("two")["Master Playback Volume"] == 58


@pytest.mark.parametrize("name", ["Com Speaker", "Desktop Speaker", "Room Speaker", "Output"])
def test_a7_the_kernels_names_for_usb_outputs_are_known(machine: Machine, name: str) -> None:
    made = machine(OddCard("usb", mixer=f"{name} Playback Volume|int|2|0|60|minmax:-6000,0"))
    assert left("usb", volume=50) == pytest.approx(1.0)
    assert made.mixer("usb")[f"{name} Playback Volume"] == 42


def test_a8_a_control_without_a_range_leaves_the_volume_to_arithmetic(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    machine(OddCard("d10s", mixer=NO_RANGE))
    assert left("d10s", volume=50) == gain(50)
    caplog.clear()
    assert left("d10s", volume=50, mixer="D10s ") == gain(50)
    assert "no volume control 'D10s ' with a range (there: 'D10s ')" in caplog.text
    assert reading("d10s", "D10s ") is None


def test_a9_decibels_that_cannot_be_are_not_believed(machine: Machine) -> None:
    made = machine(OddCard("odd", mixer=NONSENSE))
    assert left("odd", volume=50) == 1.0
    assert made.mixer("odd")["PCM Playback Volume"] == 18


# --- what always held ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rates", "channels", "formats"),
    [("44100", "2", "S16_LE"), ("48000", "2", "S32_LE"), ("48000", "8", "S16_LE"),
     ("16000", "1", "S16_LE"), ("8000", "1", "U8")],
)  # fmt: skip
def test_b1_b3_a_card_of_any_rate_and_channels_plays(
    machine: Machine, rates: str, channels: str, formats: str
) -> None:
    made = machine(OddCard("odd", rates=rates, channels=channels, formats=formats))
    for device in ("odd", "hw:CARD=odd")[: 1 if formats == "U8" else 2]:
        pcm = opened(device)
        assert pcm.write(bytes(pcm.sample_format.sample_bytes * pcm.channels * 960)) == 960
        pcm.drop()
        pcm.close()
    assert len(made.played("odd"))


@pytest.mark.parametrize(
    ("mixer", "control", "at_db"),
    [(CMEDIA, "Speaker Playback Volume", lambda raw: raw - 37.0),
     (BCM2835, "PCM Playback Volume", lambda raw: raw / 100)],
)  # fmt: skip
@pytest.mark.parametrize("percent", [30, 50, 80, 100])
def test_b4_usual_cards_are_set_to_the_curve(
    machine: Machine, mixer: str, control: str, at_db: Any, percent: int
) -> None:
    made = machine(OddCard("usual", mixer=mixer))
    arithmetic_db = left_db("usual", volume=percent)
    is_db = at_db(made.mixer("usual")[control]) + arithmetic_db
    assert is_db == pytest.approx(gain_db(percent), abs=0.6)


def test_b4_a_card_without_decibels_is_set_on_its_own_scale(machine: Machine) -> None:
    made = machine(OddCard("raw", mixer=RAW_ONLY))
    assert left("raw", volume=50) == 1.0
    assert made.mixer("raw") == {"Softmaster Playback Volume": 50}


def test_b5_the_volume_is_set_at_every_opening(machine: Machine) -> None:
    made = machine(OddCard("usual", mixer=CMEDIA))
    for percent in (100, 50):
        left("usual", volume=percent)
        assert made.mixer("usual")["Speaker Playback Switch"] == 1
    assert made.mixer("usual")["Mic Playback Volume"] == 7  # the visitor's own voice: not ours


# --- the clock of the card ----------------------------------------------------------------------


@pytest.mark.parametrize(("keep_running", "starts"), [(True, 1), (False, 2)])
async def test_a13_an_amplifier_that_pops_hears_one_start_of_its_clock(
    machine: Machine, keep_running: bool, starts: int
) -> None:
    made = machine(OddCard("max98357a"))
    table = {"device": "max98357a", "keep_running": keep_running}
    hardware = configured_hardware(Settings.model_validate({"playback": table}))
    drained = asyncio.Queue[Drained]()
    speaker = SpeakerThread(
        hardware.open_playback,
        lambda event: drained.put_nowait(event) if isinstance(event, Drained) else None,
        asyncio.get_running_loop(),
        keep_running=keep_running,
    )
    speaker.open()
    try:
        for count in (1, 2):
            while True:
                given = speaker.play(Clip(noise(0.05, 48_000), 48_000, Source.EARCON))
                async with asyncio.timeout(patient_s(5)):
                    while (await drained.get()).clips < given:
                        pass
                if made.log("max98357a").count("start") >= min(count, starts):
                    break  # before the card is open nothing is played
    finally:
        assert speaker.close()
    # A busy machine may have kept the thread from the card, which starts anew then.
    assert made.log("max98357a").count("start") == starts + speaker.xruns
