"""The cards' volumes: the loudspeaker's in its mixer where it has one, or else by arithmetic; the
microphone's in its own.

One curve for mixer and arithmetic, that of alsamixer's and PulseAudio's sliders: a gain of
(percent / 100) cubed, 60 dB x log10(percent / 100). 100 is what the card plays unchanged (0 dB, or
its loudest where that is less), 50 is 18 dB softer, 0 is silence. Of several controls in a row the
first of `USUAL_CONTROLS` has the volume, and the others are opened: 0 dB. How loud the control is
then is read back, and what it did not do is done by arithmetic. One that does not tell its
decibels, or tells nonsense, is set to the percentage of its own scale.
"""

import contextlib
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kiosk.causes import fault
from kiosk.devices.alsa import load
from kiosk.devices.cards import Direction, card_of, read_cards, resolve
from kiosk.errors import DeviceError

log = logging.getLogger(__name__)

# What all of a card's outputs share, then the outputs: by the names of ALSA's drivers, and of the
# kernel's own table for USB devices (sound/usb/mixer.c). The first that is there has the volume.
_SHARED = ("Master", "Softmaster", "PCM", "Digital", "Playback", "DAC")
_OUTPUTS = (
    "Speaker",
    "Headphone",
    "Headset",
    "Speakerphone",
    "Output",
    "Desktop Speaker",
    "Room Speaker",
    "Com Speaker",
    "HMD Audio",
    "Line Out",
    "Lineout",
    "HDMI",
)
# "Line" is some cards' output, and others' sound from a socket: never opened beside another.
USUAL_CONTROLS = (*_SHARED, *_OUTPUTS, "Line")
_USUAL_MICROPHONES = ("Capture", "Mic", "Internal Mic", "Headset", "ADC", "Digital", "PCM", "Line")
_AGC = ("Auto Gain Control", "AGC")
_PLAYBACK_VOLUMES = {"Playback Volume", "Joined Playback Volume", "Volume", "Joined Volume"}
_CAPTURE_VOLUMES = {"Capture Volume", "Joined Capture Volume", "Volume", "Joined Volume"}
# pyalsaaudio gives what stood in the memory where a control does not tell its decibels. No card
# is this loud or (but for those that call silence -99999.99 dB) this soft.
_SANE_DB = (-200.0, 60.0)
_SILENCE_DB = -99999.99
# A control of less than a decibel over so many steps tells nonsense.
_LEAST_RANGE_DB, _FEW_STEPS = 1.0, 8
_NEAR_DB = 0.5  # what a control's steps miss by less is not worth arithmetic


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

    def apply(self, pcm: str, card: int | None = None) -> float:
        """Set it on the card of this PCM, number `card` as it is opened now (None: a plug-in's);
        by what factor samples remain to be multiplied."""
        if self._percent is None:
            return 1.0
        if self._control == "none":
            return gain(self._percent)
        alsa, device = self._library(), mixer_device(pcm, card)
        if device is None:
            self._say(f"{pcm!r} does not tell which card it is; playback.device can name it")
            return gain(self._percent)
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
        others = _beside(alsa, device, controls, name) if self._control == "auto" else []
        with _mixer(alsa, name, device) as mixer:
            _unmute(alsa, mixer, muted=percent == 0)
            left_db = _set_volume(alsa, mixer, percent)
        for other in others:
            # One that cannot be set is as it was.
            with contextlib.suppress(alsa.ALSAAudioError), _mixer(alsa, other, device) as mixer:
                _unmute(alsa, mixer, muted=False)
                # What tells no decibels may be far above them at its top.
                if _range_db(alsa, mixer) is not None or not _percent(alsa, mixer):
                    _set_volume(alsa, mixer, 100)
        opened = f", {', '.join(map(repr, others))} opened" if others else ""
        log.info("volume %d: control %r of %s%s", percent, name, device, opened)
        return 10 ** (left_db / 20)

    def _choose(self, alsa: Any, device: str, controls: Sequence[str]) -> str | None:
        wanted = USUAL_CONTROLS if self._control == "auto" else (self._control,)
        for name in wanted:
            if name in controls and _is_volume(alsa, name, device):
                return name
        # In quotes: some names end with a blank.
        found = ", ".join(map(repr, dict.fromkeys(controls))) or "no control at all"
        what = (
            "none of the usual volume controls"
            if self._control == "auto"
            else f"no volume control {self._control!r} with a range"
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


class Sensitivity:
    """Sets a microphone's volume, switch and automatic gain whenever its card is opened; what it
    cannot do, it says once. `percent` is of the control's own scale, as `amixer` shows it; None and
    `agc` None leave the card as it is. `control`: "auto" or a name."""

    def __init__(
        self,
        percent: int | None,
        control: str,
        agc: bool | None,
        library: Callable[[], Any] = load,
    ) -> None:
        self._percent = percent
        self._control = control
        self._agc = agc
        self._library = library
        self._said: set[str] = set()

    def apply(self, pcm: str, card: int | None = None) -> None:
        """Set them on the card of this PCM, number `card` as it is opened now."""
        if self._percent is None and self._agc is None:
            return
        alsa, device = self._library(), mixer_device(pcm, card)
        if device is None:
            self._say(f"{pcm!r} does not tell which card it is; capture.device can name it")
            return
        try:
            self._set(alsa, device, alsa.mixers(device=device))
        except alsa.ALSAAudioError as error:
            self._say(f"the mixer of {device} cannot be used ({error})")

    def _set(self, alsa: Any, device: str, controls: Sequence[str]) -> None:
        found = ", ".join(map(repr, dict.fromkeys(controls))) or "no control at all"
        if self._percent is not None:
            wanted = _USUAL_MICROPHONES if self._control == "auto" else (self._control,)
            name = _microphone(alsa, device, controls, wanted)
            if name is None:
                self._say(f"{device} has no volume for capture (there: {found}); capture.mixer "
                          "can name one")  # fmt: skip
            else:
                with _mixer(alsa, name, device) as mixer:
                    _set_capture(alsa, mixer, self._percent)
        if self._agc is not None:
            name = next((each for each in _AGC if each in controls), None)
            if name is None:
                self._say(f"{device} has no gain of its own to switch (there: {found})")
            else:
                with _mixer(alsa, name, device) as mixer:
                    _switch(alsa, mixer, on=self._agc)

    def _say(self, what: str) -> None:
        if what not in self._said:
            self._said.add(what)
            log.warning(
                "capture.volume or capture.agc cannot be set: %s",
                what,
                extra=fault("microphone_not_set"),
            )


@dataclass(frozen=True, slots=True)
class Reading:
    """How a card's volume stands, on the curve above, all of its row together."""

    control: str
    percent: int
    muted: bool


def reading(setting: str, control: str, library: Callable[[], Any] = load) -> Reading | None:
    """The volume of the card that `playback.device` means; None: it has no control for it, or the
    setting names no card. Changes nothing; raises DeviceError."""
    alsa, direction = library(), Direction.PLAYBACK
    pcm = resolve(setting, direction, alsa.pcms(alsa.PCM_PLAYBACK), read_cards())
    if (device := mixer_device(pcm)) is None:
        return None
    try:
        there = alsa.mixers(device=device)
        wanted = USUAL_CONTROLS if control in ("auto", "none") else (control,)
        usable = (each for each in wanted if each in there and _is_volume(alsa, each, device))
        if (name := next(usable, None)) is None:
            return None
        others = _beside(alsa, device, there, name) if control == "auto" else []
        stand = {each: _stands(alsa, each, device) for each in (name, *others)}
    except alsa.ALSAAudioError as error:
        raise DeviceError(f"{device}: {error}") from error
    # Through all that the outputs share, and then by the loudest of them.
    outputs = [its for each, its in stand.items() if each in _OUTPUTS]
    row = [its for each, its in stand.items() if each not in _OUTPUTS]
    row += [max(outputs)] if outputs else []
    factor = math.prod(percent / 100 for _, percent in row)
    return Reading(name, round(100 * factor), muted=not all(sounds for sounds, _ in row))


def mutes_microphone(pcm: str, card: int | None, library: Callable[[], Any] = load) -> str | None:
    """Which control of its card's mixer keeps a microphone silent; None: none, or none that can be
    read."""
    alsa = library()
    if (device := mixer_device(pcm, card)) is None:
        return None
    try:
        for name in dict.fromkeys(alsa.mixers(device=device)):
            with _mixer(alsa, name, device) as mixer:
                if name in _USUAL_MICROPHONES and _is_deaf(alsa, mixer):
                    return str(name)
    except alsa.ALSAAudioError:
        return None
    return None


def mixer_device(pcm: str, card: int | None = None) -> str | None:
    """Where the controls of a PCM's card are: its card's, by the name or as it was opened.

    A plug-in of a name of its own may have controls of that name; those of "default" are any
    card's: None."""
    if (named := card_of(pcm)) is not None:
        return f"hw:CARD={named}"
    if card is not None:
        return f"hw:{card}"
    return None if pcm in ("default", "sysdefault") else pcm


@contextlib.contextmanager
def _mixer(alsa: Any, name: str, device: str) -> Iterator[Any]:
    with contextlib.closing(alsa.Mixer(name, device=device)) as mixer:
        yield mixer


def _beside(alsa: Any, device: str, controls: Sequence[str], name: str) -> list[str]:
    """The other volumes that the sound may pass."""
    usual = (each for each in (*_SHARED, *_OUTPUTS) if each != name and each in controls)
    return [each for each in usual if _is_volume(alsa, each, device)]


def _is_volume(alsa: Any, name: str, device: str) -> bool:
    """Whether it is a playback volume, and can be turned."""
    with _mixer(alsa, name, device) as mixer:
        if _PLAYBACK_VOLUMES.isdisjoint(mixer.volumecap()):
            return False
        low, high = mixer.getrange(alsa.PCM_PLAYBACK, alsa.VOLUME_UNITS_RAW)
        return bool(low < high)


def _unmute(alsa: Any, mixer: Any, *, muted: bool) -> None:
    # Many controls have no switch.
    with contextlib.suppress(alsa.ALSAAudioError):
        mixer.setmute(int(muted))


def _set_volume(alsa: Any, mixer: Any, percent: int) -> float:
    """Set it; how many decibels the control could not do (0 or less)."""
    playback, raw = alsa.PCM_PLAYBACK, alsa.VOLUME_UNITS_RAW
    low, high = mixer.getrange(playback, raw)
    range_db = _range_db(alsa, mixer)
    if range_db is None:
        value = low + round((high - low) * percent / 100)
        if percent and value == low:  # which is silence, on most
            value = low + 1
        mixer.setvolume(value, pcmtype=playback, units=raw)
        return 0.0
    lowest_db, highest_db = range_db
    wanted_db = gain_db(percent)
    set_db = max(lowest_db, min(wanted_db, highest_db))
    mixer.setvolume(round(100 * set_db), pcmtype=playback, units=alsa.VOLUME_UNITS_DB)
    if not percent:
        return wanted_db
    is_db = _now_db(alsa, mixer)
    if is_db <= _SILENCE_DB:  # its lowest step mutes: the next one, and the rest by arithmetic
        mixer.setvolume(low + 1, pcmtype=playback, units=raw)
        is_db = _now_db(alsa, mixer)
    left_db = wanted_db - is_db
    return left_db if left_db < -_NEAR_DB else 0.0


def _now_db(alsa: Any, mixer: Any) -> float:
    """Of the loudest channel."""
    loudest: float = max(mixer.getvolume(alsa.PCM_PLAYBACK, alsa.VOLUME_UNITS_DB))
    return loudest / 100


def _stands(alsa: Any, name: str, device: str) -> tuple[bool, int]:
    """Whether it is unmuted, and its percentage."""
    with _mixer(alsa, name, device) as mixer:
        return not _is_muted(alsa, mixer), _percent(alsa, mixer)


def _percent(alsa: Any, mixer: Any) -> int:
    """Of the loudest channel."""
    playback = alsa.PCM_PLAYBACK
    if _range_db(alsa, mixer) is not None:
        db = _now_db(alsa, mixer)
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
    """The control's range, None if it does not tell, or tells what cannot be."""
    playback, raw = alsa.PCM_PLAYBACK, alsa.VOLUME_UNITS_RAW
    low, high = (v / 100 for v in mixer.getrange(playback, alsa.VOLUME_UNITS_DB))
    now = [v / 100 for v in mixer.getvolume(playback, alsa.VOLUME_UNITS_DB)]
    first, last = mixer.getrange(playback, raw)
    lowest, highest = _SANE_DB
    sane = low < high <= highest and (low >= lowest or low == _SILENCE_DB)
    sane = sane and (high - low >= _LEAST_RANGE_DB or last - first <= _FEW_STEPS)
    return (low, high) if sane and all(low <= each <= high for each in now) else None


def _microphone(
    alsa: Any, device: str, controls: Sequence[str], wanted: Sequence[str]
) -> str | None:
    for name in wanted:
        if name in controls:
            with _mixer(alsa, name, device) as mixer:
                if not _CAPTURE_VOLUMES.isdisjoint(mixer.volumecap()):
                    return name
    return None


def _set_capture(alsa: Any, mixer: Any, percent: int) -> None:
    capture, raw = alsa.PCM_CAPTURE, alsa.VOLUME_UNITS_RAW
    low, high = mixer.getrange(capture, raw)
    value = low + round((high - low) * percent / 100)
    mixer.setvolume(value, pcmtype=capture, units=raw)
    with contextlib.suppress(alsa.ALSAAudioError):  # many have no switch
        mixer.setrec(int(percent > 0))


def _switch(alsa: Any, mixer: Any, *, on: bool) -> None:
    """A switch that may be of either direction."""
    try:
        mixer.setmute(int(not on))
    except alsa.ALSAAudioError:
        mixer.setrec(int(on))


def _is_deaf(alsa: Any, mixer: Any) -> bool:
    """Whether its switch is off, or its volume at its least."""
    with contextlib.suppress(alsa.ALSAAudioError):
        if not any(mixer.getrec()):
            return True
    if _CAPTURE_VOLUMES.isdisjoint(mixer.volumecap()):
        return False
    low, high = mixer.getrange(alsa.PCM_CAPTURE, alsa.VOLUME_UNITS_RAW)
    now = mixer.getvolume(alsa.PCM_CAPTURE, alsa.VOLUME_UNITS_RAW)
    return bool(low < high and max(now) == low)
