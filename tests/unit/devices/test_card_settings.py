"""What [capture] and [playback] accept."""

import pytest
from pydantic import ValidationError

from kiosk.config.tables import CaptureTable, PlaybackTable


@pytest.mark.parametrize("table", [CaptureTable, PlaybackTable])
@pytest.mark.parametrize(
    "device",
    [
        "hw:0",
        "hw:1,0",
        "plughw:1,0",
        "plughw: 1",
        "hw:CARD=0",
        "plughw:CARD=1,DEV=0",
        "plughw:DEV=0,CARD=1",
        "sysdefault:1",
        "default:CARD=2",
        "plug:'hw:0,0'",
        "dsnoop:0",
        "hw",
        "plughw",
        "0",
        " 1 ",
    ],
)
def test_b6_a_card_by_its_number_is_refused_with_the_reason(
    table: type[CaptureTable] | type[PlaybackTable], device: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        table(device=device)
    [mistake] = caught.value.errors()
    assert mistake["loc"] == ("device",)
    assert "changes with every boot" in mistake["msg"]
    assert "`kiosk devices`" in mistake["msg"]


@pytest.mark.parametrize(
    "device",
    [
        "default",
        "vmic",
        "USB PnP",
        "bcm2835",
        "00.0-1.3",
        "hw:CARD=Device",
        "plughw:CARD=Device,DEV=0",
        "plughw:Device,0",
        "sysdefault:CARD=vc4hdmi0",
        "hw:CARD=2i2",
        "bluealsa:DEV=00:11:22:33:44:55",
    ],
)
def test_b6_a_card_by_its_name_is_accepted(device: str) -> None:
    assert CaptureTable(device=device).device == device
    assert PlaybackTable(device=device).device == device


def test_an_empty_device_is_refused() -> None:
    with pytest.raises(ValidationError, match="is empty"):
        CaptureTable(device=" ")


def test_the_channel_must_be_one_of_the_channels() -> None:
    assert CaptureTable(channels=4, channel=3).channel == 3
    assert CaptureTable(channel=3).channel == 3  # of as many as the card has
    with pytest.raises(ValidationError, match="channel = 2 is none of the 1"):
        CaptureTable(channels=1, channel=2)
    with pytest.raises(ValidationError):
        CaptureTable(channels=4, channel=0)


def test_a14_a_wake_lead_may_last_as_long_as_a_television_takes() -> None:
    assert PlaybackTable(wake_lead_ms=3000).wake_lead_ms == 3000
    with pytest.raises(ValidationError):
        PlaybackTable(wake_lead_ms=3001)


@pytest.mark.parametrize("volume", [-1, 101])
def test_a_volume_is_a_percentage(volume: int) -> None:
    with pytest.raises(ValidationError):
        PlaybackTable(volume=volume)
