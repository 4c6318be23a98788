"""Odd sound cards behind the real libasound: what they can, hear and control is in files.

A card is there for the kernel's list (/proc/asound, as the kiosk reads it) and for ALSA by the
names that real ones have: hw:CARD=ID, plughw:CARD=ID, sysdefault:CARD=ID. Its card and its mixer
are plug-ins of ALSA, made here with the machine's C compiler in half a second.
"""

import hashlib
import os
import subprocess
import tempfile
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from kiosk.audio.pcm import Samples, samples_from_bytes

_SOURCES = {"pcm": "oddcard", "ctl": "oddctl"}
_HERE = Path(__file__).parent
_CHANNELS = 16  # of an element in a mixer's state


@cache
def plug_ins() -> dict[str, Path]:
    """The two plug-ins by kind, compiled once for all processes of this user."""
    text = b"".join((_HERE / f"{name}.c").read_bytes() for name in _SOURCES.values())
    digest = hashlib.sha256(text).hexdigest()[:16]
    directory = Path(tempfile.gettempdir()) / f"kiosk-odd-cards-{os.getuid()}-{digest}"
    directory.mkdir(mode=0o700, exist_ok=True)
    made = {}
    for kind, name in _SOURCES.items():
        library = directory / f"libasound_module_{kind}_{name}.so"
        if not library.exists():
            unfinished = library.with_suffix(f".{os.getpid()}")
            command = ["cc", "-Wall", "-fPIC", "-shared", "-DPIC", "-D_GNU_SOURCE", "-o"]
            source = str(_HERE / f"{name}.c")
            subprocess.run([*command, str(unfinished), source, "-lasound"], check=True)
            unfinished.replace(library)
        made[kind] = library
    return made


@dataclass(frozen=True)
class OddCard:
    """One card. `id` is ALSA's, `name` the kernel's long one, `where` what it is plugged in at.
    `mixer`: lines for oddctl.c, "" for none. `heard`: what it captures, interleaved bytes."""

    id: str
    name: str = ""
    where: str = ""
    driver: str = "USB-Audio"
    formats: str = "S16_LE"
    channels: str = "2"
    rates: str = "48000"
    start_ms: int = 0
    heard: bytes = b""
    mixer: str = ""
    captures: bool = True
    plays: bool = True


@dataclass
class OddMachine:
    """The machine's cards; `environment` is what a process needs to see them, `proc` stands for
    /proc/asound. `more`: lines for its asound.conf."""

    directory: Path
    cards: list[OddCard]
    more: str = ""
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.proc.mkdir()
        self._write_proc()
        text = [self._head(), *map(self._lines, self.cards), textwrap.dedent(self.more)]
        (self.directory / "odd.conf").write_text("\n".join(text), encoding="utf-8")
        config = self.directory / "alsa.conf"
        files = f'"/usr/share/alsa/alsa.conf" "{self.directory}/odd.conf"'
        config.write_text(
            f"@hooks [ {{ func load files [ {files} ] errors false }} ]\n", encoding="utf-8"
        )
        self.environment = {"ALSA_CONFIG_PATH": str(config)}

    @property
    def proc(self) -> Path:
        return self.directory / "asound"

    def played(self, card: str) -> Samples:
        """What this card played, as 16-bit samples of all its channels."""
        path = self._file(card, "out")
        return samples_from_bytes(path.read_bytes()) if path.exists() else samples_from_bytes(b"")

    def log(self, card: str) -> list[str]:
        """`start` and `stop`, as often as this card did."""
        path = self._file(card, "log")
        return [line.split()[1] for line in path.read_text().splitlines()] if path.exists() else []

    def mixer(self, card: str) -> Mapping[str, int]:
        """How this card's controls stand, of each the first channel."""
        text = next(each.mixer for each in self.cards if each.id == card)
        names = [line.split("|")[0] for line in _elements(text)]
        state = self._file(card, "mixer.state")
        if not state.exists():
            return {}
        values = np.fromfile(state, dtype=np.int32).reshape(-1, _CHANNELS)
        return {name: int(values[number, 0]) for number, name in enumerate(names)}

    def _file(self, card: str, kind: str) -> Path:
        return self.directory / f"{card}.{kind}"

    def _write_proc(self) -> None:
        cards, pcms = [], []
        for number, card in enumerate(self.cards):
            name = card.name or card.id
            cards.append(f"{number:2} [{card.id:<15}]: {card.driver} - {name}")
            cards.append(f"{'':22}{card.where or name}")
            ways = [f"playback {1}" if card.plays else "", f"capture {1}" if card.captures else ""]
            pcms.append(" : ".join([f"{number:02}-00: {name}", name, *filter(None, ways)]))
        (self.proc / "cards").write_text("\n".join([*cards, ""]), encoding="utf-8")
        (self.proc / "pcm").write_text("\n".join([*pcms, ""]), encoding="utf-8")

    def _head(self) -> str:
        libraries = plug_ins()
        # hw, plughw and sysdefault by the card's id, as alsa.conf has them of real cards.
        return textwrap.dedent(f"""
            pcm_type.oddcard {{ lib "{libraries["pcm"]}" }}
            ctl_type.oddctl {{ lib "{libraries["ctl"]}" }}
            pcm.!hw {{
              @args [ CARD DEV ] @args.CARD {{ type string }} @args.DEV {{ type integer default 0 }}
              type empty slave.pcm {{ @func concat strings [ "odd_" $CARD "_" $DEV ] }}
            }}
            pcm.!plughw {{
              @args [ CARD DEV ] @args.CARD {{ type string }} @args.DEV {{ type integer default 0 }}
              type plug slave.pcm {{ @func concat strings [ "odd_" $CARD "_" $DEV ] }}
            }}
            pcm.!sysdefault {{
              @args [ CARD ] @args.CARD {{ type string }}
              type plug slave.pcm {{ @func concat strings [ "own_" $CARD ] }}
            }}
            ctl.!hw {{
              @args [ CARD ] @args.CARD {{ type string }}
              type oddctl file {{ @func concat strings [ "{self.directory}/" $CARD ".mixer" ] }}
            }}
        """)

    def _lines(self, card: OddCard) -> str:
        odd = f"odd_{card.id}_0"
        if card.mixer:
            text = textwrap.dedent(card.mixer)
            self._file(card.id, "mixer").write_text(text, encoding="utf-8")
        if card.heard:
            self._file(card.id, "in").write_bytes(card.heard)
        where = " ".join(f'{key} "{self._file(card.id, key)}"' for key in ("in", "out", "log"))
        # What the card's own configuration makes of digital frames, as vc4-hdmi's does.
        iec958 = f"type iec958 slave {{ pcm {odd} format IEC958_SUBFRAME_LE }}"
        own = iec958 if "IEC958" in card.formats else f"type empty slave.pcm {odd}"
        return textwrap.dedent(f"""
            pcm.{odd} {{
              type oddcard formats "{card.formats}" channels "{card.channels}"
              rates "{card.rates}" start_ms {card.start_ms} {where}
            }}
            pcm.own_{card.id} {{ {own} }}
        """)


def _elements(mixer: str) -> list[str]:
    lines = (line.strip() for line in mixer.splitlines())
    return [line for line in lines if line.count("|") >= 5 and not line.startswith("#")]
