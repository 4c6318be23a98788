"""ALSA through pyalsaaudio 0.11, never blocking.

What its documentation does not say and this module relies on (source read, and measured):
- an impossible rate or channel count does not raise: `info()` tells what was really set;
- `write` answers -32 on underrun without having written: write it again; it may write a part;
- after `drop` the next `read` or `write` prepares and starts the stream by itself;
- `close` on playback plays the buffer out first, and hangs on a stalled card: `drop` before it.
"""

import contextlib
import logging
import threading
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from kiosk.errors import DeviceError

log = logging.getLogger(__name__)

_EPIPE = -32
_loading = threading.Lock()
# Capture may buffer generously (it costs no delay): 320 ms of being kept from the processor.
_CAPTURE_PERIODS = 16


@dataclass(frozen=True, slots=True)
class CardSettings:
    """What to ask of a card. `device` is an ALSA PCM name such as plughw:CARD=Device,DEV=0."""

    device: str
    rate_hz: int
    channels: int
    period_ms: int
    buffer_ms: int = 0  # playback only


class AlsaCapture:
    """A `CapturePcm` on an ALSA device; raises DeviceError where that says so."""

    def __init__(self, settings: CardSettings) -> None:
        self.xruns = 0
        self._settings = settings
        self._alsa = _load()
        self._pcm, info = _open(
            self._alsa, self._alsa.PCM_CAPTURE, settings, periods=_CAPTURE_PERIODS
        )
        self.rate_hz: int = info["rate"]
        self.channels: int = info["channels"]
        # Behind a sound server a prepared stream records already, and the first read would deliver
        # what was said before the press. Dropped, it stays open and set up; a read starts it.
        self.drop()

    def read(self) -> bytes:
        with _device_errors(self._alsa, self._settings.device):
            frames, data = self._pcm.read()
        if frames == _EPIPE:
            self.xruns += 1
        return bytes(data) if frames > 0 else b""

    def available(self) -> int:
        with _device_errors(self._alsa, self._settings.device):
            return max(0, int(self._pcm.avail()))

    def drop(self) -> None:
        with _device_errors(self._alsa, self._settings.device):
            self._pcm.drop()

    def close(self) -> None:
        _close(self._alsa, self._pcm)


class AlsaPlayback:
    """A `PlaybackPcm` on an ALSA device; raises DeviceError where that says so."""

    def __init__(self, settings: CardSettings) -> None:
        self.xruns = 0
        self._settings = settings
        self._alsa = _load()
        periods = max(2, settings.buffer_ms // settings.period_ms)
        self._pcm, info = _open(self._alsa, self._alsa.PCM_PLAYBACK, settings, periods=periods)
        self.rate_hz: int = info["rate"]
        self.channels: int = info["channels"]
        # A card may insist on a larger buffer: use no more of it than was asked for.
        self._card_frames: int = info["buffer_size"]
        asked = settings.buffer_ms * self.rate_hz // 1000
        self.buffer_frames = min(self._card_frames, max(asked, 2 * info["period_size"]))

    def write(self, data: bytes) -> int:
        with _device_errors(self._alsa, self._settings.device):
            frames = int(self._pcm.write(data))
            if frames == _EPIPE:
                self.xruns += 1
                frames = int(self._pcm.write(data))
        return max(0, frames)

    def queued(self) -> int:
        with _device_errors(self._alsa, self._settings.device):
            free = int(self._pcm.avail())
        # A negative answer is an errno: the stream ran dry, so nothing is queued.
        return 0 if free < 0 else max(0, self._card_frames - free)

    def drop(self) -> None:
        with _device_errors(self._alsa, self._settings.device):
            self._pcm.drop()

    def close(self) -> None:
        _close(self._alsa, self._pcm)


def list_devices() -> list[tuple[str, str]]:
    """(direction, PCM name) of everything ALSA offers, hardware by card name first."""
    alsa = _load()
    found = []
    for direction, kind in (("capture", alsa.PCM_CAPTURE), ("playback", alsa.PCM_PLAYBACK)):
        names = [name for name in alsa.pcms(kind) if name != "null"]
        names.sort(key=lambda name: (not name.startswith("plughw:"), name))
        found += [(direction, name) for name in names]
    return found


def _load() -> ModuleType:
    try:
        with _loading:
            import alsaaudio

            # pyalsaaudio leaves its types for Python to make ready at their first use. Two threads
            # that open their cards at once can both be first, and one of them then finds a PCM
            # without methods ("object has no attribute 'info'", seen once in fifty starts).
            alsaaudio.PCM.info  # noqa: B018  looking at it makes the type ready
    except ImportError as error:
        raise DeviceError(f"pyalsaaudio is not usable here ({error}): run `make venv`") from error
    module: ModuleType = alsaaudio
    return module


def _open(
    alsa: ModuleType, direction: int, settings: CardSettings, *, periods: int
) -> tuple[Any, dict[str, Any]]:
    with _device_errors(alsa, settings.device):
        pcm = alsa.PCM(
            type=direction,
            mode=alsa.PCM_NONBLOCK,
            device=settings.device,
            rate=settings.rate_hz,
            channels=settings.channels,
            format=alsa.PCM_FORMAT_S16_LE,
            periodsize=settings.rate_hz * settings.period_ms // 1000,
            periods=periods,
        )
        info = pcm.info()
    if info["format"] != alsa.PCM_FORMAT_S16_LE:
        _close(alsa, pcm)
        raise DeviceError(
            f"{settings.device}: the card has no 16-bit format; "
            "name it as plughw:CARD=... so that ALSA converts"
        )
    given = (info["rate"], info["channels"])
    if given != (settings.rate_hz, settings.channels):
        log.info(
            "%s: asked for %d Hz and %d channel(s), the card gives %d Hz and %d",
            settings.device,
            settings.rate_hz,
            settings.channels,
            *given,
        )
    return pcm, info


def _close(alsa: ModuleType, pcm: Any) -> None:
    # The card may be gone already; then there is nothing to drop.
    with contextlib.suppress(alsa.ALSAAudioError):
        pcm.drop()
    with contextlib.suppress(alsa.ALSAAudioError):
        pcm.close()


@contextlib.contextmanager
def _device_errors(alsa: ModuleType, device: str) -> Any:
    try:
        yield
    except alsa.ALSAAudioError as error:
        reason = str(error).removesuffix(f" [{device}]")
        raise DeviceError(
            f"sound device {device!r}: {reason}; `kiosk devices` lists what is there"
        ) from error
