"""Cards to be measured: the microphone's with every channel that it has, before anything is mixed,
and the other cards of this machine, one of which may be the right one."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from kiosk.config import Settings
from kiosk.devices import cards
from kiosk.devices.alsa import AlsaCapture, CardSettings, list_pcms
from kiosk.devices.cards import Direction
from kiosk.devices.hardware import Hardware, configured_hardware
from kiosk.devices.ports import CapturePcm, PlaybackPcm
from kiosk.devices.virtual import Echo, Room, VirtualCapture, VirtualPlayback
from kiosk.errors import DeviceError

_MOST_CHANNELS = 8
_PLUG = "plughw:"


@dataclass(frozen=True, slots=True)
class WholeCards:
    """How cards are opened for a measurement, by what the settings call them. `others`: what
    selects each card but that of the settings."""

    open_capture: Callable[[str], CapturePcm]
    open_playback: Callable[[str], PlaybackPcm]
    others: Callable[[Direction], Sequence[str]] = lambda _: ()


def whole_cards(settings: Settings, hardware: Hardware | None = None) -> WholeCards:
    """This machine's; virtual ones are those of the hardware, None: of a room with an echo."""
    if settings.capture.driver == "virtual" or settings.playback.driver == "virtual":
        if hardware is not None:
            its = hardware
            return WholeCards(lambda _: its.open_capture(), lambda _: its.open_playback())
        room = Room(echo=Echo(delay_s=0.02))
        return WholeCards(lambda _: VirtualCapture(room), lambda _: VirtualPlayback(room))
    return WholeCards(
        lambda device: _open_capture(settings, device),
        lambda device: _open_playback(settings, device),
        lambda direction: _others(settings, direction),
    )


def _open_capture(settings: Settings, device: str) -> CapturePcm:
    there, capture = cards.read_cards(), settings.capture
    pcm = cards.resolve(device, Direction.CAPTURE, list_pcms(Direction.CAPTURE), there)
    mixed = CardSettings(
        pcm, capture.rate_hz, capture.channels or 1, capture.period_ms, as_it_is=True
    )
    if pcm.startswith(_PLUG):
        raw = pcm.removeprefix("plug")
        whole = replace(mixed, device=raw, channels=_MOST_CHANNELS)
        # A card that cannot be had as it is, such as one of 8 bit, may be had converted.
        with contextlib.suppress(DeviceError):
            return AlsaCapture(whole)
    return AlsaCapture(mixed)


def _open_playback(settings: Settings, device: str) -> PlaybackPcm:
    """With the volume of the settings, as in a visit."""
    playback = settings.playback.model_copy(update={"device": device})
    return configured_hardware(settings.model_copy(update={"playback": playback})).open_playback()


def _others(settings: Settings, direction: Direction) -> Sequence[str]:
    table = settings.capture if direction is Direction.CAPTURE else settings.playback
    there, pcms = cards.read_cards(), list_pcms(direction)

    def card(setting: str) -> str | None:
        try:
            return cards.card_of(cards.resolve(setting, direction, pcms, there))
        except DeviceError:
            return None

    own = card(table.device)
    able = (each for each in there if each.devices(direction))
    names = (cards.setting_for(each, direction, there) for each in able)
    return [name for name in names if card(name) != own]
