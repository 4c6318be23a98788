"""Names of cards, as /proc/asound gives them."""

from pathlib import Path

import pytest

from kiosk.devices.cards import Direction, card_of, present, read_cards, resolve, speakerphone
from kiosk.devices.listing import list_devices
from kiosk.errors import DeviceError

CAPTURE, PLAYBACK = Direction.CAPTURE, Direction.PLAYBACK
# A Raspberry Pi with two USB headsets of one make and a microphone array.
CARDS = """\
 0 [Headphones     ]: bcm2835_headpho - bcm2835 Headphones
                      bcm2835 Headphones
 1 [vc4hdmi        ]: vc4-hdmi - vc4-hdmi
                      vc4-hdmi
 2 [Device         ]: USB-Audio - USB PnP Sound Device
                      C-Media Inc. USB PnP Sound Device at usb-0000:01:00.0-1.2, full spe
 3 [Device_1       ]: USB-Audio - USB PnP Sound Device
                      C-Media Inc. USB PnP Sound Device at usb-0000:01:00.0-1.3, full spe
10 [ArrayUAC10     ]: USB-Audio - ReSpeaker 4 Mic Array (UAC1.0)
                      SEEED ReSpeaker 4 Mic Array (UAC1.0) at usb-0000:01:00.0-1.1, high speed
11 [U0x46d0x825    ]: USB-Audio - USB Device 0x46d:0x825
                      USB Device 0x46d:0x825 at usb-0000:01:00.0-1.4, high speed
"""
PCMS = """\
00-00: bcm2835 Headphones : bcm2835 Headphones : playback 8
01-03: MAI PCM i2s-hifi-0 : MAI PCM i2s-hifi-0 : playback 1
02-00: USB Audio : USB Audio : playback 1 : capture 1
03-00: USB Audio : USB Audio : playback 1 : capture 1
10-00: USB Audio : USB Audio : playback 1 : capture 1
11-00: USB Audio : USB Audio : capture 1
"""


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "cards").write_text(CARDS, encoding="utf-8")
    (tmp_path / "pcm").write_text(PCMS, encoding="utf-8")
    return tmp_path


def test_cards_are_read_with_their_names_and_directions(proc: Path) -> None:
    cards = {card.id: card for card in read_cards(proc)}
    assert list(cards) == [
        "Headphones", "vc4hdmi", "Device", "Device_1", "ArrayUAC10", "U0x46d0x825"
    ]  # fmt: skip
    assert cards["Headphones"].devices(PLAYBACK) == (0,)
    assert cards["Headphones"].devices(CAPTURE) == ()
    assert "SEEED ReSpeaker 4 Mic Array (UAC1.0)" in cards["ArrayUAC10"].names[1]


def test_the_only_card_that_records_and_plays_is_the_speakerphone(proc: Path) -> None:
    cards = read_cards(proc)
    assert speakerphone(cards) is None  # three of them do
    few = [card for card in cards if not card.id.startswith("Device")]
    assert str(speakerphone(few)).startswith("ArrayUAC10")
    assert speakerphone([]) is None


@pytest.mark.parametrize("text", ["--- no soundcards ---\n", "", "\n\x00\n 0 [\n"])
def test_a_machine_without_cards_has_none(tmp_path: Path, text: str) -> None:
    assert read_cards(tmp_path) == []
    (tmp_path / "cards").write_text(text, encoding="utf-8")
    assert read_cards(tmp_path) == []


@pytest.mark.parametrize(
    ("setting", "direction", "pcm"),
    [
        ("default", CAPTURE, "default"),
        ("plughw:CARD=Device,DEV=0", CAPTURE, "plughw:CARD=Device,DEV=0"),
        ("hw:Gone", CAPTURE, "hw:Gone"),
        ("array", CAPTURE, "array"),  # ALSA lists a PCM of that name
        ("respeaker", CAPTURE, "plughw:CARD=ArrayUAC10"),
        ("ReSpeaker 4 Mic", PLAYBACK, "plughw:CARD=ArrayUAC10"),
        ("device", CAPTURE, "plughw:CARD=Device"),  # the id itself, though Device_1 has it too
        ("00.0-1.3", PLAYBACK, "plughw:CARD=Device_1"),  # by the socket it is plugged into
        ("bcm2835", PLAYBACK, "plughw:CARD=Headphones"),
        ("hdmi", PLAYBACK, "sysdefault:CARD=vc4hdmi"),  # takes what its own configuration makes
        ("mycard", CAPTURE, "mycard"),  # ALSA may know it
        ("USB Device 0x46d:0x825", CAPTURE, "plughw:CARD=U0x46d0x825"),  # its name, with a colon
        ("usb-0000:01:00.0-1.4", CAPTURE, "plughw:CARD=U0x46d0x825"),
        ("usb-0000:01:00.0-1.9", CAPTURE, "usb-0000:01:00.0-1.9"),
    ],
)
def test_a_setting_finds_its_pcm(proc: Path, setting: str, direction: Direction, pcm: str) -> None:
    assert resolve(setting, direction, ["array", "vmic"], read_cards(proc)) == pcm


def test_a_name_that_several_cards_have_is_refused_with_their_ports(proc: Path) -> None:
    with pytest.raises(DeviceError) as caught:
        resolve("USB PnP", CAPTURE, [], read_cards(proc))
    said = str(caught.value)
    assert "capture.device = 'USB PnP' fits 2 cards" in said
    assert "Device (USB PnP Sound Device), Device_1 (USB PnP Sound Device)" in said
    assert 'device = "usb-0000:01:00.0-1.2"' in said


def test_a_name_with_a_colon_that_two_cards_have_is_refused_with_their_ports(proc: Path) -> None:
    with pytest.raises(DeviceError, match="fits 4 cards"):
        resolve("usb-0000:01", CAPTURE, [], read_cards(proc))


def test_a_name_that_no_card_has_is_refused_with_what_is_there(proc: Path) -> None:
    with pytest.raises(DeviceError) as caught:
        resolve("bcm2835 Headphones", CAPTURE, [], read_cards(proc))
    said = str(caught.value)
    assert "ArrayUAC10 (ReSpeaker 4 Mic Array (UAC1.0))" in said
    assert "Headphones (" not in said  # it cannot capture
    assert "`kiosk devices`" in said


@pytest.mark.parametrize(
    ("setting", "there"),
    [
        ("plughw:CARD=Device,DEV=0", True),
        ("plughw:CARD=Device,DEV=3", False),  # the card is, and has no such device
        ("hw:Device,1", False),
        ("hw:Device,DEV=3", False),
        ("hw:Device,DEV=0", True),
        ("plughw:CARD=Headphones", False),  # it plays only
        ("Headphones", None),
        ("USB Device 0x46d:0x825", True),
        ("hw:Device_1", True),
        ("hw:Device_1,0", True),
        ("plug:'hw:CARD=ArrayUAC10'", True),
        ("plughw:CARD=Gone", False),
        ("respeaker", True),
        ("default", None),
        ("vmic", None),
    ],
)
def test_it_is_known_whether_a_named_card_is_there(
    proc: Path, setting: str, there: bool | None
) -> None:
    assert present(setting, CAPTURE, read_cards(proc)) is there


@pytest.mark.parametrize(
    ("pcm", "card"),
    [
        ("plughw:CARD=Device,DEV=0", "Device"),
        ("sysdefault:CARD=Device", "Device"),
        ("hw:Device,0", "Device"),
        ("default", None),
        ("bluealsa:DEV=00:11:22:33:44:55,PROFILE=a2dp", None),
    ],
)
def test_a_pcms_name_tells_its_card(pcm: str, card: str | None) -> None:
    assert card_of(pcm) == card


def test_the_listing_selects_every_card_by_name(proc: Path) -> None:
    lines = list(list_devices(proc))
    cards = read_cards(proc)
    begin, middle = lines.index("\n[capture]"), lines.index("\n[playback]")
    for direction, part in ((CAPTURE, lines[begin:middle]), (PLAYBACK, lines[middle:])):
        settings = [line.split('"')[1] for line in part if "device = " in line]
        found = {resolve(setting, direction, [], cards) for setting in settings}
        assert found >= {card.pcm(direction) for card in cards if card.devices(direction)}
    # None of them is there for ALSA on this machine.
    listed = {line.split('"')[1] for line in lines if line.startswith("# device = ")}
    assert listed >= {
        "ReSpeaker 4 Mic Array (UAC1.0)", "usb-0000:01:00.0-1.3", "USB Device 0x46d:0x825"
    }  # fmt: skip
