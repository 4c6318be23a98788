"""What sound devices and GPIO chips this machine has, each with the setting that selects it."""

from collections.abc import Iterator
from pathlib import Path

from kiosk.devices.alsa import list_devices as list_alsa
from kiosk.errors import DeviceError


def list_devices() -> Iterator[str]:
    """Lines for an operator to read; what cannot be listed is said, not raised."""
    try:
        found = list_alsa()
    except DeviceError as error:
        yield f"sound: {error}"
        found = []
    cards = _lines(Path("/proc/asound/cards"))
    yield "sound cards:"
    yield from cards or ["  none (virtual and network devices may still be listed below)"]
    for direction in ("capture", "playback"):
        yield f"\n[{direction}]"
        names = [name for its, name in found if its == direction]
        yield from (f'device = "{name}"' for name in names)
        if not names:
            yield f'# nothing found; driver = "virtual" runs without a {direction} device'
    yield "\nGPIO chips:"
    chips = sorted(Path("/dev").glob("gpiochip*"))
    yield from (f"  {chip}" for chip in chips)
    if not chips:
        yield '  none: set driver = "none" in [button] and [indicator]'


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return []
    return [] if "no soundcards" in text else [f" {line}" for line in text.splitlines()]
