"""Cards opened for a measurement: all channels, and the other cards of the machine."""

import logging
from pathlib import Path
from typing import Any

import pytest

from kiosk.config import Settings
from kiosk.devices import cards
from kiosk.devices.cards import Direction
from kiosk.devices.whole_cards import whole_cards
from kiosk.errors import DeviceError
from tests.unit.devices.scripted_alsa import Card, ScriptedAlsa
from tests.unit.doctor.subjects import settings

PROC_CARDS = """\
 0 [Headphones     ]: bcm2835_headpho - bcm2835 Headphones
                      bcm2835 Headphones
 1 [Device         ]: USB-Audio - USB PnP Sound Device
                      C-Media at usb-1
 2 [Webcam         ]: USB-Audio - HD Webcam
                      HD at usb-2
"""
PROC_PCM = """\
00-00: bcm2835 : bcm2835 : playback 1
01-00: USB Audio : USB Audio : playback 1 : capture 1
02-00: USB Audio : USB Audio : capture 1
"""


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ScriptedAlsa:
    (tmp_path / "cards").write_text(PROC_CARDS)
    (tmp_path / "pcm").write_text(PROC_PCM)
    there = cards.read_cards(tmp_path)
    monkeypatch.setattr(cards, "read_cards", lambda: there)
    machine = ScriptedAlsa()
    monkeypatch.setattr("kiosk.devices.alsa.load", machine.module)
    return machine


def of(device: str, **capture: Any) -> Settings:
    return settings(
        capture={"driver": "alsa", "device": device, **capture},
        playback={"driver": "alsa", "device": "Headphones"},
    )


def test_a_microphone_is_opened_with_every_channel_it_has_and_nothing_is_said_of_it(
    machine: ScriptedAlsa, caplog: pytest.LogCaptureFixture
) -> None:
    machine.cards["hw:CARD=Device"] = Card(channels=2)
    caplog.set_level(logging.INFO)
    pcm = whole_cards(of("USB PnP", channel=1)).open_capture("USB PnP")
    assert (pcm.channels, pcm.channel) == (2, None)
    assert caplog.messages == []


@pytest.mark.parametrize("raw", [None, Card(formats=("IEC958_SUBFRAME_LE",)), Card(refusal=22)])
def test_a_card_that_cannot_be_had_as_it_is_is_had_converted(
    machine: ScriptedAlsa, raw: Card | None
) -> None:
    machine.cards["plughw:CARD=Device"] = Card()
    if raw is not None:
        machine.cards["hw:CARD=Device"] = raw
    pcm = whole_cards(of("Device", channels=2)).open_capture("Device")
    assert pcm.channels == 2


def test_a_card_that_is_away_is_told_by_its_own_name(machine: ScriptedAlsa) -> None:
    with pytest.raises(DeviceError, match="plughw:CARD=Device"):
        whole_cards(of("Device")).open_capture("Device")


def test_the_others_are_all_cards_that_can_but_the_one_of_the_settings(
    machine: ScriptedAlsa,
) -> None:
    whole = whole_cards(of("plughw:CARD=Webcam"))
    assert list(whole.others(Direction.CAPTURE)) == ["USB PnP Sound Device"]
    assert list(whole.others(Direction.PLAYBACK)) == ["USB PnP Sound Device"]
    by_default = whole_cards(of("default"))
    assert list(by_default.others(Direction.CAPTURE)) == ["USB PnP Sound Device", "HD Webcam"]
