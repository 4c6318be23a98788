"""Listing of this machine's sound devices and GPIO chips, each with the setting that selects it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from kiosk.devices.alsa import list_pcms
from kiosk.devices.cards import PROC_ASOUND, Card, Direction, read_cards
from kiosk.errors import DeviceError


def list_devices(proc: Path = PROC_ASOUND) -> Iterator[str]:
    """Lines for an operator to read; what cannot be listed is said, not raised."""
    cards = read_cards(proc)
    yield "sound cards:"
    yield from (f"  {card.id}: {', '.join(card.names)}" for card in cards)
    if not cards:
        yield "  none (virtual and network devices may still be listed below)"
    for direction in Direction:
        yield f"\n[{direction}]"
        names = list(selecting(cards, direction))
        try:
            names += sorted(list_pcms(direction), key=lambda pcm: (not pcm.startswith("plug"), pcm))
        except DeviceError as error:
            yield f"# {error}"
        yield from (f'device = "{name}"' for name in names)
        if not names:
            yield f'# nothing found; driver = "virtual" runs without a {direction} device'
    yield "\nGPIO chips:"
    chips = sorted(Path("/dev").glob("gpiochip*"))
    yield from (f"  {chip}" for chip in chips)
    if not chips:
        yield '  none: set driver = "none" in [button] and [indicator]'


def selecting(cards: Sequence[Card], direction: Direction) -> Iterator[str]:
    """What selects each card that has the direction: its name, or where others have that too, its
    id."""
    able = [card for card in cards if card.devices(direction)]
    for card in able:
        name = card.names[0]
        alone = name and [card] == [other for other in able if other.has(name)]
        yield name if alone else card.pcm(direction)
