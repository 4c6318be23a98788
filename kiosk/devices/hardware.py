"""Hardware by the configuration: the driver behind each port."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from kiosk.audio.pcm import SampleFormat, Samples
from kiosk.audio.resample import resample
from kiosk.audio.wav import WavError, read_wav
from kiosk.config import Settings
from kiosk.config.tables import ButtonTable, KeyTable
from kiosk.devices import cards
from kiosk.devices.alsa import (
    AlsaCapture,
    AlsaPlayback,
    CardSettings,
    list_pcms,
    own_channels,
)
from kiosk.devices.cards import Direction
from kiosk.devices.keys import pressed_key
from kiosk.devices.mixer import Sensitivity, Volume, gain, mutes_microphone
from kiosk.devices.ports import (
    BusyError,
    Button,
    ButtonEdge,
    ButtonEvent,
    ButtonHandler,
    CapturePcm,
    Indicator,
    NoFormatError,
    PlaybackPcm,
)
from kiosk.devices.reopening import Opener
from kiosk.devices.virtual import (
    Room,
    VirtualButton,
    VirtualCapture,
    VirtualIndicator,
    VirtualPlayback,
)
from kiosk.errors import ConfigError, DeviceError

P = TypeVar("P")

# Of a card that is kept running little is queued, so it must tell often what it has played.
_KEPT_PERIOD_MS = 5


@dataclass(frozen=True, slots=True)
class Hardware:
    """How each device is opened. The sound cards are opened by their own threads. `open_keys`: the
    buttons beside the button."""

    open_capture: Callable[[], CapturePcm]
    open_playback: Callable[[], PlaybackPcm]
    open_button: Callable[[ButtonHandler, asyncio.AbstractEventLoop], Button]
    open_indicator: Callable[[asyncio.AbstractEventLoop], Indicator]
    open_keys: Callable[[ButtonHandler, asyncio.AbstractEventLoop], tuple[Button, ...]] = (
        lambda _handler, _loop: ()
    )


def configured_hardware(settings: Settings) -> Hardware:
    """The hardware the settings name; raises ConfigError for a recording that cannot be read."""
    room = Room()
    return Hardware(
        _capture(settings, room),
        _playback(settings, room),
        _button(settings),
        _indicator(settings),
        _keys(settings),
    )


def _capture(settings: Settings, room: Room) -> Callable[[], CapturePcm]:
    capture = settings.capture
    if capture.driver == "virtual":
        recording = _recording(settings, room.rate_hz)
        return lambda: VirtualCapture(room, recording=recording)
    card = CardSettings(
        capture.device,
        capture.rate_hz,
        capture.channels or 0,
        capture.period_ms,
        sample_format=_format(capture.format),
        channel=capture.channel,
    )
    sensitivity = Sensitivity(capture.volume, capture.mixer, capture.agc)

    def open_with_sensitivity(found: CardSettings) -> AlsaCapture:
        if not found.channels:
            found = replace(found, channels=_own_channels(found.device))
        pcm = AlsaCapture(found, mutes_microphone)
        pcm.has_converter = cards.has_converter(found.device, pcm.card, cards.read_cards())
        sensitivity.apply(found.device, pcm.card)
        return pcm

    return _named_card(card, Direction.CAPTURE, open_with_sensitivity)


def _own_channels(device: str) -> int:
    """1 where only ALSA could tell, and of a loop, which has as many as it is asked for."""
    if not cards.has_converter(device, None, cards.read_cards()):
        return 1
    try:
        return own_channels(device)
    except BusyError:
        raise
    except DeviceError:  # not as it is, but perhaps converted
        return 1


def _playback(settings: Settings, room: Room) -> Callable[[], PlaybackPcm]:
    playback = settings.playback
    if playback.driver == "virtual":
        return lambda: _virtual_playback(settings, room)
    card = CardSettings(
        playback.device,
        playback.rate_hz,
        playback.channels,
        min(playback.period_ms, _KEPT_PERIOD_MS) if playback.keep_running else playback.period_ms,
        playback.buffer_ms,
        sample_format=_format(playback.format),
    )
    volume = Volume(playback.volume, playback.mixer)

    def open_with_volume(found: CardSettings) -> AlsaPlayback:
        pcm = AlsaPlayback(found)
        pcm.software_gain = volume.apply(found.device, pcm.card)
        return pcm

    return _named_card(card, Direction.PLAYBACK, open_with_volume)


def _virtual_playback(settings: Settings, room: Room) -> VirtualPlayback:
    playback = settings.playback
    pcm = VirtualPlayback(room, buffer_ms=playback.buffer_ms)
    pcm.software_gain = 1.0 if playback.volume is None else gain(playback.volume)
    return pcm


def _named_card(
    card: CardSettings, direction: Direction, open_pcm: Callable[[CardSettings], P]
) -> Opener[P]:
    """Opens the card of this name, wherever it is plugged in by then."""

    def open_card() -> P:
        there, pcms = cards.read_cards(), list_pcms(direction)
        pcm = cards.resolve(card.device, direction, pcms, there)
        try:
            try:
                return open_pcm(replace(card, device=pcm))
            except NoFormatError:
                if (own := cards.own_pcm(pcm)) is None:
                    raise
                return open_pcm(replace(card, device=own))
        except BusyError:
            raise
        except DeviceError as error:
            if pcm != card.device or cards.is_pcm(pcm, pcms):
                raise
            raise DeviceError(f"{error}; and {cards.nowhere(direction, there)}") from error

    return Opener(open_card, lambda: cards.present(card.device, direction, cards.read_cards()))


def _format(name: str) -> SampleFormat | None:
    return None if name == "auto" else SampleFormat(name)


def _button(
    settings: Settings,
) -> Callable[[ButtonHandler, asyncio.AbstractEventLoop], Button]:
    button = settings.button

    def gpio(handler: ButtonHandler, loop: asyncio.AbstractEventLoop) -> Button:
        return _gpio_button(button, button.pin, None, handler, loop)

    def keyboard(handler: ButtonHandler, loop: asyncio.AbstractEventLoop) -> Button:
        from kiosk.devices.keyboard import KeyboardButton

        return KeyboardButton(handler, loop, settings.keys)

    def none(handler: ButtonHandler, _: asyncio.AbstractEventLoop) -> Button:
        return VirtualButton(handler)

    return {"gpio": gpio, "keyboard": keyboard, "none": none}[button.driver]


def _keys(
    settings: Settings,
) -> Callable[[ButtonHandler, asyncio.AbstractEventLoop], tuple[Button, ...]]:
    button, keys = settings.button, settings.keys

    def gpio(handler: ButtonHandler, loop: asyncio.AbstractEventLoop) -> tuple[Button, ...]:
        opened: list[Button] = []
        try:
            for key in keys:
                on_edge = handler if key.language else _on_edge(key, handler)
                its_button = _gpio_button(button, key.pin, key.language, on_edge, loop)
                opened.append(its_button)  # before the next may fail
        except DeviceError:
            for each in opened:
                each.close()
            raise
        return tuple(opened)

    # The keyboard's one reader has the keys too.
    return gpio if button.driver == "gpio" else lambda _handler, _loop: ()


def _on_edge(key: KeyTable, handler: ButtonHandler) -> Callable[[ButtonEvent], None]:
    pressed = pressed_key(key)

    def on_event(event: ButtonEvent) -> None:
        if not isinstance(event, ButtonEdge):
            handler(event)
        elif event.pressed:
            handler(pressed)

    return on_event


def _gpio_button(
    button: ButtonTable,
    pin: int,
    language: str | None,
    handler: Callable[[ButtonEvent], None],
    loop: asyncio.AbstractEventLoop,
) -> Button:
    from kiosk.devices.gpio import GpioButton

    return GpioButton(
        pin,
        pull_up=button.pull_up,
        debounce_s=button.debounce_ms / 1000,
        handler=handler,
        loop=loop,
        language=language,
    )


def _indicator(settings: Settings) -> Callable[[asyncio.AbstractEventLoop], Indicator]:
    indicator = settings.indicator

    def gpio(loop: asyncio.AbstractEventLoop) -> Indicator:
        from kiosk.devices.gpio import GpioIndicator

        return GpioIndicator(
            indicator.pin, indicator.recording_pin, loop, active_low=indicator.active_low
        )

    return gpio if indicator.driver == "gpio" else lambda _: VirtualIndicator()


def _recording(settings: Settings, rate_hz: int) -> Samples | None:
    path = settings.capture.file
    if path is None:
        return None
    try:
        samples, file_rate_hz = read_wav(path.read_bytes())
    except (OSError, WavError) as error:
        raise ConfigError(f"capture.file: {path}: {error}") from error
    return resample(samples, file_rate_hz, rate_hz)
