"""The loudspeaker's volume: in the card's mixer where it has one, or else by arithmetic.

One curve for both, that of alsamixer's and PulseAudio's sliders: a gain of (percent / 100) cubed,
60 dB x log10(percent / 100). 100 is what the card plays unchanged (0 dB, or its loudest where that
is less), 50 is 18 dB softer, 0 is silence. What the card's range does not reach is done by
arithmetic. A control that does not tell its decibels is set to the percentage of its own scale.
"""

import contextlib
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kiosk.causes import fault
from kiosk.devices.alsa import load
from kiosk.devices.cards import Direction, card_of, read_cards, resolve
from kiosk.errors import DeviceError

log = logging.getLogger(__name__)

# The controls that usually are a card's volume, the first that is there.
USUAL_CONTROLS = (
    "Master",
    "PCM",
    "Speaker",
    "Headphone",
    "Headset",
    "Digital",
    "Playback",
    "Line Out",
    "Lineout",
    "Line",
    "DAC",
    "HDMI",
    "Softmaster",
)
_PLAYBACK_VOLUMES = {"Playback Volume", "Joined Playback Volume", "Volume", "Joined Volume"}
# pyalsaaudio gives what stood in the memory where a control does not tell its decibels. No card
# is this loud or (but for those that call silence -99999.99 dB) this soft.
_SANE_DB = (-200.0, 60.0)
_SILENCE_DB = -99999.99


def gain_db(percent: int) -> float:
    """The one curve; 0 is -inf."""
    return 60 * math.log10(percent / 100) if percent else -math.inf


def gain(percent: int) -> float:
    """The same as a factor."""
    return (percent / 100) ** 3


class Volume:
    """Sets one loudspeaker's volume whenever its card is opened; what it cannot do, it says once.

    `percent` None leaves the card as it is. `control`: "auto", "none" (by arithmetic) or a name.
    """

    def __init__(
        self, percent: int | None, control: str, library: Callable[[], Any] = load
    ) -> None:
        self._percent = percent
        self._library = library
        self._control = control
        self._said: set[str] = set()

    def apply(self, pcm: str) -> float:
        """Set it on the card of this PCM; by what factor samples remain to be multiplied."""
        if self._percent is None:
            return 1.0
        if self._control == "none":
            return gain(self._percent)
        alsa, device = self._library(), mixer_device(pcm)
        try:
            return self._set(alsa, device, self._percent)
        except alsa.ALSAAudioError as error:
            self._say(f"the mixer of {device} cannot be used ({error})")
            return gain(self._percent)

    def _set(self, alsa: Any, device: str, percent: int) -> float:
        controls = alsa.mixers(device=device)
        name = self._choose(alsa, device, controls)
        if name is None:
            return gain(percent)
        with contextlib.closing(alsa.Mixer(name, device=device)) as mixer:
            _unmute(alsa, mixer, muted=percent == 0)
            left_db = _set_volume(alsa, mixer, percent)
        log.info("volume %d: control %r of %s", percent, name, device)
        return 10 ** (left_db / 20)

    def _choose(self, alsa: Any, device: str, controls: Sequence[str]) -> str | None:
        wanted = USUAL_CONTROLS if self._control == "auto" else (self._control,)
        for name in wanted:
            if name in controls and _is_volume(alsa, name, device):
                return name
        found = ", ".join(dict.fromkeys(controls)) or "no control at all"
        what = (
            "none of the usual volume controls"
            if self._control == "auto"
            else (f"no volume control {self._control!r}")
        )
        self._say(f"{device} has {what} (there: {found}); playback.mixer can name one")
        return None

    def _say(self, what: str) -> None:
        if what not in self._said:
            self._said.add(what)
            log.warning(
                "playback.volume = %s is done by arithmetic: %s",
                self._percent,
                what,
                extra=fault("volume_by_arithmetic"),
            )


@dataclass(frozen=True, slots=True)
class Reading:
    """How a card's volume stands, on the curve above."""

    control: str
    percent: int
    muted: bool


def reading(setting: str, control: str, library: Callable[[], Any] = load) -> Reading | None:
    """The volume of the card that `playback.device` means; None: it has no control for it.
    Changes nothing; raises DeviceError."""
    alsa, direction = library(), Direction.PLAYBACK
    pcm = resolve(setting, direction, alsa.pcms(alsa.PCM_PLAYBACK), read_cards())
    device = mixer_device(pcm)
    try:
        there = alsa.mixers(device=device)
        wanted = USUAL_CONTROLS if control in ("auto", "none") else (control,)
        usable = (each for each in wanted if each in there and _is_volume(alsa, each, device))
        if (name := next(usable, None)) is None:
            return None
        with contextlib.closing(alsa.Mixer(name, device=device)) as mixer:
            return Reading(name, _percent(alsa, mixer), _is_muted(alsa, mixer))
    except alsa.ALSAAudioError as error:
        raise DeviceError(f"{device}: {error}") from error


def mixer_device(pcm: str) -> str:
    """Where the controls of a PCM's card are: its card's, or for a plain name the same name."""
    card = card_of(pcm)
    return pcm if card is None else f"hw:CARD={card}"


def _is_volume(alsa: Any, name: str, device: str) -> bool:
    with contextlib.closing(alsa.Mixer(name, device=device)) as mixer:
        return not _PLAYBACK_VOLUMES.isdisjoint(mixer.volumecap())


def _unmute(alsa: Any, mixer: Any, *, muted: bool) -> None:
    # Many controls have no switch.
    with contextlib.suppress(alsa.ALSAAudioError):
        mixer.setmute(int(muted))


def _set_volume(alsa: Any, mixer: Any, percent: int) -> float:
    """Set it; how many decibels the control could not do (0 or less)."""
    playback = alsa.PCM_PLAYBACK
    range_db = _range_db(alsa, mixer)
    if range_db is None:
        low, high = mixer.getrange(playback, alsa.VOLUME_UNITS_RAW)
        value = low + round((high - low) * percent / 100)
        mixer.setvolume(value, pcmtype=playback, units=alsa.VOLUME_UNITS_RAW)
        return 0.0
    lowest_db, highest_db = range_db
    wanted_db = gain_db(percent)
    set_db = max(lowest_db, min(wanted_db, highest_db))
    mixer.setvolume(round(100 * set_db), pcmtype=playback, units=alsa.VOLUME_UNITS_DB)
    return min(0.0, wanted_db - set_db)


def _percent(alsa: Any, mixer: Any) -> int:
    """Of the loudest channel."""
    playback = alsa.PCM_PLAYBACK
    if _range_db(alsa, mixer) is not None:
        db = max(mixer.getvolume(playback, alsa.VOLUME_UNITS_DB)) / 100
        return min(100, round(100 * 10 ** (db / 60))) if db > _SILENCE_DB else 0
    low, high = mixer.getrange(playback, alsa.VOLUME_UNITS_RAW)
    raw = max(mixer.getvolume(playback, alsa.VOLUME_UNITS_RAW))
    share: float = (raw - low) / max(1, high - low)
    return round(100 * share)


def _is_muted(alsa: Any, mixer: Any) -> bool:
    # Many controls have no switch.
    with contextlib.suppress(alsa.ALSAAudioError):
        return all(mixer.getmute())
    return False


def _range_db(alsa: Any, mixer: Any) -> tuple[float, float] | None:
    """The control's range, None if it does not tell."""
    low, high = (v / 100 for v in mixer.getrange(alsa.PCM_PLAYBACK, alsa.VOLUME_UNITS_DB))
    now = [v / 100 for v in mixer.getvolume(alsa.PCM_PLAYBACK, alsa.VOLUME_UNITS_DB)]
    lowest, highest = _SANE_DB
    sane = low < high <= highest and (low >= lowest or low == _SILENCE_DB)
    return (low, high) if sane and all(low <= each <= high for each in now) else None
