"""Cards by their settings: names of cards to names of ALSA PCMs. Reads /proc/asound only.

A card's number changes with every boot and every plug; its id and its names stay. The rule:
1. `default` and the name of a PCM that ALSA lists are passed on as is;
2. anything else is looked for in the ids and names of the cards that have the direction, upper or
   lower case: a card of exactly that id, or else the only card with that text, is it. Names have
   colons too: "USB Device 0x46d:0x825", "usb-0000:01:00.0-1.4";
3. what no card has is passed on too, if it has a colon or is one word: ALSA may know a PCM that it
   does not list.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from kiosk.errors import DeviceError

PROC_ASOUND = Path("/proc/asound")

_CARD = re.compile(r"\s*(?P<index>\d+) \[(?P<id>[^\]]+)\]: (?P<driver>.*?) - (?P<name>.*)")
_DEVICE = re.compile(r"(?P<card>\d+)-(?P<device>\d+):.*")
_CARD_OF_PCM = re.compile(
    r"(?:.*[:,'\"\s])?CARD=(?P<named>[^,'\"\s]+)(?:,DEV=(?P<its>\d+))?"
    r"|\w+:(?P<first>[^,=:'\"\s]+)(?:,(?:DEV=)?(?P<second>\d+)|,|$)"
)
_PORT = re.compile(r" at (?P<port>usb-[^,\s]+),")
# Cards that take one form of samples only (IEC 60958 frames, as HDMI does), which `plughw` does not
# make; the card's own configuration, which `sysdefault` reads, does.
_DIGITAL_DRIVERS = frozenset({"vc4-hdmi"})


class Direction(StrEnum):
    """Which way sound goes, by the name of the configuration's table."""

    CAPTURE = "capture"
    PLAYBACK = "playback"


@dataclass(frozen=True, slots=True)
class Card:
    """A card the kernel knows. `names`: its own, and the one that tells where it is plugged in."""

    id: str
    names: tuple[str, ...]
    capture: tuple[int, ...] = ()
    playback: tuple[int, ...] = ()
    driver: str = ""
    index: int | None = None

    def devices(self, direction: Direction) -> tuple[int, ...]:
        return self.capture if direction is Direction.CAPTURE else self.playback

    def pcm(self, direction: Direction) -> str:
        """Its first device, converted by ALSA where the card cannot what is asked."""
        if self.driver in _DIGITAL_DRIVERS:
            return f"sysdefault:CARD={self.id}"
        first = min(self.devices(direction), default=0)
        return f"plughw:CARD={self.id}" + (f",DEV={first}" if first else "")

    @property
    def port(self) -> str | None:
        """Where a USB card is plugged in, which is the same after every boot."""
        found = _PORT.search(self.names[-1])
        return None if found is None else found["port"]

    def has(self, text: str) -> bool:
        return any(text.casefold() in name.casefold() for name in (self.id, *self.names))

    def __str__(self) -> str:
        return f"{self.id} ({self.names[0]})"


def read_cards(proc: Path | None = None) -> list[Card]:
    """The cards that are there now; none where the kernel has no sound."""
    proc = proc or PROC_ASOUND
    lines = _lines(proc / "cards")
    devices = _devices(_lines(proc / "pcm"))
    cards = []
    for number, line in enumerate(lines):
        if found := _CARD.match(line):
            index = int(found["index"])
            where = lines[number + 1].strip() if number + 1 < len(lines) else ""
            names = tuple(name for name in (found["name"].strip(), where) if name)
            capture, playback = (devices.get((index, its), ()) for its in Direction)
            driver = found["driver"].strip()
            its_id = found["id"].strip()
            cards.append(Card(its_id, names or ("",), capture, playback, driver, index))
    return cards


def speakerphone(cards: Sequence[Card]) -> Card | None:
    """The only card that both records and plays, if there is just one."""
    both = [card for card in cards if card.capture and card.playback]
    return both[0] if len(both) == 1 else None


def setting_for(card: Card, direction: Direction, cards: Sequence[Card]) -> str:
    """What to write for this card: its name, of twins the port, or else the PCM by its id."""
    able = [each for each in cards if each.devices(direction)]
    # The comma is the kernel's: port 1.3 is the beginning of 1.3.1 too.
    ways = (card.names[0], card.port, f"{card.port}," if card.port else None)
    alone = (way for way in ways if way and [card] == [each for each in able if each.has(way)])
    return next(alone, card.pcm(direction))


def resolve(
    setting: str, direction: Direction, pcms: Collection[str], cards: Sequence[Card]
) -> str:
    """The PCM to open; raises DeviceError where the setting means no card, or several."""
    if setting == "default" or setting in pcms:
        return setting
    able = [card for card in cards if card.devices(direction)]
    matches = [card for card in able if card.id.casefold() == setting.casefold()]
    matches = matches or [card for card in able if card.has(setting)]
    key = f"{direction}.device = {setting!r}"
    if len(matches) > 1:
        found = ", ".join(map(str, matches))
        raise DeviceError(
            f"{key} fits {len(matches)} cards: {found}; write more of the name, or "
            f'device = "{setting_for(matches[0], direction, cards)}"'
        )
    if matches:
        return matches[0].pcm(direction)
    if ":" not in setting and len(setting.split()) != 1:
        raise DeviceError(f"{key}: {nowhere(direction, cards)}")
    return setting


def nowhere(direction: Direction, cards: Sequence[Card]) -> str:
    """That no card fits, and which there are."""
    found = ", ".join(str(card) for card in cards if card.devices(direction)) or "none"
    return (
        f"no card for {direction} has that in its name (there: {found}): is it plugged in? "
        "`kiosk devices` lists what can be written"
    )


def present(setting: str, direction: Direction, cards: Sequence[Card]) -> bool | None:
    """Whether the kernel has the device that a setting means; None where that names no card that it
    could know (a sound server, a PCM of ALSA's configuration)."""
    able = [card for card in cards if card.devices(direction)]
    if any(card.has(setting) for card in able):
        return True
    found = _CARD_OF_PCM.match(setting)
    if found is None:
        return None
    named, device = _named(found), found["its"] or found["second"]
    return any(
        card.id == named and (device is None or int(device) in card.devices(direction))
        for card in able
    )


def card_of(pcm: str) -> str | None:
    """The id of the card in a PCM's name such as plughw:CARD=Device,DEV=0 or hw:Device."""
    found = _CARD_OF_PCM.match(pcm)
    return None if found is None else _named(found)


def has_converter(pcm: str, number: int | None, cards: Sequence[Card]) -> bool:
    """Whether a converter of sound is behind a PCM for certain, by its name or as it was opened:
    not where ALSA tells no card, and not where the card is a loop (snd-aloop)."""
    named = card_of(pcm)
    its = (card for card in cards if named == card.id or (named is None and number == card.index))
    card = next(its, None)
    return card is not None and card.driver != "Loopback"


def own_pcm(pcm: str) -> str | None:
    """What the card's own configuration makes of it, where ALSA's plain conversion (`plughw`) does
    not do; None: the name is no plain conversion of a card's first device."""
    card = card_of(pcm)
    plain = pcm.startswith("plughw:") and not re.search(r"DEV=[1-9]|,[1-9]", pcm)
    return f"sysdefault:CARD={card}" if card and plain else None


def _named(found: re.Match[str]) -> str:
    return found["named"] or found["first"]


def is_pcm(setting: str, pcms: Collection[str]) -> bool:
    """Whether, where no card has it in its name, it is the name of a PCM."""
    return setting == "default" or ":" in setting or setting in pcms


def _devices(lines: list[str]) -> dict[tuple[int, Direction], tuple[int, ...]]:
    """Device numbers by card and direction, of lines such as
    `01-00: USB Audio : USB Audio : playback 1 : capture 1`."""
    devices: dict[tuple[int, Direction], tuple[int, ...]] = {}
    for line in lines:
        if found := _DEVICE.match(line):
            for direction in Direction:
                if re.search(rf": {direction} \d", line):
                    key = int(found["card"]), direction
                    devices[key] = (*devices.get(key, ()), int(found["device"]))
    return devices


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
