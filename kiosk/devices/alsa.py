"""ALSA through pyalsaaudio 0.11, never blocking.

What its documentation does not say and this module relies on (source read, and measured):
- an impossible rate or channel count does not raise: `info()` tells what was really set;
- `write` answers -32 on underrun without having written: write it again; it may write a part;
- after `drop` the next `read` or `write` prepares and starts the stream by itself;
- `close` on playback plays the buffer out first, and hangs on a stalled card: `drop` before it.
"""

import contextlib
import ctypes
import errno
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

from kiosk.audio.pcm import SampleFormat
from kiosk.causes import fault
from kiosk.devices.cards import Direction
from kiosk.devices.ports import BusyError, CardRefusedError, NoFormatError
from kiosk.errors import DeviceError

log = logging.getLogger(__name__)

_EPIPE = -32
_MOST_CHANNELS = 8
_loading = threading.Lock()
# Capture may buffer generously (it costs no delay): 320 ms of being kept from the processor.
_CAPTURE_PERIODS = 16
# The narrowest first: more bits than a voice has only cost time.
_FORMATS = (
    SampleFormat.S16_LE,
    SampleFormat.S32_LE,
    SampleFormat.S24_LE,
    SampleFormat.S24_3LE,
)
_GONE = tuple(map(os.strerror, (errno.ENODEV, errno.EIO, errno.EBADFD, errno.ECONNREFUSED)))
_ADVICE = {
    os.strerror(errno.EACCES): "the kiosk's user must be in the group audio",
    os.strerror(errno.EPERM): "the kiosk's user must be in the group audio",
}
_BUSY = os.strerror(errno.EBUSY)
_BUSY_ADVICE = "another program has it; `fuser -v /dev/snd/*` names it"
_LISTING_ADVICE = "`kiosk devices` lists what is there"
# What a sound server answers that runs for somebody else, or for nobody yet.
_ANOTHERS = tuple(map(os.strerror, (errno.ECONNREFUSED, errno.EHOSTDOWN)))
_ANOTHERS_ADVICE = (
    "that is a sound server, of another user or not started, which the kiosk cannot use: name the "
    "card itself, as `kiosk devices` lists it"
)
# What was said of a card that gives other than asked, so that reopening it does not say it again.
_said: set[str] = set()


@dataclass(frozen=True, slots=True)
class CardSettings:
    """What to ask of a card. `device` is an ALSA PCM name such as plughw:CARD=Device,DEV=0.

    `sample_format` None: whatever the card has. `channel`: the one to listen to, from 1 on.
    `as_it_is`: another rate or number of channels than asked for is as welcome.
    """

    device: str
    rate_hz: int
    channels: int
    period_ms: int
    buffer_ms: int = 0  # playback only
    sample_format: SampleFormat | None = None
    channel: int | None = None  # capture only
    as_it_is: bool = False


class AlsaCapture:
    """A `CapturePcm` on an ALSA device; raises DeviceError where that says so."""

    def __init__(
        self,
        settings: CardSettings,
        muted_by: Callable[[str, int | None], str | None] = lambda _device, _card: None,
    ) -> None:
        self.xruns = 0
        self.channel = settings.channel
        self._muted_by = muted_by
        self._settings = settings
        self._alsa = load()
        self._pcm, info, self.sample_format = _open(
            self._alsa, Direction.CAPTURE, settings, periods=_CAPTURE_PERIODS
        )
        self.card = _card(info)
        self.has_converter = False
        self.rate_hz: int = info["rate"]
        self.channels: int = info["channels"]
        if self.channel is not None and self.channel > self.channels:
            _close(self._alsa, self._pcm)
            raise DeviceError(
                f"sound device {settings.device!r} has {self.channels} channel(s): "
                f"there is no capture.channel = {self.channel}"
            )
        # Behind a sound server a prepared stream records already, and the first read would deliver
        # what was said before the press. Dropped, it stays open and set up; a read starts it.
        self.drop()

    def muted_by(self) -> str | None:
        return self._muted_by(self._settings.device, self.card)

    def read(self) -> bytes:
        with _Worded(self._alsa, self._settings.device):
            frames, data = self._pcm.read()
        if frames == _EPIPE:
            self.xruns += 1
        return bytes(data) if frames > 0 else b""

    def available(self) -> int:
        with _Worded(self._alsa, self._settings.device):
            return max(0, int(self._pcm.avail()))

    def drop(self) -> None:
        with _Worded(self._alsa, self._settings.device):
            self._pcm.drop()

    def check(self) -> None:
        _check(self._alsa, self._pcm, self._settings.device)

    def close(self) -> None:
        _close(self._alsa, self._pcm)


class AlsaPlayback:
    """A `PlaybackPcm` on an ALSA device; raises DeviceError where that says so."""

    def __init__(self, settings: CardSettings) -> None:
        self.xruns = 0
        self.software_gain = 1.0
        self._settings = settings
        self._alsa = load()
        periods = max(2, settings.buffer_ms // settings.period_ms)
        self._pcm, info, self.sample_format = _open(
            self._alsa, Direction.PLAYBACK, settings, periods=periods
        )
        self.card = _card(info)
        self.rate_hz: int = info["rate"]
        self.channels: int = info["channels"]
        # A card may insist on a larger buffer: use no more of it than was asked for.
        self._card_frames: int = info["buffer_size"]
        asked = settings.buffer_ms * self.rate_hz // 1000
        self.buffer_frames = min(self._card_frames, max(asked, 2 * info["period_size"]))

    def write(self, data: bytes) -> int:
        with _Worded(self._alsa, self._settings.device):
            frames = int(self._pcm.write(data))
            if frames == _EPIPE:
                self.xruns += 1
                frames = int(self._pcm.write(data))
        return max(0, frames)

    def queued(self) -> int:
        with _Worded(self._alsa, self._settings.device):
            free = int(self._pcm.avail())
        # A negative answer is an errno: the stream ran dry, so nothing is queued.
        return 0 if free < 0 else max(0, self._card_frames - free)

    def drop(self) -> None:
        with _Worded(self._alsa, self._settings.device):
            self._pcm.drop()

    def check(self) -> None:
        _check(self._alsa, self._pcm, self._settings.device)

    def close(self) -> None:
        _close(self._alsa, self._pcm)


def _card(info: dict[str, Any]) -> int | None:
    """The number of the card that was opened, as long as it is; None: ALSA knows of none."""
    number: int = info["card_no"]
    return number if number >= 0 else None


def own_channels(device: str) -> int:
    """How many channels a microphone's card has by itself; 1 of a name that hides it. Raises
    DeviceError."""
    if not device.startswith(("hw:", "plughw:")):
        return 1
    itself = CardSettings(device.removeprefix("plug"), 48_000, _MOST_CHANNELS, 20)
    alsa = load()
    with _Worded(alsa, device):
        pcm = _asked(alsa, Direction.CAPTURE, itself, SampleFormat.S16_LE, periods=4)
        channels: int = pcm.info()["channels"]
    _close(alsa, pcm)
    return channels


def list_pcms(direction: Direction) -> list[str]:
    """The names of the PCMs that ALSA offers."""
    alsa = load()
    return [name for name in alsa.pcms(_kind(alsa, direction)) if name != "null"]


def load() -> ModuleType:
    """The library; raises DeviceError where it is not usable."""
    try:
        with _loading:
            import alsaaudio

            # pyalsaaudio leaves its types for Python to make ready at their first use. Two threads
            # that open their cards at once can both be first, and one of them then finds a PCM
            # without methods ("object has no attribute 'info'", seen once in fifty starts).
            alsaaudio.PCM.info  # noqa: B018  looking at it makes the type ready
            _hush()
    except ImportError as error:
        raise DeviceError(f"pyalsaaudio is not usable here ({error}): run `make venv`") from error
    module: ModuleType = alsaaudio
    return module


@cache
def _hush() -> None:
    """Keep libasound from writing on stderr at every try to open a card that is away: what it has
    to say comes as an error, and is told once."""
    # The handler may be called in any thread, so it must not be Python; getpid is a function of C
    # that does nothing, whatever it is given.
    nothing = ctypes.cast(ctypes.CDLL(None).getpid, ctypes.c_void_p)
    with contextlib.suppress(OSError):  # a library of another name: then it goes on writing
        ctypes.CDLL("libasound.so.2").snd_lib_error_set_handler(nothing)


def _kind(alsa: ModuleType, direction: Direction) -> int:
    kind: int = alsa.PCM_CAPTURE if direction is Direction.CAPTURE else alsa.PCM_PLAYBACK
    return kind


def try_pcm(direction: Direction, device: str) -> None:
    """Open it for a moment, whatever rate and channels it has; raises DeviceError."""
    alsa, settings = load(), CardSettings(device, 48_000, 1, 20)
    _close(alsa, _opened(alsa, direction, settings, periods=4)[0])


def _open(
    alsa: ModuleType, direction: Direction, settings: CardSettings, *, periods: int
) -> tuple[Any, dict[str, Any], SampleFormat]:
    """The PCM in the first format that it has, and what was really set; what differs is said."""
    pcm, info, sample_format = _opened(alsa, direction, settings, periods=periods)
    _say_what_differs(direction, settings, info)
    return pcm, info, sample_format


def _opened(
    alsa: ModuleType, direction: Direction, settings: CardSettings, *, periods: int
) -> tuple[Any, dict[str, Any], SampleFormat]:
    wanted = _FORMATS if settings.sample_format is None else (settings.sample_format,)
    for sample_format in wanted:
        with _Worded(alsa, settings.device):
            pcm = _asked(alsa, direction, settings, sample_format, periods=periods)
            info = pcm.info()
        if info["format"] == _code(alsa, sample_format):
            return pcm, info, sample_format
        _close(alsa, pcm)
    if settings.sample_format is not None:
        raise DeviceError(
            f"sound device {settings.device!r} has no {settings.sample_format}: "
            f'with {direction}.format = "auto" the kiosk takes what it has'
        )
    # What `plughw` cannot make, such as HDMI's frames, the card's own configuration may.
    plug = "sysdefault" if settings.device.startswith("plughw:") else "plughw"
    raise NoFormatError(
        f"sound device {settings.device!r} has none of the formats {', '.join(_FORMATS)}: "
        f"name it as {plug}:CARD=... so that ALSA converts"
    )


def _asked(
    alsa: ModuleType,
    direction: Direction,
    settings: CardSettings,
    sample_format: SampleFormat,
    *,
    periods: int,
) -> Any:
    return alsa.PCM(
        type=_kind(alsa, direction),
        mode=alsa.PCM_NONBLOCK,
        device=settings.device,
        rate=settings.rate_hz,
        channels=settings.channels,
        format=_code(alsa, sample_format),
        periodsize=settings.rate_hz * settings.period_ms // 1000,
        periods=periods,
    )


def _code(alsa: ModuleType, sample_format: SampleFormat) -> int:
    code: int = getattr(alsa, f"PCM_FORMAT_{sample_format}")
    return code


def _say_what_differs(direction: Direction, settings: CardSettings, info: dict[str, Any]) -> None:
    rate_hz, channels = info["rate"], info["channels"]
    if settings.as_it_is or (rate_hz, channels) == (settings.rate_hz, settings.channels):
        return
    what = (
        f"{settings.device}: {direction}.rate_hz = {settings.rate_hz} and {direction}.channels = "
        f"{settings.channels} were asked for, the card gives {rate_hz} and {channels}; the kiosk "
        "goes on with that"
    )
    if what not in _said:
        _said.add(what)
        log.warning(what, extra=fault("card_differs"))


def _check(alsa: ModuleType, pcm: Any, device: str) -> None:
    if pcm.state() == alsa.PCM_STATE_DISCONNECTED:
        raise DeviceError(f"sound device {device!r} was unplugged")
    # A stream that rests tells of a sound server's end in this way only.
    try:
        pcm.polldescriptors_revents(pcm.polldescriptors())
    except alsa.ALSAAudioError as error:
        if str(error).startswith(_GONE):
            raise _worded(error, device) from error


def _close(alsa: ModuleType, pcm: Any) -> None:
    # The card may be gone already; then there is nothing to drop.
    with contextlib.suppress(alsa.ALSAAudioError):
        pcm.drop()
    with contextlib.suppress(alsa.ALSAAudioError):
        pcm.close()


class _Worded:
    """What ALSA refuses in this block, in the kiosk's words. Not by contextlib: it is entered 400
    times a second."""

    def __init__(self, alsa: ModuleType, device: str) -> None:
        self._refusal: type[Exception] = alsa.ALSAAudioError
        self._device = device

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, self._refusal):
            raise _worded(error, self._device) from error


def _worded(error: Exception, device: str) -> DeviceError:
    """What ALSA said, and the next step."""
    reason = str(error).removesuffix(f" [{device}]")
    if reason == _BUSY:
        return BusyError(f"sound device {device!r}: {reason}: {_BUSY_ADVICE}")
    if reason in _ADVICE:
        return DeviceError(f"sound device {device!r}: {reason}; {_ADVICE[reason]}")
    advice = _ANOTHERS_ADVICE if reason in _ANOTHERS else _LISTING_ADVICE
    return CardRefusedError(f"sound device {device!r}: {reason}; {advice}")
