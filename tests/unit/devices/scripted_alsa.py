"""A library with the interface of pyalsaaudio, for what no virtual card does: cards that lack a
format, that are busy, that vanish; mixers with and without decibels.

Like the real one it does not complain of what a card cannot: `info` tells what was really set.
"""

import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

FORMATS = {"S16_LE": 2, "S24_LE": 6, "S32_LE": 10, "IEC958_SUBFRAME_LE": 18, "S24_3LE": 32}


class ALSAAudioError(Exception):
    """As the real one: a text only."""


@dataclass
class Card:
    """What one PCM can do, and what becomes of it."""

    formats: Sequence[str] = ("S16_LE",)
    rate_hz: int | None = None  # None: any
    channels: int | None = None
    refusal: int | None = None  # the errno of opening it
    gone: bool = False
    opened: int = 0
    closed: int = 0


@dataclass
class Control:
    """One mixer control, at first muted and at its softest."""

    raw: tuple[int, int] = (0, 100)
    db: tuple[float, float] | None = None
    capabilities: Sequence[str] = ("Playback Volume", "Playback Mute")
    switch: bool = True
    value: int = 0
    value_db: float = 0.0
    muted: bool = True
    locked: bool = False

    def __post_init__(self) -> None:
        self.value = self.raw[0]
        self.value_db = self.db[0] if self.db else 0.0


@dataclass
class ScriptedAlsa:
    """The machine's cards and mixers by device name; `module` is what is imported."""

    cards: dict[str, Card] = field(default_factory=dict)
    mixers: dict[str, dict[str, Control]] = field(default_factory=dict)

    def module(self) -> ModuleType:
        module = ModuleType("alsaaudio")
        constants = {
            "PCM_CAPTURE": 1,
            "PCM_PLAYBACK": 0,
            "PCM_NONBLOCK": 1,
            "PCM_STATE_DISCONNECTED": 8,
            "VOLUME_UNITS_PERCENTAGE": 0,
            "VOLUME_UNITS_RAW": 1,
            "VOLUME_UNITS_DB": 2,
            **{f"PCM_FORMAT_{name}": code for name, code in FORMATS.items()},
        }
        machine = self

        class PCM(ScriptedPcm):
            def __init__(self, **asked: Any) -> None:
                super().__init__(machine.cards, asked)

        class Mixer(ScriptedMixer):
            def __init__(self, control: str, device: str) -> None:
                super().__init__(machine.mixers[device][control])

        def mixers(device: str) -> list[str]:
            if device not in self.mixers:
                raise ALSAAudioError(f"No such file or directory [{device}]")
            return list(self.mixers[device])

        names: dict[str, Any] = {
            **constants,
            "ALSAAudioError": ALSAAudioError,
            "PCM": PCM,
            "Mixer": Mixer,
            "mixers": mixers,
            "pcms": lambda _: list(self.cards),
        }
        for name, value in names.items():
            setattr(module, name, value)
        return module


class ScriptedPcm:
    """Silence in, silence out; what matters is what opening it gives."""

    def __init__(self, cards: Mapping[str, Card], asked: Mapping[str, Any]) -> None:
        self._device: str = asked["device"]
        if self._device not in cards:
            raise ALSAAudioError(f"No such file or directory [{self._device}]")
        self._card = cards[self._device]
        if self._card.refusal is not None:
            raise ALSAAudioError(f"{os.strerror(self._card.refusal)} [{self._device}]")
        self._card.opened += 1
        has = [FORMATS[name] for name in self._card.formats]
        self._info = {
            "format": asked["format"] if asked["format"] in has else has[0],
            "rate": self._card.rate_hz or asked["rate"],
            "channels": self._card.channels or asked["channels"],
            "card_no": -1,
            "period_size": asked["periodsize"],
            "buffer_size": asked["periodsize"] * asked["periods"],
        }

    def info(self) -> dict[str, int]:
        return self._info

    def state(self) -> int:
        return 8 if self._card.gone else 1

    def polldescriptors(self) -> list[tuple[int, int]]:
        return [(0, 1)]

    def polldescriptors_revents(self, _: object) -> int:
        return 0

    def read(self) -> tuple[int, bytes]:
        return 0, b""

    def avail(self) -> int:
        return -errno.ENODEV if self._card.gone else 0

    def write(self, data: bytes) -> int:
        if self._card.gone:
            raise ALSAAudioError(f"No such device [{self._device}]")
        return 0

    def drop(self) -> None:
        if self._card.gone:
            raise ALSAAudioError(f"No such device [{self._device}]")

    def close(self) -> None:
        self._card.closed += 1


class ScriptedMixer:
    """One control, opened."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def volumecap(self) -> list[str]:
        return list(self._control.capabilities)

    def getmute(self) -> list[int]:
        if not self._control.switch:
            raise ALSAAudioError("Playback mute not supported")
        return [int(self._control.muted)]

    def setmute(self, muted: int) -> None:
        if not self._control.switch:
            raise ALSAAudioError("Playback mute not supported")
        self._control.muted = bool(muted)

    def getrange(self, pcmtype: int, units: int) -> list[int]:
        if units == 1:
            return list(self._control.raw)
        if self._control.db is None:  # the real one gives what stood in the memory
            return [0, 1393668624]
        return [round(100 * limit) for limit in self._control.db]

    def getvolume(self, pcmtype: int, units: int) -> list[int]:
        if units == 1:
            return [self._control.value] * 2
        return (
            [140507212671872] if self._control.db is None else [round(100 * self._control.value_db)]
        )

    def setvolume(self, volume: int, *, pcmtype: int, units: int) -> None:
        if self._control.locked:
            raise ALSAAudioError("Operation not permitted")
        if units == 2:
            self._control.value_db = volume / 100
        else:
            self._control.value = volume

    def close(self) -> None:
        """Nothing to close."""
