"""Listing of this machine's sound devices and GPIO chips, each with the setting that selects it."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from kiosk.devices.alsa import list_pcms, try_pcm
from kiosk.devices.cards import Card, Direction, own_pcm, read_cards, setting_for
from kiosk.devices.ports import NoFormatError
from kiosk.errors import DeviceError


def list_devices(proc: Path | None = None) -> Iterator[str]:
    """Lines for an operator to read; what cannot be listed is said, not raised.

    Each sound device is opened for a moment: what cannot be used now comes last, with the reason.
    """
    cards = read_cards(proc)
    yield "sound cards:"
    yield from (f"  {card.id}: {', '.join(card.names)}" for card in cards)
    if not cards:
        yield "  none (virtual and network devices may still be listed below)"
    for direction in Direction:
        yield f"\n[{direction}]"
        yield from _settings(cards, direction)
    yield "\nGPIO chips:"
    chips = sorted(Path("/dev").glob("gpiochip*"))
    yield from (f"  {chip}" for chip in chips)
    if not chips:
        yield '  none: set driver = "none" in [button] and [indicator]'


def _settings(cards: Sequence[Card], direction: Direction) -> Iterator[str]:
    able = [card for card in cards if card.devices(direction)]
    pcms = {setting_for(card, direction, cards): card.pcm(direction) for card in able}
    try:
        names = sorted(list_pcms(direction), key=lambda pcm: (not pcm.startswith("plug"), pcm))
        pcms |= {name: name for name in names if name not in pcms}
        with _libraries_silent():
            why = {setting: _refusal(pcm, direction) for setting, pcm in pcms.items()}
    except DeviceError as error:
        yield f"# {error}"
        why = dict.fromkeys(pcms)
    yield from (f'device = "{setting}"' for setting, refusal in why.items() if refusal is None)
    if refused := {setting: refusal for setting, refusal in why.items() if refusal is not None}:
        yield "# These cannot be used now:"
        yield from (f'# device = "{setting}": {refusal}' for setting, refusal in refused.items())
    if len(refused) == len(why):
        yield f'# nothing found; driver = "virtual" runs without a {direction} device'


def _refusal(pcm: str, direction: Direction) -> str | None:
    """Why it cannot be opened; None: it can."""
    try:
        try_pcm(direction, pcm)
    except NoFormatError as error:
        own = own_pcm(pcm)
        return str(error) if own is None else _refusal(own, direction)
    except DeviceError as error:
        return str(error).removeprefix(f"sound device {pcm!r}: ")
    return None


@contextlib.contextmanager
def _libraries_silent() -> Iterator[None]:
    """Plug-ins of ALSA (Jack's, for one) write on stderr whatever they cannot reach, and may start
    a server to reach it."""
    os.environ["JACK_NO_START_SERVER"] = "1"
    with Path(os.devnull).open("wb") as nothing:
        kept = os.dup(2)
        os.dup2(nothing.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
